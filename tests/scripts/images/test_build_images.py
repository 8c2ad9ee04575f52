"""What goes into the images, when they are built anew, and how a build that cannot be is refused."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from components.runtime import VERSION
from components.runtime.errors import InputError
from runners.compiled import image_content, images
from runners.compiled.image_content import recipe
from runners.compiled.images import FUSED
from scripts.images import sbom
from tests.support import ROOT
from tests.support_images import built_image, engine

STAGES = sorted(file.parent.name for file in (ROOT / "components").glob("*/component.yaml"))
LOCKS = {stage: recipe(stage).locks[0] for stage in STAGES}
PIN = re.compile(r"^([a-z0-9._-]+)(?:\[[^]]*\])?==(\S+)", re.MULTILINE)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of what the images are made from."""
    for name in ("components", "model_server", "models", "images"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "images.lock"))
    shutil.copy(ROOT / ".dockerignore", tmp_path)
    return tmp_path


def tags(project: Path) -> dict[str, str]:
    return {stage: recipe(stage, project=project).tag for stage in STAGES}


def changed(project: Path, before: dict[str, str]) -> set[str]:
    return {stage for stage, tag in tags(project).items() if tag != before[stage]}


def pins(lock: str) -> dict[str, str]:
    return dict(PIN.findall((ROOT / "images" / "locks" / lock).read_text()))


def command(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "scripts.images.build_images", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | variables,
    )


# --- what is in them


def test_every_stage_has_an_image_with_its_own_code_and_nobody_elses() -> None:
    assert image_content.image_stages() == STAGES
    for stage in STAGES:
        text = (ROOT / "images" / stage / "Dockerfile").read_text()
        copied = set(re.findall(r"^COPY components/(\w+) ", text, re.MULTILINE))
        assert copied == {"runtime", stage}
        spec = yaml.safe_load((ROOT / "components" / stage / "component.yaml").read_text())
        assert spec["implementation"]["container"]["image"] == recipe(stage).name == f"millrace/{stage}"
        assert f'title="millrace/{stage}"' in text
        assert f'description="{spec["description"]}"' in text


def test_the_models_code_is_where_the_settings_name_files_of_it() -> None:
    for stage in STAGES:
        spec = yaml.safe_load((ROOT / "components" / stage / "component.yaml").read_text())
        reads = any(port["name"].endswith("_file") for port in spec["inputs"])
        text = (ROOT / "images" / stage / "Dockerfile").read_text()
        assert ("COPY models models" in text) == reads, stage


def test_images_stand_on_the_locks_of_the_local_environments() -> None:
    environments = yaml.safe_load((ROOT / "images" / "environments.yaml").read_text())
    for name, environment in environments.items():
        locks = {"client": {"light", "cloud"}}.get(name, {name})
        assert {recipe(stage).locks[0] for stage in environment["stages"]} == {
            f"images/locks/{lock}.txt" for lock in locks
        }


@pytest.mark.parametrize("lock", ["light", "cloud"])
def test_the_smaller_locks_have_the_versions_of_the_client_and_no_tensorflow(lock: str) -> None:
    smaller, client = pins(f"{lock}.txt"), pins("client.txt")
    assert smaller.items() <= client.items()
    assert not [name for name in smaller if "tensorflow" in name or "beam" in name]


def test_the_gpu_lock_has_the_versions_of_ml_but_for_cuda() -> None:
    gpu, ml = pins("ml-gpu.txt"), pins("ml.txt")
    assert gpu["tensorflow"] == ml["tensorflow-cpu"]
    assert ml.keys() - gpu.keys() == {"tensorflow-cpu"}
    assert {name for name in gpu.keys() - ml.keys() if not name.startswith("nvidia-")} == {"tensorflow"}
    assert {name: gpu[name] for name in gpu.keys() & ml.keys()} == {name: ml[name] for name in gpu.keys() & ml.keys()}
    assert recipe("train", "gpu").locks[0] == "images/locks/ml-gpu.txt"


