"""The page at `/`: its files as any client gets them, and the page itself in Chromium."""

from __future__ import annotations

import base64
import contextlib
import json
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
import tensorflow as tf
import urllib3
import uvicorn
from tensorflow_serving.apis import prediction_log_pb2

from components.runtime.publish.serving import WARM_UP
from components.runtime.records import prediction_log as log_files
from model_server import page
from model_server.errors import NotReadyError
from model_server.prediction_log import PredictionLog
from model_server.server import app
from model_server.versions import Versions
from tests.model_server import made_models
from tests.runners.history.explorer.chromium import Window, needs_chromium, window

MODEL = "taxi <i>'s"
JPEG = tf.io.encode_jpeg(tf.constant(np.full([16, 24, 3], (255, 0, 0), np.uint8))).numpy()


def example(row: int) -> dict[str, np.ndarray]:
    return {
        "fare <b>": np.float32([np.nan if row else 0.5]),
        "seats": np.int64([2**62 + 1]),
        "company": np.array([b"Flash <Cab> & 'Sons'"], object),
        "shared": np.array([True]),
        "place": np.float32([[41.9, -87.6]]),
        "stops": np.int64([[1, 2, 3]]),
        "tags": np.array([[b"a", b"b"]], object),
        "photo_jpeg": np.array([JPEG], object),
        "thumbnail": np.full([1, 8, 8, 3], 0.5, np.float32),
        "digit": np.full([1, 8, 8], 2, np.uint8),
        "cube": np.zeros([1, 2, 2, 2, 2], np.float32),
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("page")
    made_models.write_for_page(root / "1", 1)
    shutil.copytree(made_models.write_for_page(root / "made", 2), root / "2")
    file = root / "2" / WARM_UP
    file.parent.mkdir()
    with tf.io.TFRecordWriter(str(file)) as records:
        for row in range(2):
            log = prediction_log_pb2.PredictionLog()
            for name, values in example(row).items():
                log.predict_log.request.inputs[name].CopyFrom(tf.make_tensor_proto(values))
            records.write(log.SerializeToString())
    (root / "labels.json").write_text('{"stable": 1}')
    return root


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    """The server of the page, in this process."""
    with served(Versions(MODEL, folder)) as found:
        yield found


@contextlib.contextmanager
def served(versions: Versions) -> Iterator[str]:
    versions.refresh()
    web = uvicorn.Server(uvicorn.Config(app({versions.name: versions}), log_config=None, access_log=False))
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as listening:
        thread = threading.Thread(target=web.run, kwargs={"sockets": [listening]})
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        web.should_exit = True
        thread.join()


def get(address: str, path: str) -> urllib3.BaseHTTPResponse:
    return urllib3.request("GET", address + path, timeout=30, retries=False)


def test_the_page_loads_nothing_from_elsewhere(address: str) -> None:
    page = get(address, "/")
    assert page.status == 200
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    text = page.data.decode()
    assert "http:" not in text
    assert "https:" not in text
    for name in ("page.css", "elements.js", "fields.js", "answer.js", "why.js", "main.js", "feedback.js"):
        assert f'"page/{name}"' in text
        assert get(address, f"/page/{name}").status == 200
    assert get(address, "/page/..%2f__init__.py").status == 404
    assert get(address, "/page/none.js").status == 404


def test_what_the_page_is_told_of_a_model(address: str) -> None:
    found = json.loads(get(address, "/page/model").data)
    assert (found["model"], found["version"], found["in_service"]) == (MODEL, 2, 2)
    assert (found["versions"], found["labels"]) == ([2, 1], {"stable": 1})
    inputs = {each["name"]: (each["dtype"], each["shape"]) for each in found["inputs"]}
    assert inputs["thumbnail"] == ("float32", [None, 8, 8, 3])
    assert list(inputs) == sorted(made_models.PAGE_INPUTS)
    first, second = found["examples"]
    assert first["photo_jpeg"] == {"b64": base64.b64encode(JPEG).decode()}
    assert (first["seats"], first["company"], first["tags"]) == (2**62 + 1, "Flash <Cab> & 'Sons'", ["a", "b"])
    assert np.isnan(second["fare <b>"])
    assert json.loads(get(address, "/page/model?label=stable").data)["examples"] == []
    for query, status in (("version=7", 404), ("version=x", 400), ("label=none", 404)):
        answer = get(address, f"/page/model?{query}")
        assert (answer.status, list(json.loads(answer.data))) == (status, ["error"])


def test_a_page_of_no_version_says_so(tmp_path: Path) -> None:
    with pytest.raises(NotReadyError, match="m: no version is loaded yet"):
        page._about({"m": Versions("m", tmp_path)}, "", "")


class Asked(Window):
    """The page as a person uses it."""

    def open(self, address: str) -> None:
        self.call("Page.navigate", url="about:blank")
        self.wait("location.href === 'about:blank'")
        self.call("Page.navigate", url=f"{address}/")
        self.wait("document.getElementById('form') && !document.getElementById('form').hidden")

    def field(self, name: str) -> str:
        labels = "[...document.querySelectorAll('.field label')]"
        return f"{labels}.find(each => each.firstChild.data === {json.dumps(name)}).control"

    def fill(self, name: str, value: str) -> None:
        self.evaluate(f"{self.field(name)}.value = {json.dumps(value)}")

    def choose(self, select: str, text: str) -> None:
        self.evaluate(
            f"(() => {{ const list = document.getElementById({json.dumps(select)});"
            f" list.value = [...list.options].find(each => each.text.startsWith({json.dumps(text)})).value;"
            " list.dispatchEvent(new Event('change')); })()"
        )

    def give_file(self, name: str, file: Path) -> None:
        found = self.call("Runtime.evaluate", expression=self.field(name))["result"]["objectId"]
        self.call("DOM.setFileInputFiles", files=[str(file)], objectId=found)

    def ask(self) -> dict[str, str]:
        self.evaluate("document.getElementById('answered').hidden = document.getElementById('fault').hidden = true")
        self.evaluate("document.getElementById('form').requestSubmit()")
        self.wait("!document.getElementById('answered').hidden || !document.getElementById('fault').hidden")
        found: dict[str, str] = self.evaluate(
            "Object.fromEntries([...document.querySelectorAll('.output')].map(each => [each.firstChild.textContent,"
            " [...each.children].slice(1).map(part => part.innerText.replace(/\\s+/g, ' ').trim()).join(' ')]))"
        )
        return found

    def text(self, element: str) -> str:
        return str(self.evaluate(f"document.getElementById({json.dumps(element)}).textContent"))


@pytest.fixture(scope="module")
def tab() -> Iterator[Asked]:
    with window() as opened:
        opened.__class__ = Asked
        assert isinstance(opened, Asked)
        yield opened


@needs_chromium
def test_an_example_is_asked_and_answered(tab: Asked, address: str) -> None:
    tab.look()
    tab.open(address)
    assert tab.text("model") == f"Ask {MODEL}"
    found = tab.ask()
    assert found["echo"] == f"0.500000|{2**62 + 1}|Flash <Cab> & 'Sons'|true"
    assert found["seats"] == str(2**62 + 1)
    assert found["tip"] == "of 1 0.622459"
    # Named by the texts beside them, the largest first; of equal ones in their order.
    assert found["share"] == "red 0.333333 green 0.333333 <i>blue</i> 0.333333"
    assert found["place"] == "41.9, -87.6"
    # What has the shape of an image is drawn as one.
    assert found["negative"].endswith("8 × 8 values, from 253 (black) to 260 (white)")
    drawn = "document.querySelector('.output canvas').getContext('2d').getImageData"
    assert tab.evaluate(f"[{drawn}(0, 3, 1, 1).data[0], {drawn}(7, 3, 1, 1).data[2]]") == [0, 255]
    assert (found["length"], found["tags"], found["stops"], found["ink"]) == (str(len(JPEG)), "a+b", "6", "128")
    assert tab.text("by") == "Version 2 answered."
    curl = tab.text("curl")
    assert "'\\''Sons'\\''" in curl
    assert curl.endswith(f"'{address}/v1/models/{quote(MODEL)}:predict'")


@needs_chromium
def test_why_and_what_if(tab: Asked, address: str) -> None:
    tab.open(address)
    tab.fill("fare <b>", "0.25")
    tab.ask()
    tab.evaluate("document.getElementById('explain').click()")
    tab.wait("document.querySelector('#why-parts ol') || !document.getElementById('why-fault').hidden")
    said = tab.text("why-parts")
    # Of several numbers the shares; of them the class that is answered, by its name.
    assert said.startswith("share, class red: 0.333333. The known rows are answered 0.333333 on average")
    assert "against 2 known rows, from 64 orders" in said
    assert "None: all known rows are answered alike" in said
    assert len(tab.evaluate("[...document.querySelectorAll('#why-parts li')].map(each => each.innerText)")) == 11
    # One feature with other values, in the order of its field's values.
    tab.choose("vary", "fare <b>")
    tab.wait("document.querySelector('#curve svg')")
    assert tab.evaluate("document.querySelector('#curve svg').getAttribute('aria-label')").startswith(
        "share 0 by fare <b>"
    )
    assert tab.evaluate("document.querySelectorAll('#curve circle').length") == 1
    assert tab.text("curve").endswith("The dot is this row; its other features stay as they are.")
    tab.choose("vary", "shared")
    tab.wait("document.querySelector('#curve ol')")
    assert tab.text("curve").replace("0.333333", "") == "share 0falsetrue (this row)"
    # A field that changes asks again, where that is wanted.
    tab.evaluate("document.getElementById('follow').checked = true")
    tab.fill("fare <b>", "-3")
    tab.evaluate(f"{tab.field('fare <b>')}.dispatchEvent(new Event('input', {{bubbles: true}}))")
    tab.wait("document.getElementById('answer').textContent.includes('-3.000000|')")
    assert tab.text("why-parts") == "", "what was said of another row is gone"


@needs_chromium
def test_values_that_a_person_fills_in(tab: Asked, address: str) -> None:
    tab.open(address)
    tab.fill("fare <b>", "-1e-3")
    tab.fill("seats", "-9007199254740993")
    tab.fill("company", 'Ü"\\')
    tab.fill("stops", "")
    tab.fill("place", "1, ,2")
    tab.evaluate(f"{tab.field('shared')}.value = 'false'")
    found = tab.ask()
    assert found["echo"].startswith('-0.001000|-9007199254740993|Ü"\\|')
    assert found["stops"] == "0"
    assert found["place"] == "1, 2"
    # Nothing filled in is a missing value.
    tab.fill("fare <b>", "")
    tab.fill("seats", "")
    found = tab.ask()
    assert found["version"] == "NaN"
    assert found["seats"] == str(-(2**63))
    assert '"fare <b>": NaN' in tab.text("curl")


@needs_chromium
def test_bad_values_are_told_at_their_field(tab: Asked, address: str) -> None:
    tab.open(address)
    for name, value, said in (
        ("seats", "1.5", "seats: 1.5 is no whole number"),
        ("fare <b>", "much", "fare <b>: much is no number"),
        ("place", "1", "place: 1 values; it takes 2"),
        ("cube", "[", "cube: no JSON"),
        ("cube", "[1]", "input 'cube' has to be float32 of shape [?, 2, 2, 2, 2]"),
    ):
        before = tab.evaluate(f"{tab.field(name)}.value")
        tab.fill(name, value)
        tab.ask()
        assert said in tab.text("fault")
        if "input" not in said:
            assert tab.evaluate(f"document.activeElement === {tab.field(name)}")
        tab.fill(name, before)
    tab.ask()
    assert tab.text("fault") == ""


@needs_chromium
def test_an_image_is_dropped(tab: Asked, address: str, tmp_path: Path) -> None:
    tab.open(address)
    png = tmp_path / "blue.png"
    png.write_bytes(tf.io.encode_png(tf.constant(np.full([40, 20, 3], (0, 0, 255), np.uint8))).numpy())
    tab.give_file("photo_jpeg", png)
    tab.give_file("thumbnail", png)
    tab.give_file("digit", png)
    tab.wait("document.querySelector('.field img').src.startsWith('data:image/png')")
    tab.wait("document.querySelectorAll('.field canvas')[1].getContext('2d').getImageData(4, 4, 1, 1).data[2] === 255")
    time.sleep(0.2)
    found = tab.ask()
    assert found["length"] == str(png.stat().st_size)
    # Values from 0 to 1, as the examples have them: softmax of (0, 0, 1).
    assert found["share"] == "<i>blue</i> 0.576117 red 0.211942 green 0.211942"
    # Blue as a grey of whole numbers.
    assert found["ink"] == str(29 * 64)
    assert tab.text("curl").startswith("curl --data ")
    no_image = tmp_path / "no.png"
    no_image.write_bytes(b"none")
    tab.give_file("thumbnail", no_image)
    tab.wait("!document.getElementById('fault').hidden")
    assert "no.png is no image" in tab.text("fault")


@needs_chromium
def test_versions_and_labels_are_chosen(tab: Asked, address: str) -> None:
    tab.open(address)
    choices = tab.evaluate("[...document.getElementById('choice').options].map(each => each.text)")
    assert choices == ["the version in service (2)", "stable (version 1)", "version 2", "version 1"]
    for choice, path in (("stable", "/labels/stable:predict'"), ("version 1", "/versions/1:predict'")):
        tab.choose("choice", choice)
        tab.wait("[...document.getElementById('example').options].length === 1")
        assert tab.ask()["version"] == "of 1 1"
        assert tab.text("by") == "Version 1 answered."
        assert tab.text("curl").endswith(path)
    tab.choose("example", "no values")
    assert tab.ask()["echo"].startswith("nan|-9223372036854775808||"), "what nobody filled in is missing, and not 0"


@needs_chromium
def test_every_control_has_a_name_and_nothing_runs_out_of_the_window(tab: Asked, address: str) -> None:
    tab.open(address)
    tab.ask()
    lacking = tab.evaluate(
        "[...document.querySelectorAll('button, a[href], input, select, textarea, canvas, img')].filter(each =>"
        " !each.textContent.trim() && !each.getAttribute('aria-label') && !each.labels?.length && !each.alt)"
        ".map(each => each.outerHTML)"
    )
    assert lacking == []
    for width, dark in ((1280, False), (360, True)):
        tab.look(width, 800, dark=dark)
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
    tab.look()


SCHEMAS = {
    "two": 'feature { name: "fare" type: FLOAT } feature { name: "tips" type: INT int_domain { min: 0 max: 1 } }',
    "three": 'feature { name: "fare" type: FLOAT } feature { name: "kind" type: INT int_domain { min: 0 max: 2 } }',
    "truth": 'feature { name: "fare" type: FLOAT } feature { name: "tips" type: INT bool_domain {} }',
    "number": 'feature { name: "fare" type: FLOAT } feature { name: "tips" type: FLOAT }',
    "text": """feature { name: "fare" type: FLOAT } feature { name: "payment" type: BYTES domain: "payments" }
        string_domain { name: "payments" value: "Cash" value: "Credit Card" }""",
}


@pytest.fixture
def judged(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, PredictionLog]]:
    """Address and log of a server whose page asks what was right."""
    made_models.write_for_feedback(tmp_path / "served" / "1", 3 if request.param == "three" else 1)
    told = tmp_path / "served" / "1" / "assets.extra" / "trained_on" / "schema.pbtxt"
    told.parent.mkdir(parents=True)
    told.write_text(SCHEMAS[request.param])
    log = PredictionLog(tmp_path / "log", share=1.0, redacted=[], megabytes=10, seconds=60.0)
    with served(Versions(MODEL, tmp_path / "served", log=log)) as found:
        yield found, log


