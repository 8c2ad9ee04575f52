"""Uses a page as a person does, in headless Chromium over its DevTools protocol.

Run by the interpreter of the app's environment, which has websockets: browser.py CHROMIUM URL PICTURE STEPS. STEPS is
a JSON list of `{"wait": expression}`, `{"do": expression}`, `{"get": expression}`, `{"drop": [selector, file]}`, and
`{"type": [element, text]}`. Prints what was got, and the addresses that the page asked, as JSON.
"""

from __future__ import annotations

import base64
import contextlib
import json
import mimetypes
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from websockets.sync.client import connect

_SECONDS = 120
_SIZE = {"width": 1280, "height": 900, "deviceScaleFactor": 1, "mobile": False}


class Page:
    """One tab."""

    def __init__(self, address: str) -> None:
        self._socket = connect(address, max_size=None)
        self._number = 0
        self.asked: list[str] = []
        for domain in ("Page", "Runtime", "Network"):
            self.call(f"{domain}.enable")
        self.call("Emulation.setDeviceMetricsOverride", **_SIZE)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv(timeout=_SECONDS))
            if message.get("method") == "Network.requestWillBeSent":
                self.asked.append(message["params"]["request"]["url"])
            if message.get("id") == self._number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']}")
                result: dict[str, Any] = message["result"]
                return result

    def evaluate(self, expression: str) -> Any:
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise RuntimeError(f"{expression}: {result['exceptionDetails']}")
        return result["result"].get("value")

    def wait(self, expression: str) -> None:
        deadline = time.monotonic() + _SECONDS
        # While the page is not there yet, nothing is true.
        while not self.evaluate(f"(() => {{ try {{ return !!({expression}) }} catch {{ return false }} }})()"):
            if time.monotonic() > deadline:
                raise RuntimeError(f"never came true: {expression}; the page says: {self.evaluate(_TEXT)}")
            time.sleep(0.2)

    def drop(self, selector: str, file: str) -> None:
        """Drags a file onto an element."""
        path = Path(file)
        content = base64.b64encode(path.read_bytes()).decode()
        self.evaluate(f"""
            (() => {{
              const bytes = Uint8Array.from(atob({json.dumps(content)}), each => each.charCodeAt(0));
              const kind = {json.dumps(mimetypes.guess_type(path.name)[0] or "")};
              const dragged = new DataTransfer();
              dragged.items.add(new File([bytes], {json.dumps(path.name)}, {{type: kind}}));
              const target = document.querySelector({json.dumps(selector)});
              for (const name of ["dragenter", "dragover", "drop"])
                target.dispatchEvent(new DragEvent(name, {{dataTransfer: dragged, bubbles: true, cancelable: true}}));
            }})()
        """)

    def type(self, element: str, text: str) -> None:
        """Types into an element, an expression, and leaves it."""
        self.evaluate(f"({element}).focus()")
        self.call("Input.insertText", text=text)
        self.evaluate(f"({element}).blur()")


_TEXT = "document.body.innerText"


def main(chromium: str, url: str, picture: str, steps: list[dict[str, Any]]) -> None:
    with tab(chromium) as address:
        page = Page(address)
        page.call("Page.navigate", url=url)
        got = []
        for step in steps:
            ((kind, given),) = step.items()
            if kind in ("drop", "type"):
                getattr(page, kind)(*given)
            elif kind == "wait":
                page.wait(given)
            else:
                answer = page.evaluate(given)
                got += [answer] if kind == "get" else []
        Path(picture).write_bytes(base64.b64decode(page.call("Page.captureScreenshot")["data"]))
        print(json.dumps({"got": got, "asked": page.asked}))


@contextlib.contextmanager
def tab(chromium: str) -> Iterator[str]:
    """The address of a tab of a Chromium that nobody sees and that ends with it."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"]
        # The browser itself asks its maker for things; only what the page asks counts.
        options += ["--disable-background-networking", "--disable-component-update", "--remote-debugging-port=0"]
        browser = subprocess.Popen(
            [chromium, *options, f"--user-data-dir={folder}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield _address(Path(folder) / "DevToolsActivePort")
        finally:
            browser.terminate()
            browser.wait(timeout=30)


def _address(file: Path) -> str:
    deadline = time.monotonic() + _SECONDS
    while not file.exists() or not file.read_text().strip():
        if time.monotonic() > deadline:
            raise RuntimeError("Chromium did not start")
        time.sleep(0.1)
    port = file.read_text().split()[0]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=30) as reply:
        tabs = json.load(reply)
    return str(next(tab["webSocketDebuggerUrl"] for tab in tabs if tab["type"] == "page"))


if __name__ == "__main__":
    main(*sys.argv[1:4], json.loads(sys.argv[4]))