def test_no_dockerfile_names_an_index_or_takes_a_secret_as_an_argument() -> None:
    for file in (ROOT / "images").glob("*/*"):
        if file.is_file() and file.parent.name != "locks":
            assert "http" not in file.read_text(), file
            assert not re.search(r"^ARG .*(TOKEN|PASSWORD|INDEX)", file.read_text(), re.MULTILINE), file


# --- when they are built anew


def test_a_change_of_settings_changes_no_image(project: Path) -> None:
    """They reach the stages as parameters and the cluster as resources; no build sees them."""
    before = tags(project)
    with (project / "models" / "taxi" / "settings.yaml").open("a") as stream:
        stream.write("resources: {train: {memory: 8Gi}}\n")
    assert changed(project, before) == set()
    assert not [name for name in recipe("train", project=project).files if name.endswith("settings.yaml")]
    (project / "models" / "taxi" / "more").mkdir()
    (project / "models" / "taxi" / "more" / "settings.yaml").write_text("a file of the model's own\n")
    assert "train" in changed(project, before)


def test_a_change_of_one_stage_changes_its_image_only(project: Path) -> None:
    before = tags(project)
    (project / "components" / "ingest" / "splits.py").write_text("# changed\n")
    assert changed(project, before) == {"ingest"}


def test_a_change_of_what_all_share_changes_all(project: Path) -> None:
    before = tags(project)
    (project / "components" / "runtime" / "report.py").write_text("# changed\n")
    assert changed(project, before) == set(STAGES)


def test_a_change_of_a_lock_changes_the_images_on_it(project: Path) -> None:
    before = tags(project)
    with (project / "images" / "locks" / "data.txt").open("a") as lock:
        lock.write("# changed\n")
    assert changed(project, before) == {stage for stage, lock in LOCKS.items() if lock == "images/locks/data.txt"}


def test_bytecode_and_folders_of_other_things_change_nothing(project: Path) -> None:
    before = tags(project)
    cache = project / "components" / "ingest" / "__pycache__"
    cache.mkdir()
    (cache / "ingest.cpython-311.pyc").write_bytes(b"0")
    (project / "images" / "images.lock").write_text("{}")
    (project / "data").mkdir()
    assert changed(project, before) == set()


def test_another_python_image_changes_all() -> None:
    assert recipe("ingest", python_image="mirror/python:3.11").tag != recipe("ingest").tag


