"""Push to the Hub: huggingface_hub itself against a server that speaks the Hub's API."""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from huggingface_hub import snapshot_download

from components.runtime.stage.artifacts import content_digest
from tests.components.push.serving_support import make_blessing, tree
from tests.components.push_hub.hub_server import Answer, Hub, running_hub
from tests.components.push_hub.hub_support import (
    CLASSES,
    STRING,
    arguments,
    push,
    saved_model,
    signed_model,
    start,
    tensor,
)
from tests.runners.loopback import Request

OTHER = ("/api/validate-yaml", "/api/repos/create")


@pytest.fixture
def hub() -> Iterator[Hub]:
    with running_hub() as running:
        yield running


@pytest.fixture
def blessing(tmp_path: Path) -> Path:
    return make_blessing(tmp_path / "blessing")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    # So large that its variables go in parts.
    return signed_model(tmp_path / "model", extra_bytes=2_500_000)


def revision_of(model: Path) -> str:
    return f"model-{content_digest(model).removeprefix('sha256:')[:16]}"


def test_the_model_is_on_a_revision_of_its_own_byte_for_byte(
    tmp_path: Path, hub: Hub, model: Path, blessing: Path
) -> None:
    result = push(tmp_path / "out", hub, model, blessing)
    assert result.exit_code == 0, result.stderr
    # What the library asks for its own ends is not asked.
    assert all("/team/taxi" in each.path or each.path in OTHER or "/storage/" in each.path for each in hub.requests)
    revision = revision_of(model)
    assert result.output["parameterValues"] == {"revision": revision}
    facts = result.metadata("pushed_model")
    repository = hub.model()
    assert repository.private
    assert facts["commit"] == repository.branches[revision]
    assert (facts["repo_id"], facts["revision"], facts["created"], facts["space"]) == ("team/taxi", revision, True, "")
    assert facts["url"] == f"{hub.address}/team/taxi/tree/{revision}"
    assert facts["model_digest"] == content_digest(model)
    assert json.loads((tmp_path / "out" / "pushed_model" / "pushed.json").read_text())["commit"] == facts["commit"]

    folder = snapshot_download(
        "team/taxi", revision=revision, endpoint=hub.address, token=hub.reader, local_dir=tmp_path / "snapshot"
    )
    found = {name: content for name, content in tree(Path(folder)).items() if not name.startswith((".cache", ".git"))}
    assert found.keys() - tree(model / "Format-Serving").keys() == {"README.md", "millrace.json"}
    assert found.items() >= tree(model / "Format-Serving").items()
    manifest = json.loads(found["millrace.json"])
    assert manifest["model_digest"] == content_digest(model)
    assert set(manifest["files"]) == set(tree(model / "Format-Serving"))


def test_large_files_go_to_the_storage_and_small_ones_into_the_commit(
    tmp_path: Path, hub: Hub, model: Path, blessing: Path
) -> None:
    assert push(tmp_path / "out", hub, model, blessing).exit_code == 0
    blobs = hub.model().at(revision_of(model)).tree  # type: ignore[union-attr]
    large = {path for path, blob in blobs.items() if blob.lfs}
    assert large == {"saved_model.pb", "fingerprint.pb", "variables/variables.data-00000-of-00001"}
    assert len(hub.asked("POST", "/complete$")) == 1
    assert len(hub.parts) == 3


def test_main_holds_the_card_and_points_to_the_revision(tmp_path: Path, hub: Hub, model: Path, blessing: Path) -> None:
    facts = push(tmp_path / "out", hub, model, blessing).metadata("pushed_model")
    files = hub.model().files("main")
    assert files.keys() == {"README.md", "revision.json"}
    assert json.loads(files["revision.json"]) == {
        "revision": facts["revision"],
        "commit": facts["commit"],
        "model_digest": facts["model_digest"],
    }
    assert files["README.md"] == hub.model().files(facts["revision"])["README.md"]


def test_the_same_model_twice_is_one_revision_and_no_commit(
    tmp_path: Path, hub: Hub, model: Path, blessing: Path
) -> None:
    space = {"sdk": "gradio"}
    first = push(tmp_path / "a", hub, model, blessing, space=space)
    commits = {name: dict(each.branches) for name, each in hub.repositories.items()}
    hub.requests.clear()
    second = push(
        tmp_path / "b", hub, signed_model(tmp_path / "copy", extra_bytes=2_500_000), blessing, space=space, run="taxi-2"
    )
    assert (first.exit_code, second.exit_code) == (0, 0), second.stderr
    assert commits == {name: dict(each.branches) for name, each in hub.repositories.items()}
    assert not hub.asked("POST", "/commit/|/batch|create|/branch/")
    assert second.metadata("pushed_model") == first.metadata("pushed_model") | {"created": False, "moved": False}
    # The card tells the run that made the revision.
    assert b"taxi-20261121-1" in hub.model().files("main")["README.md"]


