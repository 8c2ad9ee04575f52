"""Several candidates in a run: what the summary, the list, the report, a comparison and lineage tell of them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from components.notify.message import Message
from components.runtime.errors import InputError
from components.runtime.records.final_status import final_status
from runners.history.candidates import candidates, of_candidate
from runners.history.explorer.models import models, quality
from runners.history.outcome import outcome
from runners.history.pages import run_report
from runners.history.records import load_run
from runners.terminal.summary import summary
from tests.runners.cluster_support import call
from tests.runners.history.rivals_root import AUCS, RUN, RivalsRoot


@pytest.fixture
def best(tmp_path: Path) -> RivalsRoot:
    return RivalsRoot(tmp_path)


def told(root: RivalsRoot) -> list[str]:
    """The lines of the summary from the models on."""
    lines = summary(root.root, root.record, root.records).plain.splitlines()
    return [line for line in lines if not line.startswith(("run", "report"))]


def test_the_summary_tells_of_each_and_of_the_chosen_one(best: RivalsRoot) -> None:
    model = best.records["choose"]["outputs"]["model"]["uri"]
    assert told(best) == [
        "candidate wide: auc 0.81, blessed: wide is good",
        "candidate deep-net: auc 0.93, blessed: deep-net is good",
        "candidate text: auc 0.95, not blessed: text is <bad>",
        f"model     {model}/Format-Serving",
        "baseline  none: nothing of deep-net was pushed before",
        "blessed   yes: deep-net is the best of 2",
        "pushed    /srv/rivals/1",
    ]


def test_nothing_is_blessed_where_the_choice_failed(best: RivalsRoot) -> None:
    for task in best.record["tasks"]:
        if task["name"] in ("choose", "push"):
            task |= {"state": "failed" if task["name"] == "choose" else "skipped", "execution": ""}
    (best.root / "runs" / RUN / "run.json").write_text(json.dumps(best.record | {"state": "failed"}))
    [run] = call("--root", best.root, "--json", "runs").document["runs"]
    assert (run["blessed"], run["reason"], run["pushed"]) == (None, None, None)
    assert run["metrics"]["deep-net auc"] == 0.93


def test_the_summary_of_a_run_that_publishes_each(tmp_path: Path) -> None:
    lines = told(RivalsRoot(tmp_path, each=True))
    assert lines[:3] == [
        "candidate wide: blessed: wide is good",
        "candidate deep-net: blessed: deep-net is good",
        "candidate text: not blessed: text is <bad>",
    ]
    assert [line for line in lines if line.startswith(("blessed", "pushed"))] == [
        "pushed    wide: /srv/rivals/wide/1",
        "pushed    deep-net: /srv/rivals/deep-net/1",
    ]
    assert "baseline  wide: none: nothing of wide was pushed before" in lines


def test_what_came_of_a_run_is_what_came_of_the_chosen_one(best: RivalsRoot) -> None:
    made = outcome(load_run(best.root))
    assert (made.candidate, made.metrics["auc"], made.blessed, made.version) == ("deep-net", 0.93, True, "1")
    assert made.baseline == "none: nothing of deep-net was pushed before"
    listed = call("--root", str(best.root), "runs").out
    assert "yes, deep-net" in listed
    assert "0.9300" in listed


def test_where_nobody_is_blessed_that_is_told(tmp_path: Path) -> None:
    root = RivalsRoot(tmp_path, nobody=True)
    made = outcome(load_run(tmp_path))
    assert (made.blessed, made.reason, made.version) == (False, "no candidate is blessed: wide; deep-net; text", "")
    assert told(root)[-1] == "pushed    nothing"
    assert " no " in call("--root", str(tmp_path), "runs").out


def test_what_came_of_a_run_that_publishes_each(tmp_path: Path) -> None:
    RivalsRoot(tmp_path, each=True)
    made = outcome(load_run(tmp_path))
    assert made.metrics["deep-net auc"] == 0.93
    assert (made.blessed, made.version, made.destination) == (True, "wide: 1, deep-net: 1", "/srv/rivals")
    assert made.reason == "wide: wide is good; deep-net: deep-net is good; text: text is <bad>"


def test_the_report_has_all_of_them_and_opens_that_of_the_chosen_one(best: RivalsRoot) -> None:
    page = run_report.render(load_run(best.root))
    assert 'id="candidates"' in page
    assert "ROC curves of wide, deep-net, text, over each other" in page
    for name in AUCS:
        assert f"Evaluation and blessing: {name}<" in page
    opened = [part.partition("</summary>")[0] for part in page.split('<details class="stage" open>')[1:]]
    assert [title.removeprefix("<summary>").partition("<")[0] for title in opened] == [
        "The choice between the candidates",
        "Evaluation and blessing: deep-net",
        "Training: deep-net",
    ]


def test_the_report_has_a_table_where_nothing_was_chosen(tmp_path: Path) -> None:
    RivalsRoot(tmp_path, each=True)
    page = run_report.render(load_run(tmp_path))
    assert "<th>candidate</th><th>auc</th><th>blessed</th>" in page
    assert "text is &lt;bad&gt;" in page
    assert "Blessed, and pushed as version wide: 1, deep-net: 1 to /srv/rivals" in page


def test_two_candidates_of_a_run_are_compared_as_two_runs_are(best: RivalsRoot) -> None:
    result = call("--root", str(best.root), "compare", "rivals/wide", f"{RUN[:12]}/deep-net")
    assert result.exit_code == 0, result.err
    assert f"A  {RUN}/wide" in result.out
    assert re.search(r"\* auc +0\.8100 +0\.9300 +\+0\.1200", result.out)
    assert "train.units" in result.out
    assert "train/model" in result.out
    assert "evaluate-wide" not in result.out
    assert (best.root / "comparisons" / f"{RUN}-wide-{RUN}-deep-net.html").is_file()


def test_a_run_and_its_candidate_are_compared(best: RivalsRoot) -> None:
    result = call("--root", str(best.root), "compare", "latest", "latest/text")
    assert re.search(r"\* auc +0\.9300 +0\.9500", result.out)
    assert "chosen" in result.out


def test_a_candidate_is_a_run_of_its_own_tasks(best: RivalsRoot) -> None:
    text = of_candidate(load_run(best.root), "text")
    assert [(task.name, task.after) for task in text.tasks] == [
        ("ingest", []),
        ("transform", ["ingest"]),
        ("train", ["transform"]),
        ("resolve", ["train"]),
        ("evaluate", ["ingest", "train"]),
    ]
    assert candidates(text) == []
    with pytest.raises(InputError) as error:
        of_candidate(load_run(best.root), "deepnet")
    assert str(error.value) == (
        f"{RUN}/deepnet: this run has no candidate 'deepnet', did you mean 'deep-net'?; it has: wide, deep-net, text"
    )


def test_lineage_goes_on_with_what_was_chosen(best: RivalsRoot) -> None:
    up = call("--root", str(best.root), "lineage", "rivals@1", "--up").out
    assert "push/pushed_model" in up
    assert "(version 1, candidate deep-net)" in up
    assert f"train-deep-net in {RUN}" in up
    assert f"train-wide in {RUN}" not in up
    assert up.count("(not chosen)") == 4
    down = call("--root", str(best.root), "lineage", "rivals/train-wide/model", "--down").out
    assert "choose/choice" in down


def test_the_exit_task_is_told_of_the_chosen_one_or_of_each(
    best: RivalsRoot, tmp_path_factory: pytest.TempPathFactory
) -> None:
    def message(root: RivalsRoot) -> str:
        status = final_status("done", RUN, executions=root.records.values())
        return Message.read(status, "rivals").text()

    assert message(best).splitlines()[1:] == [
        "blessed: yes (deep-net is the best of 2)",
        "pushed: version 1 to /srv/rivals",
    ]
    each = RivalsRoot(tmp_path_factory.mktemp("each"), each=True)
    assert message(each).splitlines()[1:] == [
        "blessed: yes (wide: wide is good; deep-net: deep-net is good; text: not blessed, text is <bad>)",
        "pushed: version 1 to /srv/rivals/wide",
        "pushed: version 1 to /srv/rivals/deep-net",
    ]


def test_of_repeated_trainings_the_published_one_leads(tmp_path: Path) -> None:
    root = RivalsRoot(tmp_path, repeated=True)
    run = load_run(tmp_path)
    lines = told(root)
    assert lines[:2] == ["candidate train: blessed: train is good", "candidate short: not blessed: short is <bad>"]
    assert [line.split("/")[0] for line in lines if line.startswith("model")] == [
        "model     train: ",
        "model     short: ",
    ]
    assert [line for line in lines if line.startswith(("blessed", "pushed"))] == [
        "blessed   yes: train is good",
        "pushed    /srv/rivals/1",
    ]
    made = outcome(run)
    assert (made.blessed, made.reason, made.version, made.metrics["auc"]) == (True, "train is good", "1", 0.93)
    assert made.baseline == "none: nothing of train was pushed before"
    assert [each.name for each in candidates(run)] == ["train", "short"]
    page = run_report.render(run)
    assert page.index("Evaluation and blessing<") < page.index("Evaluation and blessing: short<")
    assert "short is" not in page.partition('id="candidates"')[0].partition("good-box")[2].partition("</section>")[0]
    status = final_status("done", RUN, executions=root.records.values())["millrace"]
    assert (status["blessed"], status["reason"]) == (True, "train is good")


def test_a_model_without_a_suffix_is_another_than_one_with_it(tmp_path: Path) -> None:
    RivalsRoot(tmp_path, repeated=True)
    run = load_run(tmp_path)
    short, train = of_candidate(run, "short"), of_candidate(run, "train")
    assert short.executions["train"].task == "train-short"
    assert train.executions["train"].task == "train"
    assert [task.name for task in short.tasks] == [
        "ingest",
        "transform",
        "transform-text",
        "train",
        "resolve",
        "evaluate",
    ]
    assert (outcome(short).version, outcome(train).version) == ("", "1")


def test_what_was_pushed_is_of_the_chosen_candidate(best: RivalsRoot) -> None:
    run = load_run(best.root)
    deep, wide = of_candidate(run, "deep-net"), of_candidate(run, "wide")
    assert (outcome(deep).version, outcome(wide).version) == ("1", "")
    assert [task.after for task in deep.tasks if task.name == "push"] == [["evaluate"]]


def test_the_explorer_takes_the_chosen_model_for_the_one_that_was_trained(best: RivalsRoot) -> None:
    answered = load_run(best.root).executions
    made = {each.name: each for each in models(answered)}
    assert list(made) == ["train-wide", "train-deep-net", "train-text"]
    assert [(each.chosen, each.blessed, each.version) for each in made.values()] == [
        (False, True, ""),
        (True, True, "1"),
        (False, False, ""),
    ]
    assert made["train-deep-net"].reason == "deep-net is the best of 2"
    assert quality(list(answered.values()))["auc"] == 0.93


def test_the_explorer_lays_what_was_published_beside_other_runs(tmp_path: Path) -> None:
    RivalsRoot(tmp_path, repeated=True)
    answered = load_run(tmp_path).executions
    found = quality(list(answered.values()))
    assert (found["auc"], found["evaluate-short.auc"]) == (0.93, 0.61)
    assert [(each.name, each.chosen, each.version) for each in models(answered)] == [
        ("train-short", None, ""),
        ("train", None, "1"),
    ]


def test_where_nobody_is_blessed_none_is_chosen(tmp_path: Path) -> None:
    RivalsRoot(tmp_path, nobody=True)
    made = models(load_run(tmp_path).executions)
    assert [(each.chosen, each.blessed) for each in made] == [(False, False)] * 3
