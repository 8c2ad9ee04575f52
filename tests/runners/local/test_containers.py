"""Tasks in their images: what a container may see and do, and that the artifacts are those of the processes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from components.runtime.errors import StageError
from components.runtime.launch.task import Task
from components.runtime.records import execution_record
from components.runtime.stage.artifacts import content_digest
from runners.compiled.image_content import image_stages, recipe
from runners.local import engine as engines
from runners.local.container_mounts import Mounts, destinations, mounts, needs_network
from runners.local.containers import Containers, TaskContainer
from tests.support import ROOT, shared
from tests.support_images import built_image, engine

DATA_STAGES = ("ingest", "statistics", "schema", "validate")


def task(
    stage: str = "ingest",
    parameters: dict[str, Any] | None = None,
    inputs: dict[str, str] | None = None,
    image: str = "",
) -> Task:
    """A task of a pipeline, with as much as a container needs of it."""
    return Task(
        pipeline="test",
        name=stage,
        stage=stage,
        run="run",
        component={},
        container={"image": image or f"millrace/{stage}"},
        parameters=parameters or {},
        inputs={name: {"uri": uri} for name, uri in (inputs or {}).items()},
        code="",
    )


def command(root: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "runners", "--root", str(root), "run", "taxi", "--data", *arguments]


def run(root: Path, *arguments: str, timeout: int = 300, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(root, *arguments),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
        env=os.environ | variables,
    )


def record(root: Path) -> dict[str, Any]:
    (file,) = (root / "runs").glob("*/run.json")
    content: dict[str, Any] = json.loads(file.read_text())
    return content


def executions(root: Path) -> dict[str, dict[str, Any]]:
    found = [(entry["name"], entry["execution"]) for entry in record(root)["tasks"] if entry["execution"]]
    return {name: execution_record.read(root, path) or {} for name, path in found}


# --- what a container gets


def test_inputs_and_data_are_read_only_and_only_outputs_may_be_written(tmp_path: Path) -> None:
    for name in ("raw", "model", "serving", "code", "work"):
        (tmp_path / name).mkdir()
    module = tmp_path / "code" / "net.py"
    given = task(
        "train",
        {"data": str(tmp_path / "raw"), "module_file": str(module), "other": "models/taxi/model.py", "steps": 3},
        {"model": str(tmp_path / "model"), "absent": str(tmp_path / "absent"), "remote": "gs://bucket/model"},
    )
    seen = mounts(given, tmp_path / "work")
    assert set(seen.readable) == {tmp_path / "raw", tmp_path / "model", tmp_path / "code"}
    assert seen.writable == (tmp_path / "work",)


def test_only_push_may_write_the_serving_directory(tmp_path: Path) -> None:
    serving = tmp_path / "serving"
    assert mounts(task("push", {"destination": str(serving)}), tmp_path).writable == (tmp_path, serving)
    serving.mkdir()
    seen = mounts(task("resolve", {"destination": str(serving)}), tmp_path)
    assert (seen.readable, seen.writable) == ((serving,), (tmp_path,))


def test_a_pattern_gives_the_folder_that_holds_its_files(tmp_path: Path) -> None:
    pattern = str(tmp_path / "span-{SPAN}" / "*.csv")
    assert mounts(task(parameters={"data": pattern}), tmp_path / "work").readable == (tmp_path,)


def test_what_custom_config_names_is_seen(tmp_path: Path) -> None:
    weights = tmp_path / "weights.h5"
    weights.touch()
    given = task("train", {"custom_config": {"encoders": [{"from": str(weights)}, "models", "a text"]}})
    assert mounts(given, tmp_path / "work").readable == (weights,)


def test_the_writable_folder_wins_over_a_readable_one_and_lies_over_what_holds_it(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    options = Mounts((inner, tmp_path), (inner,)).options()
    assert options[1::2] == [
        f"type=bind,source={tmp_path},target={tmp_path},readonly",
        f"type=bind,source={inner},target={inner}",
    ]


def test_a_comma_in_a_path_stays_one_field(tmp_path: Path) -> None:
    folder = tmp_path / "a,b"
    _, option = Mounts((folder,), ()).options()
    assert f'"source={folder}"' in option


@pytest.mark.parametrize(
    ("parameters", "inputs", "expected"),
    [
        ({"data": "/data/taxi", "splits": {"train": 2}}, {}, False),
        ({"data": "gs://bucket/taxi"}, {}, True),
        ({"beam_options": ["--temp_location=gs://bucket/tmp"]}, {}, True),
        ({}, {"model": "s3://bucket/model"}, True),
    ],
)
def test_there_is_a_network_only_where_something_lies_behind_it(
    parameters: dict[str, Any], inputs: dict[str, str], expected: bool
) -> None:
    assert needs_network(task(parameters=parameters, inputs=inputs)) is expected


def test_the_exit_task_has_a_network_only_where_somebody_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MILLRACE_NOTIFY_URL", "MILLRACE_MAIL_USER", "MILLRACE_MAIL_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    status = {"status": {"error": {"message": "gs://bucket/trips is not there"}}, "link": "https://example.org"}
    assert not needs_network(task("notify", parameters=status))
    assert needs_network(task("notify", parameters=status | {"mail": {"server": "smtp.example.org"}}))
    monkeypatch.setenv("MILLRACE_NOTIFY_URL", "https://example.org/hook")
    assert needs_network(task("notify", parameters=status))
    assert destinations(task("notify")) == ["MILLRACE_NOTIFY_URL"]
    assert not needs_network(task("ingest"))
    assert destinations(task("ingest")) == []


# --- what is refused, before anything is written


def test_no_engine_is_one_line(tmp_path: Path) -> None:
    result = run(tmp_path / "root", str(tmp_path), "--docker", PATH=str(tmp_path))
    assert result.returncode == 65
    assert result.stderr == (
        "error: no engine for containers: podman is not installed; docker is not installed; "
        "install podman, or start docker's daemon\n"
    )
    assert not (tmp_path / "root").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--engine", "podman"), "error: --engine says what --docker runs the images with; give both"),
        (("--docker", "--engine", "dokcer"), "error: no engine 'dokcer' for this; did you mean 'docker'?"),
        (
            ("--docker", "--engine", "buildah"),
            "error: no engine 'buildah' for this; it has to be one of: podman, docker",
        ),
    ],
)
def test_a_wrong_engine(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    result = run(tmp_path / "root", str(tmp_path), *arguments)
    assert (result.returncode, result.stderr.strip()) == (65, message)
    assert not (tmp_path / "root").exists()


@pytest.mark.containers
def test_an_image_that_is_not_here_is_one_line_that_says_how_to_get_it(tmp_path: Path) -> None:
    engine()
    lock = tmp_path / "images.lock"
    digest = f"sha256:{'1' * 64}"
    lock.write_text(json.dumps({"ingest": {"image": "localhost/absent/ingest", "digest": digest, "tag": "1"}}))
    result = run(tmp_path / "root", str(tmp_path), "--until", "ingest", "--docker", MILLRACE_IMAGES_LOCK=str(lock))
    assert result.returncode == 65
    assert result.stderr.startswith(
        f"error: the image localhost/absent/ingest@{digest} of ingest is not on this machine"
    )
    assert "make images STAGE=ingest" in result.stderr
    assert not (tmp_path / "root").exists()


@pytest.mark.parametrize(
    ("said", "code", "reason"),
    [
        (
            "Error: OCI runtime error: crun: create `/sys/fs/cgroup/x`: Read-only file system",
            126,
            "OCI runtime error: crun: create `/sys/fs/cgroup/x`: Read-only file system",
        ),
        (
            "docker: Error response from daemon: failed to create task: no cgroup.\n\nSee 'docker run --help'.",
            125,
            "failed to create task: no cgroup",
        ),
    ],
)
def test_an_engine_that_starts_no_container_is_one_line_before_the_run(
    tmp_path: Path, said: str, code: int, reason: str
) -> None:
    engine = tmp_path / "bin" / "podman"
    engine.parent.mkdir()
    engine.write_text(
        '#!/bin/bash\ncase "$1 $2" in\n'
        f"run*) cat >&2 <<'EOF'\n{said}\nEOF\nexit {code} ;;\n"
        "*inspect) [[ $* == *json* ]] && echo null || echo 'sha256:1 5' ;;\nesac\n"
    )
    engine.chmod(0o755)
    result = run(tmp_path / "root", str(tmp_path), "--docker", PATH=f"{engine.parent}:{os.environ['PATH']}")
    assert result.returncode == 65
    assert result.stderr == f"error: podman cannot run containers here: {reason}; run without --docker\n"
    assert not (tmp_path / "root").exists()


# --- inside a container


@pytest.fixture
def inside(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Runs a Python program in the image of ingest, as a stage would be, and returns what it wrote as its result.

    The program has `out`, its result's file, and `given`, the inputs of its executor input.
    """
    image = built_image("ingest")

    def call(program: str, inputs: dict[str, Any] | None = None, **parameters: Any) -> dict[str, Any]:
        work = tmp_path / "work"
        work.mkdir(exist_ok=True)
        result = work / "executor_output.json"
        containers = Containers()
        given = task(parameters=parameters, image=image)
        container = TaskContainer(containers, given, containers.check("ingest", image))
        # By file, as the launcher gives it: an argument has 128 KiB at most.
        file = work / "executor_input.json"
        file.write_text(json.dumps({"inputs": inputs, "outputs": {"outputFile": str(result)}}))
        begin = f"import json, os, sys\nout = {str(result)!r}\ngiven = json.load(open(sys.argv[1][1:]))['inputs']\n"
        words = ["python", "-c", begin + program, f"@{file}"]
        completed = container.run(words, tmp_path / "log", lambda note: None)
        content = json.loads(result.read_text()) if result.exists() else {}
        return {"exit_code": completed.exit_code, "peak": completed.peak_memory_bytes, "result": content}

    return call


