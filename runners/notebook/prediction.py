"""Asks models by a process of the environment that they were made in: that of the notebook has no TensorFlow."""

from __future__ import annotations

import atexit
import base64
import contextlib
import json
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from components.runtime.errors import InputError, StageError, TransientError
from runners.local import environments
from runners.notebook import cell

_STAGE = "train"
"""Models are asked where they are trained."""
_MODULE = "components.runtime.module_file.predictions"


class Predictor:
    """The process; it is started with the first question, stays for the next ones, and ends with this one."""

    def __init__(self) -> None:
        """Starts nothing yet."""
        self._process: subprocess.Popen[str] | None = None
        self._loaded: set[tuple[str, str]] = set()
        self._said: IO[str] | None = None
        self._lock = threading.Lock()
        atexit.register(self.close)

    def ask(self, model: Path, digest: str, rows: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
        """What a model's raw features are called (`inputs`), and what it answers for rows (`outputs`).

        Args:
          model: folder of a SavedModel.
          digest: identifies its content.
          rows: raw values by name; None where one is missing.

        Raises:
          InputError: the model does not take them.
          StageError: the process cannot be started, or died.
        """
        request = {
            "model": str(model),
            "digest": digest,
            "rows": [dict(zip(row, map(_coded, row.values()), strict=True)) for row in rows],
        }
        with self._lock:
            try:
                with self._told(str(model), digest):
                    answer = self._exchange(json.dumps(request))
            except BaseException:
                # Interrupted between a question and its answer, which the next one must not get.
                self.close()
                raise
        if "error" in answer:
            raise (InputError if answer["code"] == InputError.exit_code else StageError)(answer["error"])
        return {
            "inputs": answer["inputs"],
            "outputs": {name: _array(output) for name, output in answer["outputs"].items()},
        }

    def close(self) -> None:
        """Ends the process."""
        process, self._process = self._process, None
        if process:
            process.kill()
            process.wait()

    def _told(self, model: str, digest: str) -> contextlib.AbstractContextManager[None]:
        """Says that the answer takes longer, where the process or the model has to be loaded."""
        if self._process is None or self._process.poll() is not None:
            self._loaded.clear()
            said = "loading TensorFlow and the model …"
        else:
            said = "" if (model, digest) in self._loaded else "loading the model …"
        self._loaded.add((model, digest))
        return cell.waiting(said) if said else contextlib.nullcontext()

    def _exchange(self, line: str) -> dict[str, Any]:
        if self._process is None or self._process.poll() is not None:
            self._start()
        assert self._process
        assert self._process.stdin
        assert self._process.stdout
        said = ""
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(f"{line}\n")
            self._process.stdin.flush()
            said = self._process.stdout.readline()
        if not said:
            raise TransientError(f"the process that asks the model died: {self._last_words()}; ask again")
        answer: dict[str, Any] = json.loads(said)
        return answer

    def _start(self) -> None:
        environments.prepare([_STAGE])
        environment = environments.of_stage(_STAGE)
        self._said = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        self._process = subprocess.Popen(
            [str(environment.python), "-m", _MODULE],
            cwd=environment.folder,
            env=dict(environment.variables),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
            encoding="utf-8",
            # An interrupted cell is not its end.
            start_new_session=True,
        )

    def _last_words(self) -> str:
        assert self._said
        assert self._process
        code = self._process.wait()
        self._said.seek(0)
        lines = [line.strip() for line in self._said if line.strip()]
        return lines[-1] if lines else f"exit code {code}"


def _coded(value: Any) -> Any:
    """A value as JSON has it: numbers of NumPy as Python's, bytes in base64, what pandas has for nothing as null."""
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode()}
    if isinstance(value, np.ndarray | list | tuple):
        return [_coded(each) for each in value]
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return int(value) if isinstance(value, bool) else value
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    raise InputError(
        f"a row has {value!r}, a {type(value).__name__}; raw values are numbers, texts, bytes, or lists of these"
    )


def _array(output: Mapping[str, Any]) -> npt.NDArray[Any]:
    if output["dtype"] == "str":
        return np.array(output["values"], dtype=object).reshape(output["shape"])
    return np.frombuffer(base64.b64decode(output["base64"]), output["dtype"]).reshape(output["shape"]).copy()


PREDICTOR = Predictor()
"""That of this process."""
