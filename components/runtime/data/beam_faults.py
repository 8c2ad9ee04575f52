"""Tells what went wrong between a stage and the job server that runs its pipeline, and whether trying again helps."""

from __future__ import annotations

import re

import grpc

from components.runtime.errors import InputError, StageError, TransientError, classify

CONNECT_SECONDS = 30

_SILENT = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
_LONGEST_TEXT = 300
# As Prism says it, and Flink and Spark, whose connection to a worker is gRPC's.
_LOST_WORKER = re.compile(
    r"worker.{0,200}(disconnected|didn't get control connection)|\bUNAVAILABLE\b|StatusRuntimeException: CANCELLED"
    r"|[Cc]onnection (refused|reset)|SDK harness.{0,80}(died|disconnect)"
    r"|TaskManager.{0,200}no longer (reachable|available)|util\.concurrent\.TimeoutException"
)

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


def explained(error: Exception, endpoint: str) -> StageError | None:
    """What the failure of a pipeline says to people, where the way it was run is what failed; else None.

    Args:
      error: what Beam raised.
      endpoint: of the job server.
    """
    if classify(error) is not None:
        return None
    if isinstance(error, grpc.RpcError) and isinstance(error, grpc.Call):
        return TransientError(
            f"the job server at {endpoint} was lost while it ran the pipeline ({_said(error)}); its log says why, "
            "such as a worker pool that does not answer: start both again"
        )
    text = " ".join(str(error).split())
    if unseen := _UNSEEN.search(text):
        return InputError(
            f"the workers of the job server at {endpoint} do not see {unseen[1]}; they need the artifacts at the same "
            "path as the stage: mount the same volume there"
        )
    if _LOST_WORKER.search(text):
        return TransientError(
            f"the job server at {endpoint} lost its workers: {text[:_LONGEST_TEXT]}; their log says why, such as too "
            "little memory: run again"
        )
    return None


def _said(error: grpc.Call) -> str:
    words = " ".join((error.details() or "").split())[:_LONGEST_TEXT]
    return f"{error.code().name}: {words}" if words else str(error.code().name)
