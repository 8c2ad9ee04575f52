"""Settings of models."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from components.runtime.errors import InputError
from runners.commands import cli
from runners.commands.compile import compile_pipeline
from runners.compiled.ir import documents, read
from runners.compiled.tasks import Constant, task_parameters
from runners.settings import folders, mistakes, named_files
from runners.settings import model as settings


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for module in (settings, folders):
        monkeypatch.setattr(module, "PROJECT", tmp_path)
        monkeypatch.setattr(module, "MODELS", tmp_path / "models")
    monkeypatch.setattr(named_files, "PROJECT", tmp_path)
    (tmp_path / "models" / "mine").mkdir(parents=True)
    return tmp_path / "models" / "mine" / "settings.yaml"


def test_files_are_named_from_the_project(models: Path) -> None:
    models.write_text("train: {module_file: net.py, train_steps: 7}\nschema: {schema_file: schema.pbtxt}\n")
    mine = settings.load("mine")
    assert mine.pipeline_name == "mine"
    assert mine.train.train_steps == 7
    assert mine.arguments("train")["module_file"] == "models/mine/net.py"
    assert "train_steps" not in mine.arguments("train")
    assert mine.arguments("schema") == {"schema_file": "models/mine/schema.pbtxt"}
    models.write_text("train: {module_file: ../other/net.py}\n")
    assert settings.load("mine").arguments("train")["module_file"] == "models/other/net.py"
    assert mine.arguments("validate") == {"on_anomalies": "stop", "previous_statistics": ""}


def test_of_images_only_what_is_given_reaches_the_stage(models: Path) -> None:
    models.write_text("ingest: {format: images, images: {layout: pairs, mask_values: [0, 1]}}\n")
    arguments = settings.load("mine").arguments("ingest")
    assert arguments["images"] == {"layout": "pairs", "mask_values": [0, 1]}
    models.write_text("{}")
    assert "images" not in settings.load("mine").arguments("ingest")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("trian: {}", "unknown key 'trian', did you mean 'train'"),
        ("train: {train_step: 5}", "unknown key 'train.train_step', did you mean 'train_steps'"),
        ("train: {train_steps: many}", "train.train_steps: .* not 'many'"),
        ("train: {train_steps: 0}", "train.train_steps: .* not 0"),
        ("validate: {on_anomalies: ignore}", "validate.on_anomalies: .*'stop' or 'warn'"),
        ("ingest: {splits: {train: -1}}", "ingest.splits.train"),
        ("ingest: {images: {mask: m}}", "unknown key 'ingest.images.mask', did you mean 'masks'"),
        (
            "ingest: {images: {layout: pair}}",
            "ingest.images.layout: .*'folders', 'pairs', 'list' or 'plain'.* not 'pair'",
        ),
        ("ingest: {images: {mask_values: [1, 256]}}", "ingest.images.mask_values.1: .* not 256"),
        ("pipeline_name: My_Model", "pipeline_name: expected at most 57 lower-case letters.* not 'My_Model'"),
        ("push: {keep: 0}", "push.keep: .* not 0"),
        ("push: {destination: here}", "unknown key 'push.destination'; known here: keep"),
        ("notify: {when: sometimes}", "notify.when: .*'always', 'failure' or 'success', not 'sometimes'"),
        ("notify: {url: https://example.org/x}", "unknown key 'notify.url'; known here: when, webhook, mail, link"),
        ("notify: {link: runs}", "notify.link: expected an address that begins with http.* not 'runs'"),
        ("notify: {mail: {server: 'a:b', sender: a@b, to: [c@d]}}", "notify.mail.server: expected HOST or HOST:PORT"),
        ("notify: {mail: {server: a, sender: a@b, to: [c]}}", "notify.mail.to.0: expected an address .* not 'c'"),
        ("notify: {mail: {server: a, sender: a@b}}", "notify.mail.to: Field required"),
        ("resources: {notify: {caching: true}}", "resources.notify.caching: notify deals with what lies outside"),
        ("tune: {max_trials: -1}", "tune.max_trials: .* not -1"),
        ("tune: {max_minutes: .inf}", "tune.max_minutes: inf is no number in JSON"),
        ("tune: {max_trial: 3}", "unknown key 'tune.max_trial', did you mean 'max_trials'"),
        ("tune: {}\ntrain: {hyperparameters_file: best.json}", "hyperparameters_file and tune both say"),
        (
            f"pipeline_name: {'x' * 58}",
            r"pipeline_name: expected at most 57 lower-case letters, digits and '-' \(it has",
        ),
        ("train: {custom_config: {dropout: null}}", "train.custom_config.dropout: null cannot be handed on"),
        ("train: {custom_config: {a: [1, {b: .inf}]}}", "train.custom_config.a.1.b: inf is no number in JSON"),
        ("tune: {custom_config: {rate: .nan}}", "tune.custom_config.rate: nan is no number"),
        (
            "transform: {custom_config: {id: 12345678901234567}}",
            "transform.custom_config.id: 12345678901234567 would lose",
        ),
        ("train: {seed: -9007199254740993}", "train.seed: -9007199254740993 would lose digits"),
        ("train: {custom_config: {from: 2026-01-01}}", "train.custom_config.from: 2026-01-01 is read as a date"),
        (
            "train: {custom_config: {true: 1}}",
            "train.custom_config.True: the key is read as true or false; write it in",
        ),
        (
            "train: {custom_config: {on: 1}}",
            "line 1: YAML 1.1 and 1.2 read on as different things; write true or false",
        ),
        ("train:\n  train_steps: 0100", "line 2: YAML 1.1 and 1.2 read 0100 as different things; write a plain"),
        ("train: {custom_config: {time: 12:30}}", "line 1: YAML 1.1 and 1.2 read 12:30 as different things"),
        ("train: {custom_config: {a: [1_000]}}", "line 1: YAML 1.1 and 1.2 read 1_000 as different things"),
        ("train: {train_steps: 1:30}", "line 1: YAML 1.1 and 1.2 read 1:30 as different things"),
        ("train: {train_steps: true}", "train.train_steps: .* valid integer, not True"),
        ("ingest: {splits: {train: true}}", "ingest.splits.train: .* valid integer, not True"),
        ("resources: {train: {retry: {count: false}}}", "resources.train.retry.count: .* valid integer, not False"),
        ("tune: {max_minutes: true}", "tune.max_minutes: .* valid number, not True"),
        ('train: {seed: "9007199254740993"}', "train.seed: .* valid integer, not '9007199254740993'"),
        ("train: {seed: 9007199254740993}", "train.seed: 9007199254740993 would lose .*; write a smaller one$"),
        ("train: {seed: 1}\ntune: {}\ntrain: {seed: 2}", "line 3: the key 'train' a second time, after line 1; keep"),
        ("train: {custom_config: {a: [{b: 1, b: 2}]}}", "line 1: the key 'b' a second time"),
        ("train: {custom_config: &a {x: *a}}", r"line 1: an alias \(\*\) inside of what its anchor"),
        ("train: {custom_config: {x: " + "[" * 3000 + "]" * 3000 + "}}", "nested too deep"),
        ("tune:", "tune: is empty; give it a value .*out$"),
        ("ingest:", "ingest: is empty"),
        ("push_hub:\n  # repo_id: a/b", "push_hub: is empty"),
        ("notify: {when: always, mail: }", "notify.mail: is empty"),
        ("resources: {train: {gpu: }}", "resources.train.gpu: is empty"),
        ("resources: {trian: {cpu: 1}}", "resources.trian: no such stage, did you mean 'train'"),
        ("resources: {train: {cpu: 1}}", "resources.train.cpu: expected keys and their values, not 1"),
        ("1: x", "1: the key is read as a number; write it in quotes"),
        ("ingest: {splits: {1: 2}}", "ingest.splits.1: the key is read as a number; write it in quotes"),
        ("folder: x", "unknown key 'folder'; known here: pipeline_name"),
        ('data: "a\\0b"', r"data: holds the control character '\\x00'; take it out"),
        ('description: "a\\x1bb"', r"description: holds the control character '\\x1b'"),
        ('push_hub: {repo_id: a/b, tags: ["\\x85"]}', r"push_hub.tags.0: holds the control character"),
        ("a: 1\n---\nb: 2", "holds 2 documents"),
        ("train: {custom_config: {a: {1: 2}}}", "train.custom_config.a.1: the key is read as a number"),
        ("a: [", "not YAML"),
        ("- list", "holds no settings"),
    ],
)
def test_mistakes_are_named_with_their_file(models: Path, text: str, message: str) -> None:
    models.write_text(text)
    with pytest.raises(InputError, match=f"models/mine/settings.yaml: .*{message}"):
        settings.load("mine")


def test_all_versions_stay_unless_the_settings_say_how_many(models: Path) -> None:
    models.write_text("push: {keep: 5}")
    assert settings.load("mine").arguments("push") == {"keep": 5}
    models.write_text("{}")
    assert settings.load("mine").arguments("push") == {}


def test_notify_is_there_only_where_it_is_named(models: Path) -> None:
    models.write_text("{}")
    assert settings.load("mine").notify is None
    models.write_text("notify: {when: failure}")
    assert settings.load("mine").arguments("notify") == {"when": "failure", "webhook": "text", "link": ""}


def test_the_folder_names_the_pipeline_as_kfp_accepts_it(tmp_path: Path) -> None:
    (tmp_path / "Trips_2026").mkdir()
    (tmp_path / "Trips_2026" / "settings.yaml").write_text("{}")
    assert settings.load(str(tmp_path / "Trips_2026")).pipeline_name == "trips-2026"


def test_an_unknown_model_names_the_nearest() -> None:
    with pytest.raises(InputError, match=r"no model 'taxy': .*, did you mean 'taxi'"):
        settings.load("taxy")


def test_a_model_may_lie_outside_the_project(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "settings.yaml").write_text("{}")
    mine = settings.load(str(tmp_path / "mine"))
    assert mine.pipeline_name == "mine"
    assert mine.arguments("train")["module_file"] == str(tmp_path / "mine" / "model.py")


def test_the_code_of_a_model_may_lie_elsewhere(models: Path) -> None:
    models.write_text("schema: {schema_file: schema.pbtxt}\n")
    mine = settings.load("mine", "gs://bucket/code/")
    assert mine.arguments("train")["module_file"] == "gs://bucket/code/model.py"
    assert mine.arguments("schema") == {"schema_file": "gs://bucket/code/schema.pbtxt"}
    assert not mine.on_volume(mine.arguments("train"))
    queried = settings.load("mine", "s3://bucket/code?region=eu-west-1")
    assert queried.arguments("train")["module_file"] == "s3://bucket/code/model.py?region=eu-west-1"
    models.write_text("module: /millrace/code\n")
    mine = settings.load("mine")
    assert mine.arguments("transform")["module_file"] == "/millrace/code/preprocessing.py"
    assert [name for name in ("ingest", "schema", "transform", "evaluate") if mine.on_volume(mine.arguments(name))] == [
        "transform",
        "evaluate",
    ], "the schema is inferred"
    assert not mine.on_volume(settings.load("mine", "/elsewhere").arguments("train"))
    models.write_text("train: {custom_config: {encoders: [/millrace/weights.h5]}}")
    mine = settings.load("mine")
    assert mine.on_volume(mine.arguments("train"))


@pytest.mark.parametrize("place", ["code", "ftp://host/code", "../code"])
def test_a_place_that_no_pod_can_read_is_refused(models: Path, place: str) -> None:
    expected = "expected a gs:// or s3:// URI, or the absolute path of a folder"
    models.write_text("{}")
    with pytest.raises(InputError, match=f"--module {place}: {expected}"):
        settings.load("mine", place)
    models.write_text(f"module: {place}\n")
    with pytest.raises(InputError, match=f"models/mine/settings.yaml: module: {expected}"):
        settings.load("mine")


def test_files_of_another_model_may_be_named(models: Path) -> None:
    models.write_text("train: {module_file: ../digits/model.py}\n")
    assert settings.load("mine").arguments("train")["module_file"] == "models/digits/model.py"


def test_a_search_has_its_steps_as_arguments_and_its_file_in_the_models_folder(models: Path) -> None:
    models.write_text("tune: {train_steps: 30, max_trials: 4}\ntrain: {warm_start: true}\n")
    mine = settings.load("mine")
    arguments = mine.arguments("tune")
    assert (arguments["train_steps"], arguments["max_trials"]) == (30, 4)
    assert arguments["module_file"] == "models/mine/model.py"
    assert "warm_start" not in mine.arguments("train")


def test_hyperparameters_are_a_file_of_the_models(models: Path) -> None:
    models.write_text("train: {hyperparameters_file: best.yaml}\n")
    assert settings.load("mine").arguments("train")["hyperparameters_file"] == "models/mine/best.yaml"


def test_files_are_looked_for_before_a_run_begins(models: Path) -> None:
    for name in ("model.py", "preprocessing.py", "evaluation.pbtxt"):
        (models.parent / name).touch()
    models.write_text("train: {module_file: modell.py}\ntune: {module_file: 'gs://bucket/model.py'}\n")
    mine = settings.load("mine")
    named_files.check(mine, ["ingest", "validate", "transform", "tune", "resolve", "evaluate", "push"])
    with pytest.raises(InputError) as error:
        named_files.check(mine, ["ingest", "transform", "train"])
    assert str(error.value) == (
        "models/mine/settings.yaml: train.module_file: there is no file models/mine/modell.py, did you mean 'model.py'?"
    )
    models.write_text("schema: {schema_file: schema.pbtxt}\ntrain: {hyperparameters_file: best.yaml}\n")
    for stage, file in (("schema", "schema.pbtxt"), ("train", "best.yaml")):
        with pytest.raises(InputError, match=f"there is no file models/mine/{file}"):
            named_files.check(settings.load("mine"), [stage])


def test_every_models_pipeline_is_named_after_its_folder() -> None:
    """So that a copied folder is a model of its own."""
    for file in settings.MODELS.glob("*/settings.yaml"):
        model = settings.load(file.parent.name)
        assert model.pipeline_name == file.parent.name.replace("_", "-")
        assert "pipeline_name" not in file.read_text()
        named_files.check(model, ["schema", "transform", "train", "evaluate"])


def test_every_key_is_in_the_page_of_the_stages() -> None:
    page = (settings.PROJECT / "docs" / "stages.md").read_text()
    section = page[page.index("## Settings") : page.index("## ingest")]
    for name, field in settings.Settings.model_fields.items():
        assert name in mistakes.NO_KEYS or f"`{field.alias or name}`" in section, name


@pytest.mark.parametrize("text", ["1e-3", "1E-3", "1.0e-3", "+1e-3", ".1e-2", "1.e-3", "0.001"])
def test_numbers_are_those_of_yaml_1_2(models: Path, text: str) -> None:
    models.write_text(f"train: {{custom_config: {{rate: {text}, name: '1e-3', commit: 1e-3a}}}}")
    assert settings.load("mine").train.custom_config == {"rate": 0.001, "name": "1e-3", "commit": "1e-3a"}


def test_cells_may_be_parted_by_a_control_character(models: Path) -> None:
    models.write_text(r'ingest: {delimiter: "\x01"}' + '\ndescription: "Zeile\\n\\tzwei é 漢 🦀"')
    task = read(documents(compile_pipeline(settings.load("mine")))[0]).tasks["ingest"]
    constants = {name: source.value for name, source in task.parameters.items() if isinstance(source, Constant)}
    assert constants["delimiter"] == "\x01"


def test_numbers_arrive_as_they_were_written(models: Path) -> None:
    """Through the compiled pipeline, whose numbers are floats of 64 bits."""
    config = "{whole: 9007199254740992, tiny: 1e-3, vast: 1e300, negative: -9007199254740992, list: [1, 0.5]}"
    models.write_text(f"train: {{custom_config: {config}}}")
    task = read(documents(compile_pipeline(settings.load("mine")))[0]).tasks["train"]
    constants = {name: source.value for name, source in task.parameters.items() if isinstance(source, Constant)}
    arrived = task_parameters(task, constants)["custom_config"]
    assert arrived == {"whole": 2**53, "tiny": 0.001, "vast": 1e300, "negative": -(2**53), "list": [1, 0.5]}
    assert [type(arrived[name]) for name in ("whole", "tiny", "vast", "negative")] == [int, float, float, int]


def test_the_search_is_in_the_same_file_as_the_training(models: Path) -> None:
    models.write_text("tune: {}\ntrain: {module_file: net.py}\n")
    assert settings.load("mine").arguments("tune")["module_file"] == "models/mine/net.py"
    models.write_text("tune: {module_file: search.py}\ntrain: {module_file: net.py}\n")
    assert settings.load("mine").arguments("tune")["module_file"] == "models/mine/search.py"


def test_files_elsewhere_are_not_looked_for_where_nothing_runs(models: Path) -> None:
    models.write_text("module: /millrace/code\nvalidate: {previous_statistics: /millrace/earlier}\n")
    mine = settings.load("mine")
    named_files.check(mine, ["validate", "train"], here=False)
    with pytest.raises(InputError, match=r"settings.yaml: validate.previous_statistics: there is no folder /millrace/"):
        named_files.check(mine, ["validate"])
    named_files.check(settings.load("mine", "gs://bucket/code"), ["train"], here=False)


@pytest.mark.parametrize("command", [["run", "--data", "nowhere"], ["compile"]])
def test_run_and_compile_tell_of_missing_files_and_long_names_alike(
    tmp_path: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    words = ["--root", str(tmp_path / "root"), *command[:1], str(mine), *command[1:]]
    for text, message in (
        ("{}", "settings.yaml: transform.module_file: there is no file .*preprocessing.py"),
        (f"pipeline_name: {'x' * 60}", "pipeline_name: expected at most 57"),
    ):
        (mine / "settings.yaml").write_text(text)
        with pytest.raises(SystemExit) as ended:
            cli.main(words)
        assert ended.value.code == 65
        assert re.search(message, capsys.readouterr().err)
    assert not (tmp_path / "root").exists()


def test_models_that_share_a_pipelines_name_are_told(models: Path) -> None:
    other = models.parent.parent / "other" / "settings.yaml"
    other.parent.mkdir()
    models.write_text("pipeline_name: taxi")
    other.write_text("{}")
    assert settings.same_name(settings.load("mine")) == []
    other.write_text("pipeline_name: taxi")
    assert settings.same_name(settings.load("mine")) == ["models/other"]
    models.write_text("{}")
    other.write_text("pipeline_name: mine")
    assert settings.same_name(settings.load("mine")) == ["models/other"]
    other.write_text("a: [")
    assert settings.same_name(settings.load("mine")) == []
