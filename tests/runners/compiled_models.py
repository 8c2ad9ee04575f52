"""Models with settings of every kind, and what their compiled files say of each task."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from runners.compiled.ir import documents
from runners.settings import model as settings
from runners.settings.model import load

# Every task that only some models have.
OPTIONAL = """
tune: {}
train: {warm_start: true}
notify:
  when: failure
  webhook: teams
  link: https://runs.example.org/{run}
  mail: {server: "smtp.example.org:465", sender: runs@example.org, to: [team@example.org], security: tls}
"""

# Everything that can be said about a pod, for a server of any age.
FULL = """
description: Everything that a pod can be given
cluster:
  kfp_server: "{server}"
  volume: {claim: work}
  labels: {team: rides, cost-centre: "7"}
  image_pull_secrets: [registry]
resources:
  default:
    node_selector: {pool: batch}
    tolerations: [{key: batch, effect: NoSchedule}]
    mounts: [{claim: lookups, path: /lookups, read_only: true}]
  ingest:
    credentials: {gcp: {secret: gcp-key}}
  train:
    memory: {request: 6Gi, limit: 12Gi}
    cpu: {request: 500m, limit: 8}
    gpu: {count: 2, node_selector: {kind: l4}}
    secrets: [{name: hub, env: {token: HF_TOKEN}}, {name: certificates, path: /certificates}]
    node_selector: {disk: ssd}
    timeout: 1d
    retry: {count: 5, backoff: 1m}
    caching: false
  push:
    credentials: {aws: {secret: aws-key, region: eu-west-1}}
  transformed-statistics:
    memory: {limit: 3Gi}
  notify:
    secrets: [{name: millrace-notify, env: {url: MILLRACE_NOTIFY_URL}}]
"""
FULL += OPTIONAL


def digest(name: str, variant: str = "") -> str:
    """The image by a digest that stands for one."""
    image = f"{name}-{variant}" if variant else name
    return f"{image}@sha256:{hashlib.sha256(image.encode()).hexdigest()}"


def model(folder: Path, text: str) -> settings.Settings:
    """Settings from a text."""
    folder.mkdir(exist_ok=True)
    (folder / "settings.yaml").write_text(text)
    return load(str(folder))


def full(folder: Path, server: str = "2.5") -> settings.Settings:
    """A model whose settings say all there is."""
    return model(folder / "full", FULL.replace("{server}", server))


def pods(text: str) -> dict[str, dict[str, Any]]:
    """Of every task its container, its entry in the IR and its part of the platform spec, in one."""
    ir, platform = documents(text)
    result = {}
    dags = [ir["root"], *ir["components"].values()]
    for task in (task for dag in dags if "dag" in dag for task in dag["dag"]["tasks"].values()):
        label = ir["components"][task["componentRef"]["name"]].get("executorLabel")
        if label:
            executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
            container = ir["deploymentSpec"]["executors"][label]["container"]
            result[task["taskInfo"]["name"]] = {**container, "task": task, **executors.get(label, {})}
    return result
