"""What the card says, part by part: the sections of Mitchell and others, "Model Cards for Model Reporting", 2019."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from components.model_card import pictures
from components.model_card.blocks import UNKNOWN, Block, Items, Part, Picture, Said, Table
from components.model_card.known import Known, count, metrics
from components.runtime import VERSION
from components.runtime.data.span_words import told_with_gaps
from components.runtime.explaining.thresholds import CAVEAT

if TYPE_CHECKING:
    from tensorflow_metadata.proto.v0.statistics_pb2 import DatasetFeatureStatisticsList

_NOT_SAID = "Not said."
_MOST_SLICES = 20
_MOST_FEATURES = 10
_COUNT = "example_count"
_SERVED = {
    "p50_ms": "latency of a single row, median, ms",
    "p99_ms": "latency of a single row, 99th percentile, ms",
    "requests_per_second": "requests a second, at the best number at once",
    "load_seconds": "seconds from start to the first answer",
    "memory_mb": "memory of the server, MB",
    "model_mb": "size of the model, MB",
}


@dataclass(frozen=True)
class Words:
    """What people say of the model, and of its making; empty where they say nothing."""

    description: str
    intended_use: str
    not_for: str
    limits: Sequence[str]
    trade_offs: str
    owners: Sequence[str]
    license: str
    links: Sequence[str]
    pipeline: str
    run: str
    written: str


def parts(
    words: Words,
    known: Known,
    digest: str,
    statistics: Mapping[str, DatasetFeatureStatisticsList],
    *,
    distributions: bool,
) -> list[Part]:
    """The card, in its order.

    Args:
      words: of people.
      known: what stages told.
      digest: of the model.
      statistics: of the data, by split.
      distributions: whether values of the data may be shown.
    """
    made = [
        Part("The model", _model(words, known, digest)),
        Part("What it is for", _use(words)),
        Part("How good it is", _overall(known)),
        *_slices(known),
        Part("Limits", _limits(words, known)),
        Part("Data", _data(known, statistics, distributions)),
    ]
    if known.explanations:
        made.append(Part("What it goes by", _explained(known.explanations)))
    if known.infra:
        made.append(Part("Serving it", _served(known.infra)))
    return [*made, Part("Where it comes from", _lineage(words, known, digest))]


def _model(words: Words, known: Known, digest: str) -> list[Block]:
    rows: list[list[Any]] = [
        ["owners", ", ".join(words.owners) or None],
        ["licence", words.license or None],
        ["made by the run", words.run],
        ["steps of training", count(known.model.get("steps"))],
        ["model", digest],
    ]
    said: list[Block] = [Said(words.description)] if words.description else []
    return [*said, Table(["", ""], rows), *([Items(words.links)] if words.links else [])]


def _use(words: Words) -> list[Block]:
    return [
        Said(words.intended_use or _NOT_SAID),
        Said(f"Not for: {words.not_for}" if words.not_for else "What it is not for is not said."),
    ]


def _overall(known: Known) -> list[Block]:
    blessing = known.blessing
    found = metrics(blessing.get("metrics") or {})
    intervals = blessing.get("metrics") or {}
    thresholds = blessing.get("thresholds") or []
    rows: list[list[Any]] = []
    for name, value in found.items():
        low, high = intervals.get(f"{name} 95% low"), intervals.get(f"{name} 95% high")
        rows.append([name, value, "" if low is None or high is None else f"{low:.4g} to {high:.4g}"])
    has_intervals = any(row[2] for row in rows)
    splits = ", ".join((known.slices or {}).get("splits") or []) or UNKNOWN
    measured = count((known.slices or {}).get("rows"))
    blocks: list[Block] = [
        Said(f"Measured on the splits {splits}, {UNKNOWN if measured is None else f'{measured:,}'} examples.")
    ]
    if rows:
        blocks.append(
            Table(
                ["metric", "value", *(["95 %"] if has_intervals else [])],
                [row if has_intervals else row[:2] for row in rows],
            )
        )
    else:
        blocks.append(Said("No metrics are known."))
    if thresholds:
        # (A threshold of a change holds where there is no baseline to change from: None.)
        told = [
            [
                each["metric"], each["slice"], each["bound"], each.get("value"),
                each.get("baseline_value") if each["kind"] == "change" else "",
                {True: "yes", False: "no"}.get(each.get("passed"), "not applied"),
            ]
            for each in thresholds
        ]  # fmt: skip
        blocks.append(Said("What it had to reach:"))
        blocks.append(Table(["threshold on", "of", "has to be", "is", "baseline", "holds"], told))
    return [*blocks, Said(f"Blessed: {blessing['reason']}.")]


def _slices(known: Known) -> list[Part]:
    """A part for each way that examples are cut."""
    if not known.slices:
        return []
    groups: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    overall: Mapping[str, Any] = {}
    for each in known.slices["slices"]:
        if each["slice"]:
            groups.setdefault(tuple(each["slice"]), []).append(each)
        else:
            overall = each["metrics"]
    judged = [each["metric"] for each in known.blessing.get("thresholds") or []]
    return [Part(f"By {' and '.join(names)}", _cut(names, found, overall, judged)) for names, found in groups.items()]


def _cut(
    names: tuple[str, ...], found: Sequence[Mapping[str, Any]], overall: Mapping[str, Any], judged: Sequence[str]
) -> list[Block]:
    shown = sorted(found, key=lambda each: -(each["examples"] or 0))[:_MOST_SLICES]
    shown = sorted(shown, key=lambda each: _natural(each["slice"].values()))
    columns = list(dict.fromkeys(name for each in shown for name in metrics(each["metrics"]) if name != _COUNT))
    labels = [", ".join(each["slice"].values()) for each in shown]
    counts = [count(each["examples"]) for each in shown]
    rows = [
        [label, number, *[metrics(each["metrics"]).get(name) for name in columns]]
        for label, number, each in zip(labels, counts, shown, strict=True)
    ]
    main = next((name for name in [*judged, *columns] if name in columns), None)
    blocks: list[Block] = []
    title = " and ".join(names)
    if main:
        values = [metrics(each["metrics"]).get(main) for each in shown]
        blocks.append(Picture(pictures.by_slice(title, main, labels, values, counts, metrics(overall).get(main))))
    blocks.append(Table([title, "examples", *columns], rows, undefined=True))
    if any(cell is None for row in rows for cell in row):
        blocks.append(Said("–: not defined on these examples.", note=True))
    if len(found) > len(shown):
        blocks.append(Said(f"The {len(shown)} largest of {len(found)} slices.", note=True))
    return blocks


def _natural(values: Any) -> tuple[Any, ...]:
    return tuple((0, float(value), "") if _is_number(value) else (1, 0.0, value) for value in values)


def _is_number(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True


def _limits(words: Words, known: Known) -> list[Block]:
    blocks: list[Block] = [Items(words.limits)] if words.limits else [Said("None are said.")]
    if words.trade_offs:
        blocks.append(Said(f"Trade-offs: {words.trade_offs}"))
    if known.slices and (left_out := known.slices.get("left_out")):
        blocks.append(Said(f"{left_out:,} smaller slices are not on this card."))
    return blocks


def _data(known: Known, statistics: Mapping[str, DatasetFeatureStatisticsList], distributions: bool) -> list[Block]:
    about = known.examples
    splits = [str(name) for name in about.get("splits") or []]
    rows: list[list[Any]] = [[name, count(about.get(f"rows_{name}"))] for name in splits]
    rows.append(["all", count(about.get("rows"))])
    blocks: list[Block] = [Table(["split", "examples"], rows)]
    if spans := told_with_gaps(about):
        blocks.append(Said(f"Of {spans}."))
    if left_out := count(about.get("rows_left_out")):
        blocks.append(Said(f"{left_out:,} rows were left out for want of a value."))
    if distributions:
        first = [each["feature"] for each in (known.explanations or {}).get("importance", [])]
        drawn, number = pictures.distributions(statistics, first)
        if drawn:
            blocks.append(Picture(drawn))
            said = f"{min(number, 12)} of {number} features" if number > 12 else f"{number} features"
            blocks.append(
                Said(
                    f"Distributions of {said}, of each split alike whatever its size; of texts those that at least "
                    "every hundredth value is.",
                    note=True,
                )
            )
    missing = _missing(statistics)
    if missing:
        blocks.append(Table(["feature", *[f"missing in {split}" for split in statistics]], missing))
    return blocks


def _missing(statistics: Mapping[str, DatasetFeatureStatisticsList]) -> list[list[Any]]:
    """The features that lack values most often, in per cent by split."""
    shares: dict[str, dict[str, float]] = {}
    for split, each in statistics.items():
        [dataset] = each.datasets[:1]
        for feature in dataset.features:
            common = getattr(feature, feature.WhichOneof("stats") or "num_stats").common_stats
            name = ".".join(feature.path.step) or feature.name
            shares.setdefault(name, {})[split] = 1 - common.num_non_missing / dataset.num_examples
    lacking = sorted(
        (name for name in shares if max(shares[name].values()) > 0), key=lambda name: -max(shares[name].values())
    )
    return [[name, *[_per_cent(shares[name].get(split)) for split in statistics]] for name in lacking[:_MOST_FEATURES]]


def _per_cent(share: float | None) -> str | None:
    return None if share is None else "none" if share == 0 else f"{share:.2%}"


def _explained(found: Mapping[str, Any]) -> list[Block]:
    first = found["importance"][:_MOST_FEATURES]
    blocks: list[Block] = [
        Said(
            f"Mean size of the Shapley values of {found['explained']:,} examples of {found['split']}: what the "
            "model goes by, and not what "
            "causes what."
        ),
        Picture(pictures.importance(first)),
        Table(
            ["feature", "mean size", "± 95 %"],
            [[each["feature"], each["mean"], each["half_interval"]] for each in first],
        ),
    ]
    for each in found.get("thresholds", []):
        goals = [
            [goal["goal"], goal["accuracy"], *[_threshold(goal["thresholds"][name]) for name in each["groups"]]]
            for goal in each["goals"]
        ]
        if goals:
            sizes = each["groups"]
            groups = ", ".join(f"{name} ({size:,})" for name, size in sizes.items())
            blocks += [
                Said(
                    f"Decision thresholds between the groups of {each['feature']}, and the accuracy that each goal "
                    f"leaves on the {sum(sizes.values()):,} examples of {found['split']} by which they were found, "
                    f"by group: {groups}. The metrics of the other parts are of all examples that were evaluated."
                ),
                Table(["goal", "accuracy", *sizes], goals),
                Said(CAVEAT),
            ]
    return blocks


def _threshold(value: float | None) -> str:
    return "none positive" if value is None else f"{value:.2f}"


def _served(found: Mapping[str, Any]) -> list[Block]:
    measured = found.get("measured") or {}
    rows = [[title, measured.get(name)] for name, title in _SERVED.items()]
    return [Said(f"{found.get('reason')}."), Table(["", "measured"], rows)]


def _lineage(words: Words, known: Known, digest: str) -> list[Block]:
    approval = (known.approval or {}).get("answer") or {}
    baseline = known.blessing.get("baseline_digest")
    rows: list[list[Any]] = [
        ["pipeline", words.pipeline],
        ["run", words.run],
        ["model", digest],
        ["data", known.examples.get("digest")],
        ["raw data", known.examples.get("content")],
        ["compared with", "nothing: there was no baseline" if baseline == "" else baseline],
        ["candidate", known.blessing["candidate"]] if known.blessing.get("candidate") else [],
        ["approved by", f"{approval['by']}, {approval['at']}" if approval.get("by") else "nobody was asked"],
        ["why", approval["why"]] if approval.get("why") else [],
        ["card written", f"{words.written}, by Millrace {VERSION}"],
    ]
    return [
        Table(["", ""], [row for row in rows if row]),
        Said("./millrace lineage leads from a digest to all that it was made from.", note=True),
    ]