def kept(log: PredictionLog) -> list[tuple[Any, str]]:
    """The labels that came, and their kinds."""
    log.close()
    return [(each["label"], each["kind"]) for each in log_files.read_labels(log.folder).to_pylist()]


@needs_chromium
@pytest.mark.parametrize("judged", ["two"], indirect=True)
def test_a_person_says_whether_an_answer_was_right(tab: Asked, judged: tuple[str, PredictionLog]) -> None:
    address, log = judged
    tab.open(address)
    tab.fill("fare", "2")
    tab.ask()
    assert (tab.text("right"), tab.text("wrong")) == ("Yes: tips is 1", "No: tips is 0")
    prediction = tab.text("judge-of").split()[1]
    for button, said in (("right", "Kept: 1"), ("wrong", "Kept: 0")):
        tab.click(f"#{button}")
        tab.wait(f"document.getElementById('judged').textContent.startsWith('{said}')")
    tab.evaluate("document.getElementById('truth').value = '7.5'")
    tab.click("#judge button[type=submit]")
    tab.wait("document.getElementById('judged').textContent === 'tips is a whole number; 7.5 is none.'")
    assert kept(log) == [(1, "explicit"), (0, "explicit")]
    assert [row["prediction_id"] for batch in log_files.read(log.folder) for row in batch.to_pylist()] == [prediction]


