"""Downloads a file with its checksum, and never takes a part for the whole."""

from __future__ import annotations

import contextlib
import email.utils
import hashlib
import http.client
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from components.runtime.errors import InputError, TransientError
from components.runtime.stage.artifacts import file_digest

ATTEMPTS = 4
TIMEOUT_SECONDS = 60
_CHUNK_BYTES = 1 << 20
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_SUMS_FILE = "checksums.sha256"


@dataclass(frozen=True)
class Source:
    """A file to download.

    Attributes:
      url: where it is.
      name: of the local file.
      md5: the published checksum as hex; where it is empty, the first download decides, and later ones must agree.
    """

    url: str
    name: str
    md5: str = ""


def fetch(source: Source, folder: Path, say: Callable[[str], None], *, pause_seconds: float = 2.0) -> Path:
    """Returns the file in `folder`, downloaded unless it is there with the right checksum.

    Args:
      source: what to download.
      folder: where it goes; what has been received of an interrupted download is kept there and gone on with, as long
        as the server says that its file is still the same one.
      say: told one line per event.
      pause_seconds: before the second attempt, twice as long before each further one.

    Raises:
      InputError: the server does not have it, or its content is not what it should be.
      TransientError: no attempt got all of it.
    """
    if not source.url.startswith(("http://", "https://")):
        raise InputError(f"{source.url}: not an http address; give one with --from")
    file, part = folder / source.name, folder / f".{source.name}.part"
    folder.mkdir(parents=True, exist_ok=True)
    if file.exists():
        expected, found = _expected(file, source), _sums(file, source)
        if expected != found:
            file.unlink()
            raise InputError(
                f"{file}: {_mismatch(expected or 'one on record', found)}; removed, run again to download it anew"
            )
        say(f"{file.name}: there already, checksum as it should be")
        return file
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(pause_seconds * 2 ** (attempt - 1))
        fault = _receive(source.url, part)
        if not fault:
            break
        say(f"{source.name}: {fault}, attempt {attempt + 1} of {ATTEMPTS}")
    else:
        raise TransientError(
            f"{source.url}: {fault}, {ATTEMPTS} times; check the network and run again, it goes on from there"
        )

    _note(part).unlink(missing_ok=True)
    expected, found = _expected(file, source), _sums(part, source)
    if expected and expected != found:
        part.unlink()
        raise InputError(
            f"{source.url}: {_mismatch(expected, found)}; removed, the server's file has changed or was damaged"
        )
    if not expected:
        _record(file, found)
        say(f"{source.name}: no checksum is published; recorded {found} in {_SUMS_FILE}, later downloads must match it")
    os.replace(part, file)
    say(f"{source.name}: {file.stat().st_size / 1e6:.1f} MB, {'checksum as it should be' if expected else 'done'}")
    return file


def _receive(url: str, part: Path) -> str:
    """Appends to `part` until the file is whole; returns what went wrong, or nothing."""
    version = _noted(part, url)
    have = part.stat().st_size if version and part.exists() else 0
    headers = {"User-Agent": "millrace"}
    if have:
        # The server sends all of the file where it is another one by now.
        headers |= {"Range": f"bytes={have}-", "If-Range": version}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT_SECONDS) as response:
            now = _version(response.headers)
            if response.status == http.HTTPStatus.PARTIAL_CONTENT:
                if now != version or not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
                    _drop(part)
                    return "the server goes on with another file than it began with"
            else:
                have = 0
                _drop(part)
                if now:
                    _note(part).write_text(json.dumps({"url": url, "version": now}))
            length = response.headers.get("Content-Length")
            with part.open("ab" if have else "wb") as stream:
                received = 0
                while chunk := response.read(_CHUNK_BYTES):
                    stream.write(chunk)
                    received += len(chunk)
            if length is not None and received < int(length):
                return f"the connection ended after {received:,} of {int(length):,} bytes"
    except urllib.error.HTTPError as error:
        with error:
            if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                # What is here is as long as the file, or longer: start anew.
                _drop(part)
                return "what was there already does not fit"
            if error.code in _PASSING:
                return f"the server answers {error.code} {error.reason}"
            _drop(part)
            raise InputError(
                f"{url}: the server answers {error.code} {error.reason}; give another address with --from"
            ) from None
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        return f"{getattr(error, 'reason', None) or error}"
    return ""


def _version(headers: Mapping[str, str]) -> str:
    """What a server says by which its file can be told from a later one; empty where it says nothing of the kind.

    A weak ETag promises no equal bytes, and a time only where the file is older than the answer: RFC 9110, 8.8.2.2 and
    13.1.5.
    """
    if (tag := headers.get("ETag", "")) and not tag.startswith("W/"):
        return tag
    modified, date = headers.get("Last-Modified", ""), headers.get("Date", "")
    with contextlib.suppress(ValueError, TypeError):
        if email.utils.parsedate_to_datetime(modified) < email.utils.parsedate_to_datetime(date):
            return modified
    return ""


def _note(part: Path) -> Path:
    """Where it is noted of which file a part is."""
    return part.with_name(f"{part.name}.of")


def _noted(part: Path, url: str) -> str:
    """The version of the file at a URL that a part is of; empty where that is not known, so that it is of no use."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        note = json.loads(_note(part).read_text())
        if note.get("url") == url:
            return str(note.get("version", ""))
    return ""


def _drop(part: Path) -> None:
    part.unlink(missing_ok=True)
    _note(part).unlink(missing_ok=True)


def _sums(file: Path, source: Source) -> str:
    if source.md5:
        with file.open("rb") as stream:
            # md5 is what is published; it guards against damage, not against an attacker.
            return f"md5 {hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()}"
    return f"sha256 {file_digest(file)}"


def _expected(file: Path, source: Source) -> str:
    if source.md5:
        return f"md5 {source.md5}"
    record = file.parent / _SUMS_FILE
    for line in record.read_text().splitlines() if record.exists() else ():
        digest, _, name = line.partition("  ")
        if name == file.name:
            return f"sha256 {digest}"
    return ""


def _record(file: Path, sums: str) -> None:
    record = file.parent / _SUMS_FILE
    lines = record.read_text().splitlines() if record.exists() else []
    part = record.with_name(f".{record.name}.part")
    part.write_text("".join(f"{line}\n" for line in [*lines, f"{sums.removeprefix('sha256 ')}  {file.name}"]))
    os.replace(part, record)


def _mismatch(expected: str, found: str) -> str:
    return f"its checksum is {found}, it should be {expected}"
