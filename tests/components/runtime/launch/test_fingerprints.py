"""Cache keys: what names a file or a folder counts by its content, wherever name and folder are."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.runtime.launch import fingerprints
from components.runtime.launch.fingerprints import WORKING_DIRECTORY, fingerprint
from components.runtime.launch.task import SCHEDULED_PLACEHOLDER, Task
from components.runtime.launch.task_specification import read_task
from tests.support import ROOT


def key(parameters: dict[str, Any], run: str = "r1") -> str:
    """The key of a task with these parameters; each is made anew, as by each run."""
    container = {"image": "millrace/s", "command": ["python", "-m", "x"], "args": ["{{$}}"]}
    return Task("p", "t", "s", run, {}, container, parameters, {}, "code").key


def edit(path: Path) -> None:
    path.write_text(path.read_text() + "changed")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Statistics of an earlier run, say."""
    (tmp_path / "earlier" / "Split-train").mkdir(parents=True)
    (tmp_path / "earlier" / "Split-train" / "FeatureStats.pb").write_text("counts")
    return tmp_path / "earlier"


def test_data_in_spans_counts_by_the_spans_that_are_read(tmp_path: Path) -> None:
    for name in ("20784/v1", "20786/v1"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "a.csv").write_text("number\n1\n")
    place = str(tmp_path / "{SPAN}" / "v{VERSION}")
    asked = {"data": place, "split_patterns": {}, "span": "latest", "spans": 1, "on_gaps": "warn", "scheduled": ""}
    before = key(asked)
    assert key(asked | {"span": "20786", "spans": 0}) == before, "the same span by its number"
    assert key(asked | {"span": "scheduled", "scheduled": "2026-11-29T02:00:00Z"}) == before, "and by its day"
    assert key(asked | {"on_gaps": "stop"}) != before
    assert key(asked | {"spans": 2}) != before
    assert key(asked | {"span": "20786-20787"}) != before, "what is not there of a request is told of that"
    assert key(asked | {"span": "20786-20788"}) != key(asked | {"span": "20786-20787"})
    assert key(asked | {"spans": 3}) != key(asked | {"spans": 2}), "and that there are fewer"
    assert key(asked | {"spans": 2}) != key(asked | {"span": "20784-20787"})
    edit(tmp_path / "20784" / "v1" / "a.csv")
    assert key(asked) == before, "what is not read"
    edit(tmp_path / "20786" / "v1" / "a.csv")
    assert (edited := key(asked)) != before
    (tmp_path / "20784" / "v2").mkdir()
    assert (late := key(asked)) != edited, "a late version is told of, so ingest has to run"
    (tmp_path / "20787" / "v1").mkdir(parents=True)
    assert key(asked) != late
    assert fingerprint(asked | {"span": "20785"}) is None, "which the stage refuses"


def test_the_time_that_a_run_is_scheduled_for_is_what_a_placeholder_stands_for(tmp_path: Path) -> None:
    for day in ("2026-11-29", "2026-11-30"):
        (tmp_path / day).mkdir()
    asked = {"data": f"{tmp_path}/{{YYYY}}-{{MM}}-{{DD}}", "span": "scheduled", "spans": 0}

    def at(time: str) -> str:
        parameters = asked | {"scheduled": SCHEDULED_PLACEHOLDER}
        return Task("p", "t", "s", "r", {}, {"image": "i"}, parameters, {}, "code", scheduled=time).key

    morning = at("2026-11-30T02:00:00Z")
    assert at("2026-11-30T22:00:00Z") == morning
    assert at("2026-11-29T22:00:00Z") != morning


PLACES: list[Callable[[str], dict[str, Any]]] = [
    lambda place: {"previous_statistics": place},
    lambda place: {"custom_config": {"encoder_weights": place}},
    lambda place: {"custom_config": {"encoders": [{"text": {"from": place}}]}},
    lambda place: {"previous_statistics": f"file://{place}"},
    lambda place: {"previous_statistics": f"file:{place}"},
    lambda place: {"custom_config": {"encoder_weights": f"{place} "}},
]


@pytest.mark.parametrize("parameters", PLACES)
def test_a_folder_counts_by_content(folder: Path, parameters: Callable[[str], dict[str, Any]]) -> None:
    before = key(parameters(str(folder)))
    file = folder / "Split-train" / "FeatureStats.pb"
    os.utime(file, (1, 1))
    assert key(parameters(str(folder))) == before
    assert key(parameters(str(shutil.move(folder, folder.with_name("moved"))))) == before
    moved = folder.with_name("moved")
    edit(moved / "Split-train" / "FeatureStats.pb")
    assert key(parameters(str(moved))) != before