def test_another_model_is_another_revision_and_the_first_stays(
    tmp_path: Path, hub: Hub, model: Path, blessing: Path
) -> None:
    first = push(tmp_path / "a", hub, model, blessing).metadata("pushed_model")
    other = signed_model(tmp_path / "other", "two")
    second = push(tmp_path / "b", hub, other, blessing).metadata("pushed_model")
    repository = hub.model()
    assert set(repository.branches) == {"main", first["revision"], second["revision"]}
    assert repository.branches[first["revision"]] == first["commit"]
    assert "revision.json" not in repository.files(second["revision"])
    assert json.loads(repository.files("main")["revision.json"])["revision"] == second["revision"]
    # Pushed again, the first is the latest again, on the revision that it has.
    again = push(tmp_path / "c", hub, model, blessing).metadata("pushed_model")
    assert again == first | {"created": False, "moved": True}
    assert json.loads(repository.files("main")["revision.json"])["commit"] == first["commit"]


def test_main_is_not_taken_from_a_model_that_was_found_better(tmp_path: Path, hub: Hub, model: Path) -> None:
    """Two runs that overlap: what the later one published was blessed against the model of this one."""
    other = signed_model(tmp_path / "other", "two")
    first, second, back = (
        make_blessing(tmp_path / f"blessing-{name}", baseline=baseline)
        for name, baseline in (("first", ""), ("second", model), ("back", other))
    )
    assert push(tmp_path / "a", hub, model, first).exit_code == 0
    newer = push(tmp_path / "b", hub, other, second)
    assert newer.exit_code == 0, newer.stderr
    late = push(tmp_path / "c", hub, model, first)
    assert late.exit_code == 75
    assert late.error.startswith("main of the model team/taxi: another run has published a model that was found better")
    latest = json.loads(hub.model().files("main")["revision.json"])
    assert latest["revision"] == revision_of(other)
    assert latest["baseline_digest"] == content_digest(model)
    # Compared with that one, it may come back.
    again = push(tmp_path / "d", hub, model, back)
    assert again.exit_code == 0, again.stderr
    assert "which was there already and is the latest again" in again.stdout
    assert json.loads(hub.model().files("main")["revision.json"])["revision"] == revision_of(model)


def test_a_revision_that_somebody_changed_is_mended_and_others_files_on_main_stay(
    tmp_path: Path, hub: Hub, model: Path, blessing: Path
) -> None:
    facts = push(tmp_path / "a", hub, model, blessing).metadata("pushed_model")
    repository = hub.model()
    for branch in (facts["revision"], "main"):
        changed = dict(repository.commits[repository.branches[branch]].tree)
        changed["notes.txt"] = changed["README.md"]
        if branch != "main":
            changed["saved_model.pb"] = changed["README.md"]
        repository.commit(branch, changed, "by hand")
    again = push(tmp_path / "b", hub, model, blessing)
    assert again.metadata("pushed_model")["created"] is True
    found = repository.files(facts["revision"])
    assert found.items() >= tree(model / "Format-Serving").items()
    assert "notes.txt" not in found
    assert "notes.txt" in repository.files("main")


@pytest.mark.parametrize("kind", ["of another", "none", "changed"])
def test_without_a_blessing_no_request_leaves(tmp_path: Path, hub: Hub, model: Path, kind: str) -> None:
    blessing = tmp_path / "blessing"
    if kind == "none":
        blessing.mkdir()
    else:
        other = signed_model(tmp_path / "other", "two")
        make_blessing(blessing, model=other if kind == "of another" else None)
    kwargs = arguments(model, blessing)
    if kind == "changed":
        (model / "Format-Serving" / "saved_model.pb").write_bytes(b"")
    process = start(tmp_path / "out", hub, kwargs)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 65
    said = {"of another": "of another model", "none": "no blessing", "changed": "has changed since"}
    assert said[kind] in stderr
    assert not hub.requests
    assert not any((tmp_path / "out").iterdir())


def test_nothing_is_published_of_a_model_without_a_blessing(tmp_path: Path, hub: Hub, model: Path) -> None:
    process = start(tmp_path / "out", hub, arguments(model, make_blessing(tmp_path / "blessing", blessed=False)))
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 0, stderr
    assert "nothing published: the model is not blessed: " in stdout
    assert json.loads((tmp_path / "out" / "pushed_model" / "pushed.json").read_text())["pushed"] is False
    assert not hub.requests


