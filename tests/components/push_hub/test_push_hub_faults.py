"""What the Hub, the network or the settings may do to a push: one clear line, and the right exit code."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from components.push_hub import connection, spaces
from components.push_hub.push_hub import push_hub
from components.runtime.errors import InputError
from components.runtime.stage.executor import Execution
from tests.components.push.serving_support import make_blessing
from tests.components.push_hub.hub_server import Answer, Hub, running_hub
from tests.components.push_hub.hub_support import arguments, push, saved_model, signed_model
from tests.runners.loopback import Request
from tests.support import ROOT, StageResult, executor_input


@pytest.fixture
def hub() -> Iterator[Hub]:
    with running_hub() as running:
        yield running


@pytest.fixture
def fail(tmp_path: Path, hub: Hub) -> Any:
    """Pushes, and looks at what every failure has in common."""

    def push_and_fail(code: int, **kwargs: Any) -> StageResult:
        model = signed_model(tmp_path / "model")
        result = push(tmp_path / "out", hub, model, make_blessing(tmp_path / "blessing"), **kwargs)
        assert result.exit_code == code, result.stderr
        assert len(result.stderr.splitlines()) == 1, result.stderr
        assert not any((tmp_path / "out").iterdir())
        return result

    return push_and_fail


def answering(pattern: str, *answer: Any) -> Any:
    def interfere(request: Request) -> Answer | None:
        return answer if pattern in request.path else None

    return interfere


@pytest.mark.parametrize(
    ("token", "said"),
    [
        ("", "HF_TOKEN is not set, so nothing was pushed; give it as a secret"),
        ("hf_one\nhf_two", "HF_TOKEN holds characters that no token has"),
        ("hf_ünïcode", "HF_TOKEN holds characters that no token has"),
    ],
)
def test_a_token_that_cannot_be_one(hub: Hub, fail: Any, token: str, said: str) -> None:
    result = fail(65, env={"HF_TOKEN": token})
    assert result.error.startswith(said)
    assert "hf_" not in result.stderr + result.stdout
    assert not hub.requests


def test_a_line_break_after_the_token_is_not_part_of_it(tmp_path: Path, hub: Hub) -> None:
    model, blessing = signed_model(tmp_path / "model"), make_blessing(tmp_path / "blessing")
    result = push(tmp_path / "out", hub, model, blessing, env={"HF_TOKEN": f"{hub.token}\n"})
    assert result.exit_code == 0, result.stderr


def test_a_token_that_the_hub_does_not_know(hub: Hub, fail: Any) -> None:
    result = fail(65, env={"HF_TOKEN": "hf_of_yesterday"})
    assert "reading the model team/taxi: the Hub does not know the token (401)" in result.error
    assert "resources.push_hub.secrets" in result.error
    assert "hf_of_yesterday" not in result.stderr + result.stdout


def test_a_token_that_may_only_read(hub: Hub, fail: Any) -> None:
    hub.create("team/taxi")
    result = fail(65, env={"HF_TOKEN": hub.reader})
    assert "the token may not do that (403): You don't have the rights to do that" in result.error


def test_a_namespace_that_is_not_ours(hub: Hub, fail: Any) -> None:
    result = fail(65, repo_id="others/taxi")
    assert "creating the model others/taxi: the token may not do that (403)" in result.error
    assert "under the namespace" in result.error


def test_a_public_repository_where_a_private_one_is_meant(hub: Hub, fail: Any) -> None:
    hub.create("team/taxi", private=False)
    result = fail(65)
    assert "is public, and the settings say private: true, so nothing was pushed" in result.error
    assert not hub.asked("POST", "create|/branch/|/commit/")


@pytest.fixture
def refuse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs the stage in this process, for what it refuses before it asks anybody."""

    def run_and_fail(inputs: dict[str, bytes] | None = None, name: str = "serving_default", **parameters: Any) -> str:
        monkeypatch.setenv("HF_TOKEN", "hf_unused")
        monkeypatch.setattr(connection, "connect", pytest.fail)
        model = signed_model(tmp_path / "model")
        (model / "Format-Serving" / "saved_model.pb").write_bytes(saved_model(inputs or {}, name=name))
        given = arguments(model, make_blessing(tmp_path / "blessing"), **parameters)
        with pytest.raises(InputError) as caught:
            Execution.parse("push_hub", executor_input(tmp_path / "out", **given)).run(push_hub)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    return run_and_fail


