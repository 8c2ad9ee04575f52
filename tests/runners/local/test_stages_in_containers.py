"""Real stages in their images: they make what the processes make."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from components.runtime.stage.artifacts import content_digest
from runners.compiled.image_content import image_stages, recipe
from tests.runners.local.container_runs import executions, record, run
from tests.support import shared
from tests.support_images import built_image, engine

DATA_STAGES = ("ingest", "statistics", "schema", "validate")


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
