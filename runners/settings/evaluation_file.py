"""Looks into an EvalConfig before a run: evaluate, which reads it whole, comes after the training.

TFMA is not installed where runs are started, so only what needs no more than the text is looked at:
its form, and the names of metrics.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from google.protobuf import text_format

from components.runtime.errors import InputError, did_you_mean
from components.runtime.module_file import moved
from runners import PROJECT

METRIC_NAMES = Path(__file__).with_name("metric_names.txt")
"""What a `class_name` without a `module` can be; written by `scripts/pages/metrics_page.py`."""

_THRESHOLDS = ("value_threshold", "change_threshold")
FIELDS = ("model_specs", "slicing_specs", "cross_slicing_specs", "metrics_specs", "options")
"""Of an EvalConfig."""


def check(file: Path, where: str) -> None:
    """Holds the form and the metrics' names of an EvalConfig against what evaluate can read.

    Args:
      file: protocol buffer text.
      where: the file, for messages.

    Raises:
      InputError: what would end evaluate; says the line.
    """
    try:
        text = file.read_text(encoding="utf-8")
        # Not `splitlines`, to which a form feed is an end of line, too.
        tokens = text_format.Tokenizer(text.split("\n"), skip_comments=True)
        fields = list(_fields(tokens, ""))
    except text_format.ParseError as error:
        raise InputError(f"{where}: not a tensorflow_model_analysis.EvalConfig, line {error}") from None
    except RecursionError:
        raise InputError(f"{where}: not a tensorflow_model_analysis.EvalConfig: messages too deep in others") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{where}: not UTF-8 text ({error.reason} at byte {error.start})") from None
    for line, name, _ in fields:
        if name not in FIELDS:
            near = did_you_mean(name, FIELDS)
            raise InputError(
                f"{where}: not a tensorflow_model_analysis.EvalConfig, line {line}: no field {name!r}{near}"
            )
    names = METRIC_NAMES.read_text().split()
    for line, metric in _metrics(fields):
        _check_class(where, line, {field: value for _, field, value in metric})
    for line, metric in _metrics(fields):
        named = {field: value for _, field, value in metric}
        kind = named.get("class_name")
        if isinstance(kind, str) and not named.get("module") and kind not in names:
            raise InputError(
                f"{where}: line {line}: class_name {kind!r} is no metric{did_you_mean(kind, names)}; docs/metrics.md "
                "lists all, and one of your own, or of components.evaluate.metrics, needs its module "
                "beside it"
            )


def has_threshold(file: Path) -> bool:
    """Whether an EvalConfig that `check` found good sets a threshold on anything."""
    tokens = text_format.Tokenizer(file.read_text(encoding="utf-8").split("\n"), skip_comments=True)

    def found(fields: list[_Field]) -> bool:
        return any(name in _THRESHOLDS or (isinstance(value, list) and found(value)) for _, name, value in fields)

    return found(list(_fields(tokens, "")))


def _check_class(where: str, line: int, metric: dict[str, Any]) -> None:
    """A class of `components.evaluate`; of others' modules it is not known where they will be found."""
    kind, module = metric.get("class_name"), metric.get("module")
    if not isinstance(kind, str) or not isinstance(module, str) or not module.startswith("components.evaluate."):
        return
    if module not in (moved.METRICS, *moved.MOVED_METRICS):
        raise InputError(
            f"{where}: line {line}: there is no module {module!r} with metrics; the one with all of ours is "
            f"{moved.METRICS!r}"
        )
    kinds = _our_metrics()
    if kind not in kinds:
        raise InputError(f"{where}: line {line}: {module} has no class {kind!r}{did_you_mean(kind, kinds)}")


def _our_metrics() -> list[str]:
    """What `components.evaluate.metrics` promises; TFMA, which the import would need, is not installed here."""
    tree = ast.parse((PROJECT / moved.METRICS.replace(".", "/") / "__init__.py").read_bytes())
    (names,) = (
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and any(isinstance(it, ast.Name) and it.id == "__all__" for it in node.targets)
    )
    return [str(name) for name in ast.literal_eval(names)]


_Field = tuple[int, str, Any]
"""Line, name, and value: a text, the fields of a message, or None for any other."""


def _metrics(fields: list[_Field]) -> Iterator[tuple[int, list[_Field]]]:
    for _, name, spec in fields:
        if name == "metrics_specs" and isinstance(spec, list):
            yield from ((line, value) for line, field, value in spec if field == "metrics" and isinstance(value, list))


def _fields(tokens: text_format.Tokenizer, end: str) -> Iterator[_Field]:
    """The fields up to the sign that ends a message, https://protobuf.dev/reference/protobuf/textformat-spec."""
    while not tokens.TryConsume(end) if end else not tokens.AtEnd():
        line = _line(tokens)
        name = tokens.ConsumeIdentifier()
        colon = tokens.TryConsume(":")
        if tokens.TryConsume("["):
            values = []
            while not tokens.TryConsume("]"):
                values.append(_value(tokens))
                tokens.TryConsume(",")
            yield from ((line, name, value) for value in values)
        elif colon or tokens.token in ("{", "<"):
            yield line, name, _value(tokens)
        else:
            raise tokens.ParseError(f"Expected ':' or '{{' after {name!r}.")
        if not tokens.TryConsume(","):
            tokens.TryConsume(";")


def _value(tokens: text_format.Tokenizer) -> Any:
    for begin, end in ("{}", "<>"):
        if tokens.TryConsume(begin):
            return list(_fields(tokens, end))
    if tokens.token[:1] in ("'", '"'):
        return tokens.ConsumeString()
    tokens.TryConsume("-")
    if tokens.token in ("", *"{}<>[]:;,"):
        raise tokens.ParseError("Expected a value.")
    tokens.NextToken()
    return None


def _line(tokens: text_format.Tokenizer) -> int:
    return int(tokens.ParseError("").GetLine())
