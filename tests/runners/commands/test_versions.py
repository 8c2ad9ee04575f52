"""`versions`, `rollback` and `promote`: what they change, what they record, and what they refuse."""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from components.runtime.errors import StageError, TransientError
from components.runtime.publish.serving import MANIFEST
from components.runtime.stage.artifacts import OutputArtifact, content_digest
from runners.commands import completion
from runners.commands.rollback import rollback as command
from runners.history.comparison import compare_runs
from runners.history.explorer import files
from runners.history.lineage_graph import Graph
from runners.history.records import load_run
from runners.history.spans_read import late_versions
from runners.versions import changes
from tests.components.push.serving_support import tree
from tests.runners.cluster_support import Called, call
from tests.runners.versions.served_root import ServedRoot, served_root
from tests.support import MILLRACE, ROOT


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> ServedRoot:
    return served_root(tmp_path_factory.mktemp("three"))


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, three: ServedRoot) -> ServedRoot:
    """Versions 1 to 3, of three models."""
    monkeypatch.setenv("MILLRACE_USER", "berta")
    return three.copied(tmp_path)


def called(served: ServedRoot, *arguments: object) -> Called:
    return call("--root", served.root, *arguments)


def document(served: ServedRoot, *arguments: object) -> dict[str, Any]:
    found = called(served, *arguments, "--json")
    assert found.exit_code == 0, found.err
    return found.document


def refused(served: ServedRoot, *arguments: object, code: int = 65) -> str:
    """The error of a command that changes nothing of what is served."""
    before = tree(served.serving) if served.serving.exists() else {}
    found = called(served, *arguments)
    assert found.exit_code == code, found.out + found.err
    assert (tree(served.serving) if served.serving.exists() else {}) == before
    return found.error


def test_versions_tells_what_is_served_since_when_by_whom_and_why_it_may_be(served: ServedRoot) -> None:
    (served.serving / "labels.json").write_text('{"stable": 2}')
    told = document(served, "versions", "taxi")
    assert (told["labels"], told["serving_directory"]) == ({"stable": 2}, str(served.serving))
    third, second, first = told["versions"]
    assert [each["state"] for each in (third, second, first)] == ["served", "earlier", "earlier"]
    assert [each["release"] for each in (third, second, first)] == ["1.2", "1.1", "1.0"]
    assert third["change"] == "other data since version 2: ingest/examples"
    assert (second["labels"], third["labels"]) == (["stable"], [])
    assert (third["blessed"], third["blessed_by"], third["by"]) == (True, served.runs[2], "anna")
    assert third["metrics"] == {"auc": pytest.approx(0.904)}
    assert third["since"] == second["until"] or first["until"] == second["since"]
    head, *lines = called(served, "versions", "taxi").lines
    assert head.split("  ")[0] == "version"
    assert [line.split()[0] for line in lines] == ["3", "2", "1"]
    assert called(served, "versions", "taxi", "--quiet").lines == ["3", "2", "1"]


def test_versions_tells_which_spans_made_each_and_which_of_them_are_newer_by_now(tmp_path: Path) -> None:
    served = ServedRoot(tmp_path / "root", tmp_path)
    dates = {"span_dates": ["2026-11-28", "2026-11-30"]}
    served.pushed("a", data="1", spans={"spans": [20785, 20787], "span_versions": [1, 1], **dates})
    served.pushed("b", data="2", spans={"spans": [20789], "span_versions": [1], "span_versions_there": {"20787": 1}})
    late = {"spans": [20790], "span_versions": [1], "span_versions_there": {"20785": 1, "20787": 2, "20789": 3}}
    served.pushed("c", data="3", spans=late | {"span_dates": ["2026-12-03"]})
    told = [each["spans"] for each in document(served, "versions", "taxi")["versions"]]
    assert told == [
        "span 2026-12-03 (version 1)",
        "span 20789 (version 1)",
        "spans 2026-11-28 (version 1), 2026-11-30 (version 1)",
    ]
    assert "2026-11-28 (version 1), 2026-11-30 (version 1)" in called(served, "versions", "taxi").out
    assert "spans 2026-11-28 (version 1)" in called(served, "lineage", "taxi@1", "--up").out
    assert late_versions(served.root, load_run(served.root, served.runs[2])) == [
        "span 2026-11-30 has version 2 now, the last run that read it used 1",
        "span 2026-12-02 has version 3 now, the last run that read it used 1",
    ]
    assert late_versions(served.root, load_run(served.root, served.runs[1])) == []
    served.pushed("d", data="4", spans={"spans": [20787], "span_versions": [2]} | {"span_dates": ["2026-11-30"]})
    assert late_versions(served.root, load_run(served.root, served.runs[3])) == [
        "span 2026-11-30: this run reads version 2, the last one that read it used 1"
    ]
    page = Path(called(served, "report", served.runs[2]).lines[-1]).read_text()
    assert "span 2026-11-30 has version 2 now, the last run that read it used 1" in page
    assert "rows of data, span 2026-12-03 (version 1)" in page
    rolled = document(served, "rollback", "taxi", "--to", "1")
    assert document(served, "versions", "taxi")["versions"][0]["spans"] == told[2], rolled