@pytest.mark.parametrize("repo_id", ["taxi", "team/taxi/again", "te am/taxi", "team/..", "team/taxi--x", ""])
def test_a_name_that_the_hub_does_not_take(refuse: Any, repo_id: str) -> None:
    assert "repo_id: expected NAMESPACE/NAME" in refuse(repo_id=repo_id)


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ({"skd": "gradio"}, "space: unknown key 'skd'"),
        ({"sdk": "docker"}, "space.sdk: expected gradio or streamlit"),
        ({"input": "sound"}, "space.input: expected auto, table, image"),
        ({"input": "image"}, "does not take one encoded image"),
        ({"repo_id": "demo"}, "space.repo_id: expected NAMESPACE/NAME"),
    ],
)
def test_a_space_that_cannot_be(refuse: Any, space: dict[str, Any], said: str) -> None:
    assert said in refuse(space=space)


def test_a_space_for_a_model_that_serves_nothing(refuse: Any) -> None:
    assert "has no signature serving_default" in refuse(name="from_examples", space={"sdk": "gradio"})


@pytest.mark.parametrize("where", ["description", "run", "license", "space"])
def test_the_tokens_value_is_not_pushed(refuse: Any, where: str) -> None:
    said = refuse(**{where: {"title": "hf_unused"} if where == "space" else "my hf_unused"})
    assert said.startswith("the value of HF_TOKEN stands in what is to be pushed")
    assert "hf_unused" not in said


@pytest.mark.parametrize(
    ("path", "answer", "code", "said"),
    [
        ("/api/models/", (429, {"error": "slow down"}), 75, "too many requests (429): slow down; run again later"),
        ("/api/models/", (503, b"<html>"), 75, "the Hub is not well (503)"),
        ("/api/repos/create", (500, {}), 75, "creating the model team/taxi: the Hub is not well (500)"),
        ("/api/repos/create", (402, {"error": "Payment required"}), 65, "wants a paid plan for it (402): Payment req"),
        ("/commit/", (413, {"error": "Payload too large"}), 65, "larger than the Hub takes (413): Payload too large"),
        ("/commit/", (403, {"error": "Private repository storage limit reached"}), 65, "storage limit reached; give"),
        ("/storage/", (403, b"<Error>Signature</Error>"), 75, "the Hub's storage does not take it (403); run again"),
        ("/api/models/team/taxi", (200, b"<html>a login page</html>"), 65, "reading the model team/taxi: "),
    ],
)
def test_what_the_hub_answers(hub: Hub, fail: Any, path: str, answer: Answer, code: int, said: str) -> None:
    hub.interfere = answering(path, *answer)
    result = fail(code)
    assert said in result.error
    assert "Signature" not in result.error


def test_a_file_that_the_storage_does_not_take(hub: Hub, fail: Any) -> None:
    def refuse(request: Request) -> Answer | None:
        if not request.path.endswith("/objects/batch"):
            return None
        error = {"code": 422, "message": "You need to configure your repository to enable upload of files > 5GB"}
        return 200, {"objects": [{"oid": "0" * 64, "size": 1, "error": error}]}

    hub.interfere = refuse
    assert "files > 5GB" in fail(65).error


def test_metadata_that_the_hub_does_not_take(hub: Hub, fail: Any) -> None:
    result = fail(65, license="nonsense")
    assert '"license" must be one of' in result.error
    assert "mend license, task or tags in the settings" in result.error
    assert not hub.repositories


def test_a_hub_that_does_not_answer(hub: Hub, fail: Any) -> None:
    def wait(request: Request) -> Answer | None:
        time.sleep(3)
        return None

    hub.interfere = wait
    result = fail(75, env={"HF_HUB_DOWNLOAD_TIMEOUT": "1"})
    assert "checking the model card: " in result.error
    assert "did not answer in time; run again" in result.error


@pytest.mark.parametrize(
    ("variables", "code", "said"),
    [
        ({"HF_ENDPOINT": "http://127.0.0.1:9"}, 75, "http://127.0.0.1:9 cannot be reached (ConnectError)"),
        ({"HF_ENDPOINT": "hub.example"}, 65, "is no address of a Hub; correct HF_ENDPOINT"),
        ({"HF_HUB_OFFLINE": "1"}, 65, "HF_HUB_OFFLINE is set"),
    ],
)
def test_no_way_to_the_hub(hub: Hub, fail: Any, variables: dict[str, str], code: int, said: str) -> None:
    assert said in fail(code, env=variables).error
    assert not hub.requests


def test_an_app_is_given_the_versions_that_it_was_run_with_here() -> None:
    text = (ROOT / "images" / "locks" / "space.txt").read_text()
    locked = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", text, re.MULTILINE))
    for name, version in (spaces.SDKS | spaces.REQUIREMENTS).items():
        assert locked[name.replace("_", "-")] == version, f"{name}: see components/push_hub/spaces.py"
