"""The examples of docs/pipelines.md, as models."""

from __future__ import annotations

import re
from pathlib import Path

from runners.settings import model as settings
from runners.settings.model import load
from tests.support import ROOT

PAGE = ROOT / "docs" / "pipelines.md"
EXAMPLES = {
    "added": "the default, and a task more",
    "left_out": "looks at data, and trains nothing",
    "repeated": "two trainings, of which the longer one is published",
    "foreign": "its columns, as a stage in a shell lists them",
}
"""By name, what the first line of the file says."""
SPECS = {"foreign": "components/list_columns/component.yaml"}
BUSYBOX = "docker.io/library/busybox:1.37.0"
"""What the page's stage in a shell runs in."""

# By a URI, so that no path of a machine gets into what is compiled.
SETTINGS = "module: gs://bucket/taxi\ncluster: {volume: {claim: work}}\n"


def block(beginning: str) -> str:
    """The block of code on the page that begins so, word for word."""
    (found,) = [text for text in re.findall(r"```(?:python|yaml)\n(.*?)```", PAGE.read_text(), re.DOTALL)
                if text.startswith(f"# {beginning}\n")]  # fmt: skip
    return found


def example(name: str, folder: Path, text: str = SETTINGS) -> settings.Settings:
    """One of the examples as a model in a folder of its name."""
    place = folder / name
    write(place, block(f"pipeline.py: {EXAMPLES[name]}"), text)
    if spec := SPECS.get(name):
        (place / spec).parent.mkdir(parents=True)
        (place / spec).write_text(block(spec))
    return load(str(place))


def write(folder: Path, pipeline: str, text: str = SETTINGS) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "settings.yaml").write_text(text)
    (folder / "pipeline.py").write_text(pipeline)
