"""A model's own pipeline.py: the page's examples compiled for every target, and what is refused."""

from __future__ import annotations

import json
import os
import textwrap
from pathlib import Path

import pytest
import yaml

from components.runtime.errors import InputError
from components.runtime.launch.fingerprints import fingerprint
from runners.argo.options import for_settings
from runners.argo.workflow import compile_workflow
from runners.compiled import building, image_content, pipelines
from runners.compiled.ir import check_launchable, documents, read, stages
from runners.compiled.pipelines import compile_pipeline
from runners.settings.model import Settings, load
from runners.vertex.jobs import make_job
from tests.runners.compiled_models import digest, pods
from tests.runners.kubeflow.kfp_fields import IR_2_5, PLATFORM_2_5, unknown
from tests.runners.own_pipelines import BUSYBOX, EXAMPLES, SETTINGS, example, write
from tests.support import ROOT

GOLDENS = ROOT / "tests" / "goldens"

COUNT_ROWS = """
name: count_rows
description: Counts rows.
inputs: [{name: examples, type: Dataset, description: Examples.}]
outputs: [{name: counts, type: Artifact, description: Counts.}]
implementation:
  container:
    image: millrace/count_rows
    command: [python, -m, components.count_rows]
    args: [--executor-input, "{{$}}"]
"""


@pytest.fixture
def stage_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The checkout's stages, and the one that the page has new-stage make."""
    folder = tmp_path / "stages"
    folder.mkdir()
    for each in (ROOT / "components").iterdir():
        (folder / each.name).symlink_to(each)
    (folder / "count_rows").mkdir()
    (folder / "count_rows" / "component.yaml").write_text(COUNT_ROWS)
    monkeypatch.setattr(building, "STAGES", folder)


def workflow(settings: Settings) -> str:
    text = compile_pipeline(settings, digest)
    parameters = documents(text)[0]["root"]["inputDefinitions"]["parameters"]
    return compile_workflow(text, for_settings(settings, parameters))


@pytest.mark.usefixtures("stage_of_ours")
@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_compiled_for_kubeflow_argo_and_vertex(name: str, tmp_path: Path) -> None:
    settings = example(name, tmp_path / "models")
    text = compile_pipeline(settings, digest)
    for golden, made in ((f"own_{name}.kfp.yaml", text), (f"own_{name}.argo.yaml", workflow(settings))):
        if os.environ.get("MILLRACE_REGENERATE"):
            (GOLDENS / golden).write_text(made)
        assert list(yaml.safe_load_all(made)) == list(yaml.safe_load_all((GOLDENS / golden).read_text())), golden
    ir, platform = documents(text)
    assert not list(unknown(ir, IR_2_5))
    assert not list(unknown(platform, PLATFORM_2_5))
    values = {"data": "gs://bucket/data", "serving_directory": "gs://bucket/serving"}
    known = ir["root"]["inputDefinitions"]["parameters"]
    given = {key: value for key, value in values.items() if key in known}
    file = tmp_path / "for_vertex.yaml"
    file.write_text(compile_pipeline(example(name, tmp_path / "vertex", "module: gs://bucket/taxi"), digest))
    make_job(file, given, "gs://bucket/root")


def test_the_default_is_what_its_own_text_makes(tmp_path: Path) -> None:
    """The checkout's pipeline.py says nothing that a model's cannot: its last function alone is the same pipeline."""
    source = (ROOT / "pipeline.py").read_text()
    text = "from __future__ import annotations\nfrom typing import Any\n\n\n" + source[source.index("def pipeline(") :]
    write(tmp_path / "mine", text.replace("build: Build", "build"))
    (tmp_path / "mine" / "pipeline.py").rename(tmp_path / "kept")
    default = compile_pipeline(load(str(tmp_path / "mine")))
    (tmp_path / "kept").rename(tmp_path / "mine" / "pipeline.py")
    assert compile_pipeline(load(str(tmp_path / "mine"))) == default


