"""The model card: README.md with the Hub's metadata in front."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from huggingface_hub import EvalResult, ModelCardData

from components.runtime import VERSION
from components.runtime.publish.saved_signatures import Signature
from components.runtime.text.markdown import markdown_code, markdown_text

TEMPLATES = Path(__file__).parent / "templates"

_NOT_METRICS = frozenset({"bytes", "digest", "producer"})
_OTHER_TASK = "other"


@dataclass(frozen=True)
class Data:
    """What the card says of the data: its size and digest, nothing of its content."""

    rows: int | None
    splits: Mapping[str, int | None]
    digest: str


@dataclass(frozen=True)
class Card:
    """What a model card says."""

    repo_id: str
    revision: str
    model_digest: str
    blessing: str
    metrics: Mapping[str, float]
    data: Data
    signatures: tuple[Signature, ...]
    classes: tuple[str, ...]
    license: str
    task: str
    tags: tuple[str, ...]
    description: str
    pipeline: str
    run: str
    trained_by: str


def metrics_of(metadata: Mapping[str, Any]) -> dict[str, float]:
    """The metrics in the metadata of evaluate's artifact; numbers alone, and not the size of its files."""
    return {
        name: value
        for name, value in sorted(metadata.items())
        if name not in _NOT_METRICS
        and isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
    }


def classes_of(metadata: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of classes by number in the metadata of a blessing; empty where evaluate found none."""
    names = metadata.get("classes")
    return tuple(str(name) for name in names) if isinstance(names, list) else ()


def data_of(metadata: Mapping[str, Any]) -> Data:
    """What the metadata of ingest's artifact says of the data."""
    splits = [str(name) for name in metadata.get("splits") or []]
    return Data(
        rows=_count(metadata.get("rows")),
        splits={name: _count(metadata.get(f"rows_{name}")) for name in splits},
        digest=str(metadata.get("digest") or ""),
    )


def _count(value: Any) -> int | None:
    # KFP hands numbers of metadata on as floats.
    return int(value) if isinstance(value, int | float) else None


def render(card: Card) -> str:
    """The card as Markdown."""
    return render_template("card.md.j2", card=card, header=_header(card), producer=f"Millrace {VERSION}")


def _header(card: Card) -> str:
    """The metadata that the Hub reads, as YAML."""
    name = card.repo_id.split("/")[1]
    results = [
        EvalResult(
            task_type=card.task or _OTHER_TASK,
            dataset_type=card.pipeline or name,
            dataset_name=card.pipeline or name,
            dataset_revision=card.data.digest or None,
            metric_type=metric,
            metric_name=metric,
            metric_value=value,
        )
        for metric, value in card.metrics.items()
    ]
    data = ModelCardData(
        license=card.license or None,
        library_name="tensorflow",
        pipeline_tag=card.task or None,
        tags=_unique(["tensorflow", "saved-model", "millrace", *card.tags]),
        model_name=name,
        eval_results=results or None,
    )
    return str(data.to_yaml())


def _unique(words: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(words))


def render_template(name: str, **values: Any) -> str:
    """Fills in a template; whatever comes from outside passes a filter that takes its power from it."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=False,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"text": markdown_text, "code": markdown_code, "number": _number, "python": _python}
    return environment.get_template(name).render(**values)


def _number(value: float) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _python(value: object) -> str:
    """A value as a literal of Python, in ASCII."""
    return ascii(value)
