"""The page with the sample: what is on it, whatever the rows hold."""

from __future__ import annotations

import base64
import html
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from components.runtime.data import examples
from runners.history.pages.embedding import embed
from tests.components.ingest.ingest_support import ROWS, Ingested, ingested, run_ingest, tfrecord_bytes, write_files
from tests.components.ingest.tables.table_support import parquet_of, write
from tests.support import shared

ALL = {"all": 1}
ACTIVE = re.compile(r"<(?:script|iframe|object|link)|\son\w+=|https?://")


def page_of(tmp_path: Path, *rows: dict[str, Any], **arguments: Any) -> str:
    records = [examples.encode(row) for row in rows]
    data = write_files(tmp_path / "data", {"a.tfrecord": tfrecord_bytes(records)})
    return ingested(tmp_path / "out", data, splits=ALL, **arguments).page


def shown(page: str) -> str:
    """The text of a page."""
    return html.unescape(re.sub(r"<style>.*?</style>|<[^>]*>", " ", page, flags=re.DOTALL))


def encoded(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def pictures(page: str) -> list[Image.Image]:
    found = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', page)
    return [Image.open(io.BytesIO(base64.b64decode(data))) for data in found]


@pytest.fixture(scope="module")
def taxi(tmp_path_factory: pytest.TempPathFactory) -> Ingested:
    return ingested(tmp_path_factory.mktemp("sample") / "out", shared("taxi"))


def test_the_page_of_real_trips(taxi: Ingested) -> None:
    text = shown(taxi.page)
    assert "9,911 rows" in text
    assert "csv, 1 file, 1.3 MB read" in " ".join(text.split())
    for split in ("train", "eval"):
        assert f"{split}: 10 of {taxi.metadata[f'rows_{split}']:,} rows" in text
    for feature, kind in taxi.metadata["columns"].items():
        assert re.search(rf"{feature}\s+{'text' if kind == 'bytes' else kind}\s+\d+ %", text), feature
    assert "missing" in text
    assert len(taxi.page.encode()) < 30_000


def test_rows_are_shown_as_they_are(taxi: Ingested) -> None:
    heads = re.findall(r"<th>row ([0-9,]+)</th>", taxi.page)
    assert len(heads) == 20
    for split, numbers in (("train", heads[:10]), ("eval", heads[10:])):
        rows = taxi.rows(split)
        chosen = [rows[int(number.replace(",", "")) - 1] for number in numbers]
        section = taxi.page[taxi.page.index(f"<h2>{split}:") :]
        line = re.search(r"<tr><td><span>trip_start_timestamp</span></td>(.*?)</tr>", section)
        assert line is not None
        assert re.findall(r">(\d+)<", line[1]) == [str(row["trip_start_timestamp"][0]) for row in chosen]


def test_the_same_data_gives_the_same_page(taxi: Ingested, tmp_path: Path) -> None:
    again = ingested(tmp_path / "again", shared("taxi"))
    assert again.page == taxi.page
    assert again.result.metadata("sample")["digest"] == taxi.result.metadata("sample")["digest"]


def test_nobody_sees_rows_where_none_are_asked_for(taxi: Ingested, tmp_path: Path) -> None:
    result = ingested(tmp_path / "out", shared("taxi"), sample_rows=0)
    assert "No rows are shown: ingest.sample_rows is 0." in result.page
    assert "9,911 rows" in result.page
    assert "Credit Card" in taxi.page
    for value in ("Credit Card", "row 1", "Taxi"):
        assert value not in result.page
    assert result.files() == taxi.files()


@pytest.mark.parametrize("rows", [-1, 101])
def test_rows_out_of_range(rows: int, tmp_path: Path) -> None:
    result = run_ingest(tmp_path / "out", write(tmp_path / "a.csv", ROWS), sample_rows=rows)
    assert result.exit_code == 65
    assert f"sample_rows is {rows}: give a number from 0 to 100" in result.error


def test_what_is_not_text_is_told_by_its_size(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 17, 64, np.uint8).tobytes()
    page = page_of(tmp_path, {"image_raw": pixels, "latin": "café".encode("latin-1"), "label": 3})
    assert "64 bytes" in shown(page)
    assert "4 bytes" in shown(page)
    assert "\ufffd" not in page


def test_text_of_every_kind(tmp_path: Path) -> None:
    family, flag = "👩\u200d👩\u200d👧", "🇦🇹"
    hostile = '<img src=x onerror=alert(1)> & "quoted" <!--/content-->'
    page = page_of(
        tmp_path,
        {"a": "", "b": "   ", "c": None, "d": f"{family} {flag}", "e": hostile, "f": "a\0b\x7f", "g": "\u202eabc"},
        {"a": "x", "b": [b"one", b"<two>"], "c": 0.5, "d": "é" * 70, "e": "line\nbreak", "f": "x", "g": "y"},
    )
    text = shown(page)
    for expected in ("empty text", "3 blank", "missing", f"{family} {flag}", hostile, "[one, <two>]", "0.5"):
        assert expected in text
    assert r"a\x00b\x7f" in text
    assert r"\u202eabc" in text
    assert "\0" not in page
    assert "\u202e" not in page
    assert "<img" not in page
    assert not ACTIVE.search(" ".join(re.findall("<[^>]*>", page)))


def test_short_texts_have_the_whole_in_their_title(tmp_path: Path) -> None:
    value = f'on card=visa javascript:alert(1) id="a" {"word " * 14}end'
    page = page_of(tmp_path, {"a": value, "b": list(range(99))})
    assert f"{value[:60].rstrip()}…" in shown(page)
    titles = [html.unescape(title) for title in re.findall(r'title="([^"]*)"', page)]
    assert value in titles
    assert "[0, 1, 2, 3, … 99 values]" in shown(page)
    body = embed(page, "p0")
    assert "<iframe" not in body, "no text of a row is taken for something active"
    assert html.escape(value)[:20] in body


@pytest.mark.parametrize("sign", ["👩\u200d👩\u200d👧", "🇦🇹", "👍🏽", "e\u0301", "❤\ufe0f"])
def test_a_sign_of_several_characters_is_never_cut(sign: str) -> None:
    from components.ingest.sample.cells import clip

    for limit in range(10, 24):
        cut = clip(f"{'x' * 9}{sign * 8}", limit).removesuffix("…").removeprefix("x" * 9)
        assert cut == sign * (len(cut) // len(sign)), limit


def test_long_text_is_readable_and_cut(tmp_path: Path) -> None:
    page = page_of(tmp_path, {"story": "Once upon a time. " * 60_000, "name": "a"}, {"story": "short", "name": "b"})
    assert len(page) < 12_000
    assert ", 1.1 MB in all" in shown(page)
    assert shown(page).count("Once upon a time. ") > 50


def test_an_image_and_its_mask_over_it(tmp_path: Path) -> None:
    image = Image.new("RGB", (300, 200), "white")
    mask = np.zeros((200, 300), np.uint8)
    mask[:, 150:] = 1
    row = {"image": encoded(image, "JPEG"), "mask": encoded(Image.fromarray(mask)), "image_name": "cats/a.jpg"}
    page = page_of(tmp_path, row | {"height": 200, "width": 300, "label": "cat"})
    drawn, over = pictures(page)
    assert drawn.size == over.size == (140, 93)
    assert min(drawn.convert("L").getdata()) > 250
    left, right = over.convert("RGB").getpixel((20, 40)), over.convert("RGB").getpixel((120, 40))
    assert min(left) > 240, "0 is not marked"
    assert right[0] > right[2] + 60, "1 is orange"
    assert "JPEG 300 × 200" in shown(page)
    assert "cats/a.jpg" in shown(page)
    assert not ACTIVE.search(page)


def test_images_of_all_kinds_are_upright_and_right_or_said_to_be_broken(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    deep = np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16)
    clear = Image.new("RGBA", (32, 32), (0, 0, 0, 0))
    images = [
        encoded(Image.new("RGB", (300, 100), "red"), "JPEG", exif=exif),
        encoded(Image.new("CMYK", (64, 64), (0, 0, 0, 0)), "JPEG"),
        encoded(Image.fromarray(deep)),
        encoded(clear),
        encoded(Image.new("P", (40, 20)), "GIF"),
        b"\x89PNG\r\n\x1a\nnothing",
        encoded(Image.new("RGB", (64, 64), "blue"))[:60],
    ]
    page = page_of(tmp_path, *({"image": image, "n": place} for place, image in enumerate(images)))
    rotated, cmyk, sixteen, transparent, gif = pictures(page)
    assert rotated.size == (47, 140)
    assert min(cmyk.convert("L").getdata()) > 240
    assert sixteen.convert("L").getpixel((0, 63)) > 230
    assert min(transparent.convert("L").getdata()) > 250, "on white"
    assert gif.size == (40, 20)
    assert shown(page).count("broken, or of a kind that cannot be drawn") == 2


def test_a_mask_of_another_size_and_one_of_many_values(tmp_path: Path) -> None:
    image = encoded(Image.new("RGB", (300, 200), "white"))
    other = encoded(Image.new("L", (30, 30), 2))
    photo = encoded(Image.fromarray(np.arange(200 * 300, dtype=np.uint32).reshape(200, 300).astype(np.uint8)))
    page = page_of(tmp_path, {"image": image, "mask": other}, {"image": image, "mask": photo})
    assert len(pictures(page)) == 3
    assert "with 256 values" in shown(page)


def test_a_page_stays_small_whatever_the_rows(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (200, 300, 3), np.uint8)
    image = encoded(Image.fromarray(noise))
    row = {f"a feature {column} with a long name": f"{column} ✓ <&> " * 200 for column in range(200)}
    rows = [row | {"image": image, "mask": image, "row": number} for number in range(6)]
    page = page_of(tmp_path, *rows, sample_rows=100)
    assert 50_000 < len(page.encode()) < 1_000_000
    assert re.search(r"all: [1-5] of 6 rows", page)
    assert "fewer rows than asked for" in page


def test_images_in_parquet_are_drawn(tmp_path: Path) -> None:
    image = encoded(Image.new("RGB", (8, 8), "red"))
    page = ingested(tmp_path / "out", write(tmp_path / "a.parquet", parquet_of([image] * 3)), splits=ALL).page
    assert len(pictures(page)) == 3