def test_spans_of_other_data_are_not_the_same_spans(tmp_path: Path) -> None:
    served = ServedRoot(tmp_path / "root", tmp_path)
    for content, place, version in (("a", "/b", 2), ("b", "/a", 1), ("c", "/b/", 2), ("d", "s3://b/a", 3)):
        served.pushed(content, data=content, place=place, spans={"spans": [1], "span_versions": [version]})
        assert late_versions(served.root, load_run(served.root, served.runs[-1])) == []
    served.pushed("e", data="e", place="/a", spans={"spans": [1], "span_versions": [3]})
    assert late_versions(served.root, load_run(served.root, served.runs[-1])) == [
        "span 1: this run reads version 3, the last one that read it used 1"
    ]


def test_without_spans_nothing_is_said_of_them(served: ServedRoot) -> None:
    assert {each["spans"] for each in document(served, "versions", "taxi")["versions"]} == {None}
    assert "span" not in called(served, "versions", "taxi").out


def test_rollback_is_a_new_version_with_the_model_of_another_one(served: ServedRoot) -> None:
    (served.serving / "2" / "assets.extra" / "tf_serving_warmup_requests").write_bytes(b"requests")
    told = document(served, "rollback", "taxi", "--why", "wrong on Sundays")
    assert (told["version"], told["same_as"], told["replaced"], told["why"]) == (4, 2, 3, "wrong on Sundays")
    second, fourth = (tree(served.serving / number) for number in ("2", "4"))
    said = [json.loads(each.pop(MANIFEST)) for each in (second, fourth)]
    assert fourth == second, "with what others put there"
    assert (served.serving / "4" / "assets").is_dir(), "empty folders too"
    assert {name: said[1][name] for name in ("files", "model_digest", "blessing")} == {
        name: said[0][name] for name in ("files", "model_digest", "blessing")
    }
    assert said[1]["rolled_back"] == {
        "version": 4,
        "same_as": 2,
        "replaced": 3,
        "by": "berta",
        "why": "wrong on Sundays",
        "run": told["run"],
    }
    assert [entry.name for entry in served.serving.glob(".staging*")] == []


