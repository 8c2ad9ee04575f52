"""Compiled pipelines: what is in the files, and what must never be."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.runtime.errors import InputError
from runners.argo.options import ArgoOptions, for_settings
from runners.argo.workflow import compile_workflow
from runners.commands.compile import Images, compile_pipeline
from runners.compiled import images
from runners.compiled.images import LOCK_VARIABLE
from runners.compiled.ir import documents, read
from runners.compiled.tasks import Constant, Output
from runners.settings.kubernetes_values import cpu_cores, memory_bytes
from runners.settings.model import load
from runners.settings.resources import GPU_STAGES, stages, tasks
from tests.runners.command_line import command as call
from tests.runners.compiled_models import OPTIONAL, digest, full, model, pods
from tests.runners.kubeflow.kfp_fields import IR_2_5, PLATFORM_2_5, unknown
from tests.support import MILLRACE, ROOT

MODELS = ("taxi", "digits", "complaints", "complaints_product", "pets")
GOLDENS = ROOT / "tests" / "goldens"


@pytest.mark.parametrize("name", MODELS)
def test_compiled_as_the_golden_says(name: str) -> None:
    text = compile_pipeline(load(name), digest)
    golden = GOLDENS / f"{name}.kfp.yaml"
    if os.environ.get("MILLRACE_REGENERATE"):
        golden.write_text(text)
    assert documents(text) == documents(golden.read_text()), (
        f"{golden.relative_to(ROOT)} differs; where that is meant: MILLRACE_REGENERATE=1 make test"
    )


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    """In processes begun by others, whose sets and dictionaries have other orders."""
    anew = [MILLRACE, "compile", "taxi", "--output", str(tmp_path / "anew")]
    subprocess.run(anew, cwd=ROOT, check=True, capture_output=True, env=os.environ | {"PYTHONHASHSEED": "1"})
    assert command("taxi", "--output", str(tmp_path / "forked")).returncode == 0
    texts = {b"".join(file.read_bytes() for file in sorted(folder.iterdir())) for folder in tmp_path.iterdir()}
    assert len(texts) == 1


@pytest.mark.parametrize("name", [*MODELS, "full"])
def test_nothing_is_newer_than_the_oldest_server(name: str, tmp_path: Path) -> None:
    chosen = full(tmp_path) if name == "full" else load(name)
    ir, platform = documents(compile_pipeline(chosen, digest))
    assert not list(unknown(ir, IR_2_5))
    assert not list(unknown(platform, PLATFORM_2_5))


def test_a_newer_server_is_told_more(tmp_path: Path) -> None:
    text = compile_pipeline(full(tmp_path, "2.17"), digest)
    for task, pod in pods(text).items():
        assert pod["securityContext"] == {"runAsUser": "1000", "runAsNonRoot": True}, task
        assert pod["podMetadata"]["labels"] == {"team": "rides", "cost-centre": "7"}, task
    platform = documents(text)[1]
    assert platform["platforms"]["kubernetes"]["pipelineConfig"] == {
        "activeDeadlineSeconds": 86400,
        "resourceTtlOnCompletion": 7 * 86400,
    }
    assert list(unknown(platform, PLATFORM_2_5))
    assert pods(text)["notify"]["task"]["inputs"]["parameters"]["status"] == {
        "taskFinalStatus": {"producerTask": "exit-handler-1"}
    }


def test_each_task_has_what_its_settings_say(tmp_path: Path) -> None:
    text = compile_pipeline(full(tmp_path), digest)
    ir, compiled = documents(text)[0], pods(text)
    pipeline = "".join((ROOT / file).read_text() for file in ("pipeline.py", "runners/compiled/building.py"))
    # A stage may be there before the pipeline has a task of it; these are asked for by settings of their own.
    named = {task for task, stage in tasks().items() if f'"{stage}"' in pipeline}
    # Those of other pipelines.
    named -= {"pull", "bulk-infer", "watch", "retrain", "feedback"}
    assert compiled.keys() == named - {
        "push-hub",
        "push-vertex",
        "choose",
        "infra-validate",
        "approve",
        "export",
        "canary",
        "explain",
        "model-card",
        "query",
    }
    train = compiled["train"]
    assert train["resources"]["resourceMemoryLimit"] == "12Gi"
    assert train["resources"]["resourceCpuLimit"] == "8"
    assert train["resources"]["accelerator"]["resourceCount"] == "2"
    assert train["image"] == digest("millrace/train", "gpu")
    assert train["nodeSelector"]["labels"] == {"pool": "batch", "kind": "l4", "disk": "ssd"}
    assert [toleration["key"] for toleration in train["tolerations"]] == ["nvidia.com/gpu", "batch"]
    assert train["secretAsEnv"][0]["keyToEnv"] == [{"secretKey": "token", "envVar": "HF_TOKEN"}]
    assert train["secretAsVolume"][0]["mountPath"] == "/certificates"
    assert train["activeDeadlineSeconds"] == "86400"
    assert train["task"]["retryPolicy"]["maxRetryCount"] == 5
    assert train["task"]["retryPolicy"]["backoffDuration"] == "60s"
    assert "enableCache" not in train["task"]["cachingOptions"]
    # A stage that two tasks run: each has its own.
    assert compiled["transformed-statistics"]["resources"]["resourceMemoryLimit"] == "3Gi"
    assert compiled["statistics"]["resources"]["resourceMemoryLimit"] == "2Gi"
    assert compiled["ingest"]["env"] == [
        {"name": "GOOGLE_APPLICATION_CREDENTIALS", "value": "/credentials/gcp/key.json"},
        {"name": "MILLRACE_CACHED_BY_CONTENT", "value": "true"},
    ]
    assert compiled["push"]["secretAsEnv"][0]["secretName"] == "aws-key"
    (secret,) = compiled["notify"]["secretAsEnv"]
    assert secret["secretName"] == "millrace-notify"
    assert secret["keyToEnv"] == [{"secretKey": "url", "envVar": "MILLRACE_NOTIFY_URL"}]
    assert compiled["notify"]["activeDeadlineSeconds"] == "300"
    assert compiled["notify"]["task"]["triggerPolicy"] == {"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"}
    told = {
        name: source["runtimeValue"]["constant"]
        for name, source in compiled["notify"]["task"]["inputs"]["parameters"].items()
    }
    assert told.keys() == {"pipeline", "run", "run_id", "when", "webhook", "link", "mail"}, (
        "no status: a server of 2.5 refuses it"
    )
    assert told["run"] == "{{$.pipeline_job_name}}", "the name on the dashboard"
    assert told["run_id"] == "{{$.pipeline_job_uuid}}", "what the dashboard's addresses have"
    definitions = ir["components"][compiled["notify"]["task"]["componentRef"]["name"]]["inputDefinitions"]["parameters"]
    assert definitions["status"]["defaultValue"] == {}, "an absent status is empty there: a stage that lacks it fails"
    assert told["mail"]["to"] == ["team@example.org"]
    for task, pod in compiled.items():
        assert pod["imagePullSecret"][0]["secretName"] == "registry"
        assert pod["podMetadata"]["annotations"] == {"millrace/read-only-mounts": "/lookups"}
        mounts = {mount["mountPath"]: mount["constant"] for mount in pod["pvcMount"]}
        on_volume = {"/millrace": "work"} if task in ("ingest", "resolve", "resolve-base", "push") else {}
        assert mounts == {"/lookups": "lookups"} | on_volume, task
        assert re.search(r"(^|-)gpu@", pod["image"]) is None or task == "train"


def test_what_may_change_under_its_name_is_left_to_the_cache_that_sees_it(tmp_path: Path) -> None:
    """KFP's and Vertex AI's know a parameter by its text, and would answer with old data for ever."""

    def cached(text: str) -> tuple[set[str], set[str]]:
        compiled = compile_pipeline(model(tmp_path / "mine", f"module: /app/models/mine\n{text}"))
        by_kfp = {name for name, pod in pods(compiled).items() if pod["task"]["cachingOptions"].get("enableCache")}
        by_us = {task.name for task in read(documents(compiled)[0]).tasks.values() if task.cacheable}
        return by_us - by_kfp, by_us

    code = {"transform", "train", "evaluate"}
    differ, always = cached("")
    assert differ == {"ingest", *code}
    earlier = "validate: {previous_statistics: /millrace/earlier}"
    assert cached(earlier)[0] - code == {"ingest", "validate"}
    assert cached("statistics: {beam_options: [--temp_location=gs://bucket/tmp]}")[0] - code == {"ingest"}
    assert cached("resources: {ingest: {caching: true}}") == (code, always)
    assert cached("resources: {train: {caching: false}}") == ({"ingest", "transform", "evaluate"}, always - {"train"})
    assert not {"resolve", "push"} & always


def test_data_and_models_are_on_the_volume_unless_the_settings_say_where(tmp_path: Path) -> None:
    def defaults(text: str) -> list[Any]:
        parameters = documents(compile_pipeline(model(tmp_path / "mine", text)))[0]["root"]["inputDefinitions"]
        return [parameters["parameters"][name]["defaultValue"] for name in ("data", "serving_directory")]

    claim = "cluster: {volume: {claim: work}, mount_path: /work}"
    assert defaults(claim) == ["/work/data/mine", "/work/serving/mine"]
    assert defaults(f"data: gs://bucket/trips\n{claim}") == ["gs://bucket/trips", "/work/serving/mine"]
    assert defaults("{}") == ["", ""]


def test_model_code_on_the_volume_is_mounted_where_it_is_read(tmp_path: Path) -> None:
    settings = model(tmp_path / "mine", "module: /work/code\ncluster: {volume: {claim: work}, mount_path: /work}")
    compiled = pods(compile_pipeline(settings))
    mounted = {task for task, pod in compiled.items() if pod.get("pvcMount")}
    assert mounted == {"ingest", "transform", "train", "resolve", "evaluate", "push"}


def test_the_settings_change_nothing_of_what_runs_here(tmp_path: Path) -> None:
    """A local run takes the same file and leaves the pods' part alone."""
    plain = read(documents(compile_pipeline(model(tmp_path / "full", OPTIONAL)))[0])
    loaded = read(documents(compile_pipeline(full(tmp_path)))[0])
    assert list(plain.tasks) == list(loaded.tasks)
    for name, task in loaded.tasks.items():
        assert (task.stage, task.parameters, task.artifacts) == (
            plain.tasks[name].stage,
            plain.tasks[name].parameters,
            plain.tasks[name].artifacts,
        )
    assert loaded.tasks["train"].stage == "train"


