"""Writes Dataflow's options into a model's settings, so that the next compilation runs its data stages there.

For a checkout that is thrown away (a CI job): the comments of the settings do not survive it.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import Any

import yaml

from components.runtime.errors import InputError
from runners.settings import model as settings
from scripts import command

STAGES = ("statistics", "transform")
"""The stages that read all data; the pets article moves those of its pipeline."""


def options(project: str, region: str, temp_location: str, worker_image: str) -> list[str]:
    """Beam's options for Dataflow.

    Raises:
      InputError: a value is missing or malformed.
    """
    if not re.fullmatch(r"gs://[a-z0-9][a-z0-9._-]+(/.*)?", temp_location):
        raise InputError(f"--temp-location {temp_location!r} is no folder of a bucket; write gs://<bucket>/<folder>")
    if not worker_image:
        raise InputError("--worker-image is empty; name an image with the stages' packages, see docs/deploy.md")
    return [
        "--runner=DataflowRunner",
        f"--project={project}",
        f"--region={region}",
        f"--temp_location={temp_location}",
        f"--sdk_container_image={worker_image}",
        "--experiments=use_runner_v2",
        "--sdk_location=container",
    ]


def write(model: str, beam_options: list[str]) -> Path:
    """Puts the options into the settings of a model and returns the file.

    Raises:
      InputError: no such model, or settings that are wrong.
    """
    file = settings.load(model).folder / "settings.yaml"
    content: dict[str, Any] = yaml.safe_load(file.read_text())
    for stage in STAGES:
        content[stage] = (content.get(stage) or {}) | {"beam_options": beam_options}
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    command.write_whole(file, lambda part: part.write_text(text))
    return file


def main(argv: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m scripts.dataflow_settings", description=__doc__.splitlines()[0])
    parser.add_argument("model", help="folder under models/, or the path of one")
    parser.add_argument("--project", required=True)
    parser.add_argument("--region", required=True)
    parser.add_argument("--temp-location", required=True, help="gs://<bucket>/<folder>")
    parser.add_argument("--worker-image", required=True, help="what Dataflow's workers run")
    given = parser.parse_args(argv)

    def work() -> None:
        beam_options = options(given.project, given.region, given.temp_location, given.worker_image)
        print(write(given.model, beam_options))

    return command.run(work)


if __name__ == "__main__":
    sys.exit(main())
