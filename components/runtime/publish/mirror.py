"""A serving directory in a bucket, as a folder of this process: what is looked at is brought here when it is.

Whoever reads a serving directory reads the folder. It has a folder for each version from the beginning; files come
when `fetched` is told of them, and what is written goes back by `stored`. Of folders that mirror nothing both take no
notice, so that nobody needs to know where a serving directory lies.

In the bucket a version is what has a manifest, which is written last, or what others put there. While one is made or
removed, an object beside it says so (`CLAIM`), and it counts only once its manifest is there.
"""

from __future__ import annotations

import atexit
import contextlib
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from components.runtime.data.bucket import Bucket, ChangedError, Stored, Tag, is_bucket
from components.runtime.errors import TransientError
from components.runtime.stage import progress
from components.runtime.stage.artifacts import remove

MANIFEST = "assets.extra/millrace.json"
"""Inside a version. TensorFlow Serving leaves `assets.extra/` to whoever exports the model."""

CLAIM = ".claim-"
"""Begins the name of an object that holds a version's number while the version is made or removed."""

_WORTH_TELLING = 1 << 20

_opened: dict[str, Mirror] = {}
_by_folder: dict[Path, Mirror] = {}


@dataclass
class Mirror:
    """A serving directory in a bucket, and its folder here.

    Attributes:
      destination: its URI.
      folder: of this process.
      there: what the bucket had when it was last looked at, by name.
      here: of what was brought, the version that it has.
      seen: of what several may write, such as labels, the version that is here as reading tells it: listings of Cloud
        Storage do not tell what a write can be held to.
      claimed: the claims that there are, by number.
      is_told: whether the log of a stage says how far it is.
    """

    destination: str
    bucket: Bucket
    folder: Path
    there: dict[str, Stored] = field(default_factory=dict)
    here: dict[str, Tag] = field(default_factory=dict)
    seen: dict[str, Tag] = field(default_factory=dict)
    claimed: dict[int, Stored] = field(default_factory=dict)
    is_told: bool = True

    def refresh(self) -> None:
        """Looks at the bucket anew; what is here and no longer the same there is removed."""
        there = {each.name: each for each in self.bucket.list()}
        self.claimed = {int(name.removeprefix(CLAIM)): each for name, each in there.items() if is_claim(name)}
        hidden = {str(number) for number in self.claimed if f"{number}/{MANIFEST}" not in there}
        self.there = {name: each for name, each in there.items() if name.partition("/")[0] not in hidden}
        for name in [name for name, version in self.here.items() if self._version(name) != version]:
            remove(self.folder / name)
            del self.here[name]
        folders = {name.partition("/")[0] for name in self.there if "/" in name}
        for folder in folders:
            (self.folder / folder).mkdir(exist_ok=True)
        for entry in self.folder.iterdir():
            if entry.is_dir() and entry.name not in folders:
                remove(entry)
        # What tells versions from each other and from what others put there, and labels.
        self.fetch([name for name in self.there if name.partition("/")[2] in ("", MANIFEST) and not is_claim(name)])

    def fetch(self, names: list[str]) -> None:
        """Brings objects that are not here yet."""
        wanted = [self.there[name] for name in names if name not in self.here]
        if not wanted:
            return
        try:
            size = sum(each.size for each in wanted)
            told = progress.counting(size, "bytes", f"fetching {len(wanted)} files")
            with told if self.is_told and size >= _WORTH_TELLING else contextlib.nullcontext():
                self.bucket.download([each for each in wanted if "/" in each.name], self.folder, progress.advance)
            for each in [each for each in wanted if "/" not in each.name]:
                content, about = self.bucket.read(each.name)
                (self.folder / each.name).write_bytes(content)
                self.seen[each.name] = about.version
        except FileNotFoundError as error:
            raise TransientError(f"{error}; somebody removed it meanwhile: run again") from None
        self.here |= {each.name: each.version for each in wanted}

    def store(self, name: str) -> None:
        """Puts a file that was written here into the bucket, if there is still what was seen."""
        try:
            seen = self.seen.get(name) if name in self.there else None
            self.seen[name] = self.bucket.write(name, (self.folder / name).read_bytes(), seen)
            self.there[name] = self.bucket.read(name)[1]
        except ChangedError:
            raise TransientError(
                f"{self.destination}/{name}: somebody else changed it meanwhile, nothing is changed; run again"
            ) from None
        self.here[name] = self.there[name].version

    def _version(self, name: str) -> Tag | None:
        return self.there[name].version if name in self.there else None