@pytest.mark.parametrize("parameters", PLACES)
def test_a_file_counts_by_name_and_content(tmp_path: Path, parameters: Callable[[str], dict[str, Any]]) -> None:
    file = tmp_path / "weights.h5"
    file.write_text("1 2 3")
    before = key(parameters(str(file)))
    assert key(parameters(str(file))) == before
    (tmp_path / "elsewhere").mkdir()
    assert key(parameters(str(shutil.copy(file, tmp_path / "elsewhere" / file.name)))) == before
    assert key(parameters(str(shutil.copy(file, tmp_path / "weights.keras")))) != before, (
        "the ending says how it is read"
    )
    edit(file)
    assert key(parameters(str(file))) != before


def test_relative_paths_are_those_of_the_stage(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stages run in the folder of the code, wherever the command was called."""
    monkeypatch.setattr(fingerprints, "WORKING_DIRECTORY", tmp_path)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    (tmp_path / "module.py").write_text("a = 1")
    before = key({"previous_statistics": "./earlier", "module_file": "module.py"})
    edit(folder / "Split-train" / "FeatureStats.pb")
    after = key({"previous_statistics": "./earlier", "module_file": "module.py"})
    assert after != before
    edit(tmp_path / "module.py")
    assert key({"previous_statistics": "./earlier", "module_file": "module.py"}) != after
    assert WORKING_DIRECTORY == ROOT


def test_a_name_beside_the_module_counts_too(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text("")
    (tmp_path / "vocabulary").mkdir()
    (tmp_path / "vocabulary" / "words.txt").write_text("a")
    parameters = {"module_file": str(tmp_path / "model.py"), "custom_config": {"words": "vocabulary"}}
    before = key(parameters)
    edit(tmp_path / "vocabulary" / "words.txt")
    assert key(parameters) != before


@pytest.mark.parametrize(
    "text", ["label", "models", "/", ".", "..", "./", "a\nb", "ä" * 200, "x" * 5000, "a.b/c", "\0"]
)
def test_a_text_that_names_no_input_is_a_text(text: str) -> None:
    assert fingerprint({"custom_config": {"label": text}}) == {"custom_config": {"label": text}}


@pytest.mark.parametrize(
    ("address", "known"),
    [
        ("https://tfhub.dev/google/nnlm-en-dim50/2", True),
        ("https://tfhub.dev/google/nnlm-en-dim50", False),
        ("https://example.org/weights.h5?version=/2", False),
        ("hdfs://cluster/weights.h5", False),
        ("see https://example.org for more", True),
        ("imagenet", True),
    ],
)
def test_what_lies_behind_an_address_is_known_by_its_version_only(address: str, known: bool) -> None:
    parameters = {"custom_config": {"text_encoder": address}}
    assert (key(parameters, "r1") == key(parameters, "r2")) is known


def test_options_of_beam_name_no_input(tmp_path: Path) -> None:
    assert fingerprint({"beam_options": ["--temp_location", "gs://bucket/tmp"]})


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model's folder as people have them, with what no module names."""
    files = {
        "model.py": "import features\nimport helpers.deep.layers\n"
        'WORDS = open("words.txt")\nMAPS = f"maps/{1}.json"\nAll = "*.tsv"',
        "features.py": "",
        "preprocessing.py": "import features",
        "helpers/__init__.py": "",
        "helpers/deep/layers.py": 'from pathlib import Path\nTABLE = Path(__file__).parent / "table.json"',
        "helpers/deep/table.json": "{}",
        "words.txt": "a",
        "maps/1.json": "{}",
        "sizes.tsv": "1",
        "settings.yaml": "{}",
        "evaluation.pbtxt": "",
        "README.md": "",
        "data/train.csv": "a",
        ".git/hooks/hook.py": "",
        "venv/lib/python3.11/site.py": "",
        "__pycache__/model.cpython-311.pyc": "",
    }
    for name, content in files.items():
        (tmp_path / "mine" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "mine" / name).write_text(content)
    return tmp_path / "mine"


@pytest.mark.parametrize(
    ("changed", "counts"),
    [
        ("model.py", True),
        ("features.py", True),
        ("helpers/__init__.py", True),
        ("helpers/deep/layers.py", True),
        ("helpers/deep/table.json", True),
        ("helpers/deep/new.py", False),
        ("preprocessing.py", False),
        ("tests/test_model.py", False),
        ("words.txt", True),
        ("maps/1.json", True),
        ("sizes.tsv", True),
        ("settings.yaml", False),
        ("evaluation.pbtxt", False),
        ("README.md", False),
        ("data/train.csv", False),
        (".git/hooks/hook.py", False),
        ("venv/lib/python3.11/site.py", False),
        ("__pycache__/model.cpython-311.pyc", False),
    ],
)
def test_of_a_models_folder_counts_what_its_modules_import_and_read(model: Path, changed: str, counts: bool) -> None:
    parameters = {"module_file": str(model / "model.py")}
    before = key(parameters)
    assert key(parameters) == before
    file = model / changed
    file.parent.mkdir(exist_ok=True)
    file.write_text((file.read_text() if file.exists() else "") + "\n# another")
    assert (key(parameters) != before) is counts


def test_preprocessing_does_not_count_what_the_model_alone_imports(model: Path) -> None:
    parameters = {"module_file": str(model / "preprocessing.py")}
    before = key(parameters)
    edit(model / "model.py")
    edit(model / "words.txt")
    assert key(parameters) == before
    edit(model / "features.py")
    assert key(parameters) != before


def test_a_metric_of_ones_own_counts_with_the_configuration(model: Path) -> None:
    (model / "evaluation.pbtxt").write_text('metrics { class_name: "Mine" module: "features" }')
    parameters = {"eval_config_file": str(model / "evaluation.pbtxt")}
    before = key(parameters)
    edit(model / "model.py")
    assert key(parameters) == before
    edit(model / "features.py")
    assert key(parameters) != before


@pytest.mark.parametrize("changed", ["helpers/deep/layers.py", "features.py", "words.txt", "maps/1.json"])
@pytest.mark.parametrize("is_folder", [False, True])
def test_links_in_a_models_folder_count_as_what_they_lead_to(model: Path, changed: str, is_folder: bool) -> None:
    linked = model / (Path(changed).parts[0] if is_folder else changed)
    target = model.parent / "elsewhere"
    parameters = {"module_file": str(model / "model.py")}
    before = key(parameters)
    linked.rename(target)
    linked.symlink_to(target)
    (model / "helpers" / "round").symlink_to(model)
    assert key(parameters) == before
    edit(target / Path(*Path(changed).parts[1:]) if target.is_dir() else target)
    assert key(parameters) != before


def test_a_module_that_cannot_be_found_is_told_by_the_stage(tmp_path: Path) -> None:
    (tmp_path / "round.py").symlink_to(tmp_path / "round.py")
    for name in ("round.py", "nowhere.py", "a\0b.py", "x" * 5000 + ".py"):
        assert key({"module_file": str(tmp_path / name), "custom_config": {"label": "tips"}})


def test_links_in_a_named_folder_count_as_what_they_lead_to(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere" / "deep").mkdir(parents=True)
    (tmp_path / "elsewhere" / "deep" / "a.bin").write_text("1")
    (folder / "linked").symlink_to(tmp_path / "elsewhere")
    (folder / "round").symlink_to(folder)
    (tmp_path / "elsewhere" / "deep" / "up").symlink_to(tmp_path / "elsewhere")
    parameters = {"custom_config": {"weights": str(folder)}}
    before = key(parameters)
    assert key(parameters) == before
    edit(tmp_path / "elsewhere" / "deep" / "a.bin")
    assert key(parameters) != before


def test_a_model_that_was_moved_is_the_same(model: Path) -> None:
    before = key({"module_file": str(model / "model.py")})
    moved = model.rename(model.with_name("moved"))
    assert key({"module_file": str(moved / "model.py")}) == before


def test_in_a_container_the_same_holds(folder: Path) -> None:
    """What `python -m components.runtime.launch` makes of an Argo Workflow's task."""
    text = (
        '{"pipeline": "p", "task": "validate", "stage": "validate", "cacheable": true, "artifacts": {}, "component": '
        '{"inputDefinitions": {"parameters": {"previous_statistics": {"parameterType": "STRING"}}}}, "container": '
        f'{{"image": "i"}}, "parameters": {{"previous_statistics": {{"constant": "{folder}"}}}}}}'
    )
    before = read_task(folder, "w", text, {}, {}).key
    assert read_task(folder, "w2", text, {}, {}).key == before
    edit(folder / "Split-train" / "FeatureStats.pb")
    assert read_task(folder, "w", text, {}, {}).key != before


def test_raw_data_counts_by_names_sizes_and_times(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x")
    before = key({"data": str(tmp_path)})
    os.utime(tmp_path / "a.csv", (1, 1))
    assert key({"data": str(tmp_path)}) != before


def test_raw_data_behind_links_counts(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "1.jpg").write_text("x")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "cat").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data" / "round").symlink_to(tmp_path / "data")
    before = key({"data": str(tmp_path / "data")})
    assert key({"data": str(tmp_path / "data")}) == before
    (tmp_path / "elsewhere" / "2.jpg").write_text("x")
    assert key({"data": str(tmp_path / "data")}) != before
