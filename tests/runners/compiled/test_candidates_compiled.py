"""Several models on the same data: what is compiled, for every target."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from hera.workflows.models import Workflow

from runners.argo.options import for_settings
from runners.argo.workflow import compile_workflow
from runners.commands.compile import compile_pipeline
from runners.compiled.ir import documents, read
from runners.compiled.tasks import Constant, Output, Parameter, Pipeline
from runners.settings.model import load
from tests.runners.compiled_models import digest, pods
from tests.runners.kubeflow.kfp_fields import IR_2_5, PLATFORM_2_5, unknown
from tests.support import ROOT

RIVALS = ROOT / "tests" / "data" / "rivals"
GOLDENS = ROOT / "tests" / "goldens"


@functools.cache
def compiled() -> str:
    return compile_pipeline(load(str(RIVALS)), digest)


def other(folder: Path, **changes: Any) -> str:
    """The pipeline of the same model with other settings."""
    content = yaml.safe_load((RIVALS / "settings.yaml").read_text()) | changes
    files = {"transform": "preprocessing.py", "train": "model.py", "evaluate": "evaluation.pbtxt"}
    for section, file in files.items():
        key = "eval_config_file" if section == "evaluate" else "module_file"
        content[section][key] = str(ROOT / "models" / "taxi" / file)
    (folder / "settings.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    return compile_pipeline(load(str(folder)), digest)


def pipeline(text: str) -> Pipeline:
    return read(documents(text)[0])


@pytest.mark.parametrize("target", ["kfp", "argo"])
def test_compiled_as_the_golden_says(target: str) -> None:
    text = compiled() if target == "kfp" else compile_workflow(compiled(), for_settings(load(str(RIVALS))))
    golden = GOLDENS / f"rivals.{target}.yaml"
    if os.environ.get("MILLRACE_REGENERATE"):
        golden.write_text(text)
    assert list(yaml.safe_load_all(text)) == list(yaml.safe_load_all(golden.read_text())), (
        f"{golden.relative_to(ROOT)} differs; where that is meant: MILLRACE_REGENERATE=1 make test"
    )


def test_every_target_can_read_it() -> None:
    """The oldest server of KFP, whose form Vertex takes too, and Argo's schema."""
    ir, platform = documents(compiled())
    assert not list(unknown(ir, IR_2_5))
    assert not list(unknown(platform, PLATFORM_2_5))
    document = yaml.safe_load(compile_workflow(compiled(), for_settings(load(str(RIVALS)))))
    assert Workflow.model_validate(document).model_dump(mode="json", by_alias=True, exclude_none=True) == document


def test_what_is_the_same_is_done_once() -> None:
    tasks = pipeline(compiled()).tasks
    assert set(tasks) == {
        *("ingest", "statistics", "schema", "validate", "notify", "choose", "push"),
        *("transform", "transformed-statistics", "transform-plain", "transformed-statistics-plain"),
        *("train-wide", "resolve-wide", "evaluate-wide"),
        *("tune-deep-net", "train-deep-net", "resolve-deep-net", "evaluate-deep-net"),
        *("resolve-base-plain", "train-plain", "resolve-plain", "evaluate-plain"),
    }
    for name, transform in (("wide", "transform"), ("deep-net", "transform"), ("plain", "transform-plain")):
        assert tasks[f"train-{name}"].artifacts["transform_graph"] == Output(transform, "transform_graph")
        assert tasks[f"evaluate-{name}"].artifacts["model"] == Output(f"train-{name}", "model")
    # Side by side: no candidate waits for another.
    assert not {"train-wide", "evaluate-wide"} & pipeline(compiled()).ancestors("evaluate-deep-net")


def test_the_choice_reads_all_and_push_reads_the_choice() -> None:
    tasks = pipeline(compiled()).tasks
    names = {"wide": "wide", "deep-net": "deep_net", "plain": "plain"}
    assert tasks["choose"].artifacts == {
        f"{what}_{place}": Output(f"{task}-{name}", what)
        for what, task in (("model", "train"), ("blessing", "evaluate"))
        for name, place in names.items()
    }
    assert tasks["choose"].parameters["candidates"] == Constant(list(names))
    chosen = {name: Output("choose", name) for name in ("model", "blessing")}
    data = {name: Output(name, name) for name in ("schema", "statistics")}
    assert tasks["push"].artifacts == chosen | data


def test_steps_of_its_own_are_not_those_of_the_run() -> None:
    tasks = pipeline(compiled()).tasks
    assert tasks["train-wide"].parameters["train_steps"] == Parameter("train_steps")
    assert tasks["train-deep-net"].parameters["train_steps"] == Constant(80)
    assert tasks["train-deep-net"].parameters["eval_steps"] == Parameter("eval_steps")


def test_pods_of_a_candidate_are_those_of_its_stages_unless_it_says_otherwise() -> None:
    limits = {name: pod["resources"] for name, pod in pods(compiled()).items() if name.startswith("train-")}
    assert {name: each["resourceMemoryLimit"] for name, each in limits.items()} == {
        "train-wide": "4Gi",
        "train-deep-net": "4Gi",
        "train-plain": "7Gi",
    }
    assert {each["resourceCpuLimit"] for each in limits.values()} == {"3"}


def test_each_can_go_to_its_own_place(tmp_path: Path) -> None:
    tasks = pipeline(other(tmp_path, choose={"push": "each"}, push={"keep": 5})).tasks
    assert "choose" not in tasks
    assert "push" not in tasks
    for name in ("wide", "deep-net", "plain"):
        assert tasks[f"push-{name}"].artifacts["model"] == Output(f"train-{name}", "model")
        assert tasks[f"push-{name}"].parameters["keep"] == Constant(5)
        for task in (f"push-{name}", f"resolve-{name}"):
            assert tasks[task].parameters["candidate"] == Constant(name)
            assert tasks[task].parameters["destination"] == Parameter("serving_directory")
    assert tasks["resolve-base-plain"].parameters["candidate"] == Constant("plain")


def test_the_chosen_one_goes_to_the_hub(tmp_path: Path) -> None:
    tasks = pipeline(other(tmp_path, push_hub={"repo_id": "a/b"})).tasks
    for name in ("model", "blessing", "metrics"):
        assert tasks["push-hub"].artifacts[name] == Output("choose", name)


def test_tasks_of_candidates_can_be_fused(tmp_path: Path) -> None:
    text = other(tmp_path, cluster={"fuse": [["resolve-wide", "evaluate-wide"], ["choose", "push"]]})
    assert {task.pod for task in pipeline(text).tasks.values() if task.fused} == {
        "resolve-wide-to-evaluate-wide",
        "choose-to-push",
    }


def test_a_transform_that_no_candidate_reads_is_left_out(tmp_path: Path) -> None:
    own = {"transform": {"custom_config": {"features": "plain"}}}
    tasks = pipeline(other(tmp_path, candidates={"a": own, "b": own}, resources={})).tasks
    assert {name for name, task in tasks.items() if task.stage == "transform"} == {"transform-a"}
    assert tasks["train-b"].artifacts["transform_graph"] == Output("transform-a", "transform_graph")