# --- what is refused


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("ingst",),
            f"error: no image for the stage 'ingst', did you mean 'ingest'? the stages are: {', '.join(STAGES)}",
        ),
        (("ingest", "--gpu"), "error: no gpu image of the stage 'ingest'; only train and tune have one (gpu)"),
        (("ingest", "--engine", "podmen"), "error: no engine 'podmen' for this; did you mean 'podman'?"),
        (("ingest", "--push"), "error: --push needs --registry"),
        (("ingest", "--pip-conf", "absent.conf"), "error: --pip-conf absent.conf: no such file"),
    ],
)
def test_a_request_that_cannot_be_met(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    lock = tmp_path / "images.lock"
    result = command(*arguments, MILLRACE_IMAGES_LOCK=str(lock))
    assert result.returncode == 65
    assert result.stderr.startswith(message)
    assert len(result.stderr.splitlines()) == 1
    assert not lock.exists()


def test_no_engine_at_all(tmp_path: Path) -> None:
    result = command("ingest", PATH=str(tmp_path))
    assert result.returncode == 65
    assert result.stderr.startswith(
        "error: no engine for containers: podman is not installed; buildah is not installed"
    )


def test_an_engine_that_does_not_work_says_why(tmp_path: Path) -> None:
    (tmp_path / "podman").write_text("#!/bin/sh\necho 'Error: cannot set up namespace' >&2\nexit 125\n")
    (tmp_path / "podman").chmod(0o755)
    result = command("ingest", "--engine", "podman", PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert result.returncode == 65
    assert "podman does not work (cannot set up namespace); install podman" in result.stderr


def test_a_dockerfile_that_names_no_base_or_a_file_that_is_not_there(project: Path) -> None:
    file = project / "images" / "ingest" / "Dockerfile"
    text = file.read_text()
    file.write_text(text + "COPY absent absent\n")
    with pytest.raises(InputError, match="images/ingest/Dockerfile: COPY absent: not there"):
        recipe("ingest", project=project)
    file.write_text(text.replace("ARG BASE=millrace/base-light\n", ""))
    with pytest.raises(InputError, match="images/ingest/Dockerfile: `ARG BASE=millrace/base-<lock>` is missing"):
        recipe("ingest", project=project)
    file.write_text(text.replace("base-light", "base-lite"))
    with pytest.raises(InputError, match=r"no lock images/locks/lite\.txt"):
        recipe("ingest", project=project)


@pytest.mark.slow
@pytest.mark.containers
def test_a_build_that_fails_shows_its_last_lines(tmp_path: Path) -> None:
    engine()
    lock = tmp_path / "images.lock"
    result = command("ingest", "--python-image", "localhost/millrace/absent:1", MILLRACE_IMAGES_LOCK=str(lock))
    assert result.returncode == 1
    *shown, error = result.stderr.splitlines()
    assert error.startswith("error: base-light: ")
    assert "build/images/base-light.log" in error
    assert any("millrace/absent" in line for line in shown)
    assert not lock.exists()


# --- the bill of materials


def test_the_bill_lists_what_the_lock_pins() -> None:
    bill = json.loads(sbom.text(recipe("ingest")))
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.5")
    listed = {part["name"]: part["version"] for part in bill["components"] if part.get("purl")}
    assert listed == pins("light.txt")
    references = [part["bom-ref"] for part in bill["components"]]
    assert len(set(references)) == len(references)
    assert bill["dependencies"][0]["dependsOn"] == sorted(references)
    assert bill["metadata"]["component"]["version"] == recipe("ingest").tag
    assert sbom.text(recipe("ingest")) == json.dumps(bill, indent=1) + "\n"


# --- with an engine


@pytest.mark.containers
def test_what_is_up_to_date_is_not_built_and_the_lock_gets_its_digest(tmp_path: Path) -> None:
    built_image("ingest")
    lock = tmp_path / "images.lock"
    other = images.Built("millrace/other", f"sha256:{'0' * 64}", "0")
    lock.write_text(images.lock_text({"other": other}))
    result = command("ingest", MILLRACE_IMAGES_LOCK=str(lock))
    assert result.returncode == 0, result.stderr
    assert "0 built, 1 up to date" in result.stdout
    entries = images.read_lock(lock)
    assert entries["other"] == other
    assert entries["ingest"].tag == recipe("ingest").tag
    assert engine().inspect(entries["ingest"].reference), "an image is known by the digest that the lock has"


@pytest.mark.containers
def test_an_image_with_models_of_a_team_has_these_and_no_others(tmp_path: Path) -> None:
    built_image("schema")
    (tmp_path / "team" / "churn").mkdir(parents=True)
    (tmp_path / "team" / "churn" / "settings.yaml").write_text("{}")
    (tmp_path / "team" / "churn" / "model.py").write_text("ours = True\n")
    lock = tmp_path / "images.lock"
    result = command("schema", "--models", str(tmp_path / "team"), MILLRACE_IMAGES_LOCK=str(lock))
    assert result.returncode == 0, result.stderr
    built = images.read_lock(lock)["schema"]
    assert built.models == image_content.models_digest(tmp_path / "team")
    reference = f"{built.image}:{built.tag}"
    try:
        run = engine().call(
            "run", "--rm", "--network", "none", reference, "find", "models", "components", "-maxdepth", "2"
        )
        found = set(run.stdout.split())
        assert {name for name in found if name.startswith("models/")} == {*("models/churn", "models/churn/model.py")}
        assert {"components/schema", "components/runtime/errors.py"} <= found
    finally:
        engine().call("tag", recipe("schema").reference, f"{built.image}:{VERSION}")
        engine().call("rmi", reference)


@pytest.mark.containers
def test_a_registry_takes_the_place_of_our_name(tmp_path: Path) -> None:
    built_image("ingest")
    lock = tmp_path / "images.lock"
    result = command("ingest", "--registry", "localhost/team", MILLRACE_IMAGES_LOCK=str(lock))
    assert result.returncode == 0, result.stderr
    built = images.read_lock(lock)["ingest"]
    assert built.image == "localhost/team/ingest"
    engine().call("rmi", f"{built.image}:{built.tag}", f"{built.image}:0.1.0")


@pytest.mark.containers
@pytest.mark.parametrize("stage", STAGES)
def test_an_image_is_small_bare_and_labelled(stage: str) -> None:
    image = built_image(stage)
    found = engine().inspect(image)
    assert found
    light = LOCKS[stage] in ("images/locks/light.txt", "images/locks/cloud.txt")
    assert found[1] < (700e6 if light else 3000e6)
    labels = engine().labels(image)
    assert labels["org.opencontainers.image.title"] == f"millrace/{stage}"
    assert labels["org.opencontainers.image.version"] == "0.1.0"
    assert re.fullmatch(r"[0-9a-f]{40}(-dirty)?|", labels["org.opencontainers.image.revision"])
    assert labels[image_content.CONTENT_LABEL] == recipe(stage).tag
    inside = (
        "id -u; command -v gcc g++ cc ld uv; ls -d /root/.cache /locks /opt/uv 2>/dev/null; "
        "find / -xdev -user 1000 2>/dev/null; ls components"
    )
    answer = engine().call("run", "--rm", "--network", "none", image, "sh", "-c", inside)
    assert set(answer.stdout.split()) == {"1000", "__init__.py", "runtime", stage}


@pytest.mark.slow
@pytest.mark.containers
def test_the_package_index_of_the_environment_reaches_the_build_and_no_log(tmp_path: Path) -> None:
    engine()
    result = command(
        "ingest",
        "--force",
        PIP_INDEX_URL="http://user:hidden-word@127.0.0.1:9/simple",
        MILLRACE_IMAGES_LOCK=str(tmp_path / "images.lock"),
    )
    assert result.returncode == 1, "nothing answers there, so the build cannot have used another index"
    log = (ROOT / "build" / "images" / "base-light.log").read_text()
    assert "Connection refused" in log
    assert "hidden-word" not in log + result.stdout + result.stderr


def test_the_image_of_all_stages_is_none_of_them() -> None:
    """It has their code and their three environments, and is built on request only."""
    assert FUSED not in STAGES
    fused = recipe(FUSED)
    assert (fused.key, fused.name) == ("fused", "millrace/fused")
    assert fused.locks == [f"images/locks/{name}.txt" for name in ("ml", "data", "light")]
    assert {f"components/{stage}/__main__.py" for stage in STAGES} <= fused.files.keys()
    assert fused.base
    assert fused.base.arguments == {
        "ML": recipe("train").base.reference,  # type: ignore[union-attr]
        "DATA": recipe("statistics").base.reference,  # type: ignore[union-attr]
        "LIGHT": recipe("ingest").base.reference,  # type: ignore[union-attr]
    }
    assert recipe(FUSED, "gpu").locks[0] == "images/locks/ml-gpu.txt"
    bill = json.loads(sbom.text(fused))
    assert {"tensorflow-data-validation", "tensorflow-transform", "pyarrow"} <= {
        part["name"] for part in bill["components"] if part["type"] == "library"
    }
    with pytest.raises(InputError, match="no image for the stage 'fuse'"):
        recipe("fuse")