PROBE = """
def refused(path):
    try:
        open(os.path.join(path, 'probe'), 'w').close()
    except OSError as error:
        return type(error).__name__ + ' ' + str(error.errno)
    return ''
status = dict(line.split(':', 1) for line in open('/proc/self/status'))
json.dump({
    'user': os.getuid(),
    'group': os.getgid(),
    'capabilities': status['CapEff'].strip() + status['CapBnd'].strip(),
    'no_new_privileges': status['NoNewPrivs'].strip(),
    'interfaces': os.listdir('/sys/class/net'),
    'root': refused('/'), 'app': refused('/app'), 'packages': refused(os.path.dirname(json.__file__)),
    'data': refused(DATA), 'home': refused(os.path.expanduser('~')), 'tmp': refused('/tmp'),
    'seen': sorted(os.listdir(DATA)), 'around': os.listdir(os.path.dirname(DATA)),
}, open(out, 'w'))
"""


@pytest.mark.containers
def test_a_container_is_no_root_and_writes_only_its_outputs(
    tmp_path: Path, inside: Callable[..., dict[str, Any]]
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "file.csv").write_text("a\n1\n")
    (tmp_path / "secret").write_text("of somebody else")
    answer = inside(PROBE.replace("DATA", repr(str(data))), data=str(data))
    assert answer["exit_code"] == 0
    found = answer["result"]
    expected = (1000, 1000) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
    assert (found["user"], found["group"]) == expected
    assert set(found["capabilities"]) == {"0"}
    assert found["no_new_privileges"] == "1"
    assert found["interfaces"] == ["lo"]
    assert all(found[place] for place in ("root", "app", "packages", "data")), found
    assert (found["home"], found["tmp"]) == ("", "")
    assert found["seen"] == ["file.csv"]
    assert set(found["around"]) == {"data", "work"}, "of the folders around it, it sees its own mounts only"
    assert (tmp_path / "work" / "executor_output.json").stat().st_uid == os.geteuid()
    assert not (data / "probe").exists()


