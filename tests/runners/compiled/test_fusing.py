"""Several tasks as one pod: what the compiled pipeline says of them, and which groups cannot be one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

from components.runtime.errors import InputError
from runners.compiled.fusing import fuse, warnings
from runners.compiled.ir import READ_ONLY_ANNOTATION, documents, parts_of, read
from runners.compiled.op_functions import bare_name
from runners.compiled.pipelines import Images, compile_pipeline
from runners.settings.model import load
from tests.runners.compiled_models import digest, full, model, pods

DATA = ["statistics", "schema", "validate"]
MODEL = ["train", "resolve", "evaluate", "push"]


@pytest.fixture(scope="module")
def plain() -> str:
    return compile_pipeline(load("taxi"), digest)


@pytest.fixture(scope="module")
def fused(plain: str) -> str:
    return fuse(plain, [DATA, MODEL], digest)


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model whose settings say all there is."""
    return compile_pipeline(full(tmp_path_factory.mktemp("full"), "2.17"), digest)


def task(text: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = documents(text)[0]["root"]["dag"]["tasks"][name]
    return found


def test_the_settings_say_which(tmp_path: Path, fused: str) -> None:
    groups = f"cluster: {{volume: {{claim: millrace}}, fuse: [{DATA}, {MODEL}]}}"
    text = (load("taxi").folder / "settings.yaml").read_text()
    given = model(tmp_path / "mine", groups)
    assert given.cluster.fuse == [DATA, MODEL]
    assert "fuse" not in text
    names = {
        each["taskInfo"]["name"] for each in documents(compile_pipeline(given))[0]["root"]["dag"]["tasks"].values()
    }
    assert names == {"ingest", "statistics-to-validate", "transform", "transformed-statistics", "train-to-push"}


def test_kubeflow_reads_it_and_sees_one_task_for_each_group(plain: str, fused: str) -> None:
    ir, platform = documents(fused)
    spec = json_format.ParseDict(ir, pipeline_spec_pb2.PipelineSpec())
    assert set(spec.root.dag.tasks) == {
        "ingest",
        "statistics-2",
        "statistics-to-validate",
        "train-to-push",
        "transform",
    }
    whole = task(fused, "train-to-push")
    assert whole["dependentTasks"] == ["ingest", "statistics-to-validate", "transform"]
    assert whole["inputs"]["artifacts"]["train_schema"] == {
        "taskOutputArtifact": {"outputArtifactKey": "schema_schema", "producerTask": "statistics-to-validate"}
    }
    # What one of them makes for another is none of its inputs, and everything that they make is an output.
    assert "evaluate_model" not in whole["inputs"]["artifacts"]
    outputs = ir["components"]["comp-train-to-push"]["outputDefinitions"]
    assert {"train_model", "evaluate_metrics", "evaluate_blessing", "push_pushed_model"} <= outputs["artifacts"].keys()
    assert outputs["parameters"].keys() == {"evaluate_blessed", "push_version", "resolve_found"}
    # The others' executors are gone, here and in the platform spec.
    executors = ir["deploymentSpec"]["executors"]
    assert set(executors) == {f"exec-{name}" for name in spec.root.dag.tasks}
    assert set(platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]) == set(executors)
    assert fused.startswith("# PIPELINE DEFINITION\n# Name: taxi\n")
    assert fused == fuse(plain, [DATA, MODEL], digest)


def test_the_container_starts_the_image_of_all_stages(fused: str) -> None:
    pod = pods(fused)["train-to-push"]
    assert pod["image"] == digest("millrace/fused")
    assert pod["command"] == ["python", "-m", "components.runtime.launch.fused_executor"]
    # No placeholder but that of the executor input, which the backend fills in.
    assert "{{" not in json.dumps(parts_of(pod))


def test_other_targets_read_the_single_tasks(plain: str, fused: str) -> None:
    before, after = read(documents(plain)[0]), read(documents(fused)[0])
    assert after.parameters == before.parameters
    assert after.tasks.keys() == before.tasks.keys()
    for name, one in after.tasks.items():
        other = before.tasks[name]
        for same in ("stage", "parameters", "artifacts", "cacheable", "conditions", "retry"):
            assert getattr(one, same) == getattr(other, same), (name, same)
        assert {key: one.container[key] for key in ("image", "command", "args")} == {
            key: other.container[key] for key in ("image", "command", "args")
        }
        for side in ("inputDefinitions", "outputDefinitions"):
            assert one.component.get(side) == other.component.get(side)
        # Everything that they waited for, and what the pod waits for.
        assert other.after <= one.after
    assert [[each.name for each in tasks] for pod, tasks in after.pods.items() if "-to-" in pod] == [DATA, MODEL]


