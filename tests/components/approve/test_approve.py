"""The stage that waits for a person, run as a runner runs it, and answered from beside."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.approve.approve import approve
from components.runtime.errors import InputError
from components.runtime.publish import approval, suspension
from components.runtime.publish.approval import Answer, Question
from components.runtime.stage.artifacts import InputArtifact, OutputArtifact
from tests.components.push.serving_support import make_blessing, make_model, tree
from tests.runners.cluster_support import call
from tests.runners.loopback import Request, serving
from tests.support import ROOT, StageResult, run_stage

METRICS = {"auc": 0.91, "digest": "sha256:1", "bytes": 0}


def ask(tmp_path: Path, blessed: bool = True, **parameters: Any) -> StageResult:
    """Runs the stage on a model with a blessing that has warm-up requests."""
    model = make_model(tmp_path / "model")
    blessing = make_blessing(tmp_path / "blessing", blessed, model)
    (blessing / "warm_up").mkdir()
    (blessing / "warm_up" / "tf_serving_warmup_requests").write_text("requests")
    given = {"destination": str(tmp_path / "serving"), "run": "taxi-1", "timeout_minutes": 1.0, "approvers": []}
    given |= {"slack_users": {}, "webhook": "", "link": "", "told": {}}
    return run_stage(
        "approve",
        tmp_path / "out",
        parameters=given | parameters,
        inputs={"model": model, "blessing": blessing, "metrics": tmp_path},
        metadata={"metrics": METRICS},
        outputs=["approval"],
        output_parameters=["approved"],
    )


def when_asked(root: Path, act: Callable[[Question], None]) -> threading.Thread:
    """Does something once a question lies there."""

    def wait() -> None:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            for question in approval.questions(root).values():
                act(question)
                return
            time.sleep(0.05)

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def blessing_of(result: StageResult) -> dict[str, Any]:
    folder = result.folder / "approval"
    found: dict[str, Any] = json.loads((folder / "blessing.json").read_text())
    assert (folder / "BLESSED").exists() is found["blessed"]
    assert (folder / "NOT_BLESSED").exists() is not found["blessed"]
    return found


def test_a_yes_hands_the_blessing_on_with_all_that_lies_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_USER", "anna")
    seen: list[Question] = []

    def yes(question: Question) -> None:
        seen.append(question)
        said = call("approve", "--serving-directory", tmp_path / "serving", "taxi-1", "--why", "as planned", "--json")
        assert (said.exit_code, json.loads("\n".join(said.lines))["by"]) == (0, "anna")

    thread = when_asked(tmp_path / "serving", yes)
    result = ask(tmp_path)
    thread.join()
    assert result.exit_code == 0, result.stderr
    assert (seen[0].metrics, seen[0].reason) == ({"auc": 0.91}, "all 2 thresholds hold")
    assert blessing_of(result)["reason"] == "all 2 thresholds hold"
    files = tree(result.folder / "approval")
    assert files["warm_up/tf_serving_warmup_requests"] == b"requests"
    told = json.loads(files["approval.json"])
    assert (told["answer"]["by"], told["answer"]["why"]) == ("anna", "as planned")
    assert told["question"]["metrics"] == {"auc": 0.91}
    metadata = result.metadata("approval")
    assert (metadata["approved"], metadata["by"], metadata["blessed"]) == (True, "anna", True)
    assert "waits for a person: ./millrace approve taxi-1" in result.stdout
    assert not list((tmp_path / "serving" / ".approvals").iterdir()), "nobody waits any more"


def test_a_no_takes_the_blessing_and_says_whose_it_was(tmp_path: Path) -> None:
    def no(question: Question) -> None:
        approval.answer(tmp_path / "serving", question, Answer(False, "anna", "not on a Friday", question.model_digest))

    thread = when_asked(tmp_path / "serving", no)
    result = ask(tmp_path)
    thread.join()
    found = blessing_of(result)
    assert (found["blessed"], found["reason"]) == (False, "not approved by anna: not on a Friday")
    assert result.metadata("approval")["approved"] is False


def test_without_an_answer_in_time_it_is_a_no(tmp_path: Path) -> None:
    result = ask(tmp_path, timeout_minutes=0.02)
    assert result.exit_code == 0
    assert blessing_of(result)["reason"] == "nobody approved it within 0.02 minutes"
    assert "at" not in result.metadata("approval")
    assert not approval.questions(tmp_path / "serving")


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("slack", 200),
        pytest.param("text", 200, marks=pytest.mark.slow),
        pytest.param("json", 503, marks=pytest.mark.slow),
    ],
)
def test_people_are_told_and_a_webhook_that_fails_leaves_the_question_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, code: int
) -> None:
    got: list[dict[str, Any]] = []

    def take(request: Request) -> tuple[int, bytes]:
        got.append(json.loads(request.body))
        return code, b"ok"

    def no(question: Question) -> None:
        approval.answer(tmp_path / "serving", question, Answer(False, "anna", "", question.model_digest))

    with serving(take) as url:
        monkeypatch.setenv("MILLRACE_NOTIFY_URL", f"{url}/secret-path")
        thread = when_asked(tmp_path / "serving", lambda question: (time.sleep(0.2), no(question))[1])
        result = ask(tmp_path, webhook=kind, slack_users={"U02ABCDEF": "anna"}, link="https://example.org/{run}")
        thread.join()
    assert result.exit_code == 0, result.stderr
    [told] = got
    assert "answer: ./millrace approve taxi-1\nhttps://example.org/taxi-1" in told["text"]
    assert ("blocks" in told) is (kind == "slack")
    assert f"{'told' if code == 200 else 'nobody is told: the webhook at'} 127.0.0.1" in result.stdout
    assert "secret-path" not in result.stdout + result.stderr
    assert blessing_of(result)["reason"] == "not approved by anna"


def test_without_an_address_nobody_is_told_and_another_kind_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MILLRACE_NOTIFY_URL", raising=False)
    result = ask(tmp_path / "slack", webhook="slack", timeout_minutes=0.005)
    assert "nobody is told: there is no MILLRACE_NOTIFY_URL in the environment" in result.stdout
    result = ask(tmp_path / "pigeon", webhook="pigeon")
    assert result.exit_code == 65
    assert "webhook is 'pigeon', expected one of text, slack, json" in result.stderr
    assert not approval.questions(tmp_path / "pigeon" / "serving")


def told_of(digest: str, **more: str) -> dict[str, str]:
    """What a stage is told whose Workflow was suspended."""
    question = Question(
        "taxi-1",
        digest,
        "all 2 thresholds hold",
        {},
        ["anna"],
        "",
        "2999-01-01T00:00:00+00:00",
        workflow="taxi-1",
    )
    return dict.fromkeys(suspension.ANSWER, "") | {suspension.QUESTION: suspension.question_text(question)} | more


def answered(tmp_path: Path, told: dict[str, str]) -> dict[str, Any]:
    """The metadata of what the stage makes of what it is told, in this process."""
    made = {name: InputArtifact(name, str(tmp_path / name), {}) for name in ("model", "blessing")}
    out = OutputArtifact("approval", str(tmp_path / "out"))
    where = (str(tmp_path / "serving"), "taxi-1", 60.0, ["anna"], {}, "", "")
    approve(made["model"], made["blessing"], None, *where, told, out)
    return out.metadata


UNANSWERED = "nobody approved it: taxi-1 was resumed without an answer that counts"


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"approved": "Yes", "by": " anna "}, "approved by anna"),
        ({"approved": "no", "by": "anna", "why": "Friday"}, "not approved by anna: Friday"),
        ({"approved": "yes", "by": "bob"}, UNANSWERED),
        ({"approved": "yes"}, UNANSWERED),
        ({"approved": "perhaps", "by": "anna"}, UNANSWERED),
        ({"approved": "yes 2026-11-30T00:00:00+00:00 sha256:2", "by": "anna"}, UNANSWERED),
        ({"approved": "yes 3000-01-01T00:00:00+00:00", "by": "anna"}, UNANSWERED),
        ({"approved": "yes now", "by": "anna"}, UNANSWERED),
    ],
)
def test_behind_a_suspension_it_does_not_wait(tmp_path: Path, said: dict[str, str], reason: str) -> None:
    blessing = make_blessing(tmp_path / "blessing", True, make_model(tmp_path / "model"))
    digest = json.loads((blessing / "blessing.json").read_text())["model_digest"]
    metadata = answered(tmp_path, told_of(digest, **said))
    assert metadata["review"] == reason
    assert metadata["blessed"] is (reason == "approved by anna")


def test_an_answer_to_another_question_is_refused(tmp_path: Path) -> None:
    make_blessing(tmp_path / "blessing", True, make_model(tmp_path / "model"))
    with pytest.raises(InputError, match="people were asked about another model"):
        answered(tmp_path, told_of("sha256:3"))
    with pytest.raises(InputError, match="what was asked cannot be read any more"):
        answered(tmp_path, {suspension.QUESTION: "{"})


def test_nobody_is_asked_about_a_model_that_is_not_blessed(tmp_path: Path) -> None:
    result = ask(tmp_path, blessed=False)
    assert result.exit_code == 0
    assert blessing_of(result)["reason"] == "auc 0.71 < 0.85 (overall)"
    assert "approved" not in result.metadata("approval"), "what was not asked has no answer"
    assert not (tmp_path / "serving").exists()


def test_who_may_not_is_refused_and_the_run_waits_on(tmp_path: Path) -> None:
    root = tmp_path / "serving"

    def act(question: Question) -> None:
        with pytest.raises(InputError, match=r"bob may not approve taxi-1; these may: anna"):
            approval.answer(root, question, Answer(True, "bob", "", question.model_digest))
        # Whoever writes the file by hand is told in the log.
        forged = {"approved": True, "by": "bob", "why": "", "model_digest": question.model_digest, "at": "now"}
        (root / ".approvals" / "taxi-1.answer.json").write_text(json.dumps(forged))
        while (root / ".approvals" / "taxi-1.answer.json").exists():
            time.sleep(0.05)
        approval.answer(root, question, Answer(True, "anna", "", question.model_digest))

    thread = when_asked(root, act)
    result = ask(tmp_path, approvers=["anna"])
    thread.join()
    assert "does not count: bob may not approve taxi-1; these may: anna" in result.stdout
    assert result.metadata("approval")["by"] == "anna"


def question(**given: Any) -> Question:
    base = {"run": "taxi-1", "model_digest": "sha256:1", "reason": "", "metrics": {}, "approvers": []}
    return Question(**(base | {"asked": "", "until": "2999-01-01T00:00:00+00:00"} | given))


@pytest.mark.parametrize(
    ("given", "refused"),
    [
        (Answer(True, "anna", "", "sha256:2"), "the answer of anna is of another model than taxi-1 asks about"),
        (Answer(True, " ", "", "sha256:1"), "taxi-1: an answer needs a name; set MILLRACE_USER"),
        (Answer(True, "anna", "", "sha256:1"), ""),
    ],
)
def test_which_answers_count(given: Answer, refused: str) -> None:
    assert approval.refusal(question(), given) == refused


def test_the_command_tells_what_waits_and_what_does_not(tmp_path: Path) -> None:
    root = tmp_path / "root" / "serving" / "taxi"
    assert call("--root", tmp_path / "root", "approve").lines == ["nothing waits"]
    for name in ("deep", "wide"):
        approval.ask(root / name, question(run=f"taxi-1-{name}"))
    (root / ".approvals").mkdir()
    (root / ".approvals" / "broken.question.json").write_text("{")
    waiting = call("--root", tmp_path / "root", "approve", "--quiet")
    assert waiting.lines == ["taxi-1-deep", "taxi-1-wide"]
    several = call("approve", "--serving-directory", root, "taxi-1")
    assert several.exit_code == 65
    assert "waits for 2 answers: taxi-1-deep, taxi-1-wide" in several.error
    other = call("approve", "--serving-directory", root, "taxi-2")
    assert (other.exit_code, other.error) == (65, "taxi-2 waits for no answer; millrace approve tells what does")


def test_a_wrong_time_is_refused(tmp_path: Path) -> None:
    result = ask(tmp_path, timeout_minutes=2000)
    assert (result.exit_code, result.error) == (65, "timeout_minutes: expected more than 0 and at most 1440, not 2000")


def test_a_stage_that_is_stopped_takes_its_question_away(tmp_path: Path) -> None:
    model = make_model(tmp_path / "model")
    make_blessing(tmp_path / "blessing", True, model)
    program = f"""
from pathlib import Path
from components.approve.approve import approve
from components.runtime.stage.artifacts import InputArtifact, OutputArtifact
folder = Path({str(tmp_path)!r})
out = OutputArtifact("approval", str(folder / "out"))
made = {{name: InputArtifact(name, str(folder / name), {{}}) for name in ("model", "blessing")}}
approve(made["model"], made["blessing"], None, str(folder / "serving"), "taxi-1", 10.0, [], {{}}, "", "", {{}}, out)
"""
    process = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT)
    when_asked(tmp_path / "serving", lambda question: process.terminate()).join()
    assert process.wait(60) == -signal.SIGTERM
    assert not list((tmp_path / "serving" / ".approvals").iterdir())


def test_a_question_whose_time_is_up_is_not_open(tmp_path: Path) -> None:
    asked = Question("taxi-1", "sha256:1", "", {}, [], "", "2026-01-01T00:00:00+00:00")
    approval.ask(tmp_path, asked)
    assert approval.questions(tmp_path) == {}