@pytest.mark.parametrize("server", ["2.5", "2.17"])
def test_all_that_a_pod_is_given_reaches_argo(tmp_path: Path, server: str) -> None:
    chosen = full(tmp_path, server)
    workflow = yaml.safe_load(compile_workflow(compile_pipeline(chosen, digest), for_settings(chosen)))
    templates = {template["name"]: template for template in workflow["spec"]["templates"]}
    for template in templates.values():
        paths = [mount["mountPath"] for mount in template.get("container", {}).get("volumeMounts", [])]
        assert len(set(paths)) == len(paths), template["name"]
    train = templates["train"]
    container = train["container"]
    assert container["image"] == digest("millrace/train", "gpu")
    assert container["resources"] == {
        "requests": {"memory": "6Gi", "cpu": "500m"},
        "limits": {"memory": "12Gi", "cpu": "8", "nvidia.com/gpu": "2"},
    }
    assert train["nodeSelector"] == {"pool": "batch", "kind": "l4", "disk": "ssd"}
    assert [toleration["key"] for toleration in train["tolerations"]] == ["nvidia.com/gpu", "batch"]
    assert train["activeDeadlineSeconds"] == 86400
    assert train["retryStrategy"]["limit"] == "5"
    assert train["retryStrategy"]["backoff"]["duration"] == "60s"
    assert {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hub", "key": "token"}}} in container["env"]
    mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
    assert mounts["/lookups"]["readOnly"]
    assert mounts["/certificates"]["readOnly"]
    assert not mounts["/millrace"].get("readOnly")
    ingest = {variable["name"]: variable for variable in templates["ingest"]["container"]["env"]}
    assert ingest["GOOGLE_APPLICATION_CREDENTIALS"]["value"] == "/credentials/gcp/key.json"
    push = {variable["name"]: variable for variable in templates["push"]["container"]["env"]}
    assert push["AWS_SECRET_ACCESS_KEY"]["valueFrom"]["secretKeyRef"]["name"] == "aws-key"
    assert workflow["spec"]["imagePullSecrets"] == [{"name": "registry"}]
    assert workflow["metadata"]["labels"]["team"] == "rides"


START = 0.14e9
"""Bytes of a pod that has only begun; the benchmark's processes are forks, which share most of that."""


def peaks() -> dict[str, float]:
    """Peak memory in bytes of every task at the largest size that the benchmark measured."""
    section = (ROOT / "docs" / "benchmarks.md").read_text().split("## Generated, 1,000,000")[1].split("\n## ")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in section.splitlines() if line.startswith("|")]
    return {row[0]: float(row[-1]) * 1e9 for row in rows[2:]}