def test_the_pod_has_what_each_of_them_needs(everything: str) -> None:
    group = ["train", "resolve", "evaluate", "push"]
    single, fused = pods(everything), pods(fuse(everything, [group], digest))
    pod = fused["train-to-push"]
    resources = pod["resources"]
    assert (resources["resourceMemoryRequest"], resources["resourceMemoryLimit"]) == ("6Gi", "12Gi")
    assert (resources["resourceCpuRequest"], resources["resourceCpuLimit"]) == ("500m", "8")
    assert resources["accelerator"] == single["train"]["resources"]["accelerator"]
    assert pod["image"] == digest("millrace/fused", "gpu")
    assert pod["nodeSelector"]["labels"] == {"pool": "batch", "disk": "ssd", "kind": "l4"}
    assert int(pod["activeDeadlineSeconds"]) == sum(int(single[name]["activeDeadlineSeconds"]) for name in group)
    assert pod["task"]["retryPolicy"]["maxRetryCount"] == 5
    assert {"HF_TOKEN", "AWS_ACCESS_KEY_ID"} <= {
        key["envVar"] for secret in pod["secretAsEnv"] for key in secret["keyToEnv"]
    }
    assert {"name": "AWS_REGION", "value": "eu-west-1"} in pod["env"]
    assert [mount["mountPath"] for mount in pod["pvcMount"]].count("/lookups") == 1
    assert pod["podMetadata"]["annotations"][READ_ONLY_ANNOTATION] == "/lookups"
    # KFP answers for the whole: never, where one of them is never answered for.
    assert pod["task"]["cachingOptions"] == {}


def test_kubeflow_caches_a_group_of_what_it_caches(fused: str) -> None:
    assert task(fused, "statistics-to-validate")["cachingOptions"] == {"enableCache": True}
    assert task(fused, "train-to-push")["cachingOptions"] == {}
    assert warnings(fused) == [
        "warning: cluster.fuse: Kubeflow Pipelines and Vertex AI take train, evaluate from no earlier run, "
        "for they never do so with resolve, push; on Argo each is still taken for itself"
    ]


def test_a_place_is_writable_where_one_of_them_writes_there(tmp_path: Path) -> None:
    text = """
resources:
  statistics: {mounts: [{claim: lookups, path: /lookups, read_only: true}]}
  schema: {mounts: [{claim: lookups, path: /lookups}]}
"""
    pod = pods(fuse(compile_pipeline(model(tmp_path / "m", text)), [DATA], digest))["statistics-to-validate"]
    assert [mount["mountPath"] for mount in pod["pvcMount"]] == ["/lookups"]
    assert READ_ONLY_ANNOTATION not in pod.get("podMetadata", {}).get("annotations", {})


@pytest.mark.parametrize(
    ("group", "message"),
    [
        (["ingest", "validate"], r"schema comes after one of them and before validate; fuse it too, or leave validate"),
        (["train", "push"], r"evaluate comes after one of them and before push; fuse it too, or leave push out"),
        (["train", "tune"], r"this pipeline has no task 'tune'"),
        (["train", "evalute"], r"this pipeline has no task 'evalute' \(did you mean evaluate\?\)|evaluate"),
    ],
)
def test_what_cannot_be_one_task(plain: str, group: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message) as raised:
        fuse(plain, [group], digest)
    assert str(raised.value).startswith(f"cluster.fuse: [{', '.join(group)}]: ")