def test_rollback_is_known_to_everything_that_tells_of_runs(served: ServedRoot) -> None:
    run = document(served, "rollback", "taxi", "--to", "1", "--why", "wrong on Sundays")["run"]
    record = load_run(served.root, run)
    assert (record.state, record.decision, record.by, record.part) == ("done", "rollback", "berta", "rollback")
    assert [(task.name, task.state, task.facts) for task in record.tasks] == [("rollback", "done", "version 4")]
    assert load_run(served.root).id == served.runs[-1], "the latest run is one of the pipeline"
    listed = document(served, "runs")["runs"][0]
    assert (listed["run"], listed["decision"], listed["pushed"]) == (
        run,
        "rollback",
        {"version": 4, "destination": "serving/taxi"},
    )
    lines = called(served, "lineage", "taxi@4").lines
    assert lines[0].startswith("rollback/pushed_model ")
    assert f"train in {served.runs[0]}" in "\n".join(lines)
    pushed = Graph.read(served.root).find("taxi@1")[0]
    assert any(each.startswith("taxi/rollback/") for each in pushed.users)
    newest = document(served, "versions", "taxi")["versions"][0]
    assert newest | {"how": "rolled back", "same_as": 1, "by": "berta", "why": "wrong on Sundays"} == newest
    assert (newest["release"], newest["change"]) == ("1.0", "the model of version 1 again")
    assert (newest["blessed"], newest["blessed_by"], newest["run"]) == (True, served.runs[0], run)
    index = (served.root / files.FOLDER / "index.js").read_text()
    assert "wrong on Sundays" in index
    assert '"release":"1.0"' in index
    page = called(served, "report", run)
    assert "rollback: version 4 (the model of version 1 again)" in Path(page.lines[-1]).read_text()
    compared = compare_runs(record, load_run(served.root, served.runs[0]))
    assert next(row for row in compared.summary if row.name == "pushed as version").left == "4"


def test_without_records_the_manifest_tells_who_rolled_back(served: ServedRoot) -> None:
    called(served, "rollback", "taxi", "--why", "wrong on Sundays")
    for name in ("runs", "lineage", "artifacts"):
        shutil.rmtree(served.root / name)
    newest = document(served, "versions", "taxi")["versions"][0]
    assert (newest["how"], newest["same_as"], newest["by"], newest["why"]) == (
        "rolled back",
        2,
        "berta",
        "wrong on Sundays",
    )
    assert (newest["release"], newest["blessed"], newest["metrics"]) == (None, True, None), "the manifest says no more"
    assert newest["change"] == "the model of version 2 again, of which nobody knows what it was made of"
    again = document(served, "rollback", "taxi")
    assert (again["version"], again["same_as"]) == (5, 3), "lineage knows the version by its folder alone"


def test_without_a_version_rollback_takes_the_last_intact_one_with_another_model(served: ServedRoot) -> None:
    (served.serving / "2" / "saved_model.pb").write_text("damaged")
    (served.serving / "9").mkdir()
    assert document(served, "rollback", "taxi")["same_as"] == 3, "what is in service is nobody knows what"
    assert document(served, "rollback", "taxi")["same_as"] == 1
    shutil.rmtree(served.serving / "1")
    shutil.rmtree(served.serving / "11" / "variables")
    assert document(served, "rollback", "taxi")["same_as"] == 10, "what is in service is damaged"
    error = refused(served, "rollback", "taxi")
    assert error == "taxi: no intact version before version 12 has another model; version 12 stays"


@pytest.mark.parametrize(
    ("to", "error"),
    [
        ("7", "taxi: there is no version 7; there are 1, 2, 3"),
        ("3", "taxi: version 3 is in service: there is nothing to roll back"),
        ("2", "taxi: version 2 is damaged: saved_model.pb has other bytes than were pushed"),
        ("1", "taxi: version 1 was not pushed by Millrace: nothing tells whether it is whole"),
    ],
)
def test_rollback_refuses(served: ServedRoot, to: str, error: str) -> None:
    (served.serving / "1" / MANIFEST).unlink()
    (served.serving / "2" / "saved_model.pb").write_text("damaged")
    assert refused(served, "rollback", "taxi", "--to", to) == error
    assert len(list((served.root / "runs").iterdir())) == 3, "nothing is recorded that did not happen"


def test_rollback_to_the_model_that_is_in_service_under_another_number(served: ServedRoot) -> None:
    called(served, "rollback", "taxi", "--to", "1")
    assert refused(served, "rollback", "taxi", "--to", "1") == (
        "taxi: version 4 is in service, which is version 1 again: there is nothing to roll back"
    )


def test_of_two_rollbacks_at_once_one_happens(served: ServedRoot) -> None:
    """The second would else take back what the first has done."""
    failed: list[StageError] = []
    begin = threading.Barrier(2)

    def one(number: int) -> None:
        output = OutputArtifact("pushed_model", str(served.scratch / f"rolled-{number}"))
        begin.wait()
        try:
            changes.rollback(None, str(served.serving), 2, 3, "", "", "", output)  # type: ignore[arg-type]
        except StageError as error:
            failed.append(error)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [type(error) for error in failed] == [TransientError]
    assert "version 4 has come into service meanwhile, nothing is changed" in str(failed[0])
    assert served.versions == ["1", "2", "3", "4"]