@pytest.mark.parametrize("judged", ["number", "text"], indirect=True)
def test_a_label_of_another_type_than_the_data_has_is_refused(judged: tuple[str, PredictionLog]) -> None:
    address, log = judged
    place = f"{address}/v1/models/{quote(MODEL)}/feedback"
    answers = {}
    for label in ("abc", 2.45):
        answer = urllib3.request("POST", place, json={"prediction_id": "a-0", "label": label}, retries=False)
        answers[label] = answer.status, json.loads(answer.data).get("error")
    # (A class that is new is one.)
    if answers["abc"][0] == 200:
        assert answers[2.45] == (400, "`label` has to be as payment of the model's data is: 2.45 is no text")
        assert kept(log) == [("abc", "explicit")]
    else:
        assert answers["abc"] == (400, "`label` has to be as tips of the model's data is: 'abc' is no number")
        assert kept(log) == [(2.45, "explicit")]


@pytest.mark.parametrize("judged", ["two", "truth"], indirect=True)
def test_a_number_beyond_the_labels_domain_is_refused(judged: tuple[str, PredictionLog]) -> None:
    address, log = judged
    place = f"{address}/v1/models/{quote(MODEL)}/feedback"
    answers = [
        urllib3.request("POST", place, json={"prediction_id": "a-0", "label": label}, retries=False)
        for label in (7, -1, True)
    ]
    assert [answer.status for answer in answers] == [400, 400, 200]
    said = "`label` has to be as tips of the model's data is: 7 is none of the model's, which are 0 to 1"
    assert json.loads(answers[0].data) == {"error": said}
    assert kept(log) == [(True, "explicit")]