def test_the_defaults_follow_the_measured_peaks() -> None:
    chosen = load("taxi")
    measured = peaks()
    assert measured.keys() == pods(compile_pipeline(chosen, digest)).keys()
    for task, peak in measured.items():
        pod = chosen.pod(task)
        assert pod.memory.request
        assert pod.memory.limit
        assert pod.cpu.request
        assert pod.cpu.limit
        assert memory_bytes(pod.memory.request) >= peak, f"{task} needs {peak / 1e9} GB"
        assert 2 * peak <= memory_bytes(pod.memory.limit) <= 16 * max(peak, START), f"{task} needs {peak / 1e9} GB"
        assert 0 < cpu_cores(pod.cpu.request) <= cpu_cores(pod.cpu.limit)


def test_the_page_tells_the_defaults_as_they_are(tmp_path: Path) -> None:
    chosen = model(tmp_path / "mine", "{}")
    section = (ROOT / "docs" / "cluster-settings.md").read_text().split("### Defaults")[1].split("\n## ")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in section.splitlines() if line.startswith("|")]
    told = {stage: (row[1], row[2]) for row in rows[2:] for stage in row[0].split(", ")}
    others = {
        environment: told.pop(f"others in `{environment}`")
        for environment in ("client", "data", "databases", "export", "ml", "serving")
    }
    pods_of = {stage: chosen.pod(stage) for stage in set(tasks().values())}
    assert {stage: others[environment] for stage, environment in stages().items()} | told == {
        stage: (f"{pod.memory.request} to {pod.memory.limit}", f"{pod.cpu.request} to {pod.cpu.limit}")
        for stage, pod in pods_of.items()
    }