def test_what_fails_on_its_way_is_recorded_as_failed(served: ServedRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runners.commands.rollback.inputs_of", lambda place, *_: come(served) or {"version": ARTIFACT})
    found = called(served, "rollback", "taxi")
    assert (found.exit_code, "version 4 has come into service meanwhile" in found.error) == (75, True)
    [failed] = [each for each in document(served, "runs")["runs"] if each["decision"]]
    assert failed["state"] == "failed"
    assert failed["error"].startswith("rollback: ")
    assert failed["pushed"] is None
    assert served.versions == ["1", "2", "3", "4"]


ARTIFACT = {"uri": "serving/taxi/2", "type": "system.Model", "metadata": {"digest": ""}}


def come(served: ServedRoot) -> None:
    """A version that comes while somebody decides."""
    served.pushed("model4")


def test_what_cannot_be_recorded_is_not_done(served: ServedRoot) -> None:
    shutil.rmtree(served.root / "artifacts")
    (served.root / "artifacts").write_text("in the way")
    assert "artifacts" in refused(served, "rollback", "taxi")
    assert "artifacts" in refused(served, "promote", "taxi", "1", "--label", "stable")


def test_what_is_done_and_could_not_be_recorded_is_told_so(served: ServedRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(served.root))

    monkeypatch.setattr("components.runtime.launch.execution.publish", full)
    found = called(served, "rollback", "taxi")
    assert found.exit_code == 75
    assert found.error.startswith("what was decided is done, but could not be recorded: ")
    assert served.versions == ["1", "2", "3", "4"]


def test_promote_gives_moves_and_takes_away_a_label(served: ServedRoot) -> None:
    def labels() -> Any:
        return json.loads((served.serving / "labels.json").read_text())

    told = document(served, "promote", "taxi", "2", "--label", "stable", "--why", "a week without complaints")
    assert (told["label"], told["version"], told["earlier"], labels()) == ("stable", 2, None, {"stable": 2})
    record = load_run(served.root, told["run"])
    assert (record.decision, record.tasks[0].facts) == ("promote", "stable is version 2")
    assert record.executions["promote"].parameters["why"] == "a week without complaints"
    said = called(served, "promote", "taxi", "3", "--label", "stable").lines[0]
    assert (said, labels()) == ("taxi: stable is version 3; it was version 2", {"stable": 3})
    called(served, "promote", "taxi", "1", "--label", "old")
    again = document(served, "promote", "taxi", "3", "--label", "stable")
    assert (again["run"], labels()) == (None, {"old": 1, "stable": 3}), "it is already"
    told = document(served, "promote", "taxi", "--label", "stable", "--remove", "--why", "it was slow")
    assert (told["version"], told["earlier"], labels()) == (None, 3, {"old": 1})
    assert load_run(served.root, told["run"]).tasks[0].facts == "stable is taken away"
    assert [each["labels"] for each in document(served, "versions", "taxi")["versions"]] == [[], [], ["old"]]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("7", "--label", "stable"), "taxi: there is no version 7; there are 1, 2, 3"),
        (("2", "--label", "stable"), "taxi: version 2 is damaged: saved_model.pb has other bytes than were pushed"),
        (("3", "--label", "7"), "'7' is no label"),
        (("3", "--label", "a/b"), "'a/b' is no label"),
        (("--label", "stabel", "--remove"), "taxi: no version has the label 'stabel', did you mean 'stable'?"),
        (("--label", "stable"), "give a version, or --remove to take the label away"),
        (("3", "--label", "stable", "--remove"), "give a version, or --remove to take the label away, not both"),
    ],
)
def test_promote_refuses(served: ServedRoot, arguments: tuple[str, ...], error: str) -> None:
    (served.serving / "2" / "saved_model.pb").write_text("damaged")
    (served.serving / "labels.json").write_text('{"stable": 3}')
    assert refused(served, "promote", "taxi", *arguments).startswith(error)


