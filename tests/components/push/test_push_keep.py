"""What push keeps: the last versions, and never less than somebody needs."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from components.push.push import push
from components.runtime.errors import InputError
from components.runtime.stage.artifacts import InputArtifact, OutputArtifact
from tests.components.push.serving_support import make_blessing, make_model

_NAMES = itertools.count()


def pushed(folder: Path, name: str, keep: int) -> dict[str, Any]:
    """Pushes a model in this process; returns what push says of it."""
    model, blessing = folder / name, folder / "blessing"
    if not model.exists():
        make_model(model, name)
    if not blessing.exists():
        make_blessing(blessing)
    output = OutputArtifact("pushed_model", str(folder / f"pushed-{next(_NAMES)}"))
    given = [InputArtifact(each.name, str(each), {}) for each in (model, blessing)]
    push(*given, None, None, str(folder / "serving"), output, keep=keep)
    return output.metadata


def numbers(serving: Path) -> list[str]:
    return sorted((entry.name for entry in serving.iterdir() if entry.name.isdecimal()), key=int)


@pytest.fixture
def serving(tmp_path: Path) -> Path:
    """Versions 1 to 4, of models one to four."""
    for name in ("one", "two", "three", "four"):
        assert "removed" not in pushed(tmp_path, name, 0)
    return tmp_path / "serving"


def test_the_last_ones_stay_and_all_stay_without(
    tmp_path: Path, serving: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert numbers(serving) == ["1", "2", "3", "4"]
    assert pushed(tmp_path, "five", 3)["removed"] == [2, 1]
    assert "removed version 2: the last 3 are kept" in capsys.readouterr().out
    assert numbers(serving) == ["3", "4", "5"]
    assert list(serving.glob(".staging-*")) == []


def test_a_label_keeps_its_version_and_so_does_a_run_to_come(tmp_path: Path, serving: Path) -> None:
    (serving / "labels.json").write_text(json.dumps({"stable": 2}))
    assert pushed(tmp_path, "five", 1)["removed"] == [3, 1]
    # 5 is in service, and 4 is what a run is compared with that makes the model of 5 once more.
    assert numbers(serving) == ["2", "4", "5"]
    assert pushed(tmp_path, "five", 1).items() >= {"removed": [], "created": False}.items()


def test_what_others_put_there_and_what_is_damaged_stays(tmp_path: Path, serving: Path) -> None:
    (serving / "3" / "assets.extra" / "millrace.json").unlink()
    (serving / "4" / "saved_model.pb").write_text("damaged")
    (serving / "9").mkdir()
    assert pushed(tmp_path, "five", 2).items() >= {"version": 10, "removed": [1]}.items()
    assert numbers(serving) == ["2", "3", "4", "9", "10"], "10 and 2 are intact and of Millrace"


def test_labels_that_cannot_be_read_keep_everything(
    tmp_path: Path, serving: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (serving / "labels.json").write_text("{")
    assert pushed(tmp_path, "five", 1)["removed"] == []
    assert "older versions stay: " in capsys.readouterr().out
    assert numbers(serving) == ["1", "2", "3", "4", "5"]


def test_less_than_none_cannot_be_kept(tmp_path: Path, serving: Path) -> None:
    with pytest.raises(InputError, match="keep is -1"):
        pushed(tmp_path, "five", -1)
    assert numbers(serving) == ["1", "2", "3", "4"]
