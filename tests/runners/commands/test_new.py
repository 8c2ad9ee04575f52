"""new: what it refuses before anything is read; and from a table to a blessed model without a touch."""

from __future__ import annotations

import csv
import random
import subprocess
from pathlib import Path

import pytest

from tests.e2e.conftest import run
from tests.runners.cluster_support import call
from tests.support import ROOT


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["churn"], "--data PLACE is missing"),
        (["churn", "--data", "nowhere.csv"], "--data nowhere.csv: there is no such file or folder"),
        (["churn", "--data", "s3://key:secret@bucket/data"], "--data"),
        (["taxi", "--data", "."], "models/taxi: is there already"),
        (["Kündigung", "--data", "."], "NAME 'Kündigung': expected at most"),
        (["./", "--data", "."], "is there already"),
        (["churn", "--data", ".", "--task", "guess"], "'guess' is not one of"),
        ([""], "NAME is empty"),
        (["churn", "--data", ".", "--label", "y", "--label", "y"], "--label y: given 2 times"),
        (["churn", "--data", ".", "--ingest", "encodin=x"], "unknown key 'encodin', did you mean 'encoding'"),
        (["churn", "--from", "taxi", "--ingest", "header=false"], "--ingest says nothing here"),
    ],
)
def test_what_is_refused_before_anything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    called = call("--root", tmp_path / "root", "new", *arguments)
    assert called.exit_code in (2, 65)
    assert message in called.err
    assert "secret" not in called.err
    assert not (tmp_path / "root").exists()


def customers(file: Path, rows: int = 600) -> None:
    """A table as people have them: names of any letters, ids, a constant, dates, words for nothing."""
    chance = random.Random(5)
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, delimiter=";")
        writer.writerow(["Kunde Nr.", "Alter (Jahre)", "Tarif/Art", "seit", "Umsatz €", "Land", "gekündigt?"])
        for number in range(rows):
            age, plan, revenue = chance.randint(18, 90), chance.choice(["S", "M", "L"]), 10 ** chance.uniform(0, 5)
            day = f"20{chance.randint(10, 20)}-{chance.randint(1, 12):02}-{chance.randint(1, 28):02}"
            leaves = (age < 40) + (plan == "S") + chance.random() > 1.2
            shown = "NA" if number % 11 == 0 else age
            amount = f"{revenue:.2f}".replace(".", ",")
            label = "" if number % 50 == 0 else "ja" if leaves else "nein"
            writer.writerow([10_000 + number, shown, plan, day, amount, "DE", label])


@pytest.mark.slow
def test_from_a_table_to_a_blessed_model(tmp_path: Path) -> None:
    customers(tmp_path / "kunden.csv")
    model, root = tmp_path / "churn", tmp_path / "root"
    arguments = [str(model), "--data", str(tmp_path / "kunden.csv"), "--label"]
    wrong = call("--root", root, "new", *arguments, "gekundigt?")
    assert (wrong.exit_code, model.exists()) == (65, False)
    assert "no column 'gekundigt?', which --label names, did you mean 'gekündigt?'" in wrong.err
    dry = call("--root", root, "new", *arguments, "gekündigt?", "--positive", "ja", "--dry-run")
    assert (dry.exit_code, model.exists()) == (0, False), dry.err
    assert "read again: 'NA' stands where a number is missing" in dry.out
    made = call("--root", root, "new", *arguments, "gekündigt?", "--positive", "ja")
    assert made.exit_code == 0, made.err
    assert "↺ ingest  cached, 588 rows" in made.out
    assert "Kunde Nr.      left out      an id: every row has a number of its own" in made.out
    assert "12 rows without a label are left out" in made.out
    again = call("--root", root, "new", *arguments, "gekündigt?")
    assert again.exit_code == 65
    assert "no runs under" in call("--root", root, "runs").err

    result = run(root, str(model))
    assert result.exit_code == 0, result.output
    assert "↺ ingest" in result.output
    assert "blessed   yes" in result.output

    tests = [str(ROOT / ".venv" / "ml" / "bin" / "python"), "-m", "pytest", "-q", str(model)]
    done = subprocess.run(tests, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 passed" in done.stdout
