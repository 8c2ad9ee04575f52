"""Writes docs/stages.md from the component specs; `--check` only says whether it is as they say."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]
# Works as a module and as a file.
sys.path.insert(0, str(PROJECT))

import yaml  # noqa: E402

PAGE = PROJECT / "docs" / "stages.md"
_ARTIFACTS = {"Artifact", "Dataset", "Model", "Metrics", "ClassificationMetrics", "HTML", "Markdown"}
_ORDER = (
    *("query", "ingest", "statistics", "schema", "validate", "transform", "tune", "train", "resolve", "evaluate"),
    *("choose", "explain", "infra_validate", "export", "approve", "model_card", "push", "canary", "push_hub"),
    *("push_vertex", "watch", "retrain", "feedback", "notify"),
    *("pull", "bulk_infer"),
)
_HEAD = """# The stages

Made from `components/*/component.yaml` by `make fmt`; `make check` holds it to them.
Inputs whose type is *in italics* are set in `models/<name>/settings.yaml`, under the stage's name.

## Settings

What `models/<name>/settings.yaml` can say; every key may be left out.

| key | |
| --- | --- |
| `pipeline_name` | name of runs and artifacts, at most 57 letters; without, the folder's, in lower case with `-` |
| `description` | one line, for reports and the places that a model is pushed to |
| `data` | where raw data lies when a run does not say: `data/<folder>` here, on the volume on a cluster |
| `serving_directory` | where push publishes: `serving/<folder>` in the pipeline root here, on the volume on a cluster |
| `module` | where the model's code lies, if not in the folder: see [images.md](images.md) |
| `ingest`, `statistics`, `schema`, `validate`, `transform`, `train`, `evaluate`, `push` | their inputs, below |
| `ingest.query` | the inputs of `query`; only with it is there the stage: see [databases.md](databases.md) |
| `watch` | its inputs too, and `on_drift`, `spans`, `warm_start`, `kubeflow`: see [watch.md](watch.md) |
| `train` | also `warm_start`, `distil`: start from the last blessed model, learn from it: [training.md](training.md) |
| | and `workers`, `checkpoint_directory`: by several processes, and on after a fault: the same |
| `tune`, `explain`, `infra_validate`, `export`, `approve` | the same; only with it is there the stage |
| | and `workers`, `checkpoint_directory` of tune: trials beside each other, and on after a kill: the same |
| `model_card`, `canary`, `push_hub`, `push_vertex`, `notify` | the same |
| `serving` | how `./millrace serve` serves the model here: `log`, off without ([feedback.md](feedback.md)) |
| `bulk_infer` | what `./millrace infer` does where it is not told: see [bulk-inference.md](bulk-inference.md) |
| `candidates`, `choose` | several models on the same data, one of which is chosen: see [candidates.md](candidates.md) |
| `cluster` | what a compiled pipeline asks of its cluster: see [cluster-settings.md](cluster-settings.md) |
| `resources` | memory, processors, GPUs and the like of each stage there: see the same |

Files are named relative to the folder; `data` and `serving_directory` to the checkout. A model that lies elsewhere has
its data in `data` of its own folder, and names both relative to that. Of all this `data`, `serving_directory`,
`train_steps` and `eval_steps` are parameters of the pipeline: a run can have others, by `--param NAME=VALUE`.
"""


def specs(project: Path = PROJECT) -> dict[str, Any]:
    """The component specs of a checkout, by stage."""
    files = (project / "components").glob("*/component.yaml")
    return {file.parent.name: yaml.safe_load(file.read_text()) for file in files}


def environments(project: Path = PROJECT) -> dict[str, Any]:
    """What a checkout's images/environments.yaml says."""
    content: dict[str, Any] = yaml.safe_load((project / "images" / "environments.yaml").read_text())
    return content


def page(specs: Mapping[str, Any], environments: Mapping[str, Any]) -> str:
    """Returns the page's text.

    Args:
      specs: component specs, by stage.
      environments: what images/environments.yaml says.
    """
    home = {stage: name for name, environment in environments.items() for stage in environment["stages"]}
    ordered = sorted(specs, key=lambda name: (_ORDER.index(name) if name in _ORDER else len(_ORDER), name))
    parts = [_HEAD]
    for name in ordered:
        spec = specs[name]
        parts.append(f"## {name}\n\n{spec['description']} Runs in the environment `{home[name]}`.\n")
        parts.append(_table("in", spec.get("inputs", [])) + _table("out", spec.get("outputs", []), head=False))
    return "\n".join(parts)


def main(argv: list[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    text = page(specs(), environments())
    if arguments == ["--check"]:
        if not PAGE.exists() or PAGE.read_text() != text:
            print(
                f"error: {PAGE.relative_to(PROJECT)} is not what the component specs say; run: make fmt",
                file=sys.stderr,
            )
            return 1
        return 0
    PAGE.write_text(text)
    return 0


def _table(direction: str, ports: list[dict[str, Any]], *, head: bool = True) -> str:
    lines = ["| | name | type | default | |", "| --- | --- | --- | --- | --- |"] if head else []
    for port in ports:
        kind = port["type"] if port["type"] in _ARTIFACTS else f"*{port['type']}*"
        help_text = port["description"].replace("|", "\\|")
        default = f"`{port['default']}`" if port.get("default") else "optional" if port.get("optional") else ""
        lines.append(f"| {direction} | `{port['name']}` | {kind} | {default} | {help_text} |")
    return "".join(f"{line}\n" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