def test_tasks_and_parameters_are_those_of_the_file(tmp_path: Path) -> None:
    pipeline = read(documents(compile_pipeline(example("repeated", tmp_path)))[0])
    assert {"train-short", "train", "resolve-short", "evaluate-short", "push"} <= pipeline.tasks.keys()
    assert "push-short" not in pipeline.tasks
    assert pipeline.tasks["evaluate-short"].after >= {"train-short", "resolve-short"}
    assert pipeline.parameters["long_steps"] == {
        "parameterType": "NUMBER_INTEGER",
        "defaultValue": 2000.0,
        "isOptional": True,
    }
    short = read(documents(compile_pipeline(example("left_out", tmp_path)))[0])
    assert [*short.parameters] == ["data"]
    assert [*short.tasks] == ["ingest", "statistics", "schema", "validate"]


def test_settings_say_what_pods_of_other_tasks_get(tmp_path: Path) -> None:
    text = SETTINGS.replace("claim: work}}", "claim: work}, fuse: [[train-short, resolve-short]]}")
    text += "resources: {train: {memory: {limit: 5Gi}}, train-short: {memory: {limit: 6Gi}}}"
    made = pods(compile_pipeline(example("repeated", tmp_path, text), digest))
    assert made["train"]["resources"]["resourceMemoryLimit"] == "5Gi"
    assert made["train-short-to-resolve-short"]["resources"]["resourceMemoryLimit"] == "6Gi"
    wrong = text.replace("train-short: {memory", "train-shrt: {memory")
    with pytest.raises(
        InputError, match=r"pipeline.py: resources.train-shrt: no such stage, did you mean 'train-short'"
    ):
        compile_pipeline(example("repeated", tmp_path / "wrong", wrong))


def test_a_stage_of_any_image_has_that_image_and_its_name(tmp_path: Path) -> None:
    settings = example("foreign", tmp_path, SETTINGS + "resources: {list_columns: {memory: {limit: 64Mi}}}")
    text = compile_pipeline(settings, digest)
    made = pods(text)["list-columns"]
    assert made["image"] == BUSYBOX
    assert made["resources"]["resourceMemoryLimit"] == "64Mi"
    task = read(documents(text)[0]).tasks["list-columns"]
    assert (task.stage, task.foreign, task.cacheable) == ("list_columns", True, True)
    assert stages(documents(text)[0]) == {"ingest", "statistics", "schema", "list_columns"}