def test_the_exit_task_and_what_goes_to_google_stay_alone(everything: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the exit task runs after all others"):
        fuse(everything, [["push", "notify"]], digest)
    text = "push_vertex: {project: my-project, region: europe-west4, staging: gs://staging/models}"
    with pytest.raises(InputError, match="push-vertex needs Google Cloud's clients, which only its own image has"):
        fuse(compile_pipeline(model(tmp_path / "v", text)), [["push", "push-vertex"]], digest)


def test_pods_that_contradict_each_other_are_told(tmp_path: Path) -> None:
    text = """
resources:
  statistics: {node_selector: {disk: ssd}}
  schema: {node_selector: {disk: spinning}}
"""
    compiled = compile_pipeline(model(tmp_path / "m", text))
    with pytest.raises(InputError, match="node selectors: disk is 'ssd' for one and 'spinning' for another"):
        fuse(compiled, [DATA], digest)
    text = """
resources:
  statistics: {mounts: [{claim: one, path: /lookups}]}
  schema: {mounts: [{claim: two, path: /lookups}]}
"""
    compiled = compile_pipeline(model(tmp_path / "n", text))
    with pytest.raises(InputError, match="they have different volumes at /lookups"):
        fuse(compiled, [DATA], digest)
    text = """
resources:
  statistics: {secrets: [{name: one, env: {token: TOKEN}}]}
  schema: {secrets: [{name: two, env: {token: TOKEN}}]}
"""
    compiled = compile_pipeline(model(tmp_path / "o", text))
    with pytest.raises(InputError, match="they take the variable TOKEN from different secrets"):
        fuse(compiled, [DATA], digest)


@pytest.mark.parametrize(
    ("fuse_", "message"),
    [
        ("[[statistics]]", r"cluster.fuse.*at least 2"),
        ("[[statistics, schema], [schema, validate]]", "fuse: schema is named twice; it runs in one pod"),
        ("[[statistics, schemas]]", r"cluster.fuse: no such task.*schema.*'schemas'"),
        ("[statistics, schema]", "cluster.fuse"),
    ],
)
def test_settings_that_are_no_groups_are_one_line(tmp_path: Path, fuse_: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as raised:
        model(tmp_path / "m", f"cluster: {{fuse: {fuse_}}}")
    assert len(str(raised.value).splitlines()) == 1


def test_a_run_here_is_that_of_the_single_tasks(fused: str) -> None:
    """Neither images nor keys of the cache change: what an earlier run made still answers."""
    here = read(documents(fuse(compile_pipeline(load("taxi")), [DATA, MODEL], bare_name))[0])
    assert {name: each.container["image"] for name, each in here.tasks.items() if each.fused} == {
        name: f"millrace/{name}" for name in (*DATA, *MODEL)
    }


def test_an_image_of_all_stages_that_is_not_there_is_told_with_how_to_build_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILLRACE_IMAGES_LOCK", str(tmp_path / "none.lock"))
    given = model(tmp_path / "m", f"cluster: {{fuse: [{DATA}]}}")
    found = Images()
    compile_pipeline(given, found)
    (line,) = found.warnings()
    assert "millrace/fused:" in line
    assert line.endswith("build them with `make images && make images STAGE=fused` and compile again")


def test_the_most_accelerators_and_the_most_tries_hold(tmp_path: Path) -> None:
    text = """
tune: {}
resources:
  tune: {gpu: {count: 2}, retry: {count: 0}}
  train: {gpu: {count: 1}, retry: {count: 4}}
"""
    pod = pods(fuse(compile_pipeline(model(tmp_path / "m", text), digest), [["tune", "train"]], digest))[
        "tune-to-train"
    ]
    assert int(pod["resources"]["accelerator"]["resourceCount"]) == 2
    assert pod["task"]["retryPolicy"]["maxRetryCount"] == 4


def test_groups_that_wait_for_each_other_are_told_as_that(tmp_path: Path) -> None:
    compiled = compile_pipeline(model(tmp_path / "m", "train: {warm_start: true}"))
    with pytest.raises(
        InputError, match="it and the group resolve-base-to-validate would wait for each other; divide one"
    ):
        fuse(compiled, [["resolve-base", "validate"], ["schema", "transform", "train"]], digest)


def test_an_image_that_is_in_no_registry_is_told_where_the_others_are_in_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = {
        name: {"image": image, "digest": f"sha256:{'0' * 64}", "tag": "t"}
        for name, image in {
            **{stage: f"registry:5001/millrace/{stage}" for stage in (*DATA, *MODEL, "ingest", "transform")},
            "fused": "millrace/fused",
        }.items()
    }
    (tmp_path / "images.lock").write_text(json.dumps(lock))
    monkeypatch.setenv("MILLRACE_IMAGES_LOCK", str(tmp_path / "images.lock"))
    found = Images()
    compile_pipeline(model(tmp_path / "m", f"cluster: {{fuse: [{DATA}]}}"), found)
    (line,) = [line for line in found.warnings() if "registry" in line]
    assert line.startswith("warning: on this machine only, while the others are in a registry: the images of fused; ")
    assert "make images STAGE=fused ARGS='--registry HOST/TEAM --push'" in line
