"""Ports that a server is to listen on."""

from __future__ import annotations

import errno
import socket

from components.runtime.errors import InputError


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
