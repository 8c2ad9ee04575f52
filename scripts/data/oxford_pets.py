"""Unpacks the archives of the Oxford-IIIT Pet data set into pairs of photograph and trimap.

Only what annotations/list.txt names is taken: 7,349 photographs. The archives hold some more that are damaged, have no
annotation, or are files of other programs.
"""

from __future__ import annotations

import functools
import re
import tarfile
from collections.abc import Callable, Iterator, Set
from pathlib import Path, PurePosixPath

from components.runtime.errors import InputError
from scripts import command
from scripts.data.pet_pictures import IMAGES, MASKS

_LIST = "annotations/list.txt"
_NAME = re.compile(r"[A-Za-z0-9_]+")
_LARGEST_FILE_BYTES = 64 << 20
_SAY_EVERY = 1000


def unpack(
    images: Path, annotations: Path, folder: Path, say: Callable[[str], None], *, only: Set[str] | None = None
) -> int:
    """Writes photographs and trimaps where ingest's layout `pairs` looks for them.

    Nothing in the archives decides where a file goes but its name, which must be one of the list's, so no entry can
    reach outside of `folder`; links and other special entries are passed over.

    Args:
      images: images.tar.gz.
      annotations: annotations.tar.gz.
      folder: to write to; files that are there already with the same content stay.
      say: told one line now and then.
      only: names of the photographs to take; without, all that the list names.

    Returns:
      How many pairs there are.

    Raises:
      InputError: an archive is damaged, or lacks the list or something that it names.
    """
    names = _listed(annotations) if only is None else only
    done: dict[str, set[str]] = {}
    for archive, inside, suffix in ((annotations, MASKS, ".png"), (images, IMAGES, ".jpg")):
        found = done.setdefault(inside, set())
        for path, content in _files(archive):
            if str(path.parent) != inside or path.suffix != suffix or path.stem not in names:
                continue
            write = functools.partial(Path.write_bytes, data=content)
            command.write_whole(folder / inside / path.name, write)
            found.add(path.stem)
            if len(found) % _SAY_EVERY == 0:
                say(f"{inside}: {len(found):,} of {len(names):,} files")
        if missing := sorted(names - found):
            raise InputError(
                f"{archive}: {len(missing)} of the files that should be in it are missing, the first is "
                f"{inside}/{missing[0]}{suffix}; remove it and download again"
            )
    return len(names)


def _listed(archive: Path) -> set[str]:
    """Names of the photographs, without folder and suffix."""
    for path, content in _files(archive):
        if str(path) == _LIST:
            lines = content.decode("utf-8", "replace").splitlines()
            names = {line.split()[0] for line in lines if line.strip() and not line.startswith("#")}
            if wrong := sorted(name for name in names if not _NAME.fullmatch(name)):
                raise InputError(f"{archive}: {_LIST} names {wrong[0]!r}, which is no name of a photograph")
            if names:
                return names
            break
    raise InputError(f"{archive}: no photographs in {_LIST}; it should be annotations.tar.gz of Oxford-IIIT Pet")


def _files(archive: Path) -> Iterator[tuple[PurePosixPath, bytes]]:
    """The regular files of an archive, in their order."""
    try:
        with tarfile.open(archive, "r|gz") as entries:
            for entry in entries:
                if not entry.isreg() or entry.size > _LARGEST_FILE_BYTES:
                    continue
                stream = entries.extractfile(entry)
                if stream is not None:
                    yield PurePosixPath(entry.name), stream.read()
    except (tarfile.TarError, EOFError, OSError) as error:
        if isinstance(error, OSError) and error.filename not in (None, str(archive)):
            raise
        raise InputError(f"{archive}: not a whole .tar.gz ({error}); remove it and download again") from None
