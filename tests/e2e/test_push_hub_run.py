"""A whole run that ends on the Hub: what the pipeline hands to the stage, and that the record keeps no secret."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

from tests.components.push_hub.hub_server import running_hub
from tests.e2e.conftest import run
from tests.support import ROOT

pytestmark = pytest.mark.slow


def test_a_run_ends_on_the_hub(tmp_path: Path, taxi_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tmp_path / "taxi"
    shutil.copytree(ROOT / "models" / "taxi", model, ignore=shutil.ignore_patterns("__pycache__"))
    settings = yaml.safe_load((model / "settings.yaml").read_text())
    settings |= {"push_hub": {"repo_id": "team/taxi", "license": "apache-2.0", "space": {"sdk": "gradio"}}}
    (model / "settings.yaml").write_text(yaml.safe_dump(settings))
    with running_hub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.address)
        monkeypatch.setenv("HF_TOKEN", hub.token)
        result = run(tmp_path / "root", str(model), "--data", str(taxi_data))
        assert result.exit_code == 0, result.errors
        facts = result.metadata("push-hub", "pushed_model")
        assert facts["url"] in result.output
        trained = result.metadata("train", "model")
        assert facts["model_digest"] == trained["digest"]
        served = result.path("train", "model") / "Format-Serving"
        found = hub.model().files(facts["commit"])
        for file in (each for each in served.rglob("*") if each.is_file()):
            assert found[file.relative_to(served).as_posix()] == file.read_bytes()
        card = hub.model().files("main")["README.md"].decode()
        assert f"| run | `{result.record['id']}` |" in card
        assert f"| data | `{result.metadata('ingest', 'examples')['digest']}` |" in card
        assert f"| `auc` | {result.metadata('evaluate', 'metrics')['auc']:.6g} |" in card
        assert "| in | `trip_miles` | float32 | `[?]` |" in card
        assert b"trip_miles" not in hub.space().files("main")["app.py"]
        # Again: everything but what looks outside comes from the cache, and nothing is pushed twice.
        commits = {name: dict(each.branches) for name, each in hub.repositories.items()}
        again = run(tmp_path / "root", str(model), "--data", str(taxi_data))
        assert again.states["push-hub"] == "done"
        assert again.states["train"] == "cached"
        assert again.metadata("push-hub", "pushed_model") == facts | {"created": False, "moved": False}
        assert commits == {name: dict(each.branches) for name, each in hub.repositories.items()}
        for file in (each for each in (tmp_path / "root").rglob("*") if each.is_file()):
            assert hub.token.encode() not in file.read_bytes(), file
        assert json.dumps(result.record).count("HF_TOKEN") == 0