@pytest.mark.containers
def test_a_container_gets_the_names_of_5000_columns(inside: Callable[..., dict[str, Any]]) -> None:
    names = {"columns": [f"column of the sensor number {number}" for number in range(5000)]}
    assert inside("json.dump(given, open(out, 'w'))", names) == {"exit_code": 0, "peak": mock.ANY, "result": names}


@pytest.mark.containers
def test_a_container_reads_what_custom_config_names(tmp_path: Path, inside: Callable[..., dict[str, Any]]) -> None:
    weights = tmp_path / "weights" / "encoder.txt"
    weights.parent.mkdir()
    weights.write_text("0.25")
    (tmp_path / "weights" / "other.txt").touch()
    program = f"json.dump([open({str(weights)!r}).read(), os.listdir({str(weights.parent)!r})], open(out, 'w'))"
    answer = inside(program, custom_config={"encoder": {"from": str(weights)}})
    assert answer["result"] == ["0.25", ["encoder.txt"]]


@pytest.mark.containers
def test_peak_memory_is_that_of_the_stage(inside: Callable[..., dict[str, Any]]) -> None:
    answer = inside("import time\nblock = b'x' * 300_000_000\ntime.sleep(1)\njson.dump({}, open(out, 'w'))")
    assert 300e6 < answer["peak"] < 400e6


