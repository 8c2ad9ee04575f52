"""Where the versions of a model lie that is served here."""

from __future__ import annotations

import errno
import socket
from pathlib import Path

from components.runtime.errors import InputError
from components.runtime.publish import serving
from runners.local import request
from runners.settings.model import Settings


def serving_directory(settings: Settings, root: Path, given: str = "", candidate: str = "") -> Path:
    """The serving directory of a model, whose runs here push into it.

    Args:
      settings: of the model.
      root: the pipeline root.
      given: another one that a person names.
      candidate: of several models that are each published: the name of the one meant.

    Raises:
      InputError: it cannot be one, or nothing was pushed there.
    """
    known = "serving_directory"
    values = {known: given} if given else {}
    place = request.places(root, settings, values, lambda _: "--directory ", {known: None})[known]
    folder = serving.serving_root(serving.of_candidate(place, candidate))
    if serving.numbered(folder):
        return folder
    models = sorted(entry.name for entry in folder.iterdir() if serving.numbered(entry)) if folder.is_dir() else []
    if models:
        raise InputError(f"{folder} holds candidates: name one with --candidate: {', '.join(models)}")
    raise InputError(
        f"{folder}: no version was pushed there yet; ./millrace run {settings.folder.name} makes one, if it is blessed"
    )


def free_port(address: str, port: int) -> bool:
    """Whether nobody listens on a port yet.

    Raises:
      InputError: the address is none of this machine.
    """
    try:
        socket.create_server((address, port)).close()
    except (PermissionError, OverflowError):
        return False
    except OSError as error:
        # A name that is none has a number below 0, of another kind of error.
        if error.errno == errno.EADDRNOTAVAIL or (error.errno or 0) < 0:
            raise InputError(f"--address {address}: no address of this machine; it is one such as 0.0.0.0") from None
        return False
    return True
