"""`serve`: the pushed versions of a model, on this machine."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import click

from components.runtime.errors import InputError
from components.runtime.model_server import programs
from components.runtime.model_server.client import Client
from components.runtime.publish import serving
from runners import PROJECT
from runners.commands import completion
from runners.commands.models import place_of, served_from
from runners.local import environments
from runners.serving.ports import free_port
from runners.terminal import foreground, output
from runners.terminal.output import Result

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
) -> Result:
    """Serve the pushed versions of MODEL over REST and gRPC, with a page to ask it on; Ctrl-C ends it.

    A version that is pushed, or taken back, is served without a stop. MODEL is a folder of models/ by its name, or a
    folder anywhere by its path.
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
    program = programs.find(name or "")
    if program.name == programs.KSERVE:
        environments.prepare_for(environments.SERVING, "serving-environment")
        program = programs.find(programs.KSERVE, environments.interpreter(environments.SERVING))
    called = candidate or place.settings.folder.name
    reached = f"http://{'127.0.0.1' if address == '0.0.0.0' else address}:{port}"
    output.note(f"{called} from {folder}, by {program.title}; Ctrl-C ends it")
    command = program.command(called, folder, port, grpc_port, address)
    variables = {"PYTHONPATH": str(PROJECT), "PYTHONUNBUFFERED": "1", "TF_CPP_MIN_LOG_LEVEL": "2"}
    has_page = program.name == programs.KSERVE
    code = foreground.run(
        command, variables, lambda: _tell(Client(reached, called), f"{address}:{grpc_port}", has_page)
    )
    newest = serving.numbered(folder)[0][0] if serving.numbered(folder) else None
    return Result(
        {"model": called, "directory": folder, "address": reached, "version": newest},
        exit_code=code,
        error=f"the server ended with {code}; the reason stands above" if code else "",
    )


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
