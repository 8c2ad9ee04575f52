"""What is told of the failure of a pipeline that a job server ran, by the words of Prism 2.77, Flink and Spark."""

from __future__ import annotations

import errno
import traceback
from collections.abc import Callable
from typing import Any

import grpc
import pytest
import tensorflow as tf

from components.runtime.data import beam_faults, worker_traces
from components.runtime.errors import InputError, TransientError, classify
from components.runtime.evaluation.faults import explained as explained_of_evaluate
from components.transform.faults import users_fault

WHERE = "localhost:8099"
HARNESS = "Pipeline job-1 failed in state FAILED: java.lang.RuntimeException: Error received from SDK harness: "


def of_worker(*raise_: Callable[[], object], behind: str = "") -> RuntimeError:
    """What Beam raises of a job whose worker raised these, each while it handled the one before."""
    try:
        _nested(*raise_)
    except Exception:
        return RuntimeError(HARNESS + traceback.format_exc() + behind)
    raise AssertionError


def _nested(first: Callable[[], object], *then: Callable[[], object]) -> None:
    if not then:
        first()
    try:
        first()
    except Exception:
        _nested(*then)


def raising(error: Exception, cause: Exception | None = None) -> Callable[[], None]:
    def function() -> None:
        if cause is None:
            raise error
        try:
            raise cause
        except Exception as raised:
            raise error from raised

    return function


@tf.function
def below_nine(value: Any) -> Any:
    tf.debugging.assert_less(value, 9.0, message="too big: UNAVAILABLE: Connection refused")
    return value


def too_big() -> None:
    below_nine(tf.constant(10.0))


def test_what_a_worker_raised_is_the_users_fault_as_here() -> None:
    with pytest.raises(tf.errors.InvalidArgumentError) as here:
        too_big()
    told = users_fault(here.value, "the analysis")
    error = of_worker(too_big, raising(RuntimeError("InvalidArgumentError: [while running 'Map']")))
    there = beam_faults.explained(error, WHERE)
    assert isinstance(told, InputError)
    assert str(users_fault(there, "the analysis")) == str(told)
    # The log has the way there.
    assert "Traceback (most recent call last)" in there.__notes__[0]


def test_an_example_that_the_model_cannot_read() -> None:
    message = "Name: <unknown>, Feature: score (data type: float) is required but could not be found."
    raised = tf.errors.InvalidArgumentError(None, None, message)
    error = of_worker(
        raising(raised), raising(RuntimeError(f"InvalidArgumentError: {message} [while running 'Predict']"))
    )
    there = beam_faults.explained(error, WHERE)
    told = explained_of_evaluate(there, "evaluation.pbtxt", [])
    assert isinstance(told, InputError)
    assert str(told) == str(explained_of_evaluate(raised, "evaluation.pbtxt", []))


def test_causes_and_contexts_are_kept() -> None:
    text = str(
        of_worker(raising(KeyError("a")), raising(TypeError("b\n\nlines"), ValueError("c")), behind="\n\tat x.Y(")
    )
    last = worker_traces.raised(text)
    assert isinstance(last, TypeError)
    assert (type(last).__name__, str(last)) == ("TypeError", "b\n\nlines")
    assert (type(last.__cause__).__name__, str(last.__cause__)) == ("ValueError", "c")
    last = worker_traces.raised(str(of_worker(raising(KeyError("a")), raising(TypeError("b")))))
    assert isinstance(last, TypeError)
    assert (last.__cause__, str(last.__context__), isinstance(last.__context__, KeyError)) == (None, "'a'", True)
    assert worker_traces.raised("worker disconnected") is None
    of_others = 'Traceback (most recent call last):\n  File "x.py", line 1, in f\nusers.module.Odd: it is\n'
    assert repr(worker_traces.raised(of_others)) == "Odd('it is')"


@pytest.mark.parametrize(
    "error",
    [
        InputError("/data/1.csv: line 3 is odd; correct it"),
        PermissionError(errno.EACCES, "Permission denied", "/data/out"),
        OSError(errno.ENOSPC, "No space left on device"),
    ],
)
def test_what_has_a_code_has_it_there(error: Exception) -> None:
    here = classify(error)
    there = classify(beam_faults.explained(of_worker(raising(error)), WHERE))
    assert here is not None
    assert there is not None
    assert (there.exit_code, str(there)) == (here.exit_code, str(here))


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        ("java.net.UnknownHostException: pool: Name or service not known", TransientError, "lost its workers"),
        ("StatusRuntimeException: UNAVAILABLE: io exception", TransientError, "lost its workers"),
        ("err: failed to connect to the docker API at unix:///var/run/docker.sock", InputError, "with Docker"),
        (
            "java.io.IOException: Received exit code 125 for command 'docker run'. stderr: docker: Cannot connect to "
            "the Docker daemon at unix:///var/run/docker.sock.",
            InputError,
            "with Docker",
        ),
        ('java.io.IOException: Cannot run program "docker": error=2, No such file or directory', InputError, "Docker"),
    ],
)
def test_how_a_pipeline_was_run(text: str, kind: type[Exception], said: str) -> None:
    told = beam_faults.explained(RuntimeError(f"Pipeline job-1 failed in state FAILED: {text}"), WHERE)
    assert isinstance(told, kind)
    assert said in str(told)


class Answer(grpc.RpcError, grpc.Call):  # type: ignore[misc]
    """What gRPC raises."""

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        self._said = (code, details)

    def code(self) -> grpc.StatusCode:
        return self._said[0]

    def details(self) -> str:
        return self._said[1]

    initial_metadata = trailing_metadata = is_active = time_remaining = cancel = add_callback = lambda *_: None


@pytest.mark.parametrize(
    ("code", "details", "kind"),
    [
        (grpc.StatusCode.INTERNAL, "", InputError),
        (grpc.StatusCode.INVALID_ARGUMENT, "no such option", InputError),
        (grpc.StatusCode.INTERNAL, "Received RST_STREAM with error code 2", TransientError),
        (grpc.StatusCode.UNAVAILABLE, "Socket closed", TransientError),
    ],
)
def test_a_job_server_that_answers_is_not_lost(code: grpc.StatusCode, details: str, kind: type[Exception]) -> None:
    told = beam_faults.explained(Answer(code, details), WHERE)
    assert isinstance(told, kind)
    assert details in str(told)


def test_an_unforeseen_error_stays_as_it_is() -> None:
    error = RuntimeError("Pipeline job-1 failed in state FAILED: odd")
    assert beam_faults.explained(error, WHERE) is error
