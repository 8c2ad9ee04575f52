"""The app of a Space, run against the model that was pushed and used in a browser.

Needs `make space-environment` (or MILLRACE_SPACE_PYTHON, an interpreter with that lock) and Chromium.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from PIL import Image, ImageDraw

from tests.components.push.serving_support import make_blessing
from tests.components.push_hub.hub_server import Hub, running_hub
from tests.components.push_hub.hub_support import environment, push
from tests.support import ROOT

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
PYTHON = os.environ.get("MILLRACE_SPACE_PYTHON") or str(ROOT / ".venv" / "space" / "bin" / "python")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome") or ""
CLASSES = {"table": ["small tip", "generous tip"], "image": ["dark", "bright", "red"]}
SOON = {"do": "new Promise(done => setTimeout(done, 1500))"}
TEXT = {"get": "document.body.innerText"}


@pytest.fixture(scope="module", autouse=True)
def _needs() -> None:
    if not Path(PYTHON).exists():
        pytest.skip("needs the app's environment: make space-environment")
    if not CHROMIUM:
        pytest.skip("needs Chromium")


@pytest.fixture(scope="module", params=["table", "image"])
def pushed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Hub, Path]]:
    """A server to which a model was pushed, with a Space of each kind."""
    folder = tmp_path_factory.mktemp("space")
    script = [PYTHON, str(HERE / "app_models.py"), request.param, str(folder / "model" / "Format-Serving")]
    subprocess.run(script, check=True, capture_output=True, env=os.environ | {"CUDA_VISIBLE_DEVICES": ""})
    blessing = make_blessing(folder / "blessing")
    with running_hub() as hub:
        for sdk in ("gradio", "streamlit"):
            space = {"sdk": sdk, "repo_id": f"team/try-{sdk}", "classes": CLASSES[request.param]}
            result = push(folder / sdk, hub, folder / "model", blessing, space=space)
            assert result.exit_code == 0, result.stderr
            for path, content in hub.space(f"team/try-{sdk}").files("main").items():
                file = folder / "app" / sdk / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content)
        yield request.param, hub, folder


@contextmanager
def running(sdk: str, folder: Path, hub: Hub) -> Iterator[str]:
    """The app, until it answers, as its Space starts it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = [PYTHON, "app.py"]
    if sdk == "streamlit":
        command = [PYTHON, "-m", "streamlit", "run", "app.py", "--server.port", port]
        command += ["--server.address", "127.0.0.1"]
    variables = {"HF_HOME": str(folder / "cache"), "GRADIO_SERVER_PORT": port, "CUDA_VISIBLE_DEVICES": ""}
    log = folder / f"{sdk}.log"
    with log.open("w") as stream:
        process = subprocess.Popen(
            command,
            cwd=folder / "app" / sdk,
            env=environment(hub, **variables) | {"HF_TOKEN": hub.reader},
            stdout=stream,
            stderr=stream,
        )
    try:
        deadline = time.monotonic() + 180
        while True:
            with socket.socket() as attempt:
                if attempt.connect_ex(("127.0.0.1", int(port))) == 0:
                    break
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=30)
    assert hub.reader not in log.read_text()


def use(address: str, picture: Path, steps: list[dict[str, Any]]) -> str:
    """Does the steps in a browser; the page asks nobody but the app. Returns what the page says in the end."""
    script = [PYTHON, "-W", "ignore", str(HERE / "browser.py"), CHROMIUM, address, str(picture), json.dumps(steps)]
    done = subprocess.run(script, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    asked = {
        urlsplit(each).netloc for each in answer["asked"] if urlsplit(each).scheme in ("http", "https", "ws", "wss")
    }
    assert asked == {urlsplit(address).netloc}
    assert picture.stat().st_size > 10_000
    return " ".join(str(answer["got"][-1]).split())


def typed(sdk: str, name: str, text: str) -> dict[str, Any]:
    """Types into the field of an input: both put the inputs in the order of their names."""
    if sdk == "gradio":
        number = ["company", "hours", "trip_miles"].index(name)
        return {"type": [f"document.querySelectorAll('[data-testid=textbox]')[{number}]", text]}
    return {"type": [f"document.querySelector('input[aria-label={name}]')", text]}


@pytest.mark.parametrize("sdk", ["gradio", "streamlit"])
def test_the_app_answers_as_the_model_does(pushed: tuple[str, Hub, Path], sdk: str) -> None:
    kind, hub, folder = pushed
    with running(sdk, folder, hub) as address:
        (table if kind == "table" else picture)(sdk, address, folder)


def table(sdk: str, address: str, folder: Path) -> None:
    predict = {
        "do": "[...document.querySelectorAll('button')].find(each => each.innerText.trim() === 'Predict').click()"
    }
    ready = {"wait": "document.body.innerText.includes('Predict')"}
    answered = {"wait": "document.body.innerText.includes('%')"}
    # sigmoid(0 - 3 + 0 + 0)
    text = use(address, folder / f"{sdk}-empty.png", [ready, SOON, predict, answered, SOON, TEXT])
    assert "small tip 95% generous tip 5%" in text or "small tip: 95.3% generous tip: 4.7%" in text
    # sigmoid(3.2 - 3 + 1 + 3 / 10)
    fields = [typed(sdk, "company", "Flash Cab"), typed(sdk, "hours", "1, 2"), typed(sdk, "trip_miles", "3.2")]
    text = use(address, folder / f"{sdk}-full.png", [ready, SOON, *fields, SOON, predict, answered, SOON, TEXT])
    assert "generous tip 82% small tip 18%" in text or "generous tip: 81.8% small tip: 18.2%" in text
    wrong = [
        typed(sdk, "hours", "one"),
        SOON,
        predict,
        {"wait": "document.body.innerText.includes('whole number')"},
        TEXT,
    ]
    assert "hours takes a whole number, not 'one'" in use(address, folder / f"{sdk}-wrong.png", [ready, SOON, *wrong])


def picture(sdk: str, address: str, folder: Path) -> None:
    drawn = Image.new("RGB", (320, 240), (20, 30, 90))
    draw = ImageDraw.Draw(drawn)
    draw.rectangle((0, 0, 159, 119), fill=(240, 240, 235))
    draw.rectangle((160, 120, 319, 239), fill=(220, 30, 20))
    file = folder / "picture.jpg"
    drawn.save(file)
    zone = "[data-testid=stFileUploaderDropzone]" if sdk == "streamlit" else "button.upload-container, button:has(svg)"
    steps: list[dict[str, Any]] = [{"wait": f"document.querySelector('{zone}')"}, SOON, {"drop": [zone, str(file)]}]
    if sdk == "gradio":
        click = "[...document.querySelectorAll('button')].find(each => each.innerText.trim() === 'Predict').click()"
        steps += [{"wait": "document.querySelector('button img, .image-container img, img')"}, SOON, {"do": click}]
    text = use(
        address, folder / f"{sdk}.png", [*steps, {"wait": "document.body.innerText.includes('%')"}, SOON, SOON, TEXT]
    )
    assert "dark 50% bright 25% red 25%" in text or "dark: 50.0% bright: 25.0% red: 25.0%" in text
