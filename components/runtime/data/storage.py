"""Files behind URIs: object storage through Arrow, and local copies of the single files that stages name by a URI."""

from __future__ import annotations

import atexit
import datetime
import functools
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from components.runtime.data.endpoints import check_gcs_credentials, gcs_endpoint, s3_endpoint, s3_region
from components.runtime.errors import InputError, StageError, TransientError
from components.runtime.stage.artifacts import local_path
from components.runtime.text.redaction import HIDDEN, redact

if TYPE_CHECKING:
    from pyarrow import fs

_GCS = re.compile(
    r"google::cloud::Status\((\w+): (?:[^,]+, with a last message of )?(.*?)(?:\s+error_info=|\)*$)", re.DOTALL
)
_GCS_PASSES = ("UNAVAILABLE", "DEADLINE_EXCEEDED", "INTERNAL", "RESOURCE_EXHAUSTED", "ABORTED", "UNKNOWN")
_GCS_KEY = re.compile(r"OAuth2 access token.*The underlying error message was: ", re.DOTALL)
_GCS_MESSAGE = re.compile(r'"message":\s*"([^"]+)"|<Message>([^<]+)</Message>')
_DENIED = re.compile(r"access.?denied|forbidden|unauthori[sz]ed|no such|not.?found|\b40[134]\b", re.IGNORECASE)
_OF_URIS = ":/?#@!$&'()*+,;=%"
_RETRY = datetime.timedelta(seconds=60)


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Turns what fails while `name` is read into an error for people."""
    try:
        yield
    except (FileNotFoundError, PermissionError, NotADirectoryError, IsADirectoryError) as error:
        raise InputError(f"{name}: cannot be read: {_reason(error)}: check that it is there and may be read") from None
    except Exception as error:
        # Object storage: Arrow says what happened in words only, and of Cloud Storage by errors of any kind.
        text = str(error)
        if said := _GCS.search(text):
            raise _gcs_error(name, *said.groups()) from None
        if not isinstance(error, OSError) or error.errno is not None:
            raise
        kind = InputError if _DENIED.search(text) else TransientError
        raise kind(f"{name}: cannot be read: {text}") from None


def _gcs_error(name: str, status: str, text: str) -> StageError:
    what = f"{name}: cannot be read: "
    if key := _GCS_KEY.search(text):
        reason = _gcs_reason(text[key.end() :])
        if status == "UNAVAILABLE":
            return TransientError(f"{what}there is no access token: {reason}; run again when it answers")
        return InputError(f"{what}the credentials are not taken: {reason}")
    if status in _GCS_PASSES:
        return TransientError(f"{what}{_gcs_reason(text)} ({status}); run again when it answers")
    return InputError(f"{what}{_gcs_reason(text)} ({status})")


def _gcs_reason(text: str) -> str:
    """What Cloud Storage says in its answer, or the first line of what its client does."""
    found = _GCS_MESSAGE.search(text)
    return (found[1] or found[2]) if found else text.strip().partition("\n")[0]


def shown(uri: str) -> str:
    """A path, or a URI without the keys that may stand before its host or behind its path."""
    return redact(uri.partition("?")[0]).replace(f"://{HIDDEN}@", "://") if "://" in uri else uri


def filesystem(uri: str, patience: datetime.timedelta = _RETRY) -> tuple[fs.FileSystem, str]:
    """The file system of a path or URI, and the path in it.

    Args:
      uri: a path or URI.
      patience: for how long Cloud Storage is asked again where it does not answer.

    Raises:
      InputError: a scheme that cannot be read, or no bucket in it.
    """
    from pyarrow import fs  # not where all paths are local

    scheme, _, rest = uri.partition("://") if "://" in uri else ("file", "", uri)
    if scheme == "file":
        return fs.LocalFileSystem(), str(Path(uri.removeprefix("file://")).absolute())
    if scheme not in ("gs", "gcs", "s3"):
        raise InputError(f"{shown(uri)}: files cannot be read from {scheme}://: use a path, gs:// or s3://")
    if scheme != "s3" and "retry_limit_seconds" not in uri:
        # The client's own limit is a quarter of an hour.
        uri += f"{'&' if '?' in uri else '?'}retry_limit_seconds={patience.seconds}"
    if not rest.strip("/"):
        raise InputError(f"{shown(uri)}: not a URI of object storage: it names no bucket")
    if scheme != "s3" and "@" not in rest and "endpoint_override" not in uri:
        try:
            check_gcs_credentials()
        except InputError as error:
            raise InputError(f"{shown(uri)}: cannot be read: {error}") from None
    with reading(shown(uri)):
        uri = _with_endpoint(uri)
        try:
            found, path = fs.FileSystem.from_uri(quote(uri, safe=_OF_URIS))
        except ValueError as error:
            reason = str(error).replace(uri, shown(uri))
            raise InputError(f"{shown(uri)}: not a URI of object storage: {reason}") from None
    return found, path


def listing(storage: fs.FileSystem, folder: str, *, recursive: bool = False) -> list[fs.FileInfo]:
    """What lies in a folder, files and folders, in no order; nothing where there is none.

    Of Cloud Storage Arrow tells only those folders that an object stands for, and what is copied there makes none: all
    below is listed, in requests for a thousand, and its folders follow.
    """
    from pyarrow import fs

    everything = recursive or storage.type_name == "gcs"
    selector = fs.FileSelector(folder, allow_not_found=True, recursive=everything)
    found: list[fs.FileInfo] = storage.get_file_info(selector)
    if storage.type_name != "gcs":
        return found
    folder = folder.rstrip("/")
    around = {str(each) for entry in found for each in PurePosixPath(entry.path).parents}
    folders = {each for each in around if each.startswith(f"{folder}/")} - {entry.path for entry in found}
    found += [fs.FileInfo(each, type=fs.FileType.Directory) for each in sorted(folders)]
    return found if recursive else [each for each in found if str(PurePosixPath(each.path).parent) == folder]


def _with_endpoint(uri: str) -> str:
    """A URI with the options by which Arrow looks for it where the environment says (`data.endpoints`)."""
    scheme, _, place = uri.partition("://")
    endpoint = s3_endpoint() if scheme == "s3" else gcs_endpoint()
    if not endpoint or "endpoint_override" in uri:
        return uri
    reached = urlsplit(endpoint)
    options = f"endpoint_override={reached.netloc}&scheme={reached.scheme}"
    if scheme == "s3":
        # (Else Arrow asks Amazon where the bucket is.)
        options += f"&region={s3_region()}" if "region=" not in uri else ""
    elif "@" not in place:
        # An emulator knows nobody.
        uri = f"{scheme}://anonymous@{place}"
    return f"{uri}{'&' if '?' in uri else '?'}{options}"


@functools.cache
def local_file(uri: str) -> Path:
    """Returns the path of a file; one behind a URI is copied, once in a process.

    With a Python file come the others of its folder, because it may import them.

    Args:
      uri: a path, or the URI of a file.

    Raises:
      InputError: there is no such file, or it may not be read.
      TransientError: the storage does not answer.
    """
    mounted = local_path(uri)
    if "://" not in uri or uri.startswith("file://") or mounted.exists():
        return mounted
    folder = Path(tempfile.mkdtemp(prefix="millrace-copy-")).resolve()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    storage, path = filesystem(uri)
    with reading(shown(uri)):
        for each in _with_neighbours(storage, path):
            with storage.open_input_stream(each) as stream, (folder / PurePosixPath(each).name).open("wb") as copy:
                shutil.copyfileobj(stream, copy)
    _origins[folder] = shown(uri).rpartition("/")[0]
    return folder / PurePosixPath(path).name


def origin(path: Path | str) -> str:
    """Where a file came from: the URI of one that `local_file` has copied, else the path itself."""
    path = Path(path)
    uri = _origins.get(path.parent)
    return f"{uri}/{path.name}" if uri else str(path)


_origins: dict[Path, str] = {}


def _with_neighbours(storage: fs.FileSystem, path: str) -> list[str]:
    from pyarrow import fs

    if PurePosixPath(path).suffix != ".py":
        return [path]
    beside = storage.get_file_info(fs.FileSelector(str(PurePosixPath(path).parent), allow_not_found=True))
    files = sorted(entry.path for entry in beside if entry.type == fs.FileType.File and entry.extension == "py")
    # One that is not there is opened all the same, for the storage's own word about it.
    return files if path in files else [path, *files]


def _reason(error: OSError) -> str:
    """Why, without Arrow's text around it; of a refusal what the storage says of who lacks which right."""
    text = error.strerror or str(error)
    reason = re.sub(r"^.*Detail: \[[^]]*\] ", "", text, flags=re.DOTALL)
    said = _GCS.search(text) if isinstance(error, PermissionError) else None
    return f"{reason} ({_gcs_reason(said[2])})" if said else reason