@pytest.mark.containers
def test_the_exit_code_is_that_of_the_stage(inside: Callable[..., dict[str, Any]]) -> None:
    assert inside("sys.exit(65)")["exit_code"] == 65
    assert inside("sys.exit(75)")["exit_code"] == 75


@pytest.mark.containers
def test_an_end_without_a_result_is_a_failure(inside: Callable[..., dict[str, Any]]) -> None:
    with pytest.raises(StageError, match="lost the container of ingest: it left no result"):
        inside("sys.exit(0)")


@pytest.mark.containers
def test_a_command_that_the_image_has_not_is_a_failure_of_the_engine(tmp_path: Path) -> None:
    image = built_image("ingest")
    containers = Containers()
    container = TaskContainer(containers, task(image=image), containers.check("ingest", image))
    argument = json.dumps({"outputs": {"outputFile": str(tmp_path / "work" / "out.json")}})
    with pytest.raises(StageError, match=r"did not run .*ingest"):
        container.run(["no-such-program", argument], tmp_path / "log", lambda note: None)
    assert not (tmp_path / "work").exists()


@pytest.mark.containers
def test_the_end_of_the_run_ends_its_containers(tmp_path: Path) -> None:
    image = built_image("ingest")
    containers = Containers()
    container = TaskContainer(containers, task(image=image), containers.check("ingest", image))
    argument = json.dumps({"outputs": {"outputFile": str(tmp_path / "out.json")}})
    ended: list[int] = []
    words = ["python", "-c", "import time; print('progress: started', flush=True); time.sleep(120)", argument]
    seen = threading.Event()
    log = tmp_path / "log"
    thread = threading.Thread(
        target=lambda: ended.append(container.run(words, log, lambda note: None).exit_code), daemon=True
    )
    thread.start()
    begun = time.monotonic()
    while not seen.is_set() and time.monotonic() - begun < 60:
        if log.exists() and "started" in log.read_text():
            seen.set()
        time.sleep(0.1)
    assert seen.is_set()
    containers.close()
    thread.join(timeout=60)
    assert ended == [137]
    assert "millrace-ingest" not in engine().call("ps", "--all", "--format", "{{.Names}}").stdout.split()


# --- real stages in their images


@pytest.mark.containers
@pytest.mark.parametrize("stage", image_stages())
def test_every_image_runs_bare_and_refuses_bad_input(stage: str) -> None:
    """As the issue states it: read-only, no network, not root, no capability; the stage's imports are there."""
    image = built_image(stage)
    bare = ["run", "--rm", "--read-only", "--network", "none", "--user", "1000", "--cap-drop", "all", "--tmpfs", "/tmp"]
    refused = engine().call(*bare, image, "python", "-m", f"components.{stage}", "--executor-input", "{}")
    assert (refused.returncode, refused.stdout) == (65, "")
    assert refused.stderr.startswith("error: --executor-input is not KFP's executor input")
    # TensorFlow takes more than a minute where the machine is busy.
    imported = engine().call(*bare, image, "python", "-c", f"import components.{stage}.{stage}", seconds=300)
    assert imported.returncode == 0, imported.stderr