def test_its_pod_on_argo_has_our_launcher_and_its_own_container(tmp_path: Path) -> None:
    made = yaml.safe_load(workflow(example("foreign", tmp_path)))
    (template,) = [each for each in made["spec"]["templates"] if each["name"] == "list-columns"]
    assert template["container"]["image"] == digest("millrace/ingest")
    (beside,) = template["sidecars"]
    assert beside["image"] == BUSYBOX
    assert beside["args"][-4:] == [
        "/stage/inputs/schema",
        "/stage/outputs/columns",
        "{{inputs.parameters.heading}}",
        "/stage/outputs/parameters/count",
    ]
    assert {"name": "ARGO_DEBUG_PAUSE_BEFORE", "value": "true"} in beside["env"]
    patch = json.loads(template["podSpecPatch"])
    assert patch["shareProcessNamespace"]
    # Over Argo's own, which is false: so what the stage prints gets into the log.
    captured = {"name": "ARGO_INCLUDE_SCRIPT_OUTPUT", "value": "true"}
    assert patch["containers"] == [{"name": "stage", "env": [captured]}]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("def pipeline(build)\n    pass", ":1: SyntaxError: expected ':'"),
        ("import nothing_of_that_name", ":1: ModuleNotFoundError: No module named 'nothing_of_that_name'"),
        ("x = 1", ": has no function pipeline; it begins with def pipeline(build, data, ...)"),
        ("def pipeline(): pass", ":1: pipeline takes the building blocks first: def pipeline(build, data, ...)"),
        ("def pipeline(build, *more): pass", ":1: parameters of a pipeline have names of their own"),
        ("\ndef pipeline(build, city): pass", ":2: the parameter 'city' has none of the types"),
        ("def pipeline(build, city: object): pass", ":1: the parameter 'city' has none of the types"),
        ("def pipeline(build): pass", ": pipeline makes no task; build.stage(NAME, ...) makes one"),
        ("async def pipeline(build): pass", ":1: pipeline is a plain function, with neither async nor yield"),
        ("\ndef pipeline(build, data, n: int): pass", ":2: the parameter 'n' needs a default: n: int = ..."),
        ("\ndef pipeline(build, n: int = 'x'): pass", ":2: the default of the parameter 'n' is 'x', no int"),
        ("def pipeline(build):\n    build.stage(None)", ":2: build.stage takes the name of a stage"),
        ("def pipeline(build):\n    build.candidate('wide')", ":2: no candidate 'wide'; the settings name: none"),
        (
            "def pipeline(build, data):\n    build.compete(build.examine(data), 1, 1, '')",
            ":2: build.compete needs candidates; name them in the settings",
        ),
        ("def pipeline(build, n: int = 3):\n    if n > 2: pass", ":2: n is known when the pipeline runs"),
        ("def pipeline(build, n: int = 3):\n    if 2 < n < 4: pass", ":2: n is known when the pipeline runs"),
        ("def pipeline(build, n: bool = True):\n    x = 1 if n else 2", ":2: n is known when the pipeline runs"),
        ("def pipeline(build):\n    build.stage('trian')", ":2: no stage 'trian', did you mean 'train'"),
        ("def pipeline(build):\n    build.stage('schema')", ":2: TypeError: schema() missing 1 required"),
        (
            "def pipeline(build, data):\n    build.stage('ingest', date=data)",
            ":2: TypeError: ingest() got an unexpected",
        ),
        (
            "def pipeline(build, data):\n    build.stage('ingest', data=data)\n    build.stage('ingest', data=data)",
            ":3: there is a task 'ingest' already; name this one: build.stage('ingest', NAME, ...)",
        ),
        ("def pipeline(build, data):\n    build.stage('ingest', 'In_gest', data=data)", ":2: 'In_gest' cannot name a"),
        (
            "def pipeline(build, data):\n    task = build.stage('ingest', data=data)\n    task.outputs['rows']",
            ":3: ingest has no output 'rows'; it has: examples",
        ),
        ("raise SystemExit", ":1: SystemExit"),
        ("def pipeline(build, data):\n    1 / 0", ":2: ZeroDivisionError: division by zero"),
    ],
)
def test_what_is_wrong_is_told_in_one_line_with_its_place(text: str, reason: str, tmp_path: Path) -> None:
    write(tmp_path / "mine", text)
    with pytest.raises(InputError) as raised:
        compile_pipeline(load(str(tmp_path / "mine")))
    assert str(raised.value).startswith(f"{tmp_path}/mine/pipeline.py{reason}")
    assert "\n" not in str(raised.value)


PRINTS = """
import os, subprocess, sys
print("read")

def pipeline(build, data):
    print("defined")
    sys.stdout.write("written\\n")
    os.write(1, b"past the stream\\n")
    subprocess.run(["echo", "by a process"])
    build.stage("ingest", data=data)
"""


def test_what_the_file_prints_is_no_output_of_the_command(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "mine", PRINTS)
    compile_pipeline(load(str(tmp_path / "mine")))
    print("the document")
    told = capfd.readouterr()
    assert told.out == "the document\n"
    assert set(told.err.splitlines()) >= {"read", "defined", "written", "past the stream", "by a process"}


def test_what_the_settings_ask_for_has_to_be_there(tmp_path: Path) -> None:
    for section, mend in (("notify: {}", "with build.exit_handler():"), ("tune: {}", 'build.stage("tune", ...)')):
        settings = example("left_out", tmp_path / section[0], SETTINGS + section)
        with pytest.raises(InputError, match="and there is no task of it") as raised:
            compile_pipeline(settings)
        assert mend in str(raised.value)


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ("image: busybox\n    command: [sh]", "the image busybox has neither tag nor digest"),
        ("image: host:5000/busybox\n    command: [sh]", "the image host:5000/busybox has neither tag nor digest"),
        ("image: busybox:1", "a stage is a container with an image and a command; it lacks one of them"),
    ],
)
def test_an_image_that_nobody_could_name_is_refused(spec: str, reason: str, tmp_path: Path) -> None:
    write(tmp_path / "mine", "def pipeline(build):\n    build.stage('own')")
    (tmp_path / "mine" / "components" / "own").mkdir(parents=True)
    file = tmp_path / "mine" / "components" / "own" / "component.yaml"
    file.write_text(f"name: own\nimplementation:\n  container:\n    {spec}\n")
    with pytest.raises(InputError, match=reason):
        compile_pipeline(load(str(tmp_path / "mine")))


