"""Starts the server: `python -m model_server`, with the options of `tensorflow_model_server`."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
from pathlib import Path

from components.runtime.errors import StageError
from components.runtime.publish import serving
from components.runtime.records import prediction_log as log_files

_BAD_INPUT = 65
_UNAVAILABLE = 69
_LONGEST_DELAY = 1000


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m model_server", description=__doc__)
    parser.add_argument("--model_name", default="default")
    parser.add_argument("--model_base_path", required=True, help="the serving directory, also in gs:// or s3://")
    parser.add_argument("--port", type=int, default=8500, help="gRPC; 0 for none")
    parser.add_argument("--rest_api_port", type=int, default=8501, help="REST; 0 for none")
    parser.add_argument("--file_system_poll_wait_seconds", type=float, default=1.0, help="0 to look once")
    parser.add_argument(
        "--serve_label", default="", help="serve the version with this label, not the newest, where there is one"
    )
    parser.add_argument("--address", default="127.0.0.1", help="where it listens; 0.0.0.0 for all that can reach it")
    parser.add_argument(
        "--prediction_log", type=Path, help="what is asked and answered is logged in this folder, below --model_name"
    )
    parser.add_argument("--prediction_log_share", type=_share, default=0.1, help="of the requests; 1 for all")
    parser.add_argument(
        "--prediction_log_redact", type=_names, default=[], help="features that are left out: name,name"
    )
    parser.add_argument(
        "--prediction_log_images", action="store_true", help="images too, besides what is measured of them"
    )
    parser.add_argument("--prediction_log_megabytes", type=_whole, default=1000, help="on disk; the oldest go first")
    parser.add_argument(
        "--prediction_log_seconds", type=float, default=log_files.SECONDS, help="that a row waits for its file"
    )
    parser.add_argument(
        "--batch_rows", type=_whole, help="requests that come together are run as one, of so many rows at most"
    )
    parser.add_argument("--batch_milliseconds", type=_delay, default=0.0, help="that a request waits for others")
    parser.add_argument("--batch_waiting", type=_whole, default=256, help="requests at once; more are refused")
    options = parser.parse_args(arguments)
    # KServe reads the command line too, and knows other options.
    sys.argv = sys.argv[:1]
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    for chatty in ("uvicorn", "tensorflow", "httpx", "matplotlib"):
        logging.getLogger(chatty).setLevel(logging.ERROR)
    # It logs each refusal with a trace, of a probe too; what is no refusal uvicorn logs.
    logging.getLogger("kserve").setLevel(logging.CRITICAL)
    try:
        root = serving.serving_root(options.model_base_path, told=False)
    except StageError as error:
        print(f"error: --model_base_path: {error}", file=sys.stderr)
        return error.exit_code
    if not root.is_dir():
        # On a cluster the server is there before the first model.
        logging.getLogger("millrace.serving").warning(
            "%s: no such folder yet; served is what is pushed there", options.model_base_path
        )
    if options.prediction_log and (fault := _fault_of_log(options.prediction_log / options.model_name)):
        print(f"error: --prediction_log: {fault}", file=sys.stderr)
        return _BAD_INPUT
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from model_server.batching import Batches, Limits
    from model_server.prediction_log import PredictionLog
    from model_server.server import serve
    from model_server.versions import Versions

    log = None
    if options.prediction_log:
        log = PredictionLog(
            options.prediction_log / options.model_name,
            share=options.prediction_log_share,
            redacted=options.prediction_log_redact,
            megabytes=options.prediction_log_megabytes,
            seconds=options.prediction_log_seconds,
            images=options.prediction_log_images,
        )
    limits = Limits(options.batch_rows or 0, options.batch_milliseconds / 1e3, options.batch_waiting)
    batches = Batches(limits) if options.batch_rows else None
    model = Versions(options.model_name, root, options.serve_label, log, batches)
    try:
        asyncio.run(
            serve(
                {options.model_name: model},
                address=options.address,
                rest_port=options.rest_api_port,
                grpc_port=options.port,
                poll=options.file_system_poll_wait_seconds,
                waiting=options.batch_waiting if options.batch_rows else 0,
            )
        )
    except OSError as error:
        print(f"error: cannot listen on {options.address}: {error.strerror or error}", file=sys.stderr)
        return _UNAVAILABLE
    return 0


def _fault_of_log(folder: Path) -> str:
    """Why nothing can be logged there; empty where it can, and the folder is made."""
    try:
        log_files.make(folder)
    except OSError as error:
        return f"{folder} cannot be made or written ({error.strerror}); name another folder"
    return ""


def _share(text: str) -> float:
    share = float(text)
    if not 0 < share <= 1:
        raise ValueError(text)
    return share


def _whole(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def _delay(text: str) -> float:
    milliseconds = float(text)
    if not 0 <= milliseconds <= _LONGEST_DELAY:
        raise ValueError(text)
    return milliseconds


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


if __name__ == "__main__":
    sys.exit(main())
