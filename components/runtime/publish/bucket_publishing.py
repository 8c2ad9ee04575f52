"""Changes a serving directory in a bucket, which has neither locks nor renames, so that readers see whole versions.

Who makes a version first claims its number by an object that only one can create, then uploads the files, the graph
(`saved_model.pb`) last of the model's, so that TensorFlow Serving cannot load half of it, and at last the manifest,
which makes it a version. Who removes one claims it too, and begins with the manifest. A claim is renewed while its
owner lives; one that is not belongs to somebody who died: the same content is pushed on from where it stopped at once,
other content in its place when the claim is old.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path

from components.runtime.data import claims
from components.runtime.data.bucket import ChangedError
from components.runtime.data.claims import Before, Claim
from components.runtime.errors import TransientError
from components.runtime.publish.mirror import CLAIM, MANIFEST, Mirror
from components.runtime.stage import progress
from components.runtime.stage.artifacts import listing_digest
from components.runtime.stage.progress import report

_GRAPH = "saved_model.pb"
_REMOVAL = "removal"


def _claim(mirror: Mirror, number: int, content: str) -> Claim:
    return Claim(mirror.bucket, f"{CLAIM}{number}", content, f"{mirror.destination}: version {number}")


def publish(
    mirror: Mirror,
    number: int,
    source: Path,
    files: Mapping[str, str],
    besides: Mapping[str, Path],
    beside: Mapping[str, str],
    manifest: bytes,
) -> None:
    """Uploads a version.

    Args:
      mirror: of the serving directory.
      number: of the version.
      source: folder of the SavedModel.
      files: its files with their sha256.
      besides: files that are none of the model's content, by their places in the version.
      beside: their sha256.
      manifest: of the version.

    Raises:
      TransientError: somebody else makes or has made this version.
    """
    bucket, places = mirror.bucket, {name: source / name for name in files} | dict(besides)
    claim = _claim(mirror, number, listing_digest({**files, **beside}))
    with claim.held():
        there = {each.name: each.size for each in bucket.list(str(number))}
        if f"{number}/{MANIFEST}" in there or (there and claim.before is Before.NOBODY):
            claim.release()
            raise TransientError(f"{mirror.destination}/{number}: somebody else made this version meanwhile; run again")
        if there and claim.before is Before.ANOTHER:
            report(f"removing {len(there)} files of version {number}, whose push died")
            bucket.delete(there)
            there = {}
        sizes = {name: file.stat().st_size for name, file in places.items()}
        missing = {name: size for name, size in sizes.items() if there.get(f"{number}/{name}") != size}
        if there:
            report(f"going on with a push that died: {len(sizes) - len(missing)} of {len(sizes)} files are there")
        first = {name: places[name] for name in missing if name != _GRAPH}
        last = {name: places[name] for name in missing if name == _GRAPH}
        with progress.counting(sum(missing.values()), "bytes", f"uploading {len(missing)} files"):
            for some in (first, last):
                claim.check()
                wanted = {f"{number}/{name}": file for name, file in some.items()}
                bucket.upload_all(wanted, progress.advance, claim.check)
        found = {each.name: each.size for each in bucket.list(str(number))}
        if found != {f"{number}/{name}": size for name, size in sizes.items()}:
            raise TransientError(f"{mirror.destination}/{number}: not what was uploaded lies there; run again")
        claim.check()
        try:
            bucket.write(f"{number}/{MANIFEST}", manifest, None)
        except ChangedError:
            raise TransientError(
                f"{mirror.destination}/{number}: somebody else made this version meanwhile; run again"
            ) from None
    mirror.refresh()


def remove(mirror: Mirror, number: int) -> None:
    """Removes a version, its manifest first.

    Raises:
      TransientError: somebody else makes or removes it.
    """
    claim = _claim(mirror, number, _REMOVAL)
    with claim.held():
        claim.check()
        _remove(mirror, number)
    mirror.refresh()


def _remove(mirror: Mirror, number: int) -> None:
    mirror.bucket.delete([f"{number}/{MANIFEST}"])
    mirror.bucket.delete(each.name for each in mirror.bucket.list(str(number)))


def clean(mirror: Mirror, following: int) -> None:
    """Removes what those left who died, as far as their claims are old.

    Args:
      mirror: of the serving directory.
      following: number of the next version, under which a push may be gone on with.
    """
    for number, about in mirror.claimed.items():
        if number == following or claims.age(about) < claims.STALE_SECONDS:
            continue
        with contextlib.suppress(TransientError):
            claim = _claim(mirror, number, _REMOVAL)
            if f"{number}/{MANIFEST}" in {each.name for each in mirror.bucket.list(str(number))}:
                # Whole: who made it died before it could give the claim back.
                claim.release()
                continue
            report(f"removing version {number}, which was half made or half removed by somebody who died")
            with claim.held():
                _remove(mirror, number)