def test_a_stage_in_both_places_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "mine", "def pipeline(build):\n    build.stage('push')")
    (tmp_path / "mine" / "components" / "push").mkdir(parents=True)
    (tmp_path / "mine" / "components" / "push" / "component.yaml").write_text("name: push")
    with pytest.raises(InputError, match=r":2: the stage push is in .*mine/components/push/component.yaml and in comp"):
        compile_pipeline(load(str(tmp_path / "mine")))


LOOP = """
from kfp import dsl

def pipeline(build, data):
    with dsl.ParallelFor([1, 2]) as seed:
        build.stage("ingest", data=data)
"""


def test_words_of_kfp_run_where_they_can(tmp_path: Path) -> None:
    write(tmp_path / "loop", LOOP)
    text = compile_pipeline(load(str(tmp_path / "loop")))
    assert "iteratorPolicy" in text or "parameterIterator" in text
    for refusing in (lambda: read(documents(text)[0]), lambda: compile_workflow(text)):
        with pytest.raises(InputError, match="loops run on the KFP backend only"):
            refusing()
    condition = LOOP.replace("ParallelFor([1, 2]) as seed", "If(data != 'none', name='data')")
    write(tmp_path / "condition", condition)
    settings = load(str(tmp_path / "condition"))
    (task,) = read(documents(compile_pipeline(settings))[0]).tasks.values()
    assert [each.name for each in task.conditions] == ["condition-1"] or task.conditions
    assert "when: " in compile_workflow(compile_pipeline(settings))


def test_an_exit_handler_of_ones_own(tmp_path: Path) -> None:
    text = textwrap.dedent("""
        def pipeline(build, data):
            with build.exit_handler(build.stage("resolve", "last", destination=data)):
                build.stage("ingest", data=data)
    """)
    write(tmp_path / "mine", text)
    tasks = read(documents(compile_pipeline(load(str(tmp_path / "mine"))))[0]).tasks
    assert {name: task.is_exit for name, task in tasks.items()} == {"ingest": False, "last": True}


def test_what_is_kept_of_compiled_pipelines_goes_by_the_models_files(tmp_path: Path) -> None:
    settings = example("foreign", tmp_path)
    keys = [pipelines._key(settings)]
    for file in ("pipeline.py", "components/list_columns/component.yaml"):
        with (settings.folder / file).open("a") as stream:
            stream.write("# more\n")
        keys.append(pipelines._key(settings))
    assert len(set(keys)) == 3


def test_no_stage_works_again_for_another_graph_and_no_image_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = example("foreign", tmp_path / "models").folder
    (folder / "model.py").write_text("import layers\n")
    (folder / "components" / "list_columns" / "script.py").write_text("print(1)\n")
    given = {"module_file": str(folder / "model.py")}
    before, models = fingerprint(given), image_content.models_digest(tmp_path / "models")
    for file in ("pipeline.py", "components/list_columns/script.py"):
        (folder / file).write_text("# another\n")
    assert fingerprint(given) == before
    assert image_content.models_digest(tmp_path / "models") == models
    (folder / "layers.py").write_text("UNITS = 3\n")
    assert fingerprint(given) != before
    assert image_content.models_digest(tmp_path / "models") != models


def test_a_task_that_no_stage_runs_is_kubeflows_alone(tmp_path: Path) -> None:
    """The one of kfp's own components: its image has no launcher of ours."""
    text = LOOP.replace("with dsl.ParallelFor([1, 2]) as seed:", "if True:") + "    hello()\n"
    hello = '\n@dsl.component(base_image="python:3.11")\ndef hello() -> str:\n    return "x"\n\n'
    write(tmp_path / "mine", text.replace("\ndef pipeline", f"{hello}\ndef pipeline"))
    settings = load(str(tmp_path / "mine"))
    with pytest.raises(InputError, match=r"task hello: not made by build\.stage"):
        check_launchable(documents(compile_pipeline(settings))[0])
    check_launchable(documents(compile_pipeline(example("foreign", tmp_path)))[0])
