"""Several models on the same data: what the settings can say of each, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.runtime.errors import InputError
from runners.settings import candidates, folders, named_files
from runners.settings import model as settings

THREE = """
transform: {custom_config: {rows: 5}}
tune: {max_trials: 3}
train: {train_steps: 7, custom_config: {hidden_units: [9, 9], optimizer: {name: adam, rate: 0.1}}}
candidates:
  wide: {train: {custom_config: {hidden_units: [], optimizer: {rate: 0.2}}}}
  deep: {tune: {max_minutes: 2.5}, train: {module_file: net.py, train_steps: 11}}
  text: {transform: {module_file: text.py}, evaluate: {eval_config_file: text.pbtxt}}
  text-more: {transform: {module_file: text.py}, train: {seed: 7}}
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for module in (settings, folders):
        monkeypatch.setattr(module, "PROJECT", tmp_path)
        monkeypatch.setattr(module, "MODELS", tmp_path / "models")
    monkeypatch.setattr(named_files, "PROJECT", tmp_path)
    (tmp_path / "models" / "mine").mkdir(parents=True)
    return tmp_path / "models" / "mine" / "settings.yaml"


def test_what_a_candidate_has_of_its_own_lies_over_what_all_have(file: Path) -> None:
    file.write_text(THREE)
    mine = settings.load("mine")
    wide, deep, text = (mine.candidate(name) for name in ("wide", "deep", "text"))
    assert list(mine.candidates) == ["wide", "deep", "text", "text-more"]
    # Mappings are merged; a list is taken as it is.
    assert wide.arguments("train")["custom_config"] == {"hidden_units": [], "optimizer": {"name": "adam", "rate": 0.2}}
    assert wide.train.train_steps == 7
    assert (deep.arguments("train")["module_file"], deep.train.train_steps) == ("models/mine/net.py", 11)
    assert text.arguments("transform") | {"beam_options": 0, "on_not_finite": 0} == {
        "module_file": "models/mine/text.py",
        "custom_config": {"rows": 5},
        "beam_options": 0,
        "on_not_finite": 0,
    }
    assert text.arguments("evaluate")["eval_config_file"] == "models/mine/text.pbtxt"


def test_only_who_asks_for_a_search_has_one(file: Path) -> None:
    file.write_text(THREE)
    mine = settings.load("mine")
    assert [name for name in mine.candidates if mine.candidate(name).tune] == ["deep"]
    deep = mine.candidate("deep").arguments("tune")
    assert (deep["max_trials"], deep["max_minutes"], deep["module_file"]) == (3, 2.5, "models/mine/net.py")


def test_candidates_with_the_same_features_share_a_transform(file: Path) -> None:
    file.write_text(THREE)
    assert candidates.transforms(settings.load("mine")) == {"wide": "", "deep": "", "text": "text", "text-more": "text"}


def test_files_of_every_candidate_are_looked_for(file: Path) -> None:
    file.write_text(THREE)
    for name in ("preprocessing.py", "text.py", "model.py"):
        (file.parent / name).touch()
    named_files.check(settings.load("mine"), ["transform"])
    with pytest.raises(InputError) as error:
        named_files.check(settings.load("mine"), ["transform", "train"])
    assert str(error.value) == (
        "models/mine/settings.yaml: candidates.deep.train.module_file: there is no file models/mine/net.py, did you "
        "mean 'text.py'?"
    )
    # The search looks at the module of its own training.
    with pytest.raises(InputError, match="no file models/mine/net"):
        named_files.check(settings.load("mine"), ["tune"])


def test_where_no_threshold_says_what_is_best_it_has_to_be_said(file: Path) -> None:
    evaluation = file.parent / "evaluation.pbtxt"
    evaluation.write_text('metrics_specs { metrics { class_name: "AUC" } }')
    text = "candidates: {a: {}, b: {}}\n"
    file.write_text(text)
    with pytest.raises(InputError, match=r"yaml: choose: no evaluation has a threshold, .*{metric: auc, better"):
        named_files.check(settings.load("mine"), ["choose", "evaluate"])
    file.write_text(text + "choose: {metric: loss, better: lower}\n")
    named_files.check(settings.load("mine"), ["choose", "evaluate"])
    file.write_text(text)
    bound = "per_slice_thresholds { threshold { value_threshold { lower_bound { value: 0.5 } } } }"
    evaluation.write_text(evaluation.read_text().replace('"AUC"', f'"AUC" {bound}'))
    named_files.check(settings.load("mine"), ["choose", "evaluate"])


