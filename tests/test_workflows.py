"""The GitHub workflows: what they may do, what they run, and that nobody can put a command into them."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import ROOT

WORKFLOWS = ROOT / ".github" / "workflows"
FILES = sorted(WORKFLOWS.glob("*.yml"))
PINNED = re.compile(r"^\s*(?:- )?uses: [\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$")
# Not yet in this Makefile.
ARRIVING: set[str] = set()
INPUTS = ["branch", "project", "region", "pipeline_name", "enable_dataflow"]


def load(file: Path) -> dict[str, Any]:
    content: dict[Any, Any] = yaml.safe_load(file.read_text())
    # YAML 1.1 reads the key `on` as a truth value.
    return {"on" if key is True else key: value for key, value in content.items()}


def jobs(file: Path) -> Iterator[dict[str, Any]]:
    yield from load(file)["jobs"].values()


def steps(file: Path) -> list[dict[str, Any]]:
    return [step for job in jobs(file) for step in job["steps"]]


def named(called: str) -> dict[str, Any]:
    (found,) = [step for step in steps(WORKFLOWS / "pipeline.yml") if step.get("name") == called]
    return found


@pytest.fixture(params=FILES, ids=[file.stem for file in FILES])
def file(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


def test_both_workflows_are_there() -> None:
    assert {file.name for file in FILES} == {"check.yml", "pipeline.yml"}


def test_actions_are_pinned_by_commit_with_their_version(file: Path) -> None:
    used = [line for line in file.read_text().splitlines() if re.match(r"\s*(- )?uses:", line)]
    assert used
    assert [line for line in used if not PINNED.match(line)] == []


def test_one_action_has_one_commit() -> None:
    found = {line.split("uses: ")[1] for file in FILES for line in file.read_text().splitlines() if "uses: " in line}
    assert len({line.split("@")[0] for line in found}) == len(found)


def test_permissions_are_declared_and_few(file: Path) -> None:
    content = load(file)
    assert content["permissions"] in ({}, {"contents": "read"})
    for job in content["jobs"].values():
        granted = job.get("permissions", {})
        assert set(granted.items()) <= {("contents", "read"), ("id-token", "write")}


def test_jobs_end(file: Path) -> None:
    assert all(job["timeout-minutes"] <= 90 for job in jobs(file))


def test_checkout_leaves_no_token_behind(file: Path) -> None:
    checkouts = [step for step in steps(file) if "actions/checkout" in step.get("uses", "")]
    assert checkouts
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_scripts_hold_no_expression(file: Path) -> None:
    """`${{ inputs.branch }}` in a script would run what somebody writes into the form."""
    assert [step["run"] for step in steps(file) if "${{" in step.get("run", "")] == []


def test_no_secret_is_used_or_shown(file: Path) -> None:
    text = file.read_text()
    assert "secrets." not in text
    assert "credentials_json" not in text
    scripts = [step["run"] for step in steps(file) if "run" in step]
    assert not [script for script in scripts if re.search(r"(echo|printf)[^\n]*(TOKEN|SECRET|PASSWORD)", script)]
    assert not [script for script in scripts if "set -x" in script]


def test_pull_requests_are_checked_without_any_right() -> None:
    content = load(WORKFLOWS / "check.yml")
    assert "pull_request" in content["on"]
    # It would run a stranger's code with the rights of this repository.
    assert "pull_request_target" not in content["on"]
    (job,) = content["jobs"].values()
    assert job["strategy"]["matrix"]["target"] == ["check", "test", "test-slow"]
    environments, data = [step for step in job["steps"] if "actions/cache" in step.get("uses", "")]
    assert environments["with"]["path"] == ".venv"
    assert "hashFiles('images/locks/*.txt')" in environments["with"]["key"]
    # What the fetched data has to be stands in that file, too.
    assert (data["with"]["path"], "hashFiles('scripts/data/test_data.py')" in data["with"]["key"]) == (
        "data/test",
        True,
    )
    assert "make test-data" in [step.get("run") for step in job["steps"]]


def test_pipeline_has_the_five_inputs_and_is_started_by_hand() -> None:
    triggers = load(WORKFLOWS / "pipeline.yml")["on"]
    assert list(triggers) == ["workflow_dispatch"]
    inputs = triggers["workflow_dispatch"]["inputs"]
    assert list(inputs) == INPUTS
    assert all(given["description"] and given["required"] for given in inputs.values())
    assert (inputs["enable_dataflow"]["type"], inputs["enable_dataflow"]["default"]) == ("boolean", False)
    text = (WORKFLOWS / "pipeline.yml").read_text()
    assert [name for name in INPUTS if f"inputs.{name}" not in text] == []


def test_pipeline_logs_in_without_a_key() -> None:
    (job,) = jobs(WORKFLOWS / "pipeline.yml")
    assert job["permissions"]["id-token"] == "write"
    (auth,) = [step for step in job["steps"] if "google-github-actions/auth" in step.get("uses", "")]
    assert auth["with"]["workload_identity_provider"] == "${{ vars.WORKLOAD_IDENTITY_PROVIDER }}"
    names = [step.get("name") for step in job["steps"]]
    order = ["Check the inputs", "Build and push the images", "Turn Dataflow on", "Compile", "Submit"]
    assert [name for name in names if name in order] == order


def test_pipeline_runs_targets_and_commands_that_are_there() -> None:
    text = (WORKFLOWS / "pipeline.yml").read_text() + (WORKFLOWS / "check.yml").read_text()
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"make ([a-z]+)", " ".join(re.findall(r"run: (make .+)", text)))) | {"check", "test"}
    there = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    assert targets - there - ARRIVING == set()
    for module in re.findall(r"-m (scripts\.\w+)", text):
        assert (ROOT / f"{module.replace('.', '/')}.py").is_file()
    submit = named("Submit")["run"]
    assert submit.startswith('./millrace vertex --project "$PROJECT" --region "$REGION" submit ')


GOOD = {
    "PROJECT": "my-project-1",
    "REGION": "europe-west4",
    "MODEL": "taxi",
    "REGISTRY": "registry.example.org/team/images",
    "BUCKET": "my-bucket",
    "SERVICE_ACCOUNT": "runner@my-project-1.iam.example.org",
}


def check_inputs(variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    script = named("Check the inputs")["run"]
    # As GitHub runs it.
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
        env={"PATH": "/usr/bin:/bin"} | variables,
        capture_output=True,
        text=True,
        check=False,
    )


def test_good_inputs_pass() -> None:
    result = check_inputs(GOOD)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("PROJECT", "My Project", "project is 'My Project'"),
        ("PROJECT", "", "project is ''"),
        ("REGION", "us", "region is 'us'"),
        ("MODEL", "../taxi", "pipeline name is '../taxi'"),
        ("MODEL", "taxi; curl evil", "pipeline name is"),
        ("REGISTRY", "$(id)", "IMAGE_REGISTRY is"),
        ("BUCKET", "gs://bucket", "PIPELINE_BUCKET is"),
        ("SERVICE_ACCOUNT", "", "SERVICE_ACCOUNT is ''"),
    ],
)
def test_wrong_input_is_refused_before_anything_is_done(variable: str, value: str, expected: str) -> None:
    result = check_inputs(GOOD | {variable: value})
    assert result.returncode == 1
    assert result.stdout.startswith(f"::error::{expected}")
    assert "uid=" not in result.stdout


def actionlint() -> str:
    path = shutil.which("actionlint") or shutil.which("actionlint", path=str(Path.home() / "go" / "bin"))
    if path is None:
        pytest.skip("needs actionlint (go install github.com/rhysd/actionlint/cmd/actionlint@v1.7.7)")
    return path


def test_actionlint_finds_nothing() -> None:
    process = subprocess.run(
        [actionlint(), "-no-color", *map(str, FILES)], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert process.returncode == 0, process.stdout
