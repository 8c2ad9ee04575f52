"""The sections `cluster` and `resources`: what is refused and how, and how the layers of a task's pod come together."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.runtime.errors import InputError
from runners.settings import resources
from runners.settings.kubernetes_values import cpu_cores, memory_bytes, seconds
from runners.settings.model import Settings, load


def _load(folder: Path, text: str) -> Settings:
    (folder / "settings.yaml").write_text(text)
    return load(str(folder))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        # Quantities.
        (
            "train: {memory: {limit: 4 gigs}}",
            r"train\.memory\.limit: .*512Mi or 4Gi.*did you mean '4Gi'\?, not '4 gigs'",
        ),
        ("train: {memory: {limit: 4}}", r"train\.memory\.limit: expected a whole number with a unit"),
        ("train: {memory: {limit: 4gb}}", "did you mean '4Gi'"),
        ("train: {memory: {limit: -1Gi}}", "expected a whole number with a unit"),
        ("train: {memory: {request: 2Gi, limit: 1Gi}}", r"train\.memory: the request, 2Gi, is above the limit, 1Gi"),
        ("train: {cpu: {limit: two}}", r"train\.cpu\.limit: expected processors.*500m, not 'two'"),
        ("train: {cpu: {limit: 0}}", "expected processors"),
        ("train: {cpu: {request: 2, limit: 500m}}", "the request, 2, is above the limit, 500m"),
        ("train: {timeout: soon}", "expected a whole number with a unit: 30s, 10m, 2h or 1d, not 'soon'"),
        ("train: {retry: {count: -1}}", r"train\.retry\.count: "),
        ("train: {retry: {factor: 0.5}}", r"train\.retry\.factor: "),
        # Names of objects.
        (
            "train: {mounts: [{claim: Big_Disk, path: /d}]}",
            r"mounts\.0\.claim: Kubernetes refuses this name.*'Big_Disk'",
        ),
        ("train: {mounts: [{claim: -a, path: /d}]}", "Kubernetes refuses this name"),
        ("train: {secrets: [{name: A.B, path: /d}]}", r"secrets\.0\.name: Kubernetes refuses this name"),
        ("train: {credentials: {gcp: {secret: My Key}}}", r"credentials\.gcp\.secret: Kubernetes refuses this name"),
        ("train: {secrets: [{name: s, env: {key: 1A}}]}", "not the name of an environment variable"),
        ("train: {secrets: [{name: s, env: {a b: A}}]}", "not a key of a secret"),
        ("train: {node_selector: {a/b/c: d}}", "not a label's key"),
        ("train: {node_selector: {a: b c}}", "not a label's value"),
        # Paths.
        ("train: {mounts: [{claim: a, path: data}]}", "expected an absolute path"),
        ("train: {mounts: [{claim: a, path: /a/../b}]}", "expected an absolute path"),
        ("train: {mounts: [{claim: a, path: /usr/share}]}", "/usr belongs to the container"),
        ("train: {mounts: [{claim: a, path: /a}, {claim: b, path: /a}]}", "/a is mounted twice"),
        ("train: {mounts: [{claim: a, path: /millrace}]}", r"/millrace is cluster\.mount_path"),
        ("{default: {mounts: [{claim: a, path: /a}]}, train: {secrets: [{name: b, path: /a}]}}", "/a is mounted twice"),
        ("train: {secrets: [{name: a, env: {a: X, b: X}}]}", "the environment variable X is set twice"),
        (
            "train: {secrets: [{name: a, env: {b: AWS_REGION}}], credentials: {aws: {secret: c}}}",
            "the environment variable AWS_REGION is set twice",
        ),
        ("train: {credentials: {aws: {secret: c, access_key_id: a, secret_access_key: a}}}", "are the same key"),
        # GPU and caching.
        ("statistics: {gpu: {count: 1}}", "statistics has no GPU image; ask for it under train"),
        ("transformed-statistics: {gpu: {}}", "statistics has no GPU image"),
        ("default: {gpu: {count: 1}}", "not every stage has a GPU image; ask for it under train"),
        ("train: {gpu: {count: 0}}", r"gpu\.count: "),
        ("push: {caching: true}", "push deals with what lies outside the pipeline"),
        ("train: {tolerations: [{key: a, operator: Equal}]}", "operator Equal compares with a value"),
        ("train: {tolerations: [{key: a, effect: Never}]}", r"tolerations\.0\.effect: .*'NoSchedule'"),
        # Unknown keys.
        ("trian: {}", r"resources\.trian: no such stage, did you mean 'train'\?; known here: default, "),
        ("train: {memmory: {}}", r"unknown key 'resources\.train\.memmory', did you mean 'memory'"),
        ("train: {memory: {limits: 4Gi}}", r"unknown key 'resources\.train\.memory\.limits', did you mean 'limit'"),
        ("train: {gpu: {cuont: 2}}", r"unknown key 'resources\.train\.gpu\.cuont', did you mean 'count'"),
        (
            "train: {mounts: [{clam: a, path: /a}]}",
            r"unknown key 'resources\.train\.mounts\.0\.clam', did you mean 'claim'",
        ),
        ("train: {credentials: {gpc: {}}}", r"unknown key 'resources\.train\.credentials\.gpc', did you mean 'gcp'"),
        ("train: 5", r"resources\.train: "),
    ],
)
def test_mistakes_about_pods_are_one_line(tmp_path: Path, text: str, message: str) -> None:
    indented = text if text.startswith("{") else f"{{{text}}}"
    with pytest.raises(InputError, match=message) as error:
        _load(tmp_path, f"resources: {indented}")
    assert str(error.value).startswith(f"{tmp_path}/settings.yaml: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("volume: {claim: Big_Disk}", r"cluster\.volume\.claim: Kubernetes refuses this name.*RFC 1123.*'Big_Disk'"),
        ("volume: {claim: a, create: true}", r"cluster\.volume: create makes a claim for each run"),
        ("volume: {size: big}", r"cluster\.volume\.size: expected a whole number with a unit"),
        ("volume: {sise: 1Gi}", r"unknown key 'cluster\.volume\.sise', did you mean 'size'"),
        ("volume: {access_mode: RWX}", r"cluster\.volume\.access_mode: .*'ReadWriteMany'"),
        ("mount_path: /tmp", "/tmp belongs to the container"),
        ("ttl: forever", r"cluster\.ttl: expected a whole number with a unit"),
        ("labels: {team: a b}", r"cluster\.labels\.team: not a label's value"),
        ("labels: {millrace/run: a}", "labels under millrace/ are our own"),
        ("image_pull_secrets: [Registry]", r"cluster\.image_pull_secrets\.0: Kubernetes refuses this name"),
        ("kfp_server: 2.4", r"cluster\.kfp_server: the oldest KFP server that is supported is 2\.5"),
        ("kfp_server: newest", r"cluster\.kfp_server: expected the version of a KFP server"),
    ],
)
def test_mistakes_about_the_cluster_are_one_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        _load(tmp_path, f"cluster: {{{text}}}")
    assert "\n" not in str(error.value)


def test_layers_go_from_all_to_the_task(tmp_path: Path) -> None:
    mine = _load(
        tmp_path,
        """