def test_the_card(tmp_path: Path, hub: Hub, model: Path, blessing: Path) -> None:
    push(tmp_path / "out", hub, model, blessing)
    text = hub.model().files("main")["README.md"].decode()
    _, header, body = text.split("---\n", 2)
    metadata = yaml.safe_load(header)
    assert (metadata["license"], metadata["pipeline_tag"]) == ("apache-2.0", "tabular-classification")
    assert metadata["tags"] == ["tensorflow", "saved-model", "millrace", "taxi"]
    (results,) = metadata["model-index"][0]["results"]
    assert {each["type"]: each["value"] for each in results["metrics"]} == {
        "accuracy": 0.75,
        "auc": 0.8125,
        "example_count": 3400.0,
    }
    for line in (
        "| `auc` | 0.8125 |",
        "| `train` | 6600 |",
        "| all | 10000 |",
        "| data | `sha256:feed` |",
        f"| model | `{content_digest(model)}` |",
        "| run | `taxi-20261121-1` |",
        "| in | `hours` | int64 | `[?, ?]` |",
        "| in | `company` | string | `[?]` |",
        "| out | `outputs` | float32 | `[?, 1]` |",
        "| 0 | `small` |",
        r"| 1 | `large \| '1'` |",
        "all 2 thresholds hold",
    ):
        assert line in body
    assert "__saved_model_init_op" not in text
    assert str(tmp_path) not in text