@needs_chromium
@pytest.mark.parametrize("judged", ["three"], indirect=True)
def test_of_several_classes_no_alone_says_nothing(tab: Asked, judged: tuple[str, PredictionLog]) -> None:
    address, log = judged
    tab.open(address)
    tab.fill("fare", "2")
    tab.ask()
    assert (tab.text("right"), tab.text("wrong")) == ("Yes: kind is 2", "No")
    tab.click("#wrong")
    assert tab.text("judged") == "Then say what it is."
    assert tab.evaluate("document.activeElement.id") == "truth"
    for value in ("1", "2"):
        tab.evaluate(f"document.getElementById('truth').value = '{value}'")
        tab.click("#judge button[type=submit]")
        tab.wait(f"document.getElementById('judged').textContent.startsWith('Kept: {value}')")
    assert kept(log) == [(1, "corrected"), (2, "explicit")]


@needs_chromium
@pytest.mark.slow
@pytest.mark.parametrize("judged", ["number", "text"], indirect=True)
def test_a_label_that_the_answer_does_not_mean_is_asked_for(tab: Asked, judged: tuple[str, PredictionLog]) -> None:
    address, log = judged
    tab.open(address)
    tab.fill("fare", "2")
    tab.ask()
    assert tab.evaluate("document.getElementById('right').hidden && document.getElementById('wrong').hidden")
    name = tab.text("truth-name")
    assert name in ("tips is", "payment is")
    tab.evaluate(f"document.getElementById('truth').value = {json.dumps('3.50' if name == 'tips is' else 'Cash')}")
    tab.click("#judge button[type=submit]")
    tab.wait("document.getElementById('judged').textContent.startsWith('Kept: ')")
    assert kept(log) == [(3.5 if name == "tips is" else "Cash", "corrected")]


@needs_chromium
def test_where_nothing_is_logged_nothing_is_asked(tab: Asked, address: str) -> None:
    tab.open(address)
    tab.ask()
    assert tab.evaluate("document.getElementById('feedback').hidden")
    answer = urllib3.request("POST", f"{address}/v1/models/{quote(MODEL)}/feedback", body=b"{}", retries=False)
    assert answer.status == 404
    assert "predictions are not logged here" in json.loads(answer.data)["error"]
