"""Calls the command line as a person does: what it prints, and the exit code."""

from __future__ import annotations

import contextlib
import io
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from runners.commands.cli import main

IR = """\
# PIPELINE DEFINITION
# Name: taxi
components: {}
deploymentSpec: {executors: {}}
pipelineInfo: {name: taxi, description: %s}
root:
  dag: {tasks: {}}
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
PLATFORM = "---\nplatforms: {kubernetes: {deploymentSpec: {executors: {}}}}\n"


def write_pipeline(folder: Path, description: str = "one") -> Path:
    """A compiled pipeline as kfp writes it: IR, then the platform spec."""
    file = folder / "taxi.yaml"
    file.write_text(IR % description + PLATFORM)
    return file


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
