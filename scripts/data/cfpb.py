"""Turns the complaint database of the US Consumer Financial Protection Bureau into the model's columns."""

from __future__ import annotations

import csv
import io
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

from components.runtime.errors import InputError
from scripts.data.complaint_texts import COLUMNS

_THEIR_NAMES = {
    "complaint_id": "Complaint ID",
    "date_received": "Date received",
    "product": "Product",
    "sub_product": "Sub-product",
    "issue": "Issue",
    "sub_issue": "Sub-issue",
    "consumer_complaint_narrative": "Consumer complaint narrative",
    "company": "Company",
    "state": "State",
    "zip_code": "ZIP code",
    "company_response": "Company response to consumer",
    "timely_response": "Timely response?",
    "consumer_disputed": "Consumer disputed?",
    "submitted_via": "Submitted via",
}
_SOURCE = "cfpb"
_LABELS = {"Yes": "1", "No": "0"}


def convert(archive: Path, target: Path) -> tuple[int, int]:
    """Writes the complaints of which it is known whether the consumer disputed the answer, as CSV.

    The bureau stopped asking in April 2017, so these are the complaints up to then.

    Args:
      archive: complaints.csv.zip, one CSV file in a zip archive.
      target: file to write.

    Returns:
      How many complaints were written, and how many were left out.

    Raises:
      InputError: it is no such archive, or the file in it is no such table.
    """
    written = left_out = 0
    with target.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for row in _rows(archive):
            label = _LABELS.get(row[_THEIR_NAMES["consumer_disputed"]])
            if label is None:
                left_out += 1
                continue
            written += 1
            ours = {name: row[theirs] for name, theirs in _THEIR_NAMES.items()}
            # None and N/A is how the bureau writes that it has no value.
            ours = {name: "" if value in ("None", "N/A") else value for name, value in ours.items()}
            writer.writerow(ours | {"source": _SOURCE, "label_disputed": label})
    if not written:
        raise InputError(f"{archive}: no complaint in it has Yes or No under Consumer disputed?; download it again")
    return written, left_out


def _rows(archive: Path) -> Iterator[dict[str, str]]:
    csv.field_size_limit(sys.maxsize)
    try:
        with zipfile.ZipFile(archive) as folder:
            names = [name for name in folder.namelist() if name.lower().endswith(".csv")]
            if len(names) != 1:
                raise InputError(f"{archive}: holds {len(names)} CSV files, expected one; remove it and download again")
            with folder.open(names[0]) as raw, io.TextIOWrapper(raw, encoding="utf-8", newline="") as text:
                reader = csv.DictReader(text)
                missing = [name for name in _THEIR_NAMES.values() if name not in (reader.fieldnames or ())]
                if missing:
                    raise InputError(f"{archive}: {names[0]} has no column {missing[0]!r}: the bureau has changed it")
                for row in reader:
                    if None in row or None in row.values():
                        raise InputError(f"{archive}: {names[0]}, line {reader.line_num}: not as many cells as columns")
                    yield row
    except (zipfile.BadZipFile, EOFError) as error:
        raise InputError(f"{archive}: not a whole zip archive ({error}); remove it and download again") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{archive}: not UTF-8 text ({error.reason}); remove it and download again") from None