def test_promote_of_a_version_that_others_put_there_says_what_it_cannot_tell(served: ServedRoot) -> None:
    (served.serving / "2" / MANIFEST).unlink()
    told = document(served, "promote", "taxi", "2", "--label", "stable")
    assert json.loads((served.serving / "labels.json").read_text()) == {"stable": 2}
    [warning] = told["warnings"]
    assert warning.startswith("version 2 was not pushed by Millrace: nothing tells whether it is whole")
    (served.serving / "7" / "saved_models").mkdir(parents=True)
    folder = served.serving / "7"
    assert refused(served, "promote", "taxi", "7", "--label", "stable") == (
        f"taxi: version 7 is no model: {folder} has no saved_model.pb"
    )


@pytest.mark.parametrize("content", ["{", "[]", '{"stable": "x"}'])
def test_labels_that_cannot_be_read_are_no_labels_to_write_over(served: ServedRoot, content: str) -> None:
    (served.serving / "labels.json").write_text(content)
    for arguments in (("promote", "taxi", "3", "--label", "stable"), ("versions", "taxi", "--keep", "1", "--yes")):
        assert "labels.json: cannot be read" in refused(served, *arguments)


def test_labels_that_cannot_be_read_hide_no_version(served: ServedRoot) -> None:
    (served.serving / "labels.json").mkdir()
    found = called(served, "versions", "taxi", "--json").document
    assert (found["labels"], [each["version"] for each in found["versions"]]) == (None, [3, 2, 1])
    assert "labels.json: cannot be read" in found["warnings"][0]


@pytest.mark.parametrize("option", ["--serving-directory", "--candidate"])
def test_an_empty_option_is_not_the_place_that_is_meant_without_it(served: ServedRoot, option: str) -> None:
    assert refused(served, "rollback", "taxi", option, " ").startswith(f"{option} is empty")


def test_a_long_reason_is_cut_in_the_table_alone(served: ServedRoot) -> None:
    why = "because " * 400
    document(served, "rollback", "taxi", "--to", "1", "--why", why)
    line = called(served, "versions", "taxi").lines[1]
    assert "because because" in line
    assert len(line) < 500
    assert document(served, "versions", "taxi")["versions"][0]["why"].strip() == why.strip()


def test_a_password_is_no_reason(served: ServedRoot) -> None:
    error = refused(served, "rollback", "taxi", "--why", "see https://anna:hunter22@host/x")
    assert error == "--why: an address with a password, which records would keep; take it out"
    assert len(list((served.root / "runs").iterdir())) == 3


def test_a_label_of_what_is_gone_is_told(served: ServedRoot) -> None:
    (served.serving / "labels.json").write_text('{"stable": 8}')
    found = called(served, "versions", "taxi", "--json")
    assert found.document["warnings"] == ["the label stable names version 8, which is not there"]


def test_the_last_ones_are_kept(served: ServedRoot) -> None:
    called(served, "promote", "taxi", "1", "--label", "old")
    served.pushed("model4", data="month4")
    told = document(served, "versions", "taxi", "--keep", "1", "--yes", "--why", "the disk")
    # 4 is in service, 3 what the same model again would be compared with, 1 has a label.
    assert (told["removed"], served.versions) == ([2], ["1", "3", "4"])
    assert [each["version"] for each in told["versions"]] == [4, 3, 1]
    record = load_run(served.root, told["run"])
    assert (record.decision, record.tasks[0].facts, record.parameters["why"]) == ("remove", "removed 2", "the disk")
    every = document(served, "versions", "taxi", "--all")["versions"]
    assert [(each["version"], each["state"]) for each in every] == [
        (4, "served"),
        (3, "earlier"),
        (2, "removed"),
        (1, "earlier"),
    ]
    assert document(served, "versions", "taxi", "--keep", "1", "--yes")["removed"] == []


def test_nothing_is_removed_where_nobody_says_yes(served: ServedRoot) -> None:
    found = called(served, "versions", "taxi", "--keep", "1")
    assert (found.exit_code, "nobody answers here; give --yes" in found.err) == (65, True)
    assert served.versions == ["1", "2", "3"]


