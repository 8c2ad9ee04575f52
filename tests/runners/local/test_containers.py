"""Tasks in their images: what is refused before a run, and what a program may do inside a container."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from components.runtime.errors import StageError
from runners.local import engine as engines
from runners.local.containers import Containers, TaskContainer
from tests.runners.local.container_runs import run, task
from tests.support import bare_path
from tests.support_images import built_image, engine

# --- what is refused, before anything is written


def test_no_engine_is_one_line(tmp_path: Path) -> None:
    result = run(tmp_path / "root", str(tmp_path), "--docker", PATH=bare_path(tmp_path / "bin"))
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


def test_engines_that_run_can_also_build() -> None:
    assert set(engines.RUNNERS) <= set(engines.BUILDERS)