def test_what_publishes_goes_by_the_last_verdict(tmp_path: Path) -> None:
    asked = (
        "infra_validate: {bounds: {p99_ms: 50}}\napprove: {approvers: [anna]}\n"
        "push_vertex: {project: my-project, region: europe-west4, staging: gs://my-bucket/staging}\n"
    )
    tasks_of = documents(compile_pipeline(model(tmp_path / "mine", asked), digest))[0]["root"]["dag"]["tasks"]

    def verdict(task: str) -> tuple[str, str]:
        given = tasks_of[task]["inputs"]["artifacts"]["blessing"]["taskOutputArtifact"]
        return given["producerTask"], given["outputArtifactKey"]

    assert verdict("infra-validate") == ("evaluate", "blessing")
    assert verdict("approve") == ("infra-validate", "infra_blessing")
    assert verdict("push") == verdict("push-vertex") == ("approve", "approval")
    bounds = tasks_of["infra-validate"]["inputs"]["parameters"]["bounds"]["runtimeValue"]["constant"]
    assert bounds == {"p99_ms": 50.0}
    fused = asked + "cluster: {fuse: [[evaluate, infra-validate]]}\n"
    with pytest.raises(InputError, match="infra-validate needs the model server, which only its own image has"):
        compile_pipeline(model(tmp_path / "fused", fused), digest)


