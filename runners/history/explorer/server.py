"""A small server that hands the explorer's files to a browser on this machine, until Ctrl-C."""

from __future__ import annotations

import functools
import http.server
import os
import secrets
import sys
import webbrowser
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote, urlsplit

import click

from components.runtime.errors import InputError, classify
from runners.history.explorer.files import PAGES
from runners.terminal.output import note

_HOST = "127.0.0.1"
_PAGES = ("text/html", "application/octet-stream")


def serve(page: Path, root: Path, *, port: int, opens: bool, refresh: Callable[[], object]) -> str:
    """Serves a folder on this machine's loopback until somebody interrupts it.

    Nobody reads it who does not know the address: a part of it is drawn by chance.

    Args:
      page: the explorer's page, in the folder.
      root: the folder.
      port: 0 for a free one.
      opens: whether a browser is opened.
      refresh: brings the files up to date; called whenever the page is asked for.

    Returns:
      The address that it had.

    Raises:
      InputError: the port is taken.
    """
    secret = secrets.token_urlsafe(12)
    handler = functools.partial(_Handler, root, secret, refresh)
    try:
        server = http.server.ThreadingHTTPServer((_HOST, port), handler)
    except OSError as error:
        raise InputError(f"--port {port}: {error.strerror}; give another one, or none for a free one") from None
    with server:
        address = f"http://{_HOST}:{server.server_address[1]}/{secret}/{page.relative_to(root).as_posix()}"
        note(f"explorer  {address}")
        note(f"the same  {page}")
        click.echo("Ctrl-C ends it", err=True)
        sys.stdout.flush()
        if opens and not _opened(address):
            click.echo("no browser was found here; open the address in one", err=True)
        try:
            server.serve_forever(poll_interval=0.2)
        except KeyboardInterrupt:
            note("")
    return address


def _opened(address: str) -> bool:
    """Opens a browser with windows; one in the terminal would be in the way of Ctrl-C."""
    graphical = sys.platform == "darwin" or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    )
    return graphical and webbrowser.open(address)


class _Handler(http.server.SimpleHTTPRequestHandler):
    """Files below the root, behind the secret part of the address; no lists of folders."""

    def __init__(self, root: Path, secret: str, refresh: Callable[[], object], *arguments: object) -> None:
        self._secret, self._refresh = secret, refresh
        super().__init__(*arguments, directory=str(root))  # type: ignore[arg-type]

    def send_head(self) -> object:  # type: ignore[override]
        """Answers what is there; brings it up to date where the page itself is asked for."""
        begin = f"/{self._secret}/"
        path = urlsplit(self.path).path
        if not path.startswith(begin):
            self.send_error(404)
            return None
        self.path = f"/{path.removeprefix(begin)}"
        if any(part.startswith(".") for part in Path(unquote(self.path)).parts):
            self.send_error(404)
            return None
        if path.endswith("/index.html") and path.count("/") == 3:
            try:
                self._refresh()
            except Exception as error:
                # A full disk: what was written before is still worth a look.
                if classify(error) is None:
                    raise
                click.echo(f"not brought up to date: {error}", err=True)
        return super().send_head()

    def guess_type(self, path: str | os.PathLike[str]) -> str:  # type: ignore[override]
        """Reports have no ending; they are told by how they begin."""
        kind = super().guess_type(path)
        if kind in _PAGES and Path(path).is_file():
            with Path(path).open("rb") as stream:
                kind = (
                    "text/html" if stream.read(64).lstrip().lower().startswith((b"<!doctype html", b"<html")) else kind
                )
        self._kind = "text/plain; charset=utf-8" if Path(path).suffix in (".log", ".md", ".txt") else kind
        return self._kind

    def list_directory(self, path: str | os.PathLike[str]) -> None:  # type: ignore[override]
        """Shows no folder."""
        self.send_error(404)

    def end_headers(self) -> None:
        """A stage's page may be anybody's: it runs no script here; nothing is kept, for files change with each run."""
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        if self.path.startswith("/artifacts/") or f"/{PAGES}/" in self.path:
            self.send_header("Content-Security-Policy", "sandbox allow-popups")
        super().end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        """Says nothing: people read the terminal."""
