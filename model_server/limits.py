"""How large a request may be, whoever answers it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from fastapi import HTTPException

LARGEST_BODY = 256 << 20

Message = MutableMapping[str, Any]


class Limited:
    """Reads no body that is too large to its end, whatever its head says; ASGI middleware."""

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self._app = app

    async def __call__(self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Any) -> None:
        """One request; whoever answers it, and reads more than it may, gets an HTTPException."""
        told = next((value for name, value in scope.get("headers", ()) if name == b"content-length"), b"")
        left = LARGEST_BODY if not told.isdigit() or int(told) <= LARGEST_BODY else -1

        async def read() -> Message:
            nonlocal left
            if left >= 0:
                message = await receive()
                left -= len(message.get("body", b""))
            if left < 0:
                raise HTTPException(400, f"the request has more than {LARGEST_BODY >> 20} MB")
            return message

        await self._app(scope, read, send)