def test_damage_is_told(served: ServedRoot) -> None:
    (served.serving / "3" / "saved_model.pb").unlink()
    (served.serving / "2" / "saved_model.pb").write_text("damaged")
    (served.serving / "1" / MANIFEST).write_text("{")
    damage = [each["damage"] for each in document(served, "versions", "taxi")["versions"]]
    assert damage[:2] == ["saved_model.pb is missing", None]
    assert "its manifest cannot be read" in damage[2]
    found = called(served, "versions", "taxi", "--verify", "--json")
    assert found.exit_code == found.document["code"] == 65
    damage = [each["damage"] for each in found.document["versions"]]
    assert damage[1] == "saved_model.pb has other bytes than were pushed"
    assert f"version 2 is damaged: {damage[1]}" in found.document["error"]
    assert "verified: 0 files of 0 versions; damaged: 1, 2, 3" in called(served, "versions", "taxi", "--verify").out


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (None, "it is no mapping"),
        ({"files": []}, "it lists no files"),
        ({"files": {"saved_model.pb": None}}, "files has more than digests"),
        ({"model_digest": None}, "it has no model_digest"),
        ({"blessing": ["yes"]}, "blessing is no text"),
        ({"metrics": {"auc": "0.9"}}, "metrics is no mapping of numbers"),
        ({"metrics": {"auc": None}}, "metrics is no mapping of numbers"),
        ({"metrics": [0.9]}, "metrics is no mapping of numbers"),
        ({"metrics": None}, "metrics is no mapping of numbers"),
    ],
)
def test_a_manifest_that_says_something_else_is_damage(served: ServedRoot, said: Any, why: str) -> None:
    for record in served.root.glob("**/execution.json"):
        # Of a version that no run here tells of the manifest is what there is.
        record.unlink()
    file = served.serving / "2" / MANIFEST
    file.write_text(json.dumps(said if said is None else json.loads(file.read_text()) | said))
    damage = [each["damage"] for each in document(served, "versions", "taxi")["versions"]]
    assert damage == [None, f"its manifest cannot be read: {why}", None]
    assert f"damaged: {damage[1]}" in called(served, "versions", "taxi").out


def test_what_was_verified_is_told(served: ServedRoot) -> None:
    told = called(served, "versions", "taxi", "--verify")
    files = [each["verified"] for each in document(served, "versions", "taxi", "--verify")["versions"]]
    assert (told.exit_code, told.lines[-1]) == (0, f"verified: {sum(files)} files of 3 versions")
    assert "verified" not in called(served, "versions", "taxi").out
    (served.serving / "2" / "saved_model.pb").write_text("damaged")
    told = called(served, "versions", "taxi", "--verify")
    assert (told.exit_code, told.lines[-1]) == (65, f"verified: {files[0] + files[2]} files of 2 versions; damaged: 2")
    (served.serving / "2" / MANIFEST).unlink()
    told = called(served, "versions", "taxi", "--verify")
    assert (told.exit_code, told.lines[-1].partition("; ")[2]) == (
        0,
        "not pushed by Millrace, and compared with nothing: 2",
    )


def test_exports_are_told_kept_by_a_rollback_and_held_to_their_digests(served: ServedRoot) -> None:
    file = served.serving / "2" / "assets.extra" / "exports" / "phone" / "model.tflite"
    file.parent.mkdir(parents=True)
    file.write_text("weights")
    manifest = json.loads((served.serving / "2" / MANIFEST).read_text())
    digest = hashlib.sha256(b"weights").hexdigest()
    manifest["exports"] = {"phone": {"format": "litert", "how": "LiteRT"}}
    manifest["besides"] = {"assets.extra/exports/phone/model.tflite": digest}
    (served.serving / "2" / MANIFEST).write_text(json.dumps(manifest))
    assert [each["exports"] for each in document(served, "versions", "taxi")["versions"]] == [[], ["phone"], []]
    assert "phone" in call("--root", served.root, "versions", "taxi").out
    file.unlink()
    refused = call("--root", served.root, "rollback", "taxi", "--to", "2")
    assert refused.exit_code == 65
    assert "version 2 is damaged: assets.extra/exports/phone/model.tflite is missing" in refused.error
    file.write_text("weights")
    assert document(served, "rollback", "taxi")["same_as"] == 2
    assert (served.serving / "4" / file.relative_to(served.serving / "2")).read_text() == "weights"
    assert document(served, "versions", "taxi")["versions"][0]["exports"] == ["phone"]
    (served.serving / "4" / file.relative_to(served.serving / "2")).write_text("other")
    told = called(served, "versions", "taxi", "--verify", "--json").document["versions"]
    assert (
        told[0]["damage"] == "assets.extra/exports/phone/model.tflite is missing, or has other bytes than were pushed"
    )


