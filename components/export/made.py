"""One export after another: converted, asked, evaluated, measured, and held to the bounds."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from components.export import litert, onnx_format, tfjs, weights
from components.export.gates import Gates, Kept
from components.export.measuring import Cost, cost
from components.export.source import Arrays, CannotConvert, Cut, Source
from components.runtime import VERSION
from components.runtime.errors import InputError, did_you_mean
from components.runtime.module_file import signatures
from components.runtime.publish.export_formats import INT8, LITERT, ONNX, RAW, SAVED_MODEL, TFJS, TRANSFORMED, Format
from components.runtime.stage.progress import report

CONTRACT = "export.json"
"""In the folder of an export: what it takes and answers, and what it came to."""

_KINDS = {LITERT: litert, ONNX: onnx_format, TFJS: tfjs}
_BOUNDS = {"loss": 0.01, "size_mb": math.inf, "p50_ms": math.inf}
_MB = 1e6


@dataclass(frozen=True)
class Made:
    """What became of one export.

    Attributes:
      asked: what was asked for.
      refused: why it is not handed on, in one line; empty where it is.
      inputs: whether it takes raw or transformed features; empty where there is none.
      why_transformed: why it does not take raw ones; empty where it does, or nobody tried.
      kept: how it was evaluated; None where it was not.
      cost: what it costs; None where it was not measured.
    """

    asked: Format
    refused: str = ""
    inputs: str = ""
    why_transformed: str = ""
    kept: Kept | None = None
    cost: Cost | None = None

    def as_json(self) -> dict[str, Any]:
        """The entry of exports.json; what was not measured is null."""
        kept, cost = self.kept, self.cost
        return {
            "format": self.asked.format,
            "how": self.asked.title,
            "passed": not self.refused,
            "refused": self.refused,
            "inputs": self.inputs,
            "why_transformed": self.why_transformed,
            "metrics": kept.metrics if kept else None,
            "losses": {name: _json(loss) for name, loss in kept.losses.items()} if kept else None,
            "bytes": cost.size if cost else None,
            "packed_bytes": cost.packed if cost else None,
            "p50_ms": cost.single if cost else None,
            "p50_ms_of_batch": cost.batch if cost else None,
        }


def _json(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)


def answering(ask: Callable[[], Any]) -> Any:
    """What another runtime answers.

    Raises:
      CannotConvert: it fails, in its own words: a file that does not run keeps nobody from publishing the model.
    """
    try:
        return ask()
    except CannotConvert:
        raise
    # The runtimes' errors have no type of their own in common.
    except Exception as error:
        line = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise CannotConvert(f"the file does not run: {line[:300]}") from None


def check_bounds(bounds: Mapping[str, float]) -> dict[str, float]:
    """The bounds, with what holds where nothing is said.

    Raises:
      InputError: one that there is not, or that is no number.
    """
    for name, bound in bounds.items():
        if name not in _BOUNDS:
            raise InputError(f"bounds: {name!r}{did_you_mean(name, _BOUNDS)}; there are {', '.join(_BOUNDS)}")
        if isinstance(bound, bool) or not isinstance(bound, int | float) or not 0 <= bound < math.inf:
            raise InputError(f"bounds.{name}: expected a number from 0, not {bound!r}")
    return {**_BOUNDS, **bounds}


@dataclass
class Workshop:
    """Makes the exports of one model.

    Attributes:
      source: the model.
      gates: its evaluation.
      bounds: as `check_bounds` returns them.
      rows: some serialised tf.Examples of the evaluation, by which exports are timed.
      sample: such of the split train, for int8.
      place: for exports that are being made.
    """

    source: Source
    gates: Gates
    bounds: Mapping[str, float]
    rows: list[bytes]
    sample: list[bytes]
    place: Path
    _changed: dict[tuple[Any, Any], Source] = field(default_factory=dict)

    def model(self) -> Cost:
        """What the model itself costs."""
        return cost(self.source.folder, self.source.answers, self.source.raw(self.rows))

    def make(self, asked: Format) -> tuple[Made, Path]:
        """Makes an export, and says what became of it.

        Returns:
          That, and the folder with its files.
        """
        report(f"converting {asked.name}: {asked.title}")
        folder = self.place / "exports" / asked.name
        try:
            inputs, why, ask, export, features = self._converted(asked, folder)
            kept = self.gates.judge(export, asked.name)
            measured = cost(folder, ask, features)
        except CannotConvert as error:
            return Made(asked, f"cannot be converted: {error}"), folder
        made = Made(asked, self._refused(kept, measured), inputs, why, kept, measured)
        return made, folder

    def _converted(self, asked: Format, folder: Path) -> tuple[str, str, Callable[[Arrays], Any], Any, Arrays]:
        """Writes the files; returns inputs, why they are not raw, what asks, what is evaluated, and rows."""
        source = self._with_weights(asked)
        if asked.format == SAVED_MODEL:
            shutil.copytree(source.folder, folder)
            return RAW, "", source.answers, self.gates.saved_model(folder), source.raw(self.rows)
        why = ""
        if asked.inputs != TRANSFORMED:
            try:
                return self._of_part(asked, source, source.cut(RAW), folder, why)
            except CannotConvert as error:
                if asked.inputs == RAW:
                    raise
                why = str(error)
        try:
            return self._of_part(asked, source, source.cut(TRANSFORMED), folder, why)
        except CannotConvert as error:
            raise CannotConvert(f"{why}; and {error}" if why else str(error)) from None

    def _of_part(
        self, asked: Format, source: Source, cut: Cut, folder: Path, why: str
    ) -> tuple[str, str, Callable[[Arrays], Any], Any, Arrays]:
        folder.mkdir(parents=True, exist_ok=True)
        kind = _KINDS[asked.format]
        sample = source.given(self.sample, cut) if asked.quantise == INT8 else None
        kind.convert(cut, asked, folder, sample)
        runner = answering(lambda: kind.Runner(folder, cut))
        (folder / CONTRACT).write_text(json.dumps(_contract(asked, cut, why), indent=1) + "\n")

        def ask(features: Arrays) -> np.ndarray[Any, Any]:
            return np.asarray(answering(lambda: runner(features)))

        def of_rows(rows: list[bytes]) -> np.ndarray[Any, Any]:
            return ask(source.given(rows, cut))

        return cut.inputs, why, ask, self.gates.asked_by(of_rows), source.given(self.rows, cut)

    def _with_weights(self, asked: Format) -> Source:
        """The model with the weights that are asked for."""
        key = asked.sparsity, asked.clusters
        if key == (None, None):
            return self.source
        if key not in self._changed:
            folder = self.place / f"weights-{len(self._changed)}"
            weights.rewrite(self.source.folder, folder, *key)
            self._changed[key] = Source(folder)
        return self._changed[key]

    def _refused(self, kept: Kept, measured: Cost) -> str:
        if kept.reason:
            return kept.reason
        for name, loss in kept.losses.items():
            if not loss <= self.bounds["loss"]:
                pair = f"{kept.metrics[name]:.6g} against {kept.model[name]:.6g} of the model"
                return f"{name} {pair}: {loss:.2%} lost, more than loss: {self.bounds['loss']:g}"
        if measured.size / _MB > self.bounds["size_mb"]:
            return f"{measured.size / _MB:.4g} MB, more than size_mb: {self.bounds['size_mb']:g}"
        if measured.single > self.bounds["p50_ms"]:
            return f"{measured.single:.4g} ms for a row, more than p50_ms: {self.bounds['p50_ms']:g}"
        return ""


def _contract(asked: Format, cut: Cut, why: str) -> dict[str, Any]:
    narrow = asked.format == TFJS
    features = [
        {
            "feature": name,
            "input": node,
            "dtype": "int32" if narrow and spec.dtype.name == "int64" else spec.dtype.name,
            "shape": spec.shape.as_list(),
        }
        for name, (node, spec) in sorted(cut.features.items())
    ]
    told = {
        "format": asked.format,
        "how": asked.title,
        "producer": f"millrace/export {VERSION}",
        "inputs": cut.inputs,
        "features": features,
        "outputs": [signatures.OUTPUTS],
    }
    if cut.inputs == TRANSFORMED:
        told["made_by"] = (
            f"the signature {signatures.TRANSFORM_FEATURES} of the model's SavedModel makes these features of "
            "serialised tf.Examples; whoever asks this file has to do the same"
        )
        if why:
            told["why_not_raw"] = why
    else:
        told["missing"] = "NaN for floats, an empty text, the smallest integer of the type"
    return told