def test_the_card_takes_its_power_from_what_comes_from_outside(
    tmp_path: Path, hub: Hub, model: Path, blessing: Path
) -> None:
    evil = '<script>alert(1)</script> | [x](http://evil) `y`\n---\n"""\nimport os  # {{ 7 * 7 }}'
    result = push(
        tmp_path / "out", hub, model, blessing, description=evil, run=evil, pipeline=evil, tags=[evil], license=evil,
        space={"title": evil, "classes": [evil]},
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    text = hub.model().files("main")["README.md"].decode()
    header, body = text.removeprefix("---\n").split("\n---\n\n#", 1)
    assert yaml.safe_load(header)["tags"][3] == evil
    # In code all is text; what counts is that nobody gets out of it.
    body = re.sub(r"`[^`\n]*`", "", body)
    assert "<script>" not in body
    assert not re.search(r"(?<!\\)[\[|]x", body)
    assert "49" not in body
    files = hub.space().files("main")
    compile(files["app.py"], "app.py", "exec")
    assert b"\nimport os  #" not in files["app.py"].split(b"MODEL = ")[1]
    assert yaml.safe_load(files["README.md"].decode().split("---\n")[1])["title"] == " ".join(evil.split())


def test_the_space_runs_the_commit(tmp_path: Path, hub: Hub, model: Path, blessing: Path) -> None:
    result = push(tmp_path / "a", hub, model, blessing, space={"sdk": "gradio", "classes": ["small", "generous"]})
    assert result.exit_code == 0, result.stderr
    facts = result.metadata("pushed_model")
    space = hub.space()
    assert (space.private, space.sdk, facts["space"]) == (True, "gradio", f"{hub.address}/spaces/team/taxi-demo")
    files = {name: content.decode() for name, content in space.files("main").items()}
    assert files.keys() == {"app.py", "served_model.py", "requirements.txt", "README.md"}
    assert f"COMMIT = '{facts['commit']}'" in files["app.py"]
    assert "CLASSES = ['small', 'generous']" in files["app.py"]
    assert "gr.Image" not in files["app.py"]
    assert yaml.safe_load(files["README.md"].split("---\n")[1])["sdk"] == "gradio"
    # The next model: one more commit of the Space, which runs it.
    other = push(tmp_path / "b", hub, signed_model(tmp_path / "other", "two"), blessing, space={"sdk": "gradio"})
    app = space.files("main")["app.py"].decode()
    assert other.metadata("pushed_model")["commit"] in app
    # Without names in the settings those are shown that evaluate has found.
    assert f"CLASSES = {CLASSES!r}" in app
    assert len(space.history("main")) == 3


@pytest.mark.parametrize("sdk", ["gradio", "streamlit"])
def test_the_space_of_a_model_of_images(tmp_path: Path, hub: Hub, blessing: Path, sdk: str) -> None:
    model = signed_model(tmp_path / "model", inputs={"image_bytes": tensor(STRING, -1)})
    result = push(
        tmp_path / "out", hub, model, blessing, space={"sdk": sdk, "repo_id": "team/try-it", "private": False}
    )
    assert result.exit_code == 0, result.stderr
    space = hub.space("team/try-it")
    files = space.files("main")
    header = yaml.safe_load(files["README.md"].decode().split("---\n")[1])
    hubs_name = {"gradio": "gradio", "streamlit": "docker"}[sdk]
    assert (space.private, space.sdk, header["sdk"]) == (False, hubs_name, hubs_name)
    assert ("Dockerfile" in files) == (sdk == "streamlit")
    assert b"served.image" in files["app.py"]
    assert (b"streamlit==" in files["requirements.txt"]) == (sdk == "streamlit")
    compile(files["app.py"], "app.py", "exec")


def test_somebody_else_pushed_the_same_at_the_same_time(tmp_path: Path, hub: Hub, model: Path, blessing: Path) -> None:
    """Between the look at the branch and the commit another push of the same model ends."""

    def first(request: Request) -> Answer | None:
        if request.method == "POST" and "/commit/model-" in request.path:
            hub.interfere = lambda request: None
            repository = hub.model()
            branch = revision_of(model)
            hub.answer(request)
            assert branch in repository.branches
        return None

    hub.interfere = first
    result = push(tmp_path / "out", hub, model, blessing)
    assert result.exit_code == 0, result.stderr
    assert result.metadata("pushed_model")["created"] is False
    assert len(hub.model().history(revision_of(model))) == 2


def test_somebody_else_changed_the_branch_at_the_same_time(
    tmp_path: Path, hub: Hub, model: Path, blessing: Path
) -> None:
    def meanwhile(request: Request) -> Answer | None:
        if request.method == "POST" and "/commit/main" in request.path:
            hub.interfere = lambda request: None
            repository = hub.model()
            repository.commit("main", dict(repository.at("main").tree), "by hand")  # type: ignore[union-attr]
        return None

    hub.interfere = meanwhile
    result = push(tmp_path / "a", hub, model, blessing)
    assert result.exit_code == 75
    assert result.error == (
        "the model team/taxi: somebody else changed main at the same time, and nothing was overwritten; run again"
    )
    assert hub.model().history("main")[0].message == "by hand"
    again = push(tmp_path / "b", hub, model, blessing)
    assert (again.exit_code, again.metadata("pushed_model")["created"]) == (0, False)


@pytest.mark.slow
@pytest.mark.parametrize("where", ["/storage/", "/commit/model-", "/commit/main"])
def test_killed_on_the_way_the_next_push_ends_in_the_same_state(
    tmp_path: Path, hub: Hub, model: Path, blessing: Path, where: str
) -> None:
    with running_hub() as calm:
        push(tmp_path / "calm", calm, model, blessing)
        expected = {branch: calm.model().files(branch) for branch in calm.model().branches}

    def hold(request: Request) -> Answer | None:
        if where in request.path and request.method in ("PUT", "POST"):
            hub.interfere = lambda request: None
            hub.answer(request)
            time.sleep(30)
        return None

    hub.interfere = hold
    process = start(tmp_path / "killed", hub, arguments(model, blessing))
    deadline = time.monotonic() + 60
    while not hub.asked("PUT", where) + hub.asked("POST", where):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (tmp_path / "killed" / "pushed_model").exists()
    result = push(tmp_path / "out", hub, model, blessing)
    assert result.exit_code == 0, result.stderr
    found = {branch: hub.model().files(branch) for branch in hub.model().branches}
    assert found.keys() == expected.keys()
    revision = revision_of(model)
    assert found[revision] == expected[revision]
    assert found["main"]["README.md"] == expected["main"]["README.md"]
    # One commit for the model, one for main, whoever of the two made it.
    assert [len(hub.model().history(branch)) for branch in (revision, "main")] == [2, 2]


def test_a_busy_storage_is_asked_again(tmp_path: Path, hub: Hub, model: Path, blessing: Path) -> None:
    def once(request: Request) -> Answer | None:
        if request.path.startswith("/storage/"):
            hub.interfere = lambda request: None
            return 503, b"<Error><Code>SlowDown</Code></Error>"
        return None

    hub.interfere = once
    result = push(tmp_path / "out", hub, model, blessing)
    assert result.exit_code == 0, result.stderr


def test_files_that_the_repository_ignores_are_missed(tmp_path: Path, hub: Hub, blessing: Path) -> None:
    repository = hub.create("team/taxi")
    first = dict(repository.at("main").tree)  # type: ignore[union-attr]
    first[".gitignore"] = type(first[".gitattributes"])(b"*.index\n", lfs=False)
    repository.commit("main", first, "ignore")
    result = push(tmp_path / "out", hub, signed_model(tmp_path / "model"), blessing)
    assert result.exit_code == 75
    assert "variables/variables.index is not there as it was pushed" in result.error
    assert "revision.json" not in repository.files("main")


def test_a_saved_model_that_is_none(tmp_path: Path, hub: Hub, blessing: Path) -> None:
    model = signed_model(tmp_path / "model")
    (model / "Format-Serving" / "saved_model.pb").write_bytes(saved_model({})[:-3])
    result = push(tmp_path / "out", hub, model, blessing)
    assert (result.exit_code, "not a SavedModel" in result.error) == (65, True)
    assert not hub.requests