def test_what_no_candidate_uses_need_not_be_there(file: Path) -> None:
    file.write_text("candidates: {a: {train: {module_file: net.py}}, b: {train: {module_file: other.py}}}")
    for name in ("net.py", "other.py"):
        (file.parent / name).touch()
    named_files.check(settings.load("mine"), ["train"])
    with pytest.raises(InputError, match=r"yaml: transform.module_file: there is no file models/mine/preprocessing.py"):
        named_files.check(settings.load("mine"), ["transform"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("candidates: {}", "candidates: names none; give each a name"),
        ("candidates:", "candidates: is empty; give it a value"),
        ("candidates: {wide: }", "candidates: wide is empty; say what it has of its own, or {} where it has nothing"),
        ("candidates: {a_b: {}}", "candidates: 'a_b' cannot name a candidate: expected lower-case letters and digits"),
        ("candidates: {-a: {}}", "candidates: '-a' cannot name a candidate"),
        (f"candidates: {{{'a' * 25}: {{}}}}", "at most 24 letters"),
        ("candidates: {5: {}}", "candidates.5: the key is read as a number; write it in quotes"),
        (
            "candidates: {a: {evaluate: {example_splits: [eval]}}, b: {}}\nexport: {formats: {onnx: {}}}",
            "candidates.a: has an evaluate of its own, while exports of the best one are evaluated as is said for all",
        ),
        ("candidates: {base: {}}", "candidates: 'base' cannot name a candidate: resolve-base is another task; choose"),
        ("candidates: {hub: {}}", "push-hub is another task"),
        ("candidates: {a: {}, base-a: {}}", "'base-a' cannot name a candidate: resolve-base-a is another task"),
        ("candidates: [wide]", "candidates: Input should be a valid dictionary"),
        ("candidates: {wide: {trian: {}}}", "unknown key 'candidates.wide.trian', did you mean 'train'.; known here: "),
        (
            "candidates: {wide: {ingest: {}}}",
            "unknown key 'candidates.wide.ingest'; known here: transform, tune, train",
        ),
        (
            "candidates: {a: {train: {eval_step: 1}}}",
            "unknown key 'candidates.a.train.eval_step', did you mean 'eval_steps'",
        ),
        ("candidates: {a: {train: {train_steps: 0}}}", "candidates.a.train.train_steps: .* not 0"),
        ("choose: {metric: auc}", "choose: there is nothing to choose from; name candidates, or take the section out"),
        ("candidates: {a: {}}\nchoose: {push: all}", "choose.push: .*'best' or 'each', not 'all'"),
        ("candidates: {a: {}}\nchoose: {better: bigger}", "choose.better: Input should be 'higher' or 'lower', not"),
        ("candidates: {a: {}}\nchoose: {push: each, metric: auc}", "choose.metric: with push: each every blessed one"),
        ("candidates: {a: {}}\nchoose: {bettre: low}", "unknown key 'choose.bettre', did you mean 'better'"),
        (
            "candidates: {a: {}}\ntune: {}",
            "tune: each candidate says for itself whether it is tuned; put tune: {} under",
        ),
        (
            "candidates: {a: {}}\nchoose: {push: each}\npush_hub: {repo_id: a/b}",
            "push_hub: publishes one model, and choose.push says each",
        ),
        (
            "candidates: {a: {tune: {}}}\ntrain: {hyperparameters_file: best.yaml}",
            "candidates.a: train.hyperparameters_file and tune both say what to train with",
        ),
    ],
)
def test_what_is_wrong_is_told_in_one_line(file: Path, text: str, message: str) -> None:
    file.write_text(text)
    with pytest.raises(InputError, match=message) as error:
        settings.load("mine")
    assert "\n" not in str(error.value)
