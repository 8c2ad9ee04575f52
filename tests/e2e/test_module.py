"""Model code that is not in the checkout, nor in the images: from a folder, and from object storage."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.buckets import SCHEMES, Raw, raw_buckets
from tests.e2e.conftest import run
from tests.support import ROOT


@pytest.fixture
def trips(tmp_path: Path, taxi_data: Path) -> Path:
    """The first of the real trips."""
    lines = (taxi_data / "data.csv").read_bytes().splitlines(keepends=True)[:401]
    (tmp_path / "trips").mkdir()
    (tmp_path / "trips" / "data.csv").write_bytes(b"".join(lines))
    return tmp_path / "trips"


def code_at(raw: Raw) -> str:
    """The code in a bucket; of S3 without the keys, which are in the environment."""
    return raw.uri("code/taxi").replace("key:secret@", "")


@pytest.mark.slow
@pytest.mark.parametrize("scheme", SCHEMES)
def test_from_object_storage(tmp_path: Path, trips: Path, scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    code = tmp_path / "storage" / "code" / "taxi"
    shutil.copytree(ROOT / "models" / "taxi", code)
    with raw_buckets(tmp_path / "storage", scheme, monkeypatch) as raw:
        given = ("taxi", "--data", str(trips), "--until", "transform", "--module", code_at(raw))
        first = run(tmp_path / "root", *given)
        assert first.exit_code == 0, first.output + first.errors
        module = first.execution("transform")["parameters"]["module_file"]
        assert module.startswith(raw.shown("code/taxi/preprocessing.py"))
        again = run(tmp_path / "root", *given)
        assert again.states["transform"] == "cached"
        file = code / "preprocessing.py"
        file.write_text(file.read_text().replace("def preprocessing_fn(", "def preprocess("))
        raw.uri("code/taxi")
        broken = run(tmp_path / "root", *given)
    assert broken.exit_code == 65
    assert f"{scheme}://code/taxi/preprocessing.py: no function 'preprocessing_fn'" in broken.output


@pytest.mark.slow
def test_from_a_folder(tmp_path: Path, trips: Path) -> None:
    shutil.copytree(ROOT / "models" / "taxi", tmp_path / "code")
    result = run(
        tmp_path / "root", "taxi", "--data", str(trips), "--until", "transform", "--module", str(tmp_path / "code")
    )
    assert result.exit_code == 0, result.output + result.errors
    assert result.execution("transform")["parameters"]["module_file"] == str(tmp_path / "code" / "preprocessing.py")
    missing = run(tmp_path / "root", "taxi", "--data", str(trips), "--module", str(tmp_path / "none"))
    assert missing.exit_code == 65
    assert f"--module {tmp_path}/none: no such folder" in missing.errors