def test_a_root_that_was_moved_knows_its_versions(served: ServedRoot) -> None:
    served.root = served.root.rename(served.root.with_name("moved"))
    assert [each["by"] for each in document(served, "versions", "taxi")["versions"]] == ["anna"] * 3
    assert document(served, "rollback", "taxi")["version"] == 4


def test_the_card_of_a_version(served: ServedRoot) -> None:
    error = refused(served, "versions", "taxi", "--card", "2")
    assert error.startswith("taxi: version 2 has no model card; a section model_card in the settings gives")
    assert refused(served, "versions", "taxi", "--card", "9") == "taxi: there is no version 9; there are 1, 2, 3"
    assert "--card prints one card" in refused(served, "versions", "taxi", "--card", "2", "--all")
    folder = served.serving / "2" / "assets.extra" / "model_card"
    folder.mkdir(parents=True)
    (folder / "model_card.md").write_text("# Model card of taxi\n\n[x] \\_a\n")
    found = called(served, "versions", "taxi", "--card", "2")
    assert (found.exit_code, found.out) == (0, "# Model card of taxi\n\n[x] \\_a\n")
    page = str(folder / "model_card.html")
    assert called(served, "versions", "taxi", "--card", "2", "--quiet").out == f"{page}\n"
    told = document(served, "versions", "taxi", "--card", "2")
    assert told == {"model": "taxi", "version": 2, "card": "# Model card of taxi\n\n[x] \\_a\n", "page": page} | {
        name: told[name] for name in told.keys() - {"model", "version", "card", "page"}
    }
    # What goes back into service has its card still.
    assert called(served, "rollback", "taxi", "--to", "2").exit_code == 0
    assert document(served, "versions", "taxi", "--card", "4")["card"] == told["card"]
    (folder / "model_card.md").write_bytes(b"\xff")
    assert "cannot be read" in refused(served, "versions", "taxi", "--card", "2")


def test_the_configuration_of_tensorflow_serving(served: ServedRoot) -> None:
    (served.serving / "labels.json").write_text('{"stable": 1, "gone": 8}')
    made = called(served, "versions", "taxi", "--tensorflow-serving", "--base-path", "/millrace/serving/taxi").out
    assert (
        made
        == """\
model_config_list {
  config {
    name: "taxi"
    base_path: "/millrace/serving/taxi"
    model_platform: "tensorflow"
    model_version_policy { specific { versions: 1 versions: 3 } }
    version_labels { key: "stable" value: 1 }
  }
}
"""
    )


def test_nothing_was_pushed_yet(tmp_path: Path) -> None:
    served = ServedRoot(tmp_path / "root", tmp_path)
    for arguments in (("versions", "taxi"), ("rollback", "taxi"), ("promote", "taxi", "1", "--label", "stable")):
        assert f"{served.serving}: nothing was pushed here yet" in refused(served, *arguments)
    assert not served.root.exists()


