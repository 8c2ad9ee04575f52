"""Release numbers, by what changed between versions."""

from __future__ import annotations

from pathlib import Path

import pytest

from runners.history.lineage_graph import Graph
from runners.history.releases import Made, made_of, releases
from tests.runners.versions.served_root import served_root

BASE = {"data ingest/examples": "sha256:1", "hyperparameter train_steps": "500", "network module_file": "sha256:a"}


def numbered(*changes: dict[str, str] | None) -> list[tuple[str, str]]:
    """The releases of versions, each made of what the one before was but for the changes; None of nobody knows what."""
    made, now = [], dict(BASE)
    for place, change in enumerate(changes, 1):
        again = (change or {}).pop("again", "")
        now |= change or {}
        made.append(Made(str(place), f"sha256:{again or place}", {} if change is None else dict(now)))
    return [(str(told.number or "-"), told.why) for told in releases(made).values()]


def test_data_make_a_minor_release_hyperparameters_a_major_one_a_network_a_new_pipeline() -> None:
    told = numbered(
        {},
        {"data ingest/examples": "sha256:2"},
        {"hyperparameter train_steps": "2000"},
        {"data ingest/examples": "sha256:3"},
        {"data ingest/examples": "sha256:4", "hyperparameter train_steps": "50"},
        {"network module_file": "sha256:b", "hyperparameter train_steps": "70"},
        {"data ingest/examples": "sha256:5"},
    )
    assert told == [
        ("1.0", "the first one of which lineage tells what it was made of"),
        ("1.1", "other data since version 1: ingest/examples"),
        ("2.0", "other hyperparameters since version 2: train_steps 500 → 2000"),
        ("2.1", "other data since version 3: ingest/examples"),
        ("3.0", "other hyperparameters since version 4: ingest/examples, train_steps 2000 → 50"),
        ("1.0 of pipeline 2", "another network since version 5: train_steps 50 → 70, module_file"),
        ("1.1 of pipeline 2", "other data since version 6: ingest/examples"),
    ]


def test_what_nobody_knows_has_no_number_and_the_next_goes_on_from_what_is_known() -> None:
    told = numbered({}, None, {"data ingest/examples": "sha256:2"}, {}, {"data ingest/examples": "sha256:3"})
    assert [number for number, _ in told] == ["1.0", "-", "1.1", "-", "1.2"]
    assert told[1][1] == "unknown: no lineage here tells what it was made of"
    assert told[2][1] == "other data since version 1: ingest/examples"
    assert told[3][1] == "unknown: another model, though nothing that lineage records differs from version 3"


def test_a_model_keeps_its_release_and_no_number_is_given_twice() -> None:
    data = "data ingest/examples"
    told = numbered({}, {data: "sha256:2"}, {data: "sha256:1", "again": "1"}, {data: "sha256:3"})
    assert [number for number, _ in told] == ["1.0", "1.1", "1.0", "1.2"]
    assert told[2][1] == "the model of version 1 again"
    assert told[3][1] == "other data since version 1: ingest/examples"


def test_many_changes_are_told_in_part() -> None:
    [_, (_, why)] = numbered({}, {f"hyperparameter {name}": name * 50 for name in "abcde"})
    assert why == "other hyperparameters since version 1: a, b, c and 2 more"


@pytest.mark.parametrize(
    ("change", "release"),
    [
        ({"data": "july"}, "1.1"),
        ({"steps": 700}, "2.0"),
        ({"features": "scaled otherwise"}, "2.0"),
        ({"network": "deep"}, "1.0 of pipeline 2"),
    ],
)
def test_what_lineage_tells_of_runs(tmp_path: Path, change: dict[str, str], release: str) -> None:
    served = served_root(tmp_path, models=1)
    served.pushed("other", **({"data": "month1"} | change))  # type: ignore[arg-type]
    graph = Graph.read(served.root)
    made = [
        Made(version, version, made_of(graph, model.inputs["model"]))
        for version in ("1", "2")
        for model in [graph.executions[graph.find(f"taxi@{version}")[0].maker]]
    ]
    assert str(releases(made)["2"].number) == release


def test_lineage_that_tells_a_part_tells_nothing(tmp_path: Path) -> None:
    served = served_root(tmp_path, models=1)
    [pushed] = Graph.read(served.root).find("taxi@1")
    for missing in ("ingest", "train"):
        graph = Graph.read(served.root)
        model = graph.executions[pushed.maker].inputs["model"]
        execution = next(each for each in graph.executions.values() if each.task == missing)
        for each in execution.outputs.values() if missing == "ingest" else execution.inputs.values():
            graph.artifacts[each].digest = ""
        assert made_of(graph, model) == {}, missing
    assert made_of(Graph.read(served.root), "artifacts/nothing") == {}
