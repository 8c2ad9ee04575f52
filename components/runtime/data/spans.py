"""Finds the spans of data by the placeholders in its path and in the patterns of its splits."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from pyarrow import fs

from components.runtime.data import span_patterns
from components.runtime.data.span_choice import LATEST, MOST_DIGITS, Asked, is_range
from components.runtime.data.span_patterns import DATE, IMPLIED, VERSION
from components.runtime.data.span_words import DATES, GAPS, SPANS, THERE, VERSIONS, WANTED, name
from components.runtime.data.storage import filesystem as filesystem_of
from components.runtime.data.storage import listing, reading, shown
from components.runtime.errors import InputError

_MOST_THERE = 366
"""Spans whose newest version is told though they are not read: KFP's launcher gets all metadata in one argument."""

_AT_ONCE = 32
"""Folders that are listed at the same time."""

_Key = tuple[int, int | None]
"""Number and version of a span."""


@dataclass(frozen=True, order=True)
class _Place:
    """Where a span of a split lies: its path as far as placeholders reach, and the texts in their places."""

    path: str
    texts: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Span:
    """A span that is read.

    Attributes:
      number: in days since 1970-01-01 where it is a date.
      version: None where the patterns have no versions.
      data: where it lies, a path or a URI without placeholders.
      patterns: of its splits, without placeholders, relative to `data`.
      prefix: what its files are called by before their names in `data`; empty where placeholders are in the patterns.
      paths: in the file system, as far as placeholders reach.
    """

    number: int
    version: int | None
    data: str
    patterns: dict[str, str]
    prefix: str
    paths: tuple[str, ...]


@dataclass(frozen=True)
class Chosen:
    """The spans that are read, the oldest first, and what is known of the others.

    Attributes:
      spans: that are read.
      is_dated: whether they are dates.
      gaps: what is not there of those asked for, in words; empty where nothing is missing.
      wanted: how many of the newest were asked for, where that are more than there are; else 0.
      versions: the newest version of each span that is there; None where the patterns have none.
      place: the folder that holds all, as the user would write it.
      filesystem: holds them.
    """

    spans: list[Span]
    is_dated: bool
    gaps: str
    wanted: int
    versions: dict[int, int | None]
    place: str
    filesystem: fs.FileSystem

    @property
    def metadata(self) -> dict[str, Any]:
        """What is told of them in the metadata of examples, see docs/contract.md."""
        numbers = [each.number for each in self.spans]
        found: dict[str, Any] = {SPANS: numbers}
        if self.is_dated:
            found[DATES] = [name(each, True) for each in numbers]
        if self.gaps:
            found[GAPS] = self.gaps
        if self.wanted:
            found[WANTED] = self.wanted
        if any(each.version is not None for each in self.spans):
            found[VERSIONS] = [each.version for each in self.spans]
            others = [each for each in sorted(self.versions) if each not in numbers][-_MOST_THERE:]
            found |= {THERE: {str(each): self.versions[each] for each in others}} if others else {}
        return found

    def stored(self) -> list[str]:
        """What is read, by path, size and time, what is there, and what is missing: changes where these do."""
        entries: list[fs.FileInfo] = []
        for path in sorted({path for span in self.spans for path in span.paths}):
            with reading(self.place):
                found = self.filesystem.get_file_info(path)
            is_folder = found.type == fs.FileType.Directory
            entries += listed(self.filesystem, path, self.place, recursive=True) if is_folder else [found]
        files = [f"{each.path} {each.size} {each.mtime_ns}" for each in entries if each.type != fs.FileType.Directory]
        read = [f"{each.number} {each.version} is read" for each in self.spans]
        # (What is told of a request, and whether it stops, is not that of another by which the same is read.)
        lacks = [f"{self.gaps} not there"] * bool(self.gaps) + [f"{self.wanted} wanted"] * bool(self.wanted)
        return [*files, *read, *lacks, *(f"{number} {version}" for number, version in sorted(self.versions.items()))]


