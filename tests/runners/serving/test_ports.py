"""Whether a port is free."""

from __future__ import annotations

import socket

import pytest

from components.runtime.errors import InputError
from runners.serving.ports import free_port


def test_ports() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert not free_port("127.0.0.1", taken.getsockname()[1])
    for address in ("192.0.2.1", "no such host.invalid"):
        with pytest.raises(InputError, match=f"--address {address}: "):
            free_port(address, 8501)