def test_another_serving_directory_and_another_model(served: ServedRoot) -> None:
    elsewhere = served.scratch / "elsewhere"
    shutil.copytree(served.serving, elsewhere)
    assert document(served, "rollback", "taxi", "--serving-directory", elsewhere)["version"] == 4
    assert served.versions == ["1", "2", "3"]
    assert (elsewhere / "4").is_dir()
    assert "--candidate deep: no such candidate is pushed" in refused(served, "versions", "taxi", "--candidate", "deep")
    assert "no model" in refused(served, "versions", "nothere")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A mounted file system of 1 MB; tests run as root in CI, where permission bits do not bind."""
    mount = tmp_path / "disk"
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", mount]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a tmpfs")
    yield mount
    subprocess.run(["umount", mount], check=True)


def test_a_full_or_read_only_serving_directory(served: ServedRoot, small_disk: Path) -> None:
    place = small_disk / "taxi"
    shutil.copytree(served.serving, place)
    before = tree(place)
    given = ("--serving-directory", place)
    (small_disk / "rest").write_bytes(bytes(shutil.disk_usage(small_disk).free))
    for arguments in (("rollback", "taxi"), ("promote", "taxi", "1", "--label", "stable")):
        found = called(served, *arguments, *given)
        assert (found.exit_code, f"{place}: No space left on device" in found.error) == (75, True), found.err
    (small_disk / "rest").unlink()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    for arguments in (("rollback", "taxi"), ("promote", "taxi", "1", "--label", "stable")):
        found = called(served, *arguments, *given)
        assert (found.exit_code, "the serving directory is not writable" in found.error) == (65, True), found.err
    assert tree(place) == before


def test_versions_and_labels_are_completed(served: ServedRoot) -> None:
    (served.serving / "labels.json").write_text('{"stable": 1, "old": 1}')
    context = click.Context(command, info_name="rollback", parent=click.Context(command))
    context.find_root().params["root"] = served.root
    context.params["model"] = "taxi"
    parameter = command.params[0]
    assert [item.value for item in completion.versions(context, parameter, "")] == ["3", "2", "1"]
    assert [item.value for item in completion.labels(context, parameter, "s")] == ["stable"]
    context.params["model"] = "nothere"
    assert completion.versions(context, parameter, "") == completion.labels(context, parameter, "") == []


def test_what_is_pushed_after_a_rollback_goes_on_from_there(served: ServedRoot) -> None:
    called(served, "rollback", "taxi", "--to", "1")
    assert served.pushed("model5", data="month5") == "5"
    newest = document(served, "versions", "taxi")["versions"][0]
    assert (newest["release"], newest["change"]) == ("1.3", "other data since version 1: ingest/examples")
    assert content_digest(served.serving / "4", ignore=frozenset({MANIFEST})) == content_digest(
        served.serving / "1", ignore=frozenset({MANIFEST})
    )


def test_candidates_that_are_pushed_each_have_versions_of_their_own(served: ServedRoot) -> None:
    model = served.scratch / "rivals"
    model.mkdir()
    (model / "settings.yaml").write_text(
        "candidates: {wide: {}, deep: {train: {seed: 7}}}\nchoose: {push: each}\npipeline_name: rivals\n"
    )
    shutil.copytree(served.serving, served.root / "serving" / "rivals" / "deep")
    assert refused(served, "versions", model) == "several models are pushed; name one with --candidate: wide, deep"
    error = refused(served, "rollback", model, "--candidate", "dep")
    assert error == "--candidate dep: no such candidate is pushed, did you mean 'deep'?; there are wide, deep"
    assert "rivals/wide: nothing was pushed here yet" in refused(served, "rollback", model, "--candidate", "wide")
    told = document(served, "rollback", model, "--candidate", "deep")
    assert (told["model"], told["version"], told["run"].startswith("rivals-")) == ("deep", 4, True)
    assert called(served, "lineage", "deep@4").exit_code == 0


def test_a_rollback_that_is_killed_leaves_what_is_served(served: ServedRoot) -> None:
    (served.serving / "2" / "large").write_bytes(bytes(64 << 20))
    command = [MILLRACE, "--root", served.root, "rollback", "taxi"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    until = time.monotonic() + 60
    while not list(served.serving.glob(".staging-4-*/variables")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
    process.kill()
    process.communicate()
    assert served.versions == ["1", "2", "3"]
    [killed] = [each for each in document(served, "runs")["runs"] if each["decision"]]
    assert killed["state"] == "stopped"
    (served.serving / "2" / "large").unlink()
    assert document(served, "rollback", "taxi")["version"] == 4
    assert list(served.serving.glob(".staging-*")) == []
