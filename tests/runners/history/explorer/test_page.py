"""The explorer's page in Chromium, opened from its folder: clicks, keys, what is spoken, odd names, 1,000 runs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from runners.history.explorer import files, update
from runners.history.explorer.model import Detail, Index, Model, Row
from tests.runners.history.explorer.chromium import Window, needs_chromium, window
from tests.runners.history.pipeline_roots import FAILED, FIRST, LOOK, NEXT, SECOND, START, taxi_root, watched_root
from tests.runners.history.rivals_root import RUN, RivalsRoot

pytestmark = needs_chromium

_NAMED = {"table", "columnheader", "rowheader", "image", "navigation", "region", "graphics-symbol"}
"""Roles that say nothing without a name, besides all that can have the focus."""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("page") / "a root"
    taxi_root(root)
    file = root / "runs" / FAILED / "run.json"
    record = json.loads(file.read_text())
    odd = root / "runs" / "odd"
    odd.mkdir()
    record |= {"pipeline": "<script>stolen()</script>", "by": "</script><img src=x onerror=stolen()>"}
    (odd / "run.json").write_text(json.dumps(record | {"parameters": {"</script><b>": "<i>x</i>"}}))
    update.update(root)
    return root


@pytest.fixture(scope="module")
def tab() -> Iterator[Window]:
    with window() as opened:
        yield opened


def address(root: Path, view: str = "") -> str:
    return f"{(root / files.FOLDER / files.PAGE).as_uri()}{view}"


def names(tab: Window) -> list[str]:
    found: list[str] = tab.evaluate(
        "[...document.querySelectorAll('tbody tr')].map(each => each.querySelector('a').textContent)"
    )
    return found


def sorts(tab: Window) -> str:
    return str(tab.evaluate("[...document.querySelectorAll('th')].map(each => each.getAttribute('aria-sort')).join()"))


def test_runs_are_sorted_filtered_and_chosen(root: Path, tab: Window) -> None:
    tab.go(address(root))
    assert names(tab)[1:] == [FAILED, SECOND, FIRST] or names(tab)[0] == FAILED
    tab.click("th button", "metric")
    assert "descending" in sorts(tab)
    assert names(tab)[:2] == [FIRST, SECOND], "runs without a metric come last"
    tab.click("th button", "metric")
    assert names(tab)[:2] == [SECOND, FIRST], "whichever way is sorted"
    assert tab.evaluate("document.getElementById('spoken').textContent") == "sorted by metric, ascending"
    tab.evaluate("document.getElementById('words').focus()")
    tab.call("Input.insertText", text="failed taxi-")
    assert names(tab) == [FAILED]
    assert "1 of 4 runs" in tab.evaluate("document.querySelector('.filters').textContent")
    assert tab.evaluate("document.querySelector('.filters [role=status]').textContent") == "1 of 4 runs"


def test_two_runs_are_compared(root: Path, tab: Window) -> None:
    tab.go(address(root))
    for run in (FIRST, SECOND):
        tab.click(f"input[aria-label='choose {run}']")
    assert tab.evaluate("document.getElementById('compare').textContent") == "Compare 2 runs"
    tab.click("#compare")
    tab.wait("document.querySelector('h2').textContent === 'Comparison of 2 runs'")
    told = tab.evaluate("document.getElementById('main').innerText")
    assert "train_steps" in told
    assert "0.9371" in told
    assert "0.8712" in told
    differing = "[...document.querySelectorAll('section')].find(each => each.textContent.startsWith('Artifacts'))"
    assert tab.evaluate(f"{differing}.querySelector('tr.differs') !== null")


def test_lineage_is_gone_through_from_the_version_to_the_raw_data_and_back(root: Path, tab: Window) -> None:
    tab.go(address(root, "#/versions"))
    tab.click("tbody th a, tbody td a", "1")
    tab.wait("document.querySelector('.panel h2').textContent === 'push/pushed_model'")
    # By the graph: a click on what made it, and so on.
    tab.click(".node.execution", "train")
    tab.wait("document.querySelector('.panel h2').textContent === 'train'")
    assert tab.evaluate("document.querySelector('.panel a[target=_blank]').href").startswith("file:")
    tab.click(".panel summary", "Show it here")
    tab.wait("document.querySelector('iframe')")
    assert tab.evaluate("document.querySelector('iframe').getAttribute('src')").endswith(".html")
    tab.click(".node.source", "taxi")
    tab.wait("document.querySelector('.panel h2').textContent === '/data/taxi'")
    assert f"{SECOND}" in tab.evaluate("document.querySelector('.panel').innerText"), "who else read this data"
    tab.click(".node.model", "pushed_model")
    tab.wait("document.querySelector('.panel h2').textContent === 'push/pushed_model'")
    # By the address: back is back.
    tab.evaluate("history.back()")
    tab.wait("document.querySelector('.panel h2').textContent === '/data/taxi'")
    # Another run on the same data, in the same graph.
    tab.click(".panel button", "show in the graph")
    tab.wait("document.querySelectorAll('.node.execution').length > 10")


def test_lineage_by_keys_and_as_a_list(root: Path, tab: Window) -> None:
    tab.go(address(root, f"#/lineage/{FIRST}"))
    tab.wait("document.querySelector('.graph .node[tabindex=\"0\"]')")
    tab.evaluate("document.querySelector('.graph .node[tabindex=\"0\"]').focus()")
    assert tab.evaluate("document.activeElement.getAttribute('aria-pressed')") == "true"
    tab.press("ArrowUp")
    assert tab.evaluate("document.activeElement.querySelector('.name').textContent") == "push"
    assert tab.evaluate("getComputedStyle(document.activeElement.querySelector('rect')).strokeDasharray") != "none"
    tab.press("Enter")
    tab.wait("document.querySelector('.panel h2').textContent === 'push'")
    tab.wait("document.activeElement.querySelector('.name')?.textContent === 'push'")
    tab.click("summary", "The same as a list")
    listed = tab.evaluate("document.querySelector('details[open]').innerText")
    assert "/data/taxi" in listed
    assert "a task of" in listed


def test_text_of_records_is_no_markup(root: Path, tab: Window) -> None:
    for view in (
        "",
        "#/run/odd",
        f"#/compare/odd/{FIRST}",
        "#/time",
        "#/lineage/odd",
        "#/run/%3Cimg%20src=x%3E",
        "#/%%%",
    ):
        tab.go(address(root, view))
        assert tab.evaluate("document.querySelectorAll('#main script, #main img, #main b b').length") == 0
    assert tab.evaluate("typeof stolen") == "undefined"


def test_every_view_can_be_used_without_seeing_it(root: Path, tab: Window) -> None:
    for view in ("", "#/time", "#/versions", f"#/run/{FIRST}", f"#/compare/{FIRST}/{SECOND}", f"#/lineage/{FIRST}"):
        tab.go(address(root, view))
        told = tab.spoken()
        assert [each for each in told if not each[1] and (each[0] in _NAMED or each[2].get("focusable"))] == [], view
        focusable = {role for role, _, about in told if about.get("focusable")}
        assert "generic" not in focusable, "what can have the focus says what it is"
        assert tab.evaluate("[...document.querySelectorAll('th')].every(each => each.scope)")
        # Those that sort say whether they do.
        assert tab.evaluate("[...document.querySelectorAll('th:has(button)')].every(each => each.ariaSort)")
    tab.go(address(root))
    assert sorted(set(sorts(tab).split(",")) - {""}) == ["descending", "none"]
    tab.press("Tab")
    assert tab.evaluate("document.activeElement.id") == "skip"
    tab.press("Enter")
    assert tab.evaluate("document.activeElement.id") == "main"


def test_every_node_of_the_lineage_is_reached_by_keys_and_announced(root: Path, tab: Window) -> None:
    tab.go(address(root, f"#/lineage/{FIRST}"))
    tab.wait("document.querySelector('.graph .node[tabindex=\"0\"]')")
    tab.evaluate("document.querySelector('.graph .node[tabindex=\"0\"]').focus()")
    focused = "document.activeElement.dataset.node"
    tab.press("Home")
    reached: list[str] = [tab.evaluate(focused)]

    def goes(key: str) -> bool:
        tab.press(key)
        reached.append(tab.evaluate(focused))
        return reached[-1] != reached[-2]

    below = True
    while below:
        while goes("ArrowLeft"):
            pass
        while goes("ArrowRight"):
            pass
        below = goes("PageDown")
    assert set(reached) == set(
        tab.evaluate("[...document.querySelectorAll('.graph .node')].map(one => one.dataset.node)")
    )
    [(role, name, about)] = [each for each in tab.spoken() if each[2].get("focused") and each[0] != "RootWebArea"]
    assert (role, about["pressed"]) == ("button", "true")
    assert name.startswith("push/pushed_model, version 1")


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("dark", [False, True])
def test_nothing_hangs_over_the_window_and_what_is_written_can_be_read(
    root: Path, tab: Window, width: int, dark: bool
) -> None:
    tab.look(width, 800, dark=dark)
    try:
        for view in ("", "#/time", "#/versions", f"#/run/{FIRST}", f"#/compare/{FIRST}/{SECOND}", f"#/lineage/{FIRST}"):
            tab.go(address(root, view))
            assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), view
        assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == (
            "rgb(15, 20, 32)" if dark else "rgb(243, 244, 246)"
        )
    finally:
        tab.look()


def test_a_run_whose_file_is_gone_says_so(root: Path, tab: Window, tmp_path: Path) -> None:
    shutil.copytree(root / files.FOLDER, tmp_path / files.FOLDER)
    (tmp_path / files.FOLDER / "runs" / files.file_of(FIRST)).unlink()
    tab.go(address(tmp_path, f"#/run/{FIRST}"))
    assert "its file is not there or damaged" in tab.evaluate("document.getElementById('main').innerText")
    (tmp_path / files.FOLDER / "index.js").write_text("millrace.index = {")
    tab.go(address(tmp_path))
    assert "Nothing to show" in tab.evaluate("document.getElementById('main').innerText")


def test_a_blessing_whose_records_are_gone_is_unknown(tab: Window, tmp_path: Path) -> None:
    taxi_root(tmp_path)
    for task in ("evaluate", "push"):
        shutil.rmtree(tmp_path / "artifacts" / "taxi" / task)
    update.update(tmp_path)
    tab.go(address(tmp_path, f"#/run/{FIRST}"))
    told = tab.evaluate("document.getElementById('main').innerText")
    assert "Whether it is blessed is unknown: the records of evaluate are gone" in told
    assert "Not evaluated" not in told


def test_a_thousand_runs_are_shown_within_a_second(tab: Window, tmp_path: Path) -> None:
    rows = []
    for number in range(1000):
        started = (START + timedelta(hours=number)).isoformat()
        metrics = {f"metric {place}": number / 1000 for place in range(8)}
        run = f"taxi-{number:04}"
        model = Model("train", f"sha256:{number:064x}", metrics, blessed=bool(number % 3))
        executions = [f"taxi/task {place}/{number:032x}" for place in range(11)]
        rows.append(
            Row(run, run, "taxi", "local", "done", started=started, seconds=40.0, models=[model], executions=executions)
        )
    files.write_page(tmp_path)
    files.write_index(tmp_path, Index("here", START.isoformat(), rows[::-1]))
    files.write_detail(tmp_path, Detail("taxi-0999"))
    tab.call("Performance.enable", timeDomain="threadTicks")
    tab.go((tmp_path / files.PAGE).as_uri())
    tab.wait("document.querySelectorAll('tbody tr').length")
    assert "of 1,000 rows" in tab.evaluate("document.querySelector('.rest').textContent")
    # All that the page's thread has worked, for a page from a folder gets a process of its own.
    first = seconds(tab)
    assert 0 < first < 0.4
    tab.click("th button", "metric")
    tab.evaluate("document.body.offsetHeight")
    assert names(tab)[0] == "taxi-0999"
    assert seconds(tab) - first < 0.3


def test_rows_are_drawn_as_the_window_comes_near_and_by_keys(tab: Window, tmp_path: Path) -> None:
    rows = [Row(f"taxi-{number:03}", f"taxi-{number:03}", "taxi", "local", "done") for number in range(400)]
    files.write_page(tmp_path)
    files.write_index(tmp_path, Index("here", START.isoformat(), rows))
    tab.go((tmp_path / files.PAGE).as_uri())
    drawn = "document.querySelectorAll('tbody tr').length"
    few = tab.evaluate(drawn)
    assert few < 200
    assert tab.evaluate("document.querySelector('table').getAttribute('aria-rowcount')") == "401"
    tab.evaluate("document.querySelector('tbody tr:last-child a').focus()")
    tab.press("ArrowDown")
    focused = "document.activeElement.closest('tr').getAttribute('aria-rowindex')"
    assert int(tab.evaluate(focused)) > few
    before = tab.evaluate(drawn)
    tab.evaluate("scrollTo(0, document.body.scrollHeight)")
    tab.wait(f"{drawn} > {before}")
    tab.click(".rest button")
    assert tab.evaluate(drawn) == 400
    assert tab.evaluate("getComputedStyle(document.querySelector('.rest')).display") == "none"


def seconds(tab: Window) -> float:
    metrics = {each["name"]: each["value"] for each in tab.call("Performance.getMetrics")["metrics"]}
    return float(metrics["TaskDuration"])


@pytest.fixture(scope="module")
def rivals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("rivals")
    RivalsRoot(root)
    update.update(root)
    return root


def test_the_chosen_model_leads(rivals: Path, tab: Window) -> None:
    tab.go(address(rivals))
    row = tab.evaluate("document.querySelector('tbody tr').innerText")
    assert "auc 0.93" in row
    assert "yes train-deep-net; 2 of 3" in row
    tab.go(address(rivals, f"#/run/{RUN}"))
    boxes = tab.evaluate("[...document.querySelectorAll('.verdict b')].map(each => each.textContent)")
    assert boxes == [
        "train-deep-net: Chosen, and in service as version 1 when it was pushed",
        "train-wide: Blessed, but another was chosen",
        "train-text: Not blessed, so not pushed",
    ]


def test_models_of_a_run_and_of_others_lie_over_each_other(rivals: Path, tab: Window) -> None:
    lines = "[...document.querySelectorAll('svg[aria-label=\"ROC curves over each other\"] .line')].length"
    keys = "[...document.querySelectorAll('.figures .keys')].map(each => each.innerText.trim())[0]"
    tab.go(address(rivals, f"#/run/{RUN}"))
    assert tab.evaluate(lines) == 3
    assert [each.strip() for each in tab.evaluate(keys).split("\n")] == [
        "evaluate-wide",
        "evaluate-deep-net",
        "evaluate-text",
    ]
    table = "[...document.querySelectorAll('table')].find(each => each.caption.textContent === 'Metrics of the models')"
    first = tab.evaluate(f"[...{table}.tBodies[0].rows[0].cells].map(each => each.textContent)")
    assert first == ["auc ↑ higher is better, by its name", "0.81", "0.93", "0.95 best"]


def test_points_over_time_have_the_colours_of_their_lines(rivals: Path, tab: Window) -> None:
    tab.go(address(rivals, "#/time/rivals"))
    colour = "getComputedStyle(each).fill"
    dots = tab.evaluate(f"[...document.querySelectorAll('svg.chart a .dot > :not(title, text)')].map(each => {colour})")
    keys = tab.evaluate(f"[...document.querySelectorAll('.keys .dot *')].map(each => {colour})")
    assert dots == keys
    assert len(set(dots)) == 3


@pytest.mark.parametrize("span", ["1e3", "90e3", "36e5", "864e5 * 2", "864e5 * 40", "864e5 * 4000"])
def test_no_moment_of_an_axis_is_written_twice(rivals: Path, tab: Window, span: str) -> None:
    tab.go(address(rivals))
    begin = "Date.parse('2026-11-29T23:27:24Z')"
    told = tab.evaluate(f"times({begin}, {begin} + {span}).map(each => each[1])")
    assert len(set(told)) == len(told) <= 7
    assert told


def test_a_look_leads_to_the_version_that_it_watched_and_to_the_run_that_it_began(tab: Window, tmp_path: Path) -> None:
    watched_root(tmp_path / "root")
    update.update(tmp_path / "root")
    tab.go(address(tmp_path / "root", f"#/run/{NEXT}"))
    tab.click(".facts a", LOOK)
    tab.wait(f"document.querySelector('h2.name').textContent === '{LOOK}'")
    facts = tab.evaluate("document.querySelector('.facts').innerText")
    assert f"began\n{NEXT}" in facts
    tab.go(address(tmp_path / "root", f"#/lineage/{NEXT}"))
    tab.click(".node.artifact", "watched")
    tab.wait("document.querySelector('.panel h2').textContent === 'watch/watched'")
    assert "version 1 of taxi" in tab.evaluate("document.querySelector('.panel').innerText")
