"""What the stages' images are called: by digest where they were built, by version where not."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.runtime import VERSION
from components.runtime.errors import InputError
from runners.compiled import images

DIGEST = f"sha256:{'ab' * 32}"


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A lock of the test's own, absent at first."""
    file = tmp_path / "images.lock"
    monkeypatch.setenv(images.LOCK_VARIABLE, str(file))
    return file


def test_an_image_that_was_not_built_goes_by_the_version(lock: Path) -> None:
    assert images.reference("millrace/ingest") == (f"millrace/ingest:{VERSION}", False)


def test_an_image_that_was_built_goes_by_its_digest_and_registry(lock: Path) -> None:
    built = images.Built("registry:5000/team/ingest", DIGEST, "0123")
    lock.write_text(images.lock_text({"ingest": built}))
    assert images.reference("millrace/ingest") == (f"registry:5000/team/ingest@{DIGEST}", True)
    assert images.reference("millrace/push") == (f"millrace/push:{VERSION}", False)
    assert images.stage_of(images.reference("millrace/ingest")[0]) == "ingest"


def test_a_lock_reads_back_as_written_and_is_sorted(lock: Path) -> None:
    written = {stage: images.Built(f"millrace/{stage}", DIGEST, stage) for stage in ("train", "ingest")}
    lock.write_text(images.lock_text(written))
    assert images.read_lock(lock) == written
    assert lock.read_text().index("ingest") < lock.read_text().index("train")


@pytest.mark.parametrize(
    ("image", "pinned"),
    [("mine/ingest:7", False), (f"mine/ingest@{DIGEST}", True), ("registry:5000/mine/ingest:7", False)],
)
def test_a_name_with_tag_or_digest_stays(lock: Path, image: str, pinned: bool) -> None:
    lock.write_text(images.lock_text({"ingest": images.Built("millrace/ingest", DIGEST, "0123")}))
    assert images.reference(image) == (image, pinned)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("- ingest", "not a lock of images"),
        ("ingest: {image: millrace/ingest}", "not a lock of images"),
        ("ingest: {image: i, tag: t, digest: latest}", "'latest' is not a digest"),
        ("{", "not a lock of images"),
    ],
)
def test_a_broken_lock_is_one_line_that_says_how_to_mend_it(lock: Path, text: str, expected: str) -> None:
    lock.write_text(text)
    with pytest.raises(InputError, match=expected) as raised:
        images.reference("millrace/ingest")
    assert "make images" in str(raised.value)
    assert "\n" not in str(raised.value)
