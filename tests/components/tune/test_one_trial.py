"""One trial with values from elsewhere: it scores as a search's trial with the same values does."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import keras_tuner
import pytest

from components.runtime.errors import InputError
from components.runtime.stage.executor import Execution
from components.tune.one_trial import one_trial
from runners.katib import search_space
from tests.components.train import training_support
from tests.components.train.training_support import Prepared
from tests.components.tune import tuning_support as support
from tests.components.tune.tuning_support import HEAD

MODULE = """
def some(hp):
    model = build(hp)
    hp.Int("layers", 1, 3)
    hp.Boolean("wide")
    hp.Choice("kind", ["a", "b"])
    hp.Fixed("fixed", 3)
    return model

def tuner_fn(fn_args):
    return result(keras_tuner.RandomSearch(some, "val_loss", max_trials=1, directory=fn_args.working_dir), epochs=3)
"""


@pytest.fixture(scope="module")
def prepared() -> Prepared:
    return training_support.taxi()


def tried(folder: Path, prepared: Prepared, module: Path, values: dict[str, str]) -> None:
    given = support.call(folder, prepared, module)
    for name in ("max_trials", "max_minutes"):
        del given["inputs"]["parameterValues"][name]
    given["inputs"]["parameterValues"] |= {"values": values, "custom_config": {"execution": {"workers": 3}}}
    given["outputs"] = {"outputFile": str(folder / "executor_output.json")}
    Execution.parse("tune", given).run(one_trial)


def test_it_scores_as_the_trial_of_a_search(
    tmp_path: Path, prepared: Prepared, capsys: pytest.CaptureFixture[str]
) -> None:
    module = tmp_path / "user_module.py"
    module.write_text(HEAD + MODULE)
    support.run(tmp_path / "out", prepared, module, max_trials=1)
    (row,) = support.table(tmp_path / "out")["trials"]
    capsys.readouterr()
    values = {name: str(value) for name, value in row["values"].items() if name != "fixed"}
    tried(tmp_path / "one", prepared, module, values)
    lines = [line.partition(" ")[::2] for line in capsys.readouterr().out.splitlines() if " val_loss=" in line]
    assert lines[-1][1] == f"val_loss={row['score']!r}"
    # One of each epoch, and the score; by their times the score is the latest.
    assert len(lines) == 3 + 1
    times = [datetime.fromisoformat(when) for when, _ in lines]
    assert times == sorted(set(times))
    assert 0 <= (datetime.now(UTC) - times[-1]).total_seconds() < 60
    assert float(lines[-1][1].partition("=")[2]) == min(float(said.partition("=")[2]) for _, said in lines)
    with pytest.raises(InputError, match="the hyperparameter wide cannot be 'maybe'"):
        tried(tmp_path / "one", prepared, module, values | {"wide": "maybe"})
    with pytest.raises(InputError, match="no hyperparameter 'width'; tuner_fn makes fixed, kind, layers, rate, wide"):
        tried(tmp_path / "one", prepared, module, {"width": "1"})
    with pytest.raises(InputError, match="the trial failed: diverged: loss is "):
        tried(tmp_path / "one", prepared, module, values | {"rate": "1e30"})


def parameters(declare: Any, *, grid: bool = False) -> list[dict[str, Any]]:
    space = keras_tuner.HyperParameters()
    declare(space)
    return search_space.parameters(space.get_config()["space"], grid=grid)


def test_every_kind_of_hyperparameter_has_a_word_of_katib() -> None:
    def declare(hp: keras_tuner.HyperParameters) -> None:
        hp.Int("layers", 1, 3)
        hp.Int("units", 8, 34, step=8)
        hp.Int("width", 1, 100, sampling="log")
        hp.Int("powers", 2, 16, step=2, sampling="log")
        hp.Float("rate", 1e-4, 0.1, sampling="log")
        hp.Float("dropout", 0.0, 0.3, step=0.1)
        hp.Float("momentum", 0.5, 0.9)
        hp.Choice("activation", ["relu", "tanh"])
        hp.Boolean("norm")
        hp.Fixed("fixed", 3)

    found = {each["name"]: (each["parameterType"], each["feasibleSpace"]) for each in parameters(declare)}
    assert found == {
        "layers": ("int", {"min": "1", "max": "3"}),
        "units": ("discrete", {"list": ["8", "16", "24", "32"]}),
        "width": ("int", {"min": "1", "max": "100", "distribution": "logUniform"}),
        "powers": ("discrete", {"list": ["2", "4", "8", "16"]}),
        "rate": ("double", {"min": "0.0001", "max": "0.1", "distribution": "logUniform"}),
        "dropout": ("discrete", {"list": ["0", "0.1", "0.2", "0.3"]}),
        "momentum": ("double", {"min": "0.5", "max": "0.9"}),
        "activation": ("categorical", {"list": ["relu", "tanh"]}),
        "norm": ("categorical", {"list": ["True", "False"]}),
    }


def test_a_grid_has_the_values_of_keras_tuners() -> None:
    def declare(hp: keras_tuner.HyperParameters) -> None:
        hp.Float("rate", 1e-4, 0.1, sampling="log", default=0.001)
        hp.Float("dropout", 0.0, 0.5)
        hp.Float("decay", 0.0, 0.5, step=0.25)
        hp.Int("width", 1, 100, sampling="log")
        hp.Int("units", 8, 34, step=8, default=20)
        hp.Int("layers", 1, 3)
        hp.Choice("activation", ["relu", "tanh"])
        hp.Boolean("norm")

    space = keras_tuner.HyperParameters()
    declare(space)
    made = parameters(declare, grid=True)
    count = 1
    for each, hp in zip(made, space.space, strict=True):
        theirs = sorted({hp.default, *hp.values})
        count *= len(theirs)
        if each["name"] == "layers":
            assert each["feasibleSpace"] == {"min": "1", "max": "3"}
            continue
        ours = each["feasibleSpace"]["list"]
        if each["parameterType"] == "discrete":
            assert [float(text) for text in ours] == pytest.approx(theirs), each
        else:
            assert set(ours) == {str(value) for value in theirs}
    assert search_space.combinations(made) == count


@pytest.mark.parametrize(
    ("declare", "words"),
    [
        (lambda hp: hp.Float("rate", 0.1, 0.9, sampling="reverse_log"), "'rate': Katib draws on no scale such as"),
        (lambda hp: hp.Choice("kind", ["it's"]), "'kind': Katib's template cannot take the value \"it's\"; rename it"),
        (lambda hp: hp.Choice("kind", ["some", ""]), "'kind': Katib's template cannot take the value ''; rename it"),
        (lambda hp: hp.Float("", 0.1, 0.9), "a hyperparameter has no name, by which Katib would know it; give it one"),
        (lambda hp: hp.Fixed("fixed", 3), "nothing that varies"),
        (lambda hp: hp.Float("rate", 0.0, 1.0, step=1e-6), "'rate' has 1000001 values; take a larger step, or none"),
    ],
)
def test_what_katib_has_no_word_for_is_refused(declare: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        parameters(declare)
