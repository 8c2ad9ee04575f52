from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import pty
import struct
import subprocess
import termios
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from components.runtime.errors import InputError
from components.runtime.lineage import record as lineage
from runners.commands.cli import cli
from runners.history.lineage_graph import Graph
from tests.runners.command_line import command
from tests.runners.history.odd_records import places, with_value
from tests.runners.history.pipeline_roots import (
    FAILED,
    FIRST,
    LOOK,
    NEXT,
    SECOND,
    RootWriter,
    queried_root,
    taxi_root,
    watched_root,
)
from tests.support import MILLRACE, ROOT


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> RootWriter:
    return taxi_root(tmp_path_factory.mktemp("lineage") / "root")


def told(written: RootWriter, *arguments: str) -> list[str]:
    result = CliRunner().invoke(cli, ["--root", str(written.root), "lineage", *arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return result.output.splitlines()


def on_a_terminal(width: int, *arguments: str) -> list[str]:
    """What the command line prints into a terminal of that width, without colours."""
    own, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
    process = subprocess.Popen([MILLRACE, *arguments], stdout=its, cwd=ROOT, env=environment | {"TERM": "xterm"})
    os.close(its)
    said = b""
    with contextlib.suppress(OSError):
        while part := os.read(own, 1 << 16):
            said += part
    os.close(own)
    assert process.wait(30) == 0
    return click.unstyle(said.decode()).replace("\r", "").splitlines()


def digest(written: RootWriter, run: str, task: str, output: str) -> str:
    return str(written.executions[run, task]["outputs"][output]["metadata"]["digest"])


def test_what_was_taken_from_the_cache_has_used_the_answer_of_its_run(tmp_path: Path) -> None:
    root = queried_root(tmp_path)
    for run in (FIRST, SECOND):
        lines = told(root, f"{run}/query/table", "--down")
        assert f"└─ ingest in {FIRST}, reused by {SECOND}" in lines
        up = told(root, f"{run}/ingest/examples", "--up")
        assert any(f"query in {FIRST}" in line for line in up)


def test_up_leads_from_the_pushed_model_to_the_raw_data(written: RootWriter) -> None:
    lines = told(written, "taxi@1", "--up")
    text = "\n".join(lines)
    assert lines[0].startswith("push/pushed_model ")
    assert f"push in {FIRST}" in text
    assert f"train in {FIRST}" in text
    assert f"ingest in {FIRST}, reused by {SECOND}" in text
    assert "data: /data/taxi" in text
    assert "used by" not in lines
    assert text.count("data: /data/taxi") == 1, "what is known already is not told again"


def test_down_leads_from_the_data_to_every_model(written: RootWriter) -> None:
    text = "\n".join(told(written, f"{FIRST}/ingest/examples", "--down"))
    assert "made by" not in text.splitlines()
    assert f"train in {FIRST}" in text
    assert f"train in {SECOND}" in text
    assert "push/pushed_model" in text


def test_what_failed_shows_with_its_error(written: RootWriter) -> None:
    graph = Graph.read(written.root)
    failed = next(node for node in graph.executions.values() if node.run == FAILED and node.state == "failed")
    assert failed.task == "transform"
    assert "expected a number" in failed.error


@pytest.mark.parametrize(
    "form", ["digest", "beginning", "bare", "uri", "absolute", "relative", "inside", "reused", "prefix"]
)
def test_an_artifact_is_found_by(written: RootWriter, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    record = written.executions[FIRST, "transform"]["outputs"]["transform_graph"]
    path, whole = record["uri"], record["metadata"]["digest"]
    monkeypatch.chdir(written.root.parent)
    reference = {
        "digest": whole,
        "beginning": whole.removeprefix("sha256:")[:12],
        "bare": whole.removeprefix("sha256:"),
        "uri": f"{Path(path).relative_to(written.root)}",
        "absolute": path,
        "relative": f"./root/{Path(path).relative_to(written.root)}",
        "inside": f"{path}/transform_fn/saved_model.pb",
        "reused": f"{SECOND}/transform/transform_graph",
        "prefix": "taxi-20261120-2134/transform/transform_graph",
    }[form]
    [node] = Graph.read(written.root).find(reference)
    assert (node.name, node.digest) == ("transform/transform_graph", whole)


def test_raw_data_is_found_by_its_path(written: RootWriter) -> None:
    [node] = Graph.read(written.root).find("/data/taxi")
    assert (node.name, node.maker) == ("/data/taxi", "")
    lines = told(written, "/data/taxi")
    assert "nothing of the pipeline: it came from outside" in lines
    assert any("push/pushed_model" in line for line in lines)


def test_a_served_version_is_found_by_its_path(written: RootWriter) -> None:
    [node] = Graph.read(written.root).find("/srv/taxi/1")
    assert node.name == "push/pushed_model"


@pytest.fixture
def often(tmp_path: Path) -> RootWriter:
    """Eleven runs that make one model: the first pushes it, the others find it in service."""
    writer = RootWriter(tmp_path / "root")
    for number in range(11):
        run = f"taxi-20261129-0437{number:02d}-434c"
        if number:
            model = writer.reuse(run, "taxi-20261129-043700-434c", "train")["outputs"]["model"]
        else:
            model = writer.execution(run, "train", outputs={"model": {"rows": 15000}, "metrics": {}})["outputs"][
                "model"
            ]
        pushed = {"version": 1, "destination": "/srv/taxi", "created": not number}
        writer.execution(
            run, "push", inputs={"model": model}, parameters={"run": run}, outputs={"pushed_model": pushed}
        )
        writer.run(run, offset=60.0 * number)
    lineage.flush()
    return writer


@pytest.mark.parametrize("reference", ["/srv/taxi/1", "taxi@1"])
def test_a_version_is_told_once_however_often_it_was_found_in_service(often: RootWriter, reference: str) -> None:
    text = "\n".join(told(often, reference, "--up"))
    assert text.count("made by") == 1
    assert "push in taxi-20261129-043700-434c" in text
    assert "train in taxi-20261129-043700-434c, reused by 10 runs" in text
    assert "(15,000 rows)" in text
    everything = "\n".join(told(often, reference, "--up", "--all"))
    assert "reused by taxi-20261129-043701-434c, taxi-20261129-043702-434c" in everything


@pytest.mark.parametrize("width", [60, 80, 120])
def test_on_a_terminal_long_lines_go_on_within_the_tree(often: RootWriter, width: int) -> None:
    lines = on_a_terminal(width, "--root", str(often.root), "lineage", "taxi@1", "--all")
    tree = [line for line in lines[lines.index("made by") + 1 :] if line and line != "used by"]
    assert max(map(len, tree)) <= width
    first = next(place for place, line in enumerate(tree) if "train in" in line)
    following = tree[first + 1 : first + 3]
    assert all(line.startswith("   ") and line.strip().startswith(("taxi-", "by ")) for line in following), following
    assert sum(line.count("-434c") for line in tree) == 1 + 1 + 10


def test_the_latest_run_goes_by_that_name(often: RootWriter, written: RootWriter) -> None:
    [node] = Graph.read(often.root).find("latest/train/model")
    assert node.name == "train/model"
    message = rf"latest/train/model: train has not run in {FAILED}, only .*; the newest run with one is {SECOND}"
    with pytest.raises(InputError, match=message):
        Graph.read(written.root).find("latest/train/model")


@pytest.mark.parametrize(
    ("output", "said"), [("evaluation", "empty"), ("metrics", "in metadata"), ("classification", "in metadata")]
)
def test_what_holds_no_files_is_called_empty_unless_it_lies_in_metadata(tmp_path: Path, output: str, said: str) -> None:
    writer = RootWriter(tmp_path)
    for run, page in (("a-1", ""), ("a-2", "{}")):
        made = writer.execution(run, "evaluate", parameters={"run": run}, outputs={output: {}})
        if not page:
            made["outputs"][output]["metadata"]["digest"] = f"sha256:{hashlib.sha256().hexdigest()}"
            lineage.ended(tmp_path, run, made, "done")
    lineage.flush()
    lines = told(writer, f"a-1/evaluate/{output}")
    assert lines[0] == f"evaluate/{output} {said}"
    assert f"  digest: sha256:{hashlib.sha256().hexdigest()} ({said})" in lines
    assert said not in told(writer, f"a-2/evaluate/{output}")[0]


def test_equal_content_made_twice_is_told_twice(tmp_path: Path) -> None:
    writer = RootWriter(tmp_path)
    for run in ("a-1", "a-2"):
        writer.execution(run, "ingest", parameters={"run": run}, outputs={"examples": {"rows": 5}})
    lineage.flush()
    found = Graph.read(tmp_path).find(digest(writer, "a-1", "ingest", "examples")[:20])
    assert len(found) == 2


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("nothing", r"no such artifact .*; give a digest"),
        ("abc", r"no such artifact"),
        ("taxi@7", r"taxi@7: no such version; pushed are taxi@1"),
        (f"{FIRST}/train/modell", r"train has no output 'modell'; it has: metrics, model, model_run, report"),
        (f"{FAILED}/transform/report", r"transform has no output 'report' \(it is failed\); it has: none"),
        ("taxi-2026/train/model", r"3 runs begin so"),
    ],
)
def test_what_is_not_there(written: RootWriter, reference: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Graph.read(written.root).find(reference)


def test_a_short_beginning_of_a_digest_may_fit_several(tmp_path: Path) -> None:
    writer = RootWriter(tmp_path)
    events = tmp_path / "lineage" / "r"
    writer.execution("r", "ingest", outputs={"examples": {"rows": 1}, "second": {"rows": 2}})
    lineage.flush()
    text = (events / "ingest.jsonl").read_text()
    for position, output in enumerate(("examples", "second")):
        text = text.replace(digest(writer, "r", "ingest", output), f"sha256:abcd{position}")
    (events / "ingest.jsonl").write_text(text)
    with pytest.raises(InputError, match=r"more than one artifact begins so: abcd0 .*give more digits"):
        Graph.read(tmp_path).find("abcd")


def test_a_half_written_line_is_passed_over(tmp_path: Path) -> None:
    writer = RootWriter(tmp_path)
    writer.execution("r", "ingest", outputs={"examples": {"rows": 1}})
    lineage.flush()
    file = tmp_path / "lineage/r/ingest.jsonl"
    file.write_text(file.read_text() + '{"eventType": "COMPL')
    (tmp_path / "lineage/r/odd.jsonl").write_text(json.dumps([1]) + "\n" + json.dumps({"run": {}}) + "\n")
    assert len(Graph.read(tmp_path).find("r/ingest/examples")) == 1


def test_a_line_that_is_no_event_of_ours_does_not_blind_the_others(tmp_path: Path) -> None:
    writer = RootWriter(tmp_path)
    writer.execution("r", "ingest", parameters={"data": "x"}, outputs={"examples": {"rows": 1}})
    lineage.flush()
    file = tmp_path / "lineage/r/ingest.jsonl"
    good = file.read_text().splitlines()[-1]
    odd = ["[" * 100_000, '{"eventType": "COMPLETE", "run": 5}', "5"]
    for path in places(json.loads(good)):
        odd += [with_value(json.loads(good), path, value) for value in ("5", "[5]", '{"a": 5}', "null")]
    (tmp_path / "lineage/r/odd.jsonl").write_text("\n".join(odd))
    (tmp_path / "lineage/r/folder.jsonl").mkdir()
    graph = Graph.read(tmp_path)
    assert graph.find("r/ingest/examples")
    told(writer, "r/ingest/examples")


def test_a_root_without_lineage(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no lineage is recorded here"):
        Graph.read(tmp_path).find("abcd")


def test_a_baseline_leads_to_the_model_that_it_is(tmp_path: Path) -> None:
    writer = RootWriter(tmp_path)
    first = writer.execution("a-1", "train", parameters={"steps": 1}, outputs={"model": {"steps": 1}})
    second = writer.execution("a-2", "train", parameters={"steps": 2}, outputs={"model": {"steps": 2}})
    writer.execution(
        "a-2",
        "resolve",
        inputs={"model": second["outputs"]["model"]},
        outputs={"baseline_model": {"found": True, "version": "1"}},
        pages={"baseline_model": (tmp_path / "artifacts/taxi/train" / first["key"] / "model").read_text()},
    )
    lineage.flush()

    up = told(writer, "a-2/resolve/baseline_model", "--up")
    down = told(writer, "a-1/train/model", "--down")

    assert any("found: train/model" in line for line in up)
    assert any("train in a-1" in line for line in up)
    assert any("resolve in a-2" in line for line in down)


def test_a_look_leads_to_the_version_that_it_watched_and_to_what_was_pushed_after_it(tmp_path: Path) -> None:
    writer = watched_root(tmp_path)
    up = told(writer, "taxi@2", "--up")
    said = [line.lstrip(" │├└─") for line in up]
    assert any(line.startswith("after: watch/watched") for line in said)
    assert f"watch in {LOOK}" in said
    assert any("found: push/pushed_model" in line and "version 1" in line for line in up)
    assert any(f"train in {FIRST}" in line for line in up)
    down = told(writer, "taxi@1", "--down")
    assert any(line.endswith(f"watch in {LOOK}") for line in down)
    assert any(f"push in {NEXT}" in line for line in down)
    # The explorer reads a run by itself.
    graph = Graph.of_run(tmp_path, NEXT)
    [push] = [node for node in graph.executions.values() if (node.run, node.stage) == (NEXT, "push")]
    assert graph.artifacts[push.inputs["after"]].name == "watch/watched"


def test_a_span_that_a_pod_made_leads_to_the_versions_that_predicted(tmp_path: Path) -> None:
    writer = watched_root(tmp_path)
    digest = writer.executions[NEXT, "push"]["outputs"]["pushed_model"]["metadata"]["model_digest"]
    made = {"span": 1, "folder": "/millrace/data/taxi/span-1", "rows": 9, "rows_of_version_2": 9}
    pod = RootWriter(tmp_path, "taxi-feedback")
    pod.execution("taxi-feedback-x1", "feedback", outputs={"span": made | {"model_of_version_2": digest}})
    lineage.flush()
    up = told(writer, "taxi-feedback-x1/feedback/span", "--up")
    assert any("version_2: push/pushed_model" in line for line in up)
    assert any(line.endswith(f"push in {NEXT}") for line in up)


def test_a_clock_that_was_set_back_does_not_turn_the_order_of_a_task_around(tmp_path: Path) -> None:
    """What was written first came first; by the clock alone the task would still be running, for ever."""
    record = {"pipeline": "p", "task": "t", "stage": "s", "key": "k", "run": "r", "inputs": {}}
    output = {"uri": str(tmp_path / "artifacts" / "p" / "t" / "k" / "o"), "type": "system.Model", "metadata": {}}
    lineage.started(tmp_path, "r", record | {"started": "2026-11-20T21:00:00+00:00"})
    lineage.ended(tmp_path, "r", record | {"finished": "2026-11-20T20:00:00+00:00", "outputs": {"o": output}}, "done")
    lineage.flush()
    (node,) = Graph.read(tmp_path).executions.values()
    assert node.state == "done"
    (tmp_path / "lineage" / "r2").mkdir()
    # And another run that begins the same execution and is killed takes nothing away from the one that ended.
    lineage.started(tmp_path, "r2", record | {"run": "r2", "started": "2026-11-21T00:00:00+00:00"})
    lineage.flush()
    (node,) = Graph.read(tmp_path).executions.values()
    assert (node.state, node.run) == ("done", "r")


def test_a_root_that_was_moved_answers_by_its_new_paths(tmp_path: Path) -> None:
    writer = taxi_root(tmp_path / "before")
    pushed = writer.executions[FIRST, "push"]
    lineage.flush()
    (tmp_path / "before").rename(tmp_path / "after")
    graph = Graph.read(tmp_path / "after")
    home = f"artifacts/taxi/push/{pushed['key']}/pushed_model"
    (by_path,) = graph.find(str(tmp_path / "after" / home))
    (by_version,) = graph.find("taxi@1")
    assert by_path is by_version
    assert by_path.uri == home


def test_a_serving_directory_below_the_root_is_found_after_a_move(tmp_path: Path) -> None:
    root = tmp_path / "before"
    record = {"pipeline": "taxi", "task": "push", "stage": "push", "key": "k", "run": "r", "inputs": {}}
    metadata = {"version": 1, "destination": str(root / "serving" / "taxi"), "created": True, "digest": "sha256:1"}
    output = {"uri": str(root / "artifacts/taxi/push/k/pushed_model"), "type": "system.Model", "metadata": metadata}
    lineage.ended(root, "r", record | {"outputs": {"pushed_model": output}}, "done")
    lineage.flush()
    root.rename(tmp_path / "after")
    assert str(root) not in (tmp_path / "after" / "lineage" / "r" / "push.jsonl").read_text()
    (found,) = Graph.read(tmp_path / "after").find(str(tmp_path / "after" / "serving" / "taxi" / "1"))
    assert found.name == "push/pushed_model"


def test_a_shell_completes_an_artifact_a_part_at_a_time(written: RootWriter) -> None:
    def completed(word: str) -> list[str]:
        words = f"millrace --root {written.root} lineage {word}"
        answer = command(_MILLRACE_COMPLETE="bash_complete", COMP_CWORD="4", COMP_WORDS=words)
        assert answer.returncode == 0, answer.stderr
        return answer.stdout.split()

    assert f"plain,{SECOND}/train/" in completed(f"{SECOND}/")
    assert completed(f"{SECOND}/train/mod") == [f"plain,{SECOND}/train/model", f"plain,{SECOND}/train/model_run"]
    assert completed(f"{SECOND}/nix/") == []