def test_a_card_is_written_behind_all_who_have_a_say(tmp_path: Path) -> None:
    asked = (
        "explain: {groups: [payment_type]}\napprove: {}\nmodel_card: {intended_use: Shifts, owners: [anna]}\n"
        "push_vertex: {project: my-project, region: europe-west4, staging: gs://my-bucket/staging}\n"
    )
    compiled = documents(compile_pipeline(model(tmp_path / "mine", asked), digest))
    tasks_of = compiled[0]["root"]["dag"]["tasks"]

    def source(task: str, name: str) -> tuple[str, str]:
        given = tasks_of[task]["inputs"]["artifacts"][name]["taskOutputArtifact"]
        return given["producerTask"], given["outputArtifactKey"]

    assert source("explain", "blessing") == source("approve", "blessing") == ("evaluate", "blessing")
    assert source("model-card", "blessing") == ("approve", "approval")
    assert source("model-card", "explanations") == ("explain", "explanations")
    assert source("push", "blessing") == source("push-vertex", "blessing") == ("model-card", "carded_blessing")
    given = tasks_of["model-card"]["inputs"]["parameters"]
    assert given["intended_use"]["runtimeValue"]["constant"] == "Shifts"
    assert given["owners"]["runtimeValue"]["constant"] == ["anna"]
    alone = documents(compile_pipeline(model(tmp_path / "alone", "model_card: {}\n"), digest))[0]["root"]["dag"][
        "tasks"
    ]
    assert "explanations" not in alone["model-card"]["inputs"]["artifacts"]
    assert "explain" not in alone
    several = (
        asked.partition("push_vertex")[0] + "candidates: {wide: {}, deep: {train: {seed: 1}}}\nchoose: {push: each}\n"
    )

    def sources(name: str, settings: str) -> dict[str, dict[str, Output]]:
        tasks = read(documents(compile_pipeline(model(tmp_path / name, settings), digest))[0]).tasks
        return {task: dict(spec.artifacts) for task, spec in tasks.items()}

    each = sources("several", several)
    assert each["push-deep"]["blessing"] == Output("model-card-deep", "carded_blessing")
    assert each["model-card-deep"]["explanations"] == Output("explain-deep", "explanations")
    assert each["explain-wide"]["model"] == Output("train-wide", "model")
    best = sources("best", several.replace("choose: {push: each}", "choose: {metric: auc, better: higher}"))
    assert best["explain"]["model"] == Output("choose", "model")
    assert best["model-card"]["blessing"] == Output("approve", "approval")


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A lock that has every image but that of train."""
    stages = sorted(set(tasks().values()) - {"train"})
    entries = {
        stage: {"image": f"registry.example/millrace/{stage}", "digest": f"sha256:{number:064x}", "tag": "t"}
        for number, stage in enumerate(stages)
    }
    file = tmp_path / "images.lock"
    file.write_text(json.dumps(entries))
    monkeypatch.setenv(LOCK_VARIABLE, str(file))
    return file


@pytest.mark.parametrize("name", MODELS)
def test_every_image_that_was_built_is_pinned(name: str, lock: Path) -> None:
    locked = json.loads(lock.read_text())
    resolved = Images()
    compiled = pods(compile_pipeline(load(name), resolved))
    for task, pod in compiled.items():
        stage = tasks()[task]
        if stage in locked:
            assert pod["image"] == f"{locked[stage]['image']}@{locked[stage]['digest']}", f"{task} is not pinned"
    assert resolved.unpinned == {compiled["train"]["image"]}
    (warning,) = resolved.warnings()
    assert warning.startswith("warning: ")
    assert "millrace/train:" in warning
    assert "millrace/ingest" not in warning
    assert "\n" not in warning


def test_a_task_with_accelerators_starts_the_gpu_image(lock: Path, tmp_path: Path) -> None:
    entries = json.loads(lock.read_text())
    entries["train-gpu"] = {"image": "registry.example/millrace/train", "digest": f"sha256:{99:064x}", "tag": "t-gpu"}
    lock.write_text(json.dumps(entries))
    resolved = Images()
    train = pods(compile_pipeline(full(tmp_path), resolved))["train"]
    assert train["image"] == f"registry.example/millrace/train@sha256:{99:064x}"
    assert not resolved.unpinned
    assert not resolved.warnings()


def test_the_stages_with_a_gpu_image_are_those_that_one_is_built_for() -> None:
    assert set(images.GPU_STAGES) == set(GPU_STAGES) & set(tasks().values())


def command(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs the command line."""
    return call("compile", *arguments, **variables)


