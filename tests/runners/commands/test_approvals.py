"""`approve` and `approvals serve`: what they cannot begin without is told in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.runners.cluster_support import call


def test_without_a_folder_or_the_secret_nothing_is_received(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MILLRACE_SLACK_SIGNING_SECRET", raising=False)
    called = call("--root", tmp_path, "approvals", "serve")
    assert (called.exit_code, called.error.partition(": ")[2]) == (
        65,
        "no such folder: nothing was pushed or asked here; name --serving-directory",
    )
    called = call("--root", tmp_path, "approvals", "serve", "--serving-directory", tmp_path)
    assert called.exit_code == 65
    assert called.error.startswith("there is no MILLRACE_SLACK_SIGNING_SECRET in the environment")


@pytest.mark.parametrize("run", [[], ["taxi-1"]])
def test_a_folder_that_is_not_there_waits_for_nobody(tmp_path: Path, run: list[str]) -> None:
    called = call("--root", tmp_path, "approve", *run, "--serving-directory", tmp_path / "nope")
    said = f"--serving-directory {tmp_path / 'nope'}: no such folder; name where the run pushes to"
    assert (called.exit_code, called.error, called.out) == (65, said, "")
    assert call("--root", tmp_path, "approve", "--serving-directory", tmp_path).lines == ["nothing waits"]
