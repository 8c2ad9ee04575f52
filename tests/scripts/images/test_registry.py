"""The registry is asked before anything is built; one on this machine may speak http. With Debian's registry itself."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from components.runtime import VERSION
from components.runtime.errors import InputError, TransientError
from runners.compiled import images
from runners.compiled.image_content import Recipe
from runners.local import engine
from scripts.images import registry
from scripts.images.image_builder import Builder, Request
from tests.runners.loopback import Request as Asked
from tests.runners.loopback import serving
from tests.support import ROOT


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@pytest.fixture
def real(tmp_path: Path) -> Iterator[str]:
    """Host and port of a registry without TLS, as docs/deploy.md has it beside kind."""
    if not (program := shutil.which("docker-registry")):
        pytest.skip("needs docker-registry")
    host = f"localhost:{_free_port()}"
    file = tmp_path / "registry.yaml"
    content = {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": str(tmp_path / "storage")}},
        "http": {"addr": host.replace("localhost", "127.0.0.1")},
    }
    file.write_text(yaml.safe_dump(content))
    log = (tmp_path / "registry.log").open("w")
    process = subprocess.Popen([program, "serve", str(file)], stdout=log, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            assert process.poll() is None, (tmp_path / "registry.log").read_text()
            try:
                urllib.request.urlopen(f"http://{host}/v2/", timeout=5).close()
                break
            except OSError:
                time.sleep(0.05)
        yield host
    finally:
        process.terminate()
        process.wait(20)
        log.close()


def test_a_registry_on_this_machine_may_speak_http(real: str) -> None:
    assert registry.speaks_plain_http(f"{real}/millrace")


def test_any_answer_is_one(tmp_path: Path) -> None:
    def answer(asked: Asked) -> tuple[int, object]:
        assert asked.path == "/v2/"
        return 401, {"errors": []}

    with serving(answer) as url:
        assert registry.speaks_plain_http(f"{url.removeprefix('http://')}/millrace")


@pytest.mark.parametrize("name", ["team", "team/more"])
def test_where_no_host_is_named_the_engine_knows_one(name: str) -> None:
    assert not registry.speaks_plain_http(name)


def test_one_that_is_not_there_is_told_before_anything_is_built() -> None:
    host = f"localhost:{_free_port()}"
    with pytest.raises(TransientError, match=rf"the registry {host} does not answer \(Connection refused\); start it"):
        registry.speaks_plain_http(f"{host}/millrace")
    with pytest.raises(InputError, match=r"the registry registry.invalid: there is no such host"):
        registry.speaks_plain_http("registry.invalid/millrace")


def test_one_that_is_silent_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_SECONDS", 0.2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(TransientError, match=r"does not answer within 0.2 s"):
            registry.speaks_plain_http(f"127.0.0.1:{silent.getsockname()[1]}/millrace")


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost:5001", True),
        ("127.0.0.9", True),
        ("[::1]:5001", True),
        ("10.0.0.1:5001", False),
        ("local.host", False),
    ],
)
def test_only_this_machine_is_spoken_to_without_tls(host: str, loopback: bool) -> None:
    assert registry._is_loopback(host) == loopback


@pytest.mark.containers
@pytest.mark.parametrize("name", ["podman", "buildah", "docker"])
def test_an_image_is_pushed_there(name: str, real: str, tmp_path: Path) -> None:
    if why := engine.refusal(name):
        pytest.skip(why)
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    recipe = Recipe("tiny", "millrace/tiny", "1", str(tmp_path / "Dockerfile"), base=Recipe("b", "b", "1", ""))
    found = engine.Engine(name)
    builder = Builder(found, Request(registry=f"{real}/millrace", push=True))
    reference = f"{real}/millrace/tiny:1"
    built = subprocess.run(
        [name, "build", "--tag", reference, "--file", recipe.dockerfile, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    try:
        entry, new = builder.image(recipe, None)
        assert not new
        assert entry
        asked = urllib.request.Request(f"http://{real}/v2/millrace/tiny/manifests/{entry.digest}", method="HEAD")
        kinds = ("oci.image.manifest.v1+json", "docker.distribution.manifest.v2+json")
        asked.add_header("Accept", ", ".join(f"application/vnd.{kind}" for kind in kinds))
        with urllib.request.urlopen(asked, timeout=10) as answer:
            assert answer.headers["Docker-Content-Digest"] == entry.digest
        assert entry.reference == f"{real}/millrace/tiny@{entry.digest}"
    finally:
        found.call("rmi", reference, f"{real}/millrace/tiny:{VERSION}")


def test_the_command_asks_first(tmp_path: Path) -> None:
    host = f"localhost:{_free_port()}"
    lock = tmp_path / "images.lock"
    if all(engine.refusal(name) for name in engine.BUILDERS):
        pytest.skip("needs an engine that builds")
    begun = time.monotonic()
    ended = subprocess.run(
        [sys.executable, "-m", "scripts.images.build_images", "ingest", "--force", "--registry", host, "--push"],
        cwd=ROOT,
        env=os.environ | {images.LOCK_VARIABLE: str(lock)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 75, ended.stderr
    assert f"the registry {host} does not answer" in ended.stderr
    assert "building" not in ended.stdout
    assert time.monotonic() - begun < 30
    assert not lock.exists()
