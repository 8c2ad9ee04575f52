"""`serve`: the pushed versions of a model, on this machine."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import click

from components.runtime.data.bucket import is_bucket
from components.runtime.errors import InputError
from components.runtime.model_server import programs
from components.runtime.model_server.client import Client
from components.runtime.publish import serving
from components.runtime.records import prediction_log
from runners import PROJECT
from runners.commands import completion
from runners.commands.local_path import LocalPath
from runners.commands.models import log_of, place_of, served_from
from runners.local import environments
from runners.serving.ports import free_port
from runners.settings.serving import PredictionLog
from runners.terminal import foreground, output
from runners.terminal.output import Result
from runners.versions.place import Place

_LOOK_SECONDS = 0.2


@click.command()
@click.argument("model", shell_complete=completion.models)
@click.option("--port", default=8501, show_default=True, type=click.IntRange(1, 65535), help="Of REST.")
@click.option("--grpc-port", default=8500, show_default=True, type=click.IntRange(1, 65535), help="Of gRPC.")
@click.option(
    "--address", default="127.0.0.1", show_default=True, help="Where it listens; 0.0.0.0 for all who can reach it."
)
@served_from
@click.option(
    "--server",
    "name",
    type=click.Choice(programs.NAMES),
    help="tensorflow for TensorFlow Serving, kserve for the one built in; without, the first where it is installed.",
)
@click.option("--log", type=LocalPath(), help="Log what is asked and answered in this folder.")
@click.option("--log-share", type=click.FloatRange(0, 1, min_open=True), help="Of the requests; 0.1 without.")
@click.option("--log-redact", metavar="NAME,NAME", help="Features and outputs that the log leaves out.")
@click.option("--log-images/--log-measures", default=None, help="Images too, or only what is measured of them.")
@click.option(
    "--batch", type=click.IntRange(2), metavar="ROWS", help="Run requests that come together as one, so large."
)
@click.option("--batch-ms", type=click.FloatRange(0, 1000), help="That a request waits for others; 0 without.")
@click.option("--batch-waiting", type=click.IntRange(1), help="Requests that may wait at once; 256 without.")
@click.pass_context
def serve(
    context: click.Context,
    model: str,
    port: int,
    grpc_port: int,
    address: str,
    directory: str,
    candidate: str,
    name: str | None,
    log: Path | None,
    log_share: float | None,
    log_redact: str | None,
    log_images: bool | None,
    batch: int | None,
    batch_ms: float | None,
    batch_waiting: int | None,
) -> Result:
    """Serve the pushed versions of MODEL over REST and gRPC, with a page to ask it on; Ctrl-C ends it.

    A version that is pushed, or taken back, is served without a stop. MODEL is a folder of models/ by its name, or a
    folder anywhere by its path. What is logged, `./millrace feedback MODEL` makes data of to train on.
    """
    if port == grpc_port:
        raise InputError(f"--port and --grpc-port are both {port}; they have to differ")
    place = place_of(context, model, candidate, directory)
    # (Nothing to serve is better told now than by a server that waits for it.)
    place.numbers()
    folder = place.folder
    for each, option in ((port, "--port"), (grpc_port, "--grpc-port")):
        if not free_port(address, each):
            raise InputError(f"{option} {each}: another program listens there on {address}; name another port")
    logging = _logging(place, candidate, log, log_share, log_redact, log_images, name)
    batching = _batching(batch, batch_ms, batch_waiting, name)
    in_bucket = is_bucket(place.destination)
    if in_bucket and name == programs.TENSORFLOW:
        raise InputError(
            f"{place.destination}: `serve` reads buckets by the built-in server; leave out --server {name}, or start "
            "TensorFlow Serving yourself, which knows gs://"
        )
    program = programs.find(programs.KSERVE if logging or batching or in_bucket else name or "")
    if program.name == programs.KSERVE:
        environments.prepare_for(environments.SERVING, "serving-environment")
        program = programs.find(programs.KSERVE, environments.interpreter(environments.SERVING))
    called = candidate or place.settings.folder.name
    reached = f"http://{'127.0.0.1' if address == '0.0.0.0' else address}:{port}"
    served = place.destination if in_bucket else folder
    output.note(f"{called} from {served}, by {program.title}; Ctrl-C ends it")
    command = [*program.command(called, served, port, grpc_port, address), *logging, *batching]
    variables = {"PYTHONPATH": str(PROJECT), "PYTHONUNBUFFERED": "1", "TF_CPP_MIN_LOG_LEVEL": "2"}
    has_page = program.name == programs.KSERVE
    code = foreground.run(
        command, variables, lambda: _tell(Client(reached, called), f"{address}:{grpc_port}", has_page)
    )
    newest = serving.numbered(folder)[0][0] if serving.numbered(folder) else None
    return Result(
        {"model": called, "directory": served, "address": reached, "version": newest},
        exit_code=code,
        error=f"the server ended with {code}; the reason stands above" if code else "",
    )


def _logging(
    place: Place,
    candidate: str,
    folder: Path | None,
    share: float | None,
    redact: str | None,
    images: bool | None,
    server: str | None,
) -> list[str]:
    """The options of the server that log predictions, whose folder is made; none where they are not to be logged."""
    asked = place.settings.serving.log
    if folder is None and asked is None:
        if (share, redact, images) != (None, None, None):
            raise InputError("nothing is logged; say where with --log, or log in the section serving of the settings")
        return []
    if server == programs.TENSORFLOW:
        raise InputError("TensorFlow Serving does not log predictions; serve with --server kserve, or without a log")
    asked = asked or PredictionLog()
    names = asked.redact if redact is None else [each.strip() for each in redact.split(",")]
    log = log_of(place, folder, candidate)
    try:
        prediction_log.make(log)
    except OSError as error:
        said = "serving.log in settings.yaml" if folder is None else f"--log {folder}"
        raise InputError(
            f"{said}: {log} cannot be made or written ({error.strerror}); name another folder with --log"
        ) from None
    output.note(f"logged: {share or asked.share:.0%} of the requests, in {log}")
    return [
        f"--prediction_log={log.parent}",
        f"--prediction_log_share={share or asked.share}",
        f"--prediction_log_redact={','.join(names)}",
        f"--prediction_log_megabytes={asked.megabytes}",
        *(["--prediction_log_images"] if (asked.images if images is None else images) else []),
    ]


def _batching(rows: int | None, milliseconds: float | None, waiting: int | None, server: str | None) -> list[str]:
    """The options of the server that put requests together; none where each is run alone."""
    if rows is None:
        if milliseconds is not None or waiting is not None:
            raise InputError("requests are not put together; say of how many rows at most with --batch")
        return []
    if server == programs.TENSORFLOW:
        raise InputError(
            "TensorFlow Serving is told how to batch in a file of its own (--batching_parameters_file); "
            "serve with --server kserve, or without --batch"
        )
    found = {"batch_rows": rows, "batch_milliseconds": milliseconds, "batch_waiting": waiting}
    return [f"--{name}={value}" for name, value in found.items() if value is not None]


def _tell(client: Client, grpc: str, has_page: bool) -> None:
    """Says that the model answers, once it does, and whenever another version does."""

    def watch(say: Callable[[str], None]) -> None:
        told: tuple[int, ...] = ()
        while True:
            available = client.state().available
            if available and available != told:
                if not told:
                    say(f"REST      {client.address}/v1/models/{client.model}:predict")
                    say(f"gRPC      {grpc}")
                    if has_page:
                        say(f"page      {client.address}/")
                also = f", and {', '.join(map(str, available[1:]))}" if available[1:] else ""
                say(f"version {available[0]} answers{also}")
                told = available
            time.sleep(_LOOK_SECONDS if not told else 1.0)

    threading.Thread(target=watch, args=(output.note,), daemon=True).start()