resources:
  default: {timeout: 3h, node_selector: {pool: a}, mounts: [{claim: a, path: /a}]}
  statistics: {memory: {limit: 8Gi}, node_selector: {disk: ssd}}
  transformed-statistics: {timeout: 30m, mounts: [{claim: b, path: /b}]}
""",
    )
    statistics, transformed = mine.pod("statistics"), mine.pod("transformed-statistics")
    assert (statistics.timeout, transformed.timeout, mine.pod("train").timeout) == ("3h", "30m", "3h")
    assert statistics.memory.limit == transformed.memory.limit == "8Gi"
    assert statistics.memory.request == "1Gi", "our default stays where the settings say nothing"
    assert transformed.node_selector == {"pool": "a", "disk": "ssd"}
    assert [mount.path for mount in transformed.mounts] == ["/a", "/b"]
    assert [mount.path for mount in statistics.mounts] == ["/a"]


def test_our_defaults_give_way_to_one_half_of_a_range(tmp_path: Path) -> None:
    mine = _load(tmp_path, "resources: {train: {memory: {limit: 1Gi}, cpu: {request: 16}}}")
    train = mine.pod("train")
    assert (train.memory.request, train.memory.limit) == ("1Gi", "1Gi")
    assert (train.cpu.request, train.cpu.limit) == ("16", "16")


def test_ranges_of_two_layers_that_exclude_each_other_are_refused(tmp_path: Path) -> None:
    text = "resources: {default: {memory: {request: 8Gi}}, train: {memory: {limit: 4Gi}}}"
    with pytest.raises(InputError, match=r"resources\.train\.memory: the request, 8Gi, is above the limit, 4Gi"):
        _load(tmp_path, text)


def test_numbers_of_yaml_are_quantities_too(tmp_path: Path) -> None:
    mine = _load(tmp_path, "resources: {train: {cpu: {request: 1, limit: 2.5}}}\ncluster: {kfp_server: 2.17}")
    assert (mine.pod("train").cpu.request, mine.pod("train").cpu.limit) == ("1", "2.5")
    assert mine.cluster.server == (2, 17)


def test_every_task_of_the_pipeline_can_be_given_something() -> None:
    assert set(resources.tasks()) >= {"ingest", "transformed-statistics", "resolve-base"}
    assert set(resources.tasks().values()) == set(resources.stages())


@pytest.mark.parametrize(("text", "size"), [("512Mi", 512 << 20), ("4Gi", 4 << 30), ("4G", 4 * 10**9), ("1K", 1000)])
def test_memory_in_bytes(text: str, size: int) -> None:
    assert memory_bytes(text) == size


def test_processors_and_seconds() -> None:
    assert [cpu_cores(text) for text in ("250m", "2", "0.5")] == [0.25, 2, 0.5]
    assert [seconds(text) for text in ("30s", "10m", "2h", "1d")] == [30, 600, 7200, 86400]
