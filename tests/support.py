"""What tests of stages share: where the real data lies, and how to call a stage as a runner does."""

from __future__ import annotations

import contextlib
import copy
import json
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests import forked

ROOT = Path(__file__).parent.parent
MILLRACE = str(ROOT / "millrace")
"""The command."""
COMMANDS_NEED = ("bash", "readlink", "dirname", "cat", "sha256sum", "cut", "make", "git")
"""What `./millrace` and `make` call."""
TEST_DATA = (ROOT.parent / "shared" / "data", ROOT / "data" / "test")
"""Where real data for tests lies: the developers' own, or what `make test-data` fetches."""


def shared(relative: str) -> Path:
    """A path in the real data for tests; skips the test where there is none."""
    for folder in TEST_DATA:
        if (folder / relative).exists():
            return folder / relative
    pytest.skip(f"needs test data that is not here: {relative.split('/')[0]}", allow_module_level=True)


def processes() -> dict[int, str]:
    """The command lines of the machine's processes, by id; one that ends meanwhile is left out."""
    found = {}
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found[int(file.parent.name)] = file.read_bytes().decode(errors="replace").replace("\0", " ")
    return found


@contextlib.contextmanager
def small_disk(folder: Path, size: str, options: str = "rw") -> Iterator[Path]:
    """A disk of its own that holds no more than `size`, mounted at a folder made for it."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size},{options}", "tmpfs", str(folder)], check=False, capture_output=True
    )
    if mounted.returncode != 0:
        pytest.skip("needs the right to mount a small disk")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def changed(document: Any, path: Sequence[Any], value: Any) -> Any:
    """A copy of a document with one value put in its place; None takes it out."""
    document = copy.deepcopy(document)
    parent = document
    for key in path[:-1]:
        parent = parent[key]
    if value is None:
        del parent[path[-1]]
    else:
        parent[path[-1]] = value
    return document


def executor_input(
    folder: Path,
    *,
    parameters: dict[str, Any] | None = None,
    inputs: dict[str, Path] | None = None,
    outputs: list[str] | None = None,
    output_parameters: list[str] | None = None,
    metadata: dict[str, dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """KFP's executor input for one call of a stage whose outputs lie in `folder` under their names."""
    return {
        "inputs": {
            "parameterValues": parameters or {},
            "artifacts": {
                name: {"artifacts": [{"name": name, "uri": str(path), "metadata": (metadata or {}).get(name, {})}]}
                for name, path in (inputs or {}).items()
            },
        },
        "outputs": {
            "parameters": {name: {"outputFile": str(folder / "parameters" / name)} for name in output_parameters or []},
            "artifacts": {
                name: {"artifacts": [{"name": name, "uri": str(folder / name), "type": _type(name), "metadata": {}}]}
                for name in outputs or []
            },
            "outputFile": str(folder / "executor_output.json"),
        },
    }


def _type(output: str) -> dict[str, str]:
    """The type of an output, as far as it matters to a stage: every spec calls its metrics so."""
    return {"schemaTitle": "system.Metrics" if output == "metrics" else "system.Artifact", "schemaVersion": "0.0.1"}


@dataclass
class StageResult:
    """What a stage process left behind."""

    exit_code: int
    stdout: str
    stderr: str
    folder: Path

    @property
    def error(self) -> str:
        """The one-line error, without its prefix; empty when there was none."""
        lines = [line for line in self.stderr.splitlines() if line.startswith("error: ")]
        return lines[-1].removeprefix("error: ") if lines else ""

    @property
    def output(self) -> dict[str, Any]:
        """The executor output."""
        result: dict[str, Any] = json.loads((self.folder / "executor_output.json").read_text())
        return result

    def metadata(self, artifact: str) -> dict[str, Any]:
        """Metadata of an output artifact."""
        result: dict[str, Any] = self.output["artifacts"][artifact]["artifacts"][0]["metadata"]
        return result


def run_stage(stage: str, folder: Path, **arguments: Any) -> StageResult:
    """Runs a stage as a process of this interpreter; `arguments` are those of `executor_input`."""
    folder.mkdir(parents=True, exist_ok=True)
    # Beside the folder: tests look into it for what a failed stage left behind.
    file = folder.with_name(f"{folder.name}.executor_input.json")
    file.write_text(json.dumps(executor_input(folder, **arguments)))
    out, err = (folder.with_name(f"{folder.name}.{name}") for name in ("stdout", "stderr"))
    code = forked.stage(stage, ["--executor-input", f"@{file}"], out, err)
    return StageResult(code, out.read_text(), err.read_text(), folder)


def bare_path(folder: Path) -> str:
    """A value of PATH with what the command needs and nothing else, such as engines; makes the folder."""
    folder.mkdir()
    for name in COMMANDS_NEED:
        found = shutil.which(name)
        if found:
            (folder / name).symlink_to(Path(found).resolve())
    return str(folder)
