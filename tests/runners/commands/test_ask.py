"""`ask`, of a server that says what a real one does; tests/runners/commands/test_serve.py asks a real one."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.runners.cluster_support import call
from tests.runners.loopback import Request, serving

INPUTS = {
    "x": {"dtype": "DT_FLOAT", "tensor_shape": {"dim": [{"size": "-1"}]}},
    "text": {"dtype": "DT_STRING", "tensor_shape": {"dim": [{"size": "-1"}]}},
}


EXPLAINED = {
    "output": "share", "task": "classes", "known_rows": 3, "orders": 60,
    "explanations": [
        {
            "answer": 0.75, "baseline": 0.25, "class": 1, "name": "red",
            "attributions": {"x": -0.1, "text": 0.6}, "errors": {"x": 0.01, "text": None},
            "nearest_other": {"answer": 0.4, "name": "blue", "distance": 0.2, "differs": list("abcdefg"), "row": {}},
        }
    ],
}  # fmt: skip


@pytest.fixture
def asked() -> list[tuple[str, Any]]:
    return []


@pytest.fixture
def url(asked: list[tuple[str, Any]]) -> Iterator[str]:
    def answer(request: Request) -> tuple[Any, ...]:
        model = "/v1/models/mine"
        if request.method == "POST":
            rows = json.loads(request.body)["instances"]
            asked.append((request.target.removeprefix(model), rows))
            if against := json.loads(request.body).get("background"):
                asked.append(("background", against))
            if request.target.endswith("/versions/7:explain"):
                return 400, {"error": "Malformed request: POST /v1/models/mine/versions/7:explain"}
            if request.target.endswith(":explain"):
                return 200, EXPLAINED
            logged = {"X-Prediction-Id": "a-request-0"} if "/versions/1:" in request.target else {}
            return 200, {"predictions": [{"share": 0.123456789, "label": row["text"] * 100} for row in rows]}, logged
        place = request.target.removeprefix(model)
        if place.endswith("/metadata") and not place.startswith("/versions/9"):
            signatures = {"serving_default": {"inputs": INPUTS}}
            return 200, {"metadata": {"signature_def": {"signature_def": signatures}}}
        versions = {"": [1, 3], "/labels/stable": [1]}.get(place)
        if versions is None:
            return 404, {"error": "not served"}
        return 200, {"model_version_status": [{"version": str(each), "state": "AVAILABLE"} for each in versions]}

    with serving(answer) as address:
        yield address


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "settings.yaml").write_text("{}")
    return tmp_path / "mine"


def test_rows_are_asked_of_the_version_in_service(url: str, mine: Path, asked: list[tuple[str, Any]]) -> None:
    said = call("ask", mine, "--url", url, "--row", '{"x": 1, "text": "a"}', "--row", '{"x": 2, "text": "b"}')
    assert said.exit_code == 0
    assert asked == [("/versions/3:predict", [{"x": 1, "text": "a"}, {"x": 2, "text": "b"}])]
    assert "answered by version 3 of mine" in said.out + said.err
    assert "0.123457" in said.out
    assert "…" in said.out
    assert "warning" not in said.err


def test_what_an_answer_goes_by(url: str, mine: Path, asked: list[tuple[str, Any]]) -> None:
    said = call("ask", mine, "--url", url, "--row", '{"x": 1, "text": "a"}', "--explain")
    assert said.exit_code == 0
    assert asked[1] == ("/versions/3:explain", [{"x": 1, "text": "a"}])
    lines = [line.split() for line in said.out.splitlines() if "█" in line]
    assert lines == [["text", "+0.6", "unknown", "█" * 12], ["x", "-0.1", "0.01", "██"]]
    assert "row 1, class red: 0.75; the 3 known rows are answered 0.25 on average" in said.out
    assert "another answer, blue (0.4), differs most in a, b, c, d, e and 2 more" in said.out
    found = json.loads(call("--json", "ask", mine, "--url", url, "--row", '{"x": 1, "text": "a"}', "--explain").out)
    assert found["explanations"] == EXPLAINED


def test_a_server_that_explains_nothing_is_one_line(url: str, mine: Path) -> None:
    said = call("ask", mine, "--url", url, "--row", '{"x": 1, "text": "a"}', "--explain", "--version", 7)
    assert said.exit_code == 65
    assert said.error == f"{url}: this server explains nothing; the one built in does: millrace serve --server kserve"


def test_json_is_all_that_is_printed(url: str, mine: Path) -> None:
    said = call("--json", "ask", mine, "--url", url, "--row", '{"x": 1}')
    found = json.loads(said.out)
    assert found["version"] == 3
    assert found["model"] == "mine"
    assert found["address"] == url
    assert found["predictions"] == [{"share": 0.123456789, "label": ""}]
    assert found["prediction_ids"] is None
    assert call("--json", "ask", mine, "--url", url, "--row", "{}", "--label", "stable").document["version"] == 1
    assert "warning: without a value, and so taken for missing: text" in said.err


def test_rows_of_a_file(url: str, mine: Path, tmp_path: Path, asked: list[tuple[str, Any]]) -> None:
    (tmp_path / "rows.csv").write_text("x,text,other\n1,a,z\n2,b,z\n3,c,z\n")
    said = call("ask", mine, "--url", url, "--data", tmp_path / "rows.csv", "--limit", 2, "--version", 7)
    assert said.exit_code == 0
    assert asked == [("/versions/7:predict", [{"x": 1.0, "text": "a"}, {"x": 2.0, "text": "b"}])]


def test_ids_of_what_is_logged(url: str, mine: Path) -> None:
    given = ["--url", url, "--version", 1, *["--row", '{"x": 1, "text": "a"}'] * 2]
    lines = call("ask", mine, *given).lines
    assert lines[0].split("  ")[-1].strip() == "prediction id"
    assert [line.split()[-1] for line in lines[1:3]] == ["a-request-0", "a-request-1"]
    assert call("--json", "ask", mine, *given).document["prediction_ids"] == ["a-request-0", "a-request-1"]
    assert "prediction id" not in call("ask", mine, "--url", url, "--row", '{"x": 1, "text": "a"}').out


def test_rows_to_explain_against(url: str, mine: Path, tmp_path: Path, asked: list[tuple[str, Any]]) -> None:
    (tmp_path / "rows.csv").write_text("x,label\n" + "1.5,z\n" * 100)
    given = ["--url", url, "--row", '{"x": 1, "text": "a"}', "--background", tmp_path / "rows.csv"]
    said = call("ask", mine, *given, "--explain")
    assert said.exit_code == 0
    assert f"warning: {tmp_path / 'rows.csv'}: without a column, and so taken for missing: text" in said.err
    assert [place for place, _ in asked] == ["/versions/3:predict", "/versions/3:explain", "background"]
    assert [row["x"] for row in asked[2][1]] == [1.5] * 64
    assert call("ask", mine, *given).error.startswith("--background has the rows to explain against; give --explain")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "give either --row, as often as there are rows, or --data"),
        (["--row", "{}", "--data", "x.csv"], "give either --row"),
        (["--row", "{}", "--version", "1", "--label", "stable"], "--version and --label exclude each other"),
        (["--row", "{}", "--version", "9"], "not served"),
        (["--row", "{}", "--label", "none"], "not served"),
        (["--row", '{"y": 1}'], "the model takes no 'y'"),
        (["--row", "{}", "--candidate", "tree"], "not served"),
    ],
)
def test_bad_input(url: str, mine: Path, options: list[str], said: str) -> None:
    called = call("ask", mine, "--url", url, *options)
    assert called.exit_code == 65
    assert said in called.err
    assert called.out == ""


def test_nothing_answers(mine: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
    called = call("ask", mine, "--url", url, "--row", "{}")
    assert called.exit_code != 0
    assert f"{url}: nothing answers there (connection refused); millrace serve {mine} starts a server" in called.err
