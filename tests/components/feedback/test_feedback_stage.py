"""The stage: spans of what a server logged and was told, once each; and that ingest reads them."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from components.runtime.errors import InputError
from components.runtime.publish import serving
from components.runtime.records import prediction_log
from components.runtime.stage.executor import Execution
from tests.components.watch.watched import END, Rides, World
from tests.support import executor_input
from tests.support_tfdv import call


@pytest.fixture(scope="module")
def pushed(tmp_path_factory: pytest.TempPathFactory) -> World:
    world = World(tmp_path_factory.mktemp("feedback"))
    world.push(Rides.of(400, 1))
    return world


@dataclass(frozen=True)
class Made:
    """What the stage made, in this process."""

    execution: Execution
    folder: Path
    said: str

    @property
    def rows(self) -> int:
        return int((self.folder / "parameters" / "rows").read_text())

    @property
    def span(self) -> dict[str, Any]:
        return self.execution.outputs["span"].metadata


def made(world: World, folder: Path, **parameters: Any) -> Made:
    given = {"log": str(world.log), "destination": str(world.serving), "data": str(folder / "data")}
    given |= {"label": "", "implicit_after": "", "implicit_value": ""} | parameters
    out = folder / f"out-{len(list(folder.glob('out-*')))}"
    out.mkdir()
    given_input = executor_input(out, parameters=given, outputs=["span", "report"], output_parameters=["rows"])
    with contextlib.redirect_stdout(io.StringIO()) as said:
        execution = call("feedback", given_input)
    return Made(execution, out, said.getvalue())


def test_what_was_labelled_since_is_the_next_span_and_nothing_twice(pushed: World, tmp_path: Path) -> None:
    world = World(pushed.folder, log_name=str(tmp_path / "log"))
    world.ask(Rides.of(200, 2), 1, labelled=0.5)
    first = made(world, tmp_path)
    assert first.rows == 100
    span = parquet.read_table(tmp_path / "data" / "span-1" / "part.parquet")
    assert (span.num_rows, set(span.column_names)) == (100, {"fare", "hour", "payment", "generous"})
    assert first.span["folder"] == str(tmp_path / "data" / "span-1")
    assert first.span["rows_of_version_1"] == 100
    pushed_as = serving.read_version(1, world.serving / "1")
    assert pushed_as is not None
    assert first.span["model_of_version_1"] == pushed_as.model_digest
    assert len((first.folder / "span" / "predictions.txt").read_text().split()) == 100
    assert "Span 1 of rides" in (first.folder / "report").read_text()

    again = made(world, tmp_path)
    assert again.rows == 0
    assert "nothing new: 100 predictions with labels are in a span already" in again.said
    assert "folder" not in again.span

    world.ask(Rides.of(150, 3), 0)
    assert made(world, tmp_path).rows == 150
    # What nobody labelled counts as 0, after a time.
    silent = made(world, tmp_path, implicit_after="1m", implicit_value="0")
    assert silent.rows == 100
    assert silent.span["implicit"] == 100
    assert sorted(each.name for each in (tmp_path / "data").iterdir()) == ["span-1", "span-2", "span-3"]


def test_no_label_yet_is_no_fault_and_a_wrong_one_is_left_out(pushed: World, tmp_path: Path) -> None:
    world = World(pushed.folder, log_name=str(tmp_path / "log"))
    world.ask(Rides.of(20, 2), 0, labelled=0.0)
    told = made(world, tmp_path)
    assert told.rows == 0
    assert "nothing new: the server has taken no labels" in told.said
    assert not (tmp_path / "data").exists()
    odd = {"prediction_id": ["r0-1-0", "elsewhere"], "label": ["maybe", "1"], "kind": ["explicit"] * 2}
    prediction_log.write_labels(world.log, pa.table(odd | {"time": pa.array([END] * 2, prediction_log.TIME)}))
    told = made(world, tmp_path)
    assert told.rows == 0
    assert "warning: 1 label that the server took is left out, none of the model's; the first: " in told.said
    assert "none of 20 predictions in the log has one of 1 label" in told.said


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"log": "/nowhere"}, "log /nowhere: no predictions are logged there"),
        ({"implicit_after": "7d"}, "implicit_after and implicit_value belong together"),
        ({"implicit_after": "soon", "implicit_value": "0"}, "soon: no duration such as 7d"),
        ({"implicit_after": "7d", "implicit_value": "perhaps"}, "implicit_after, implicit_value: "),
        ({"label": "tip"}, "the model's data has no such column"),
        ({"data": "s3://b/data"}, "spans are written into a folder"),
        ({"data": ""}, "data is empty"),
    ],
)
def test_what_a_person_can_mend_is_told(pushed: World, tmp_path: Path, parameters: dict[str, str], said: str) -> None:
    world = World(pushed.folder, log_name=str(tmp_path / "log"))
    world.ask(Rides.of(20, 2), 0)
    with pytest.raises(InputError) as refused:
        made(world, tmp_path, **parameters)
    assert said in str(refused.value)
    assert not (tmp_path / "data").exists()