@pytest.mark.containers
def test_data_stages_make_the_same_bytes_as_the_processes(tmp_path: Path) -> None:
    for stage in DATA_STAGES:
        built_image(stage)
    data = str(shared("taxi"))
    lock = tmp_path / "images.lock"
    lock.write_text(
        json.dumps(
            {
                stage: {
                    "image": recipe(stage).name,
                    "digest": (engine().inspect(built_image(stage)) or ("", 0))[0],
                    "tag": recipe(stage).tag,
                }
                for stage in DATA_STAGES
            }
        )
    )
    roots = {"processes": tmp_path / "processes", "containers": tmp_path / "containers"}
    for name, root in roots.items():
        options = ["--docker"] if name == "containers" else []
        result = run(root, data, "--until", "validate", *options, MILLRACE_IMAGES_LOCK=str(lock))
        assert result.returncode == 0, result.stdout + result.stderr
        assert result.stderr == ""
    found = {name: executions(root) for name, root in roots.items()}
    assert found["containers"].keys() == set(DATA_STAGES)
    for stage in DATA_STAGES:
        ours, theirs = found["containers"][stage], found["processes"][stage]
        assert ours["output_parameters"] == theirs["output_parameters"]
        assert ours["peak_memory_bytes"] > 30e6
        for name, output in ours["outputs"].items():
            path, other = Path(output["uri"]), Path(theirs["outputs"][name]["uri"])
            assert content_digest(path) == content_digest(other), f"{stage}: {name}"
            assert output["metadata"]["digest"] == theirs["outputs"][name]["metadata"]["digest"]
    owners = {path.stat().st_uid for path in (roots["containers"] / "artifacts").rglob("*")}
    assert owners == {os.geteuid()}
    again = run(roots["containers"], data, "--until", "validate", "--docker", MILLRACE_IMAGES_LOCK=str(lock))
    assert len(re.findall(r"cached", again.stdout)) >= len(DATA_STAGES), again.stdout


@pytest.mark.containers
def test_an_image_of_other_code_is_told(tmp_path: Path) -> None:
    built_image("ingest")
    stale = tmp_path / "Dockerfile"
    stale.write_text(f'FROM {built_image("ingest")}\nLABEL dev.millrace.content="0000000000000000"\n')
    name = "localhost/millrace-test/ingest"
    assert engine().call("build", "--tag", f"{name}:1", "--file", str(stale), str(tmp_path)).returncode == 0
    digest, _ = engine().inspect(f"{name}:1") or ("", 0)
    lock = tmp_path / "images.lock"
    lock.write_text(json.dumps({"ingest": {"image": name, "digest": digest or f"sha256:{'0' * 64}", "tag": "1"}}))
    try:
        result = run(
            tmp_path / "root", str(shared("taxi")), "--until", "ingest", "--docker", MILLRACE_IMAGES_LOCK=str(lock)
        )
    finally:
        engine().call("rmi", f"{name}:1")
    assert result.returncode == 0, result.stderr
    assert result.stderr == (
        "warning: not of this checkout's code: the images of ingest; `make images` builds them anew\n"
    )


@pytest.mark.containers
def test_a_fault_in_the_data_is_the_stages_own_line(tmp_path: Path) -> None:
    built_image("ingest")
    data = tmp_path / "data"
    data.mkdir()
    result = run(tmp_path / "root", str(data), "--until", "ingest", "--docker")
    assert result.returncode == 65
    assert str(data) in record(tmp_path / "root")["error"]


@pytest.mark.slow
@pytest.mark.containers
def test_the_whole_pipeline_gives_the_same_model_answers(tmp_path: Path) -> None:
    for stage in image_stages():
        built_image(stage)
    data = str(shared("taxi"))
    found = {}
    for name, options in {"processes": [], "containers": ["--docker"]}.items():
        result = run(tmp_path / name, data, "--param", "train_steps=200", *options, timeout=900)
        assert result.returncode == 0, result.stdout + result.stderr
        found[name] = executions(tmp_path / name)
    assert found["containers"].keys() == found["processes"].keys()
    for name in ("transform", "transformed-statistics"):
        for output in found["containers"][name]["outputs"]:
            if output != "transform_graph":
                digests = [found[kind][name]["outputs"][output]["metadata"]["digest"] for kind in found]
                assert digests[0] == digests[1], f"{name}: {output}"
    metrics = [found[kind]["evaluate"]["outputs"]["metrics"]["metadata"] for kind in found]
    numbers = {key: value for key, value in metrics[0].items() if isinstance(value, float)}
    assert numbers
    assert {key: metrics[1][key] for key in numbers} == pytest.approx(numbers, rel=1e-3)
    assert (tmp_path / "containers" / "serving" / "taxi" / "1" / "saved_model.pb").is_file()


def test_engines_that_run_can_also_build() -> None:
    assert set(engines.RUNNERS) <= set(engines.BUILDERS)