def is_claim(name: str) -> bool:
    """Whether an object is the claim of a version's number."""
    return name.startswith(CLAIM) and name.removeprefix(CLAIM).isdecimal()


def opened(destination: str, *, told: bool = True) -> Path:
    """The folder of a serving directory in a bucket, which is looked at anew.

    Args:
      destination: its URI.
      told: whether the log of a stage says how far it is.

    Raises:
      InputError: there is no such bucket, it refuses, or there are no credentials.
      TransientError: it does not answer.
    """
    destination = destination.rstrip("/")
    mirror = _opened.get(destination)
    if mirror is None:
        bucket = Bucket(destination)
        scratch = Path(tempfile.mkdtemp(prefix="millrace-serving-")).resolve()
        atexit.register(shutil.rmtree, scratch, ignore_errors=True)
        # (Whoever is told the folder calls the model by its name.)
        mirror = Mirror(destination, bucket, scratch / destination.rpartition("/")[2], is_told=told)
        mirror.folder.mkdir()
    mirror.refresh()
    _opened[destination] = _by_folder[mirror.folder] = mirror
    return mirror.folder


def folder_of(destination: str) -> Path:
    """The folder of a serving directory wherever it lies; one in a bucket is looked at anew."""
    return opened(destination, told=False) if is_bucket(destination) else Path(destination)


def of(root: Path) -> Mirror | None:
    """The mirror that a serving directory's folder is; None where it is a folder of its own."""
    return _by_folder.get(root)


def known(destination: str) -> Path | None:
    """The folder of a serving directory in a bucket that this process has looked at; None where it has not."""
    mirror = _opened.get(destination.rstrip("/"))
    return mirror.folder if mirror else None


def shown(root: Path) -> str:
    """What people call a serving directory, or a folder in it: the URI where it lies in a bucket."""
    if mirror := of(root):
        return mirror.destination
    found = _inside(root)
    return f"{found[0].destination}/{found[1]}" if found else str(root)


def lies_there(file: Path) -> bool:
    """Whether a file of a serving directory is there, brought here or not."""
    if found := _inside(file):
        mirror, name = found
        return name in mirror.there
    return file.is_file()


def written(folder: Path) -> datetime | None:
    """When a version in a bucket became one, or what others put there did; None of one in a folder."""
    if not (found := _inside(folder)):
        return None
    mirror, name = found
    times = {each.name: each.changed for each in mirror.there.values() if each.name.startswith(f"{name}/")}
    return times.get(f"{name}/{MANIFEST}") or max(times.values(), default=None)


def refresh(root: Path) -> None:
    """Looks anew at what a folder mirrors."""
    if mirror := of(root):
        mirror.refresh()


def fetched(path: Path, names: Iterable[str] = ()) -> Path:
    """A file or folder of a serving directory, brought here where it lies in a bucket.

    Args:
      path: of a serving directory's folder.
      names: of the files in it that are wanted, as far as they are there; all without.

    Raises:
      TransientError: it does not answer, or what was there has gone meanwhile.
    """
    if found := _inside(path):
        mirror, name = found
        wanted = {f"{name}/{each}" for each in names}
        inside = [each for each in mirror.there if each == name or each.startswith(f"{name}/")]
        mirror.fetch([each for each in inside if not wanted or each in wanted])
    return path


def dropped(folder: Path) -> None:
    """Removes what was brought here of a version in a bucket; it can be brought again."""
    if found := _inside(folder):
        mirror, name = found
        for each in [each for each in mirror.here if each.startswith(f"{name}/") and each != f"{name}/{MANIFEST}"]:
            remove(mirror.folder / each)
            del mirror.here[each]


def stored(path: Path) -> None:
    """Has what was written into a serving directory's file, or that it was removed, in the bucket too.

    Raises:
      TransientError: it is no longer what was seen there, or the bucket does not answer.
    """
    if found := _inside(path):
        mirror, name = found
        if path.exists():
            mirror.store(name)
        else:
            mirror.bucket.delete([name])
            mirror.there.pop(name, None)
            mirror.here.pop(name, None)


def _inside(path: Path) -> tuple[Mirror, str] | None:
    if not _by_folder:
        return None
    mirror = next((_by_folder[folder] for folder in path.parents if folder in _by_folder), None)
    return (mirror, path.relative_to(mirror.folder).as_posix()) if mirror else None