def test_the_command_writes_where_it_is_told(tmp_path: Path) -> None:
    absent = {LOCK_VARIABLE: str(tmp_path / "absent.lock")}
    result = command("taxi", "--output", str(tmp_path / "folder"), **absent)
    assert result.returncode == 0
    both = [str(tmp_path / "folder" / name) for name in ("taxi.kfp.yaml", "taxi.argo.yaml")]
    assert result.stdout.splitlines() == both
    workflow = yaml.safe_load((tmp_path / "folder" / "taxi.argo.yaml").read_text())
    assert workflow["kind"] == "Workflow"
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith("warning: not in images.lock")
    result = command("digits", "--output", str(tmp_path / "mine.yaml"))
    assert result.stdout.splitlines() == [str(tmp_path / "mine.yaml"), str(tmp_path / "mine.argo.yaml")]
    assert documents((tmp_path / "mine.yaml").read_text())[0]["pipelineInfo"]["name"] == "digits"
    result = command("digits", "--no-argo", "--output", str(tmp_path / "alone.kfp.yaml"))
    assert result.stdout.splitlines() == [str(tmp_path / "alone.kfp.yaml")]
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["alone.kfp.yaml", "folder", "mine.argo.yaml", "mine.yaml"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("resources: {train: {memory: {limit: 4 gigs}}}", "expected a whole number with a unit"),
        ("resources: {ingest: {gpu: {count: 1}}}", "the stage ingest has no GPU image"),
        ("cluster: {volume: {claim: Big_Disk}}", "Kubernetes refuses this name"),
        ("clutser: {}", "did you mean 'cluster'"),
        ("train: {custom_config: {note: AKIAQQQQWWWWEEEERRRR}}", "looks like an AWS access key"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "settings.yaml").write_text(text)
    result = command(str(tmp_path / "mine"), "--output", str(tmp_path / "out"))
    assert result.returncode == 65
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert "AKIA" not in result.stderr
    assert not (tmp_path / "out").exists()


def test_an_unknown_model_writes_nothing(tmp_path: Path) -> None:
    result = command("taxy", "--output", str(tmp_path / "out"))
    assert result.returncode == 65
    assert "did you mean 'taxi'" in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_place_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = command("taxi", "--output", str(tmp_path / "file"))
    assert result.returncode == 65
    assert "cannot be written" in result.stderr
    (tmp_path / "out" / "taxi.argo.yaml").mkdir(parents=True)
    result = command("taxi", "--output", str(tmp_path / "out"))
    assert result.returncode == 65
    told = f"error: {tmp_path}/out/taxi.argo.yaml: cannot be written: Is a directory; choose another --output"
    assert result.stderr.splitlines()[-1] == told
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["taxi.argo.yaml"]
    assert len(result.stderr.splitlines()) == 1


def test_exports_are_made_behind_the_serving_check_by_the_models_own_evaluation(tmp_path: Path) -> None:
    asked = (
        "infra_validate: {}\n"
        "export: {formats: {phone: {format: litert, quantise: int8}, onnx: {}}, bounds: {loss: 0.02}}\n"
        "approve: {}\nevaluate: {eval_config_file: other.pbtxt, example_splits: [eval]}\n"
    )
    text = compile_pipeline(model(tmp_path / "mine", asked), digest)
    tasks = read(documents(text)[0]).tasks
    made = tasks["export"]
    assert made.artifacts["blessing"] == Output("infra-validate", "infra_blessing")
    assert made.artifacts["model"] == Output("train", "model")
    assert made.artifacts["examples"] == Output("ingest", "examples")
    assert tasks["approve"].artifacts["blessing"] == Output("export", "export_blessing")
    assert made.parameters["formats"] == Constant({"phone": {"format": "litert", "quantise": "int8"}, "onnx": {}})
    assert made.parameters["bounds"] == Constant({"loss": 0.02})
    assert made.parameters["eval_config_file"] == tasks["evaluate"].parameters["eval_config_file"]
    assert made.parameters["example_splits"] == tasks["evaluate"].parameters["example_splits"]
    assert made.cacheable
    workflow = compile_workflow(text, ArgoOptions(claim="work"))
    assert "components.export" in workflow or "millrace/export" in workflow
    fused = asked + "cluster: {fuse: [[evaluate, infra-validate]]}\n"
    with pytest.raises(InputError, match="needs the model server, which only its own image has"):
        compile_pipeline(model(tmp_path / "fused", fused), digest)
    alone = "export: {formats: {onnx: {}}}\ncluster: {fuse: [[evaluate, export]]}\n"
    with pytest.raises(
        InputError, match="export needs what converts and runs the other formats, which only its own im"
    ):
        compile_pipeline(model(tmp_path / "alone", alone), digest)


def test_a_student_gets_its_teacher_as_a_warm_start_gets_its_model(tmp_path: Path) -> None:
    asked = "train: {custom_config: {units: 3}, distil: {temperature: 3}}"
    tasks = read(documents(compile_pipeline(model(tmp_path / "mine", asked)))[0]).tasks
    assert tasks["train"].artifacts["base_model"] == Output("resolve-base", "baseline_model")
    distil = {"temperature": 3.0, "alpha": 0.5, "warm_start": False}
    assert tasks["train"].parameters["custom_config"] == Constant({"units": 3, "distil": distil})


def test_a_model_may_tune_before_it_trains_and_start_from_the_last_model(tmp_path: Path) -> None:
    plain = read(documents(compile_pipeline(model(tmp_path / "plain", "{}")))[0]).tasks
    assert not {"tune", "resolve-base"} & plain.keys()
    assert not {"hyperparameters", "base_model"} & plain["train"].artifacts.keys()
    chosen = model(tmp_path / "mine", "tune: {max_trials: 4, max_minutes: 1.5}\ntrain: {warm_start: true}")
    text = compile_pipeline(chosen)
    tasks = read(documents(text)[0]).tasks
    assert tasks.keys() - plain.keys() == {"tune", "resolve-base"}
    assert tasks["train"].artifacts["hyperparameters"] == Output("tune", "best_hyperparameters")
    assert tasks["train"].artifacts["base_model"] == Output("resolve-base", "baseline_model")
    assert tasks["evaluate"].artifacts["baseline_model"] == Output("resolve", "baseline_model")
    assert "model" not in tasks["resolve-base"].artifacts
    assert not tasks["resolve-base"].cacheable
    assert tasks["tune"].parameters["max_minutes"] == Constant(1.5)
    # The same on Argo, whose launcher gets what is given and nothing for what is not.
    workflow = yaml.safe_load(compile_workflow(text, ArgoOptions(claim="work")))
    specs = {
        template["name"]: json.loads(template["container"]["args"][template["container"]["args"].index("--task") + 1])
        for template in workflow["spec"]["templates"]
        if "--task" in template.get("container", {}).get("args", [])
    }
    assert specs["train"]["artifacts"]["base_model"] == {"task": "resolve-base", "output": "baseline_model"}
    assert specs["train"]["artifacts"]["hyperparameters"] == {"task": "tune", "output": "best_hyperparameters"}
    assert specs["resolve-base"]["artifacts"] == {}
    assert specs["resolve"]["artifacts"].keys() == {"model"}
    dag = next(template["dag"]["tasks"] for template in workflow["spec"]["templates"] if "dag" in template)
    train = next(task for task in dag if task["name"] == "train")
    assert "tune" in train["dependencies"]
    assert "resolve-base" in train["dependencies"]