def choose(data: str, patterns: Mapping[str, str], asked: Asked) -> Chosen:
    """Finds the spans and chooses those that are read. Folders are listed, one level at a time; no file is read.

    Args:
      data: path or URI with placeholders; one without any, and none in the patterns, is a folder of `span-{SPAN}`.
      patterns: file pattern by split, relative to `data`.
      asked: which of them; of each its newest version is read.

    Raises:
      InputError: the patterns, or what is asked for, cannot be used; there is no such span; two places are one span.
    """
    # (What stands behind an address is no part of the path, in which a question mark is a letter.)
    folder, question, query = data.partition("?") if "://" in data else (data, "", "")
    is_implied = not any(map(span_patterns.names, (data, *patterns.values())))
    if is_implied:
        folder = f"{folder.rstrip('/')}/{IMPLIED}/"
    patterns = {split: pattern.removeprefix("./") for split, pattern in patterns.items()}
    splits = patterns or {"": ""}
    whole = {split: f"{folder.rstrip('/')}/{pattern}" if pattern else folder for split, pattern in splits.items()}
    _check(whole)
    filesystem, root = filesystem_of(f"{folder}{question}{query}")
    first = next(iter(whole.values()))
    place, is_dated = shown(_static(first)), DATE[0] in span_patterns.names(first)
    parts = {split: _parts(root, folder, pattern) for split, pattern in splits.items()}
    if is_implied:
        _check_folder(filesystem, root, shown(data), asked)
    found = {split: _places(filesystem, each, shown(data)) for split, each in parts.items()}
    there: dict[int, set[int | None]] = {}
    for number, version in {key for each in found.values() for key in each}:
        there.setdefault(number, set()).add(version)
    if not there and is_implied:
        raise InputError(
            f"{shown(data)}: holds no folders span-1, span-2 and so on; name the folder that does, {_left_out(asked)}"
        )
    if not there:
        wanted = "a date in the place of {YYYY}, {MM} and {DD}" if is_dated else "a number in the place of {SPAN}"
        raise InputError(f"{shown(first).rstrip('/')}: nothing there has {wanted}")
    newest = {number: max(each, key=lambda one: -1 if one is None else one) for number, each in there.items()}
    numbers, gaps = asked.among(sorted(there), place, is_dated)
    spans = []
    for number in numbers:
        version = newest[number]
        what = f"span {name(number, is_dated)}" + (f", version {version}" if version is not None else "")
        texts = {split: _only(found[split].get((number, version), []), what, whole[split]) for split in splits}
        where = span_patterns.filled(folder, texts[next(iter(splits))]).rstrip("/")
        spans.append(
            Span(
                number,
                version,
                f"{where}{question}{query}",
                {split: span_patterns.filled(pattern, texts[split]) for split, pattern in patterns.items()},
                f"{where.removeprefix(_static(folder)).strip('/')}/" if span_patterns.names(folder) else "",
                tuple(each.path for split in splits for each in found[split][number, version]),
            )
        )
    lacking = asked.count if len(numbers) < asked.count and not is_range(asked.span) else 0
    return Chosen(spans, is_dated, gaps, lacking, newest, place, filesystem)


def listed(filesystem: fs.FileSystem, folder: str, data: str, *, recursive: bool = False) -> list[fs.FileInfo]:
    """What lies in a folder; nothing where there is none. All that looks for spans looks by this."""
    with reading(data):
        entries = listing(filesystem, folder, recursive=recursive)
    return sorted((each for each in entries if each.base_name[:1] not in ("", ".", "_")), key=lambda each: each.path)


def _check(whole: Mapping[str, str]) -> None:
    for pattern in whole.values():
        span_patterns.check(shown(pattern))
    of_splits = {split: set(span_patterns.names(pattern)) for split, pattern in whole.items()}
    every = set().union(*of_splits.values())
    for split, names in of_splits.items():
        if lacking := sorted(every - names):
            raise InputError(
                f"split_patterns: that of the split {split!r} lacks {{{lacking[0]}}}, which others have; all splits "
                "are of the same span and version"
            )


def _check_folder(filesystem: fs.FileSystem, root: str, data: str, asked: Asked) -> None:
    """Refuses a file in the place of a folder of spans."""
    with reading(data):
        info = filesystem.get_file_info(_static(root))
    if info.type == fs.FileType.File:
        raise InputError(
            f"{data}: a file, and spans are folders; name the folder that holds span-1, span-2 and so on, "
            f"{_left_out(asked)}"
        )


