"""Calls the command line as a person does: what it prints, and the exit code."""

from __future__ import annotations

import contextlib
import io
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from runners.commands.cli import main

IR = """\
# PIPELINE DEFINITION
# Name: taxi
components: %s
deploymentSpec: {executors: {}}
pipelineInfo: {name: taxi, description: %s}
root:
  dag: {tasks: %s}
  inputDefinitions:
    parameters:
      data: {parameterType: STRING}
      train_steps: {defaultValue: 500.0, isOptional: true, parameterType: NUMBER_INTEGER}
      rate: {defaultValue: 0.1, isOptional: true, parameterType: NUMBER_DOUBLE}
      push: {defaultValue: true, isOptional: true, parameterType: BOOLEAN}
      layers: {defaultValue: [8], isOptional: true, parameterType: LIST}
schemaVersion: 2.1.0
sdkVersion: kfp-2.17.0
"""
NAMES = {"statistics-2": "transformed-statistics"}
"""What tasks are called on display, where it is not their key."""
PLATFORM = "---\nplatforms: {kubernetes: {deploymentSpec: {executors: {}}}}\n"


def write_pipeline(
    folder: Path, description: str = "one", stages: Sequence[str] = ("ingest", "statistics", "train")
) -> Path:
    """A compiled pipeline as kfp writes it: IR, then the platform spec.

    Args:
      folder: where it is written.
      description: of the pipeline.
      stages: their keys, one behind the other; those in a group have its name before them, as `condition-1/train`.
    """
    groups: dict[str, list[str]] = {}
    for stage in stages:
        group, _, key = stage.rpartition("/")
        groups.setdefault(group, []).append(key)
    components: dict[str, Any] = {
        f"comp-{key}": {"executorLabel": f"exec-{key}"} for keys in groups.values() for key in keys
    }
    root = _tasks([*groups.pop("", []), *groups])
    components |= {f"comp-{group}": {"dag": {"tasks": _tasks(keys)}} for group, keys in groups.items()}
    file = folder / "taxi.yaml"
    file.write_text(IR % (json.dumps(components), description, json.dumps(root)) + PLATFORM)
    return file


def _tasks(keys: Sequence[str]) -> dict[str, Any]:
    """Tasks of a group, each of which waits for the one before."""
    behind = dict(zip(keys[1:], keys[:-1], strict=True))
    return {
        key: {
            "cachingOptions": {"enableCache": True},
            "componentRef": {"name": f"comp-{key}"},
            "dependentTasks": [behind[key]] if key in behind else [],
            "taskInfo": {"name": NAMES.get(key, key)},
        }
        for key in keys
    }


@dataclass
class Called:
    """What a command did."""

    exit_code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def document(self) -> dict[str, Any]:
        """What `--json` printed: one document and nothing else, with the exit code in it."""
        found: dict[str, Any] = json.loads(self.out, parse_constant=pytest.fail)
        assert found["code"] == self.exit_code
        assert (found["error"] is None) or self.exit_code or "state" in found
        return found

    @property
    def error(self) -> str:
        """The error, which is one line and the only one."""
        [line] = self.err.strip().splitlines()
        return re.sub("^error: ", "", line)


def call(*arguments: object) -> Called:
    out, err = io.StringIO(), io.StringIO()
    code = 0
    before, sys.stdin = sys.stdin, io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as ended:
            code = int(ended.code or 0)
        finally:
            sys.stdin = before
    return Called(code, out.getvalue(), err.getvalue())
