"""The stage, against clusters that answer on loopback: what is begun, once, and what is not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
import yaml

from components.runtime.records import run_record
from tests.components.retrain.looks import LOOK, World, cluster, compiled, reason
from tests.runners.argo.argo_server import Argo
from tests.runners.cluster_support import call
from tests.runners.kubeflow.kfp_server import Kfp
from tests.runners.kubeflow.kfp_server import serve as serve_kubeflow


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def argo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Argo]:
    with cluster(tmp_path, monkeypatch) as state:
        yield state


def end(argo: Argo, phase: str) -> None:
    for workflow in argo.workflows.values():
        workflow["status"] = {"phase": phase}


def test_a_drift_begins_a_run_as_a_person_would_submit_it(world: World, argo: Argo) -> None:
    argo.proxied, made_here = False, argo.templates.pop(("ml", "taxi-retrain"))
    for done in ("created", "unchanged"):
        stored = call("argo", "upload", world.folder / "taxi-retrain.argo.yaml", "--as", "taxi-retrain")
        assert stored.lines == [f"template taxi-retrain in the namespace ml: {done}"], stored.err
    assert argo.templates["ml", "taxi-retrain"] == made_here
    argo.templates["ml", "taxi-retrain"]["spec"] |= {"priority": 1}
    assert (
        call("argo", "upload", world.folder / "taxi-retrain.argo.yaml", "--as", "taxi-retrain")
        .lines[0]
        .endswith("replaced")
    )
    argo.proxied = True
    begun = world.look(kubernetes=argo.url)
    [(_, name)] = argo.workflows
    assert reason(begun) == f"begun: {name}, on spans 1, 2, for version 1"
    assert name.startswith("taxi-")
    made = argo.workflows["ml", name]
    compiled = yaml.safe_load((world.folder / "taxi-retrain.argo.yaml").read_text())
    assert made["metadata"]["labels"] == compiled["metadata"]["labels"] | {"millrace/started-by": f"{LOOK}-1"}
    annotations = dict(made["metadata"]["annotations"])
    [note] = world.notes()
    assert json.loads(annotations.pop("millrace/begun")) == note
    assert annotations == compiled["metadata"]["annotations"]
    values = {each["name"]: each["value"] for each in made["spec"]["arguments"]["parameters"]}
    assert (values["data"], values["serving_directory"]) == (str(world.data), str(world.serving))
    # What comes until the run gets to read is not read: it is new data, for the next one.
    assert (values["span"], values["spans"], values["train_steps"]) == ("2", "2", "500")
    templates = {each["name"]: each for each in made["spec"]["templates"]}
    assert "resolve-base" in templates, "warm-started"
    [closing] = [each for each in templates["close"]["container"]["env"] if each["name"] == run_record.BY_VARIABLE]
    assert closing["value"] == f"watch {LOOK}-1"
    del templates["close"]["container"]["env"][-1]
    assert made["spec"] | {"arguments": 0} == compiled["spec"] | {"arguments": 0}
    argo.proxied = False
    listed = call("argo", "list", "-l", f"millrace/started-by={LOOK}-1")
    assert name in listed.out, listed.err
    assert call("argo", "show", "taxi").exit_code == 0
    assert (note["run"], note["version"], note["after"]) == (name, 1, f"{LOOK}-1")


def test_nothing_is_begun_while_a_run_goes_on_nor_twice_for_the_same(world: World, argo: Argo) -> None:
    world.look(kubernetes=argo.url)
    [(_, name)] = argo.workflows
    # The drift stays, and even new data waits until the run has ended.
    assert reason(world.look(kubernetes=argo.url)) == f"nothing begun: {name} is under way, begun by {LOOK}-1"
    world.span(3)
    assert "is under way" in reason(world.look(kubernetes=argo.url))
    shutil.rmtree(world.data / "span-3")

    for phase, ended in (("Succeeded", "ended well, and pushed nothing that is in service"), ("Failed", "failed")):
        end(argo, phase)
        told = reason(world.look(kubernetes=argo.url))
        assert told.startswith(f"nothing begun: {name}, on the same data (spans 1, 2) for version 1, {ended}; new data")
    # Gone with its time, and still known.
    kept = dict(argo.workflows)
    argo.workflows.clear()
    assert "is gone, and pushed nothing" in reason(world.look(kubernetes=argo.url))
    assert not argo.workflows
    argo.workflows |= kept

    world.span(3)
    assert reason(world.look(kubernetes=argo.url)).endswith("on spans 2, 3, for version 1")
    assert len(argo.workflows) == 2
    end(argo, "Succeeded")
    # What came of it has drifted as well: the same data again cannot help.
    world.push()
    assert "on the same data (spans 2, 3) for version 1, ended well; new data" in reason(
        world.look(kubernetes=argo.url)
    )
    assert len(argo.workflows) == len(world.notes()) == 2


def test_an_attempt_that_was_cut_short_begins_no_second_run(world: World, argo: Argo) -> None:
    world.look(kubernetes=argo.url)
    # In front of its note, and behind it.
    for is_noted in (False, True):
        if not is_noted:
            shutil.rmtree(world.serving / ".retrainings")
        world.again()
        assert reason(world.look(kubernetes=argo.url)).startswith("begun: taxi-")
        assert len(argo.workflows) == len(world.notes()) == 1


def test_a_look_that_knows_nothing_of_a_run_finds_it_whatever_has_come_since(world: World, argo: Argo) -> None:
    # One that was killed in front of its note, or that is about to write it: two looks at once.
    argo.plan = list("many tasks, so it goes on for long")
    world.look(kubernetes=argo.url)
    [(_, name)] = argo.workflows
    [noted] = world.notes()
    for more in (3, None):
        shutil.rmtree(world.serving / ".retrainings")
        if more:
            world.span(more)
        assert reason(world.look(kubernetes=argo.url)) == f"nothing begun: {name} is under way, begun by {LOOK}-1"
        assert (len(argo.workflows), world.notes()) == (1, [noted])
    shutil.rmtree(world.serving / ".retrainings")
    end(argo, "Succeeded")
    assert reason(world.look(kubernetes=argo.url)).endswith("on spans 2, 3, for version 1")
    assert len(argo.workflows) == len(world.notes()) == 2
    argo.workflows["ml", name]["metadata"]["annotations"].clear()
    shutil.rmtree(world.serving / ".retrainings")
    refused = world.look(kubernetes=argo.url)
    assert refused.exit_code == 65
    assert f"there is a Workflow {name} that no look has begun" in refused.error
    assert refused.error.endswith(f"remove it: kubectl delete workflow {name}")


@pytest.mark.parametrize("state", ["ok", "unknown"])
def test_nothing_is_begun_without_drift(world: World, state: str) -> None:
    assert reason(world.look(state)) == f"nothing begun: version 1 is {state}"


def test_nothing_is_begun_for_a_version_that_is_in_service_no_more(world: World) -> None:
    world.push()
    assert reason(world.look(version=1)) == "nothing begun: version 1 was watched, and 2 is in service"


def test_without_spans_data_counts_as_a_whole(world: World, argo: Argo) -> None:
    shutil.rmtree(world.data)
    world.data.mkdir()
    (world.data / "trips.csv").write_text("a\n1\n")
    assert reason(world.look(spans=0, kubernetes=argo.url)).endswith("on 1 file, for version 1")
    end(argo, "Succeeded")
    assert "on the same data" in reason(world.look(spans=0, kubernetes=argo.url))
    (world.data / "more.csv").write_text("a\n1\n")
    assert reason(world.look(spans=0, kubernetes=argo.url)).endswith("on 2 files, for version 1")


def test_spans_are_known_by_their_dates_and_versions_too(world: World, argo: Argo) -> None:
    data = f"{world.folder}/days/{{YYYY}}-{{MM}}-{{DD}}/v{{VERSION}}"

    def day(name: str) -> None:
        (world.folder / "days" / name).mkdir(parents=True)
        (world.folder / "days" / name / "part.csv").write_text("a\n1\n")

    for name in ("2026-11-27/v1", "2026-11-28/v1", "2026-11-29/v1"):
        day(name)
    begun = world.look(data=data, kubernetes=argo.url)
    assert reason(begun).endswith("on spans 2026-11-28 (version 1), 2026-11-29 (version 1), for version 1")
    [made] = argo.workflows.values()
    values = {each["name"]: each["value"] for each in made["spec"]["arguments"]["parameters"]}
    days = begun.metadata("retrained")["spans"]
    assert (values["data"], values["span"]) == (data, str(days[1]))
    assert [date.fromordinal(date(1970, 1, 1).toordinal() + each).day for each in days] == [28, 29]
    end(argo, "Succeeded")
    # An older day is none of those that are read; the same day once more is.
    day("2026-11-26/v1")
    assert "on the same data" in reason(world.look(data=data, kubernetes=argo.url))
    day("2026-11-29/v2")
    told = reason(world.look(data=data, kubernetes=argo.url))
    assert told.endswith("on spans 2026-11-28 (version 1), 2026-11-29 (version 2), for version 1")
    end(argo, "Succeeded")
    for number in (8, 9, 10):
        (world.folder / "days" / f"export-{number:05}.csv").write_text("a\n1\n")
    told = reason(world.look(data=f"{world.folder}/days/export-{{SPAN:5}}.csv", kubernetes=argo.url))
    assert told.endswith("on spans 9, 10, for version 1")
    refused = world.look(data=f"{world.folder}/none/{{YYYY}}-{{MM}}-{{DD}}", kubernetes=argo.url)
    assert refused.exit_code == 65
    assert refused.error.endswith("DD}: nothing there has a date in the place of {YYYY}, {MM} and {DD}")


def test_what_a_person_can_mend_is_told_in_one_line(world: World, argo: Argo) -> None:
    argo.refusals["POST /apis/argoproj.io/v1alpha1/namespaces/ml/workflows"] = (403, {"message": "may not create"})
    refused = world.look(kubernetes=argo.url)
    assert (refused.exit_code, world.notes()) == (65, [])
    assert refused.error.endswith("may not create (403); manifests/retrain has the role that the stage needs")
    argo.refusals.clear()
    argo.templates.clear()
    refused = world.look(kubernetes=argo.url)
    assert refused.exit_code == 65
    assert "there is no WorkflowTemplate taxi-retrain" in refused.error
    assert "./millrace argo upload taxi-retrain --as taxi-retrain" in refused.error
    refused = world.look()
    assert refused.exit_code == 65
    assert "this is no pod with a service account" in refused.error
    shutil.rmtree(world.data / "span-1")
    shutil.rmtree(world.data / "span-2")
    for data, said in (("", "data is empty"), (str(world.data), "holds no folders span-1, span-2 and so on")):
        refused = world.look(data=data, kubernetes=argo.url)
        assert refused.exit_code == 65
        assert said in refused.error
    argo.refusals["GET"] = (503, {"message": "later"})
    world.span(1)
    assert world.look(kubernetes=argo.url).exit_code == 75
    (world.serving / ".retrainings").mkdir()
    (world.serving / ".retrainings" / "taxi-x.json").write_text("{")
    refused = world.look(kubernetes=argo.url)
    assert refused.exit_code == 65
    assert "tells which run was begun, and cannot be read" in refused.error


def test_on_kubeflow_the_newest_version_is_begun_beside_the_look(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    file = world.folder / "taxi-retrain.kfp.yaml"
    file.write_text(compiled())
    monkeypatch.setenv("KFP_POD_NAME", "taxi-watch-pod")
    with serve_kubeflow(Kfp()) as kubeflow:
        there = {"kubeflow": kubeflow.url, "template": "taxi-retrain"}
        look = call("kubeflow", "--host", kubeflow.url, "run", file, "--experiment", "looks", "--name", LOOK)
        assert look.exit_code == 0, look.err
        [own] = kubeflow.runs
        refused = world.look(run_id=own, **there)
        assert refused.exit_code == 65
        assert "there is no pipeline taxi-retrain with a version; upload it" in refused.error
        for _ in range(2):
            call("kubeflow", "--host", kubeflow.url, "upload", file, "--as", "taxi-retrain")
            file.write_text(file.read_text().replace("500", "501"))
        begun = world.look(run_id=own, **there)
        [made] = [run for identity, run in kubeflow.runs.items() if identity != own]
        assert reason(begun) == f"begun: {made['display_name']}, on spans 1, 2, for version 1"
        assert made["experiment_id"] == kubeflow.runs[own]["experiment_id"]
        [versions] = [each for each in kubeflow.versions.values() if len(each) == 2]
        wanted = {key: versions[1][key] for key in ("pipeline_id", "pipeline_version_id")}
        assert made["pipeline_version_reference"] == wanted
        given = made["runtime_config"]["parameters"]
        assert given == {"data": str(world.data), "serving_directory": str(world.serving), "span": "2"}
        assert "is under way" in reason(world.look(run_id=own, **there))
        [noted] = world.notes()
        shutil.rmtree(world.serving / ".retrainings")
        world.span(3)
        assert "is under way" in reason(world.look(run_id=own, **there))
        [found] = world.notes()
        assert found | {"at": 0} == noted | {"at": 0}
        shutil.rmtree(world.serving / ".retrainings")
        world.looks = 1
        for left in ("watched-2", "out-2"):
            shutil.rmtree(world.folder / left)
        assert reason(world.look(run_id=own, **there)).startswith("begun: ")
        assert len(kubeflow.runs) == 2
        kubeflow.refusals["POST /apis/v2beta1/runs"] = (403, {"message": "forbidden"})
        shutil.rmtree(world.serving / ".retrainings")
        del kubeflow.runs[made["run_id"]]
        world.looks = 9
        refused = world.look(run_id=own, **there)
        assert refused.error.endswith("forbidden (403); docs/watch.md has the rights that the pod needs")