def _left_out(asked: Asked) -> str:
    """How nothing is asked for, where what is asked for cannot be there."""
    # (A pipeline hands on both, `latest` and 1 where only the other one, or none, was said.)
    is_named, is_window = asked.span.strip() not in ("", LATEST), asked.count > 1
    names = ["span"] * (is_named or not is_window) + ["spans"] * (is_window or not is_named)
    joint = " and " if is_named else " or "
    options, keys = (joint.join(f"{before}{name}" for name in names) for before in ("--", "ingest."))
    return f"or leave {options} out (or {keys} in settings.yaml)"


def _static(path: str) -> str:
    """The folder before the first placeholder."""
    before, brace, _ = path.partition("{")
    return before.rpartition("/")[0] if brace else path.rstrip("/")


def _parts(root: str, folder: str, pattern: str) -> list[str]:
    """The path in the file system, part by part, as far as placeholders reach; an empty part behind means a folder."""
    whole = f"{root.rstrip('/')}/{pattern}" if pattern or folder.endswith("/") else root
    parts = whole.split("/")
    last = max(place for place, part in enumerate(parts) if span_patterns.names(part))
    return [*parts[: last + 1], *([""] if len(parts) > last + 1 else [])]


def _places(filesystem: fs.FileSystem, parts: Sequence[str], data: str) -> dict[_Key, list[_Place]]:
    """Where each span and version lies.

    Raises:
      InputError: a name that says a date which no calendar has, or a number that nobody could ask for.
    """
    found: dict[_Key, list[_Place]] = {}
    for path, texts in _walk(filesystem, parts, data):
        place = _Place(path.rstrip("/"), tuple(sorted(texts.items())))
        try:
            number = span_patterns.number(texts)
        except ValueError:
            day = "-".join(texts[each] for each in DATE)
            raise InputError(f"{data}: {place.path} says {day}, and there is no such date; rename it") from None
        version = int(texts[VERSION]) if VERSION in texts else None
        if max(number, version or 0) >= 10**MOST_DIGITS:
            raise InputError(f"{data}: {place.path} has a number of more than {MOST_DIGITS} digits; rename it")
        found.setdefault((number, version), []).append(place)
    return found


def _walk(filesystem: fs.FileSystem, parts: Sequence[str], data: str) -> list[tuple[str, dict[str, str]]]:
    """The places that parts of a path stand for, and the texts in them; parts without a sign of a pattern are skipped.

    The folders of one level are listed many at a time: in a bucket each is a request, and a span for each day of ten
    years is 3,650 of them.
    """
    found: list[tuple[str, dict[str, str]]] = [("", {})]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for number, part in enumerate(parts):
            if not span_patterns.is_pattern(part):
                # (An empty part is before the root, or behind a folder.)
                found = [(f"{folder}/{part}" if folder or number else part, texts) for folder, texts in found]
                continue
            is_any, is_last = part == "**", number == len(parts) - 1
            look = functools.partial(listed, filesystem, data=data, recursive=is_any)
            entries = pool.map(look, [folder or "/" for folder, _ in found])
            below = []
            for (folder, texts), inside in zip(found, entries, strict=True):
                below += [(folder, texts)] if is_any else []
                for entry in inside:
                    if entry.type != fs.FileType.Directory and (is_any or not is_last):
                        continue
                    if is_any:
                        below.append((entry.path, texts))
                    elif match := span_patterns.regex(part).fullmatch(entry.base_name):
                        below.append((entry.path, {**texts, **match.groupdict()}))
            found = below
    return found


def _only(places: Sequence[_Place], what: str, pattern: str) -> dict[str, str]:
    """The texts in the placeholders' places of one span and version of a split.

    Raises:
      InputError: it is not there, or there more than once.
    """
    if not places:
        raise InputError(f"no file of {what} matches {shown(pattern)}; all splits are of the same span and version")
    by_texts = {each.texts: each.path for each in sorted(places, reverse=True)}
    if len(by_texts) > 1:
        one, other, *_ = sorted(by_texts.values())
        raise InputError(f"{one} and {other} are both {what}; remove one of them, or give it a number of its own")
    return dict(places[0].texts)
