"""What stages made, in a notebook: any artifact, and those that a notebook can do something with."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.runtime.data import examples as tf_examples
from components.runtime.data import tfmd, tfrecord
from components.runtime.errors import InputError, StageError, did_you_mean
from components.runtime.records.execution_record import relative_uri
from components.runtime.stage.artifacts import InputArtifact
from components.runtime.stage.report import Html, escape
from runners.history import executions
from runners.history.executions import Execution
from runners.history.lineage_graph import Graph
from runners.history.lineage_tree import print_lineage
from runners.notebook import cell, columns
from runners.notebook.cell import mendable
from runners.notebook.prediction import PREDICTOR
from runners.terminal import text

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd

MODEL, DATASET = "system.Model", "system.Dataset"
_SAVED_MODEL = "Format-Serving"
_SHOWN_ROWS = 5
_LONGEST = 200
"""Letters of a value of metadata that are shown."""


class Artifact:
    """An artifact of a run.

    Attributes:
      name: of the output.
      uri: where it lies.
      type: as KFP calls it, such as `system.Model`.
      metadata: what the stage says of it.
    """

    def __init__(self, root: Path, run: str, execution: Execution, artifact: executions.Artifact) -> None:
        """Made by stages: `stage["model"]`."""
        self.name, self.uri, self.type = artifact.name, artifact.uri, artifact.type
        self.metadata = dict(artifact.metadata)
        self.digest = artifact.digest
        self._root, self._run, self._execution = root, run, execution

    @property
    def path(self) -> Path:
        """Where it lies on this machine."""
        return self._execution.path(self.name)

    def lineage(self, direction: str = "") -> Lineage:
        """What made it and what came of it; `up` for the first alone, `down` for the second."""
        with mendable():
            if direction not in ("", "up", "down"):
                raise InputError(f"lineage({direction!r}): expected 'up', 'down', or nothing for both")
            return Lineage(self._root, f"{self._run}/{self._execution.task}/{self.name}", direction)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._execution.task}/{self.name}: {self.type}, {self.uri}>"

    def _repr_html_(self) -> str:
        rows = [("type", self.type), ("uri", code(self.uri)), *((k, shown(v)) for k, v in self.metadata.items())]
        return f"<b>{escape(f'{self._execution.task}/{self.name}')}</b>{cell.table(('', ''), rows)}"


class Model(Artifact):
    """A model with its preprocessing, which answers for raw rows."""

    @property
    def inputs(self) -> list[str]:
        """The raw features that it takes."""
        with mendable():
            found: list[str] = PREDICTOR.ask(self._saved_model(), self.digest)["inputs"]
            return found

    def predict(self, rows: Any) -> npt.NDArray[Any] | dict[str, npt.NDArray[Any]]:
        """What the exported model answers for raw rows.

        It is asked in a process of the environment in which models are trained; the first answer waits for TensorFlow.

        Args:
          rows: a DataFrame of raw columns, a dict of them by name (one row), or a list of such dicts. What is None,
            NaN or left out is missing; columns of the data that the model does not take, as the label, are passed over.

        Returns:
          An array whose first dimension is that of the rows; several by name where the model answers several.

        Raises:
          InputError: a column that the data does not have, or a value that the model does not take.
        """
        with mendable():
            given = columns.rows_of(rows)
            if not given:
                raise InputError("predict: no rows")
            model = self._saved_model()
            self._check(given, PREDICTOR.ask(model, self.digest)["inputs"])
            outputs: dict[str, npt.NDArray[Any]] = PREDICTOR.ask(model, self.digest, given)["outputs"]
            return next(iter(outputs.values())) if len(outputs) == 1 else outputs

    def _saved_model(self) -> Path:
        inside = self.path / _SAVED_MODEL
        found = inside if inside.is_dir() else self.path
        if not (found / "saved_model.pb").is_file():
            raise InputError(f"{self._execution.task}/{self.name}: no SavedModel in {self.path}")
        return found

    def _check(self, rows: Sequence[Mapping[str, Any]], inputs: Sequence[str]) -> None:
        schema = _raw_schema(self._root, self._execution, self.digest)
        known = {*inputs, *(feature.name for feature in schema)}
        if not inputs:
            # Of a model that takes whole tf.Examples nobody can tell.
            return
        for number, row in enumerate(rows):
            for name in row:
                if name not in known:
                    raise InputError(
                        f"row {number}: no column {name!r} in the data{did_you_mean(str(name), known)}; "
                        f"the model takes: {', '.join(inputs)}"
                    )
            # Nothing stands for a value of theirs that is missing.
            needed = [feature.name for feature in schema if feature.HasField("shape") and feature.name in inputs]
            if lacks := [name for name in needed if row.get(name) is None]:
                raise InputError(f"row {number} lacks {', '.join(lacks)}, which every row of the data has")


class Examples(Artifact):
    """Rows as tf.Examples, raw or transformed, in splits."""

    @property
    def splits(self) -> list[str]:
        """Names of the splits, `train` first."""
        return tfmd.split_order(self._artifact.splits)

    def split(self, name: str = "") -> Split:
        """The rows of a split; of the first without a name.

        Raises:
          InputError: there is no such split.
        """
        with mendable():
            known = self.splits
            if name and name not in known:
                raise InputError(f"no split {name!r}{did_you_mean(name, known)}; the splits are: {', '.join(known)}")
            if not known:
                raise InputError(f"{self._execution.task}/{self.name}: no splits in {self.path}")
            return Split(name or known[0], self._artifact.split(name or known[0]), self.metadata)

    @property
    def _artifact(self) -> InputArtifact:
        return InputArtifact(self.name, self.uri, self.metadata)


class Split:
    """The rows of a split, which are read when they are asked for.

    Attributes:
      name: of the split.
      count: of its rows, where the stage has told; else None.
    """

    def __init__(self, name: str, folder: Path, metadata: Mapping[str, Any]) -> None:
        """Reads nothing yet."""
        self.name, self._folder = name, folder
        count = metadata.get(f"rows_{name}")
        self.count = int(count) if isinstance(count, int | float) else None

    def __iter__(self) -> Iterator[dict[str, list[Any]]]:
        """The rows one by one: lists of int, float or bytes by name, empty where a value is missing."""
        with mendable():
            for file in sorted(self._folder.iterdir()):
                for record in tfrecord.read(file):
                    yield tf_examples.decode(record)

    def head(self, n: int = _SHOWN_ROWS) -> pd.DataFrame:
        """The first rows."""
        return self.to_pandas(n)

    def to_pandas(self, n: int | None = None) -> pd.DataFrame:
        """The first `n` rows, or all, as a DataFrame; lists stay where any row has several values."""
        return columns.frame(self, n)

    def __repr__(self) -> str:
        counted = "" if self.count is None else f", {self.count:,} rows"
        return f"<Split {self.name}{counted}>"

    def _repr_html_(self) -> str:
        counted = "" if self.count is None else f" of {self.count:,} rows"
        return f"<p>{escape(self.name)}: the first {_SHOWN_ROWS}{escape(counted)}</p>{self.head().to_html()}"


class Lineage:
    """What an artifact was made from and what came of it, as a tree."""

    def __init__(self, root: Path, reference: str, direction: str) -> None:
        """Reads the events under the root."""
        graph = Graph.read(root)
        self.nodes = graph.find(reference)
        lines = io.StringIO()
        with contextlib.redirect_stdout(lines):
            print_lineage(graph, self.nodes, direction or None, every=False)
        self._text = lines.getvalue().rstrip()

    def __repr__(self) -> str:
        return self._text

    def _repr_html_(self) -> str:
        from rich.text import Text

        return cell.preformatted(Text(self._text))


def _raw_schema(root: Path, execution: Execution, digest: str) -> list[Any]:
    """The features of the raw data that a model was made of; none where its training has read no schema.

    A stage that only handed the model on, as choose does, has none itself: the model is followed back.

    Args:
      root: the pipeline root.
      execution: has the model among its outputs.
      digest: the model's.
    """
    for artifact in execution.inputs.values():
        file = Path(InputArtifact(artifact.name, artifact.uri, {}).path) / tfmd.SCHEMA_FILE
        if file.is_file():
            with contextlib.suppress(StageError):
                return list(tfmd.read_schema(file).feature)
    for artifact in execution.inputs.values():
        if artifact.type == MODEL and digest and artifact.digest == digest:
            place = Path(relative_uri(root, artifact.uri)).parent
            if maker := executions.load_execution(root, str(place)):
                return _raw_schema(root, maker, digest)
    return []


def of_execution(root: Path, run: str, execution: Execution) -> dict[str, Artifact]:
    """The outputs of an execution by name, as far as they are artifacts."""
    kinds: dict[str, type[Artifact]] = {MODEL: Model, DATASET: Examples}
    return {
        name: kinds.get(artifact.type, Artifact)(root, run, execution, artifact)
        for name, artifact in execution.outputs.items()
    }


def code(value: object) -> Html:
    """A value to be copied."""
    return Html(f'<code style="white-space:nowrap">{escape(value)}</code>')


def shown(value: Any) -> object:
    """A value of metadata as a table has it."""
    if isinstance(value, float):
        return text.number(value)
    return text.clipped(str(value), _LONGEST)
