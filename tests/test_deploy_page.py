"""docs/deploy.md: what it tells people to type is there."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import yaml

from scripts.data import taxi_trips
from tests.support import ROOT

PAGE = (ROOT / "docs" / "deploy.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def test_folders_that_are_applied_are_there() -> None:
    text = PAGE.replace("$OVERLAY", "kind") + PAGE.replace("$OVERLAY", "gke")
    folders = set(re.findall(r"kubectl (?:apply|delete|kustomize)(?: -k)? (manifests/[\w/-]+)", text))
    assert "manifests/overlays/kubeflow" in folders
    assert [folder for folder in folders if not (ROOT / folder / "kustomization.yaml").is_file()] == []


def test_files_that_are_named_are_there() -> None:
    # What is made on the way, and what lies on the volume, is not.
    named = set(re.findall(r"(?<![\w/.])((?:manifests|models|docs|\.github)/[\w./-]*\w)", PAGE))
    assert len(named) > 8
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)]+)\)", PAGE):
        path, _, anchor = target.partition("#")
        assert not path or (ROOT / "docs" / path).exists(), target
        if anchor:
            page = (ROOT / "docs" / path).read_text() if path else PAGE
            titles = [re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in headings(page)]
            assert anchor in titles


def headings(page: str = PAGE) -> list[str]:
    return re.findall(r"^#+ (.+)$", page, re.MULTILINE)


def test_table_lists_every_folder_of_the_manifests() -> None:
    table = PAGE.partition("| folder |")[2].partition("\n\n")[0]
    told = set(re.findall(r"^\| `([\w-]+)` \|", table, re.MULTILINE))
    assert told == {folder.name for folder in (ROOT / "manifests").iterdir() if folder.is_dir()}


def request() -> dict[str, Any]:
    (text,) = re.findall(r"<<'END'\n(.*?)^END", PAGE, re.MULTILINE | re.DOTALL)
    content: dict[str, Any] = json.loads(text)
    return content


def test_example_has_all_raw_features_but_the_label(tmp_path: Path) -> None:
    file = tmp_path / "trips.csv"
    taxi_trips.write(file, 1, 1)
    raw = set(file.read_text().splitlines()[0].replace('"', "").split(",")) - {"tips"}
    assert [trip.keys() ^ raw for trip in request()["instances"]] == [set(), set()]


def test_example_shows_what_stands_for_a_missing_value() -> None:
    values = [value for trip in request()["instances"] for value in trip.values()]
    assert "" in values
    assert -(2**63) in values
    assert any(isinstance(value, float) and math.isnan(value) for value in values)


def test_settings_name_the_claim_and_the_account_of_the_manifests() -> None:
    (text,) = blocks("yaml")
    cluster = yaml.safe_load(text)["cluster"]
    claim = yaml.safe_load((ROOT / "manifests/storage/claim.yaml").read_text())
    accounts = yaml.safe_load_all((ROOT / "manifests/base/service-accounts.yaml").read_text())
    assert cluster["volume"]["claim"] == claim["metadata"]["name"]
    assert cluster["service_account"] in [account["metadata"]["name"] for account in accounts]
