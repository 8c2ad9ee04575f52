"""The server: KServe's data plane with TensorFlow Serving's API beside it, on one REST port and one gRPC port."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

import grpc
import uvicorn
from fastapi import FastAPI, HTTPException
from fastapi.exceptions import RequestValidationError
from kserve import ModelRepository
from kserve.protocol.dataplane import DataPlane
from kserve.protocol.grpc import grpc_predict_v2_pb2_grpc
from kserve.protocol.grpc.servicer import InferenceServicer
from kserve.protocol.model_repository_extension import ModelRepositoryExtension
from kserve.protocol.rest.server import RESTServer
from kserve.protocol.rest.v2_endpoints import register_v2_endpoints
from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

from model_server import feedback, page, rest
from model_server.grpc_service import ModelService, PredictionService
from model_server.limits import Limited
from model_server.metrics import IN_SERVICE
from model_server.open_inference import OpenInferenceModel
from model_server.versions import Versions

_LOG = logging.getLogger("millrace.serving")
_LARGEST_MESSAGE = 256 << 20
_GRACE_SECONDS = 10
# Requests wait for TensorFlow, which has threads of its own: more here only make them wait there.
_REQUESTS_AT_ONCE = 32


async def serve(
    models: Mapping[str, Versions], *, address: str, rest_port: int, grpc_port: int, poll: float, waiting: int = 0
) -> None:
    """Serves until the process is asked to end; requests that are there then are answered still.

    Args:
      models: by name.
      address: where it listens, such as 127.0.0.1.
      rest_port: 0 for no REST.
      grpc_port: 0 for no gRPC.
      poll: seconds between two looks at the serving directories; 0 to look once.
      waiting: requests that may wait for others of their batch, each in a thread.
    """
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_REQUESTS_AT_ONCE + waiting))
    ended = threading.Event()
    watcher = threading.Thread(target=_watch, args=(models, poll, ended), daemon=True)
    watcher.start()
    tasks = []
    servers = []
    if grpc_port:
        server = _grpc_server(models)
        try:
            server.add_insecure_port(f"{address}:{grpc_port}")
        # What gRPC says of a port that is taken.
        except RuntimeError:
            raise OSError(f"port {grpc_port} is taken, or the address is none of this machine") from None
        await server.start()
        servers.append(server)
    web = _Web(
        uvicorn.Config(
            app(models),
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
    )
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for each in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(each, stop.set)
    if rest_port:
        tasks.append(asyncio.create_task(web.serve(sockets=[_listening(address, rest_port)])))
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait([stopped, *tasks], return_when=asyncio.FIRST_COMPLETED)
    web.should_exit = True
    ended.set()
    for server in servers:
        await server.stop(_GRACE_SECONDS)
    for task in tasks:
        await task
    for model in models.values():
        if model.log:
            model.log.close()


def _listening(address: str, port: int) -> socket.socket:
    made = socket.create_server((address, port), backlog=1024)
    # Those that it accepts have it too; else an answer waits for the client's acknowledgement of its headers, 40 ms.
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


class _Web(uvicorn.Server):
    """A web server that leaves the signals to who started it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Takes none."""
        yield


def _watch(models: Mapping[str, Versions], poll: float, ended: threading.Event) -> None:
    while not ended.is_set():
        for model in models.values():
            try:
                model.refresh()
            # A folder that cannot be looked at now may be later; what is served stays served.
            except Exception as error:
                _LOG.error("%s: %s", model.root, error)
            IN_SERVICE.labels(model.name).set(model.in_service)
        if not poll:
            return
        ended.wait(poll)


def _kserve(models: Mapping[str, Versions]) -> tuple[DataPlane, ModelRepositoryExtension]:
    repository = ModelRepository()
    for model in models.values():
        repository.update(OpenInferenceModel(model))
    return DataPlane(model_registry=repository), ModelRepositoryExtension(model_registry=repository)


def app(models: Mapping[str, Versions]) -> FastAPI:
    """All that is answered over HTTP."""
    data_plane, repository = _kserve(models)
    made = FastAPI(title="Millrace", docs_url=None, redoc_url=None, openapi_url=None)
    made.add_middleware(Limited)
    made.include_router(feedback.router(models))
    made.include_router(rest.router(models))
    made.include_router(page.router(models))
    register_v2_endpoints(made, data_plane, repository)
    RESTServer._add_exception_handlers(None, made)
    made.add_exception_handler(HTTPException, rest.refused)
    made.add_exception_handler(404, rest.unknown)
    made.add_exception_handler(405, rest.method)
    made.add_exception_handler(RequestValidationError, rest.invalid)
    return made


def _grpc_server(models: Mapping[str, Versions]) -> grpc.aio.Server:
    data_plane, repository = _kserve(models)
    limits = [("grpc.max_send_message_length", _LARGEST_MESSAGE), ("grpc.max_receive_message_length", _LARGEST_MESSAGE)]
    # A port that another server has is refused, not shared with it.
    server = grpc.aio.server(options=[*limits, ("grpc.so_reuseport", 0)])
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(PredictionService(models), server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(ModelService(models), server)
    grpc_predict_v2_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(
        InferenceServicer(data_plane, repository), server
    )
    return server
