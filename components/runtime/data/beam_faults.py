"""Tells what went wrong between a stage and the job server that runs its pipeline, and whether trying again helps."""

from __future__ import annotations

import re

import grpc

from components.runtime.data import worker_traces
from components.runtime.errors import InputError, TransientError, classify

CONNECT_SECONDS = 30

_SILENT = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
_REFUSED = (
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.UNIMPLEMENTED,
)
"""Of a job server that answers: what it was given is wrong."""
_BROKEN_OFF = "RST_STREAM"
"""gRPC's word, as INTERNAL, of a server that ends while it answers."""
_LONGEST_TEXT = 300
# As Prism says it, and Flink and Spark, whose connection to a worker is gRPC's.
_LOST_WORKER = re.compile(
    r"worker.{0,200}(disconnected|didn't get control connection)|\bUNAVAILABLE\b|StatusRuntimeException: CANCELLED"
    r"|[Cc]onnection (refused|reset)|SDK harness.{0,80}(died|disconnect)"
    r"|TaskManager.{0,200}no longer (reachable|available)|util\.concurrent\.TimeoutException|UnknownHostException"
)
# Prism's, the words of Docker's client, and those of Java and Go where there is none.
_NO_DOCKER = re.compile(r"docker API|Docker daemon|[\"']?docker[\"']?: (executable file not found|error=2)")

_UNSEEN = re.compile(r"FileNotFoundError: \[Errno 2\] No such file or directory: '([^']+)'")


def check_job_server(endpoint: str) -> None:
    """Returns when a job server of Beam answers there.

    Args:
      endpoint: host and port.

    Raises:
      TransientError: nothing answers within `CONNECT_SECONDS`.
      InputError: something else does.
    """
    from apache_beam.portability.api import beam_job_api_pb2, beam_job_api_pb2_grpc

    with grpc.insecure_channel(endpoint) as channel:
        asked = beam_job_api_pb2.DescribePipelineOptionsRequest()
        service = beam_job_api_pb2_grpc.JobServiceStub(channel)
        try:
            service.DescribePipelineOptions(asked, timeout=CONNECT_SECONDS, wait_for_ready=True)
        except grpc.RpcError as error:
            if error.code() in _SILENT:
                raise TransientError(
                    f"beam_options: no job server answers at {endpoint} within {CONNECT_SECONDS} s; start it, or "
                    "correct --job_endpoint"
                ) from None
            raise InputError(
                f"beam_options: what answers at {endpoint} is no job server of Beam ({_said(error)}); correct "
                "--job_endpoint"
            ) from None


def check_artifact_endpoint(endpoint: str) -> None:
    """Returns when something answers where the job server takes files.

    Args:
      endpoint: host and port, as `--artifact_endpoint` says.

    Raises:
      TransientError: nothing answers within `CONNECT_SECONDS`.
    """
    with grpc.insecure_channel(endpoint) as channel:
        try:
            grpc.channel_ready_future(channel).result(CONNECT_SECONDS)
        except grpc.FutureTimeoutError:
            raise TransientError(
                f"beam_options: nothing answers at {endpoint}, the --artifact_endpoint, within {CONNECT_SECONDS} s; "
                "start the job server, or correct --artifact_endpoint"
            ) from None


def explained(error: Exception, endpoint: str) -> Exception:
    """What the failure of a pipeline is: of the way it was run, else what was raised in a worker.

    Args:
      error: what Beam raised.
      endpoint: of the job server.

    Returns:
      The error itself where no more can be told.
    """
    if isinstance(error, grpc.RpcError) and isinstance(error, grpc.Call):
        if error.code() in _REFUSED and _BROKEN_OFF not in (error.details() or ""):
            return InputError(
                f"beam_options: the job server at {endpoint} does not take the pipeline ({_said(error)}); correct the "
                "options in the settings; its log may say more"
            )
        return TransientError(
            f"the job server at {endpoint} was lost while it ran the pipeline ({_said(error)}); its log says why, "
            "such as a worker pool that does not answer: start both again"
        )
    raised = worker_traces.raised(str(error))
    known = classify(raised or error)
    if known is not None:
        return known
    text = " ".join(str(error).split())
    if unseen := _UNSEEN.search(text):
        return InputError(
            f"the workers of the job server at {endpoint} do not see {unseen[1]}; they need the artifacts at the same "
            "path as the stage: mount the same volume there"
        )
    if raised is not None:
        # A log has the frames.
        raised.add_note(str(error))
        return raised
    if _NO_DOCKER.search(text):
        return InputError(
            f"beam_options: the job server at {endpoint} cannot start workers with Docker: {text[:_LONGEST_TEXT]}; "
            "start a pool of workers, and name it by --environment_type=EXTERNAL and --environment_config"
        )
    if _LOST_WORKER.search(text):
        return TransientError(
            f"the job server at {endpoint} lost its workers: {text[:_LONGEST_TEXT]}; their log says why, such as too "
            "little memory: run again"
        )
    return error


def _said(error: grpc.Call) -> str:
    words = " ".join((error.details() or "").split())[:_LONGEST_TEXT]
    return f"{error.code().name}: {words}" if words else str(error.code().name)
