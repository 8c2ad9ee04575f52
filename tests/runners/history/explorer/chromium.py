"""A page in headless Chromium, used as a person does: clicks, keys, another window, another colour scheme."""

from __future__ import annotations

import base64
import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.components.push_hub.browser import Page, tab

CHROMIUM = shutil.which("chromium")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
_KEYS = {
    "Enter": (13, "\r"),
    "Tab": (9, ""),
    "ArrowUp": (38, ""),
    "ArrowDown": (40, ""),
    "ArrowLeft": (37, ""),
    "ArrowRight": (39, ""),
    "Home": (36, ""),
    "PageDown": (34, ""),
    " ": (32, " "),
}


class Window(Page):
    """One tab, which is told what to do by selectors and texts."""

    def go(self, url: str) -> None:
        """Opens an address, and waits until the page shows something."""
        self.call("Page.navigate", url="about:blank")
        self.wait("location.href === 'about:blank'")
        self.call("Page.navigate", url=url)
        self.wait("document.querySelector('#main h2')")

    def click(self, selector: str, text: str = "") -> None:
        """Clicks on the first element of a selector that has a text in it, as the mouse does."""
        place = self.evaluate(
            f"(() => {{ const all = [...document.querySelectorAll({json.dumps(selector)})];"
            f" const found = all.find(each => each.textContent.includes({json.dumps(text)}));"
            " found.scrollIntoView({block: 'center', inline: 'center', behavior: 'instant'});"
            " const box = found.getBoundingClientRect();"
            " return [box.x + box.width / 2, box.y + box.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], button="left", clickCount=1)

    def press(self, key: str) -> None:
        """Presses a key where the focus is."""
        code, text = _KEYS[key]
        about: dict[str, Any] = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        self.call("Input.dispatchKeyEvent", type="keyDown", **about, **({"text": text} if text else {}))
        self.call("Input.dispatchKeyEvent", type="keyUp", **about)

    def spoken(self) -> list[tuple[str, str, dict[str, Any]]]:
        """Role, name and properties of all that a screen reader is told of, by Chromium's accessibility tree."""
        nodes = self.call("Accessibility.getFullAXTree")["nodes"]
        return [
            (
                each["role"]["value"],
                each.get("name", {}).get("value", "").strip(),
                {one["name"]: one["value"].get("value") for one in each.get("properties", [])},
            )
            for each in nodes
            if not each["ignored"]
        ]

    def look(self, width: int = 1280, height: int = 900, *, dark: bool = False) -> None:
        """Takes another size and colour scheme."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def picture(self, file: Path) -> None:
        """Writes what is seen."""
        file.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))


@contextlib.contextmanager
def window() -> Iterator[Window]:
    """A tab of a Chromium that nobody sees."""
    assert CHROMIUM
    with tab(CHROMIUM) as address:
        yield Window(address)
