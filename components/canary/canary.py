"""Gives a pushed version a share of the traffic, watches it beside the stable one, and promotes it or takes it back.

Whatever ends the stage without a verdict, the stable version has all traffic again. What goes wrong takes the new
version back, as a verdict against it does: a server that goes by no label serves the newest.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.canary import answers as asking
from components.canary import judging, page, tensorflow_serving, versions
from components.canary.servers import Servers
from components.canary.traffic import CANARY, STABLE, InferenceService, Route, Traffic
from components.canary.watching import Sample, Step, watch
from components.runtime.errors import InputError, StageError, TransientError
from components.runtime.publish import labels, serving
from components.runtime.stage import stopping
from components.runtime.stage.artifacts import InputArtifact, OutputArtifact
from components.runtime.stage.kubernetes import Asker, Kubernetes
from components.runtime.stage.progress import report as progress

FILE = "canary.json"
_POLL_SECONDS = 1.0
_ASKER = Asker("canary shares traffic on Kubernetes", "canary.kubernetes", "manifests/serving/canary")


@dataclass
class Verdict:
    """What became of a version.

    Attributes:
      promoted: whether it is the stable one now.
      reason: why, in one line.
      steps: those that were watched.
      samples: what was counted over time.
      answers: share of the rows that it answers otherwise than the stable one; None where none were asked.
      stable: the version that it was watched beside; 0 where there was none.
      put_back: number under which the stable model is the newest again; 0 where it is not.
    """

    promoted: bool
    reason: str
    steps: list[Step] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    answers: float | None = None
    stable: int = 0
    put_back: int = 0


class _Refused(Exception):
    """The new version is not to be promoted, for the reason that this says."""


def canary(
    pushed_model: InputArtifact,
    examples: InputArtifact,
    run: str,
    route: str,
    stable_service: str,
    canary_service: str,
    inference_service: str,
    model_uri: str,
    port: int,
    model_name: str,
    config_map: str,
    label: str,
    steps: list[int],
    step_minutes: float,
    min_requests: int,
    split: str,
    rows: int,
    bounds: dict[str, float],
    ready_minutes: float,
    roll_back: bool,
    kubernetes: str,
    canary: OutputArtifact,
    metrics: OutputArtifact,
    report: OutputArtifact,
) -> dict[str, Any]:
    """Watches a new version under a share of the traffic.

    Args:
      pushed_model: of push.
      examples: raw tf.Examples.
      run: name of the run.
      route: NAMESPACE/NAME of an HTTPRoute.
      stable_service: with route, the service of the server that holds the version with the label.
      canary_service: with route, the service of the server that has the newest version.
      inference_service: NAMESPACE/NAME of an InferenceService, in place of route.
      model_uri: with inference_service, its storageUri for a version.
      port: with inference_service, of REST in its pods.
      model_name: of the model in requests.
      config_map: with route, NAMESPACE/NAME of what configures a TensorFlow Serving that holds the stable version.
      label: what a promoted version gets.
      steps: shares of the traffic, in percent.
      step_minutes: how long each is watched.
      min_requests: to the new version, below which a step says nothing.
      split: the split whose first rows are asked of both versions.
      rows: how many; 0 for none.
      bounds: by the names in `judging.TITLES`.
      ready_minutes: how long the servers may take until they have a version.
      roll_back: whether the stable model becomes the newest version again where the new one is taken back.
      kubernetes: address of a proxy of the Kubernetes API; without, the pod's own cluster.
      canary: gets `canary.json`.
      metrics: gets what was counted in the last step as metadata.
      report: gets the page.

    Returns:
      `promoted`.

    Raises:
      InputError: a parameter is wrong, or what shares the traffic is not there or may not be changed.
      TransientError: Kubernetes does not answer.
      Both say what became of the new version; all traffic is at the stable one then, as far as that could be.
    """
    labels.check(label)
    facts = pushed_model.metadata
    canary.directory()
    if not facts.get("pushed"):
        verdict = Verdict(False, f"nothing was pushed: {facts.get('reason', 'the model is not blessed')}")
        return _told(verdict, 0, label, canary, metrics, report)
    version, destination = int(facts["version"]), str(facts["destination"])
    root = serving.serving_root(destination)
    stable = versions.stable_version(root, destination, label, version, int(facts.get("replaced") or 0))
    if stable in (0, version):
        reason = f"it is {label} already" if stable else "there is no other version to watch it beside"
        if not stable:
            versions.give_label(root, destination, label, version)
        return _told(Verdict(True, reason, stable=stable), version, label, canary, metrics, report)
    verdict = Verdict(False, "", stable=stable)
    try:
        versions.check_newest(root, destination, version)
    except versions.OvertakenError as overtaken:
        verdict.reason = str(overtaken)
        return _told(verdict, version, label, canary, metrics, report)
    with _taken_back(root, destination, label, stable, version, run, roll_back=roll_back):
        _check(route, inference_service, steps, step_minutes, min_requests, rows, bounds)
        cluster = Kubernetes(_ASKER, kubernetes)
        name = model_name or (inference_service.rpartition("/")[2] if inference_service else root.name)
        traffic: Traffic = (
            InferenceService(cluster, inference_service, model_uri, port)
            if inference_service
            else Route(cluster, route, stable_service, canary_service)
        )
        servers = Servers(cluster, traffic, name)
        with stopping.by_signals(), _given_back(traffic):
            try:
                traffic.begin(version)
                _wait_until_ready(servers, CANARY, version, ready_minutes * 60)
                _wait_until_ready(servers, STABLE, stable, ready_minutes * 60)
                if rows:
                    verdict.answers = _answers(servers, examples, split, rows, version)
                begun = time.monotonic()
                for percent in steps:
                    progress(
                        f"{percent} % of the traffic of {traffic.where} for version {version}, "
                        f"for {step_minutes:g} minutes"
                    )
                    traffic.give(percent)
                    step = watch(
                        servers,
                        percent,
                        version,
                        step_minutes * 60,
                        min_requests,
                        bounds,
                        verdict.answers,
                        begun,
                        verdict.samples,
                    )
                    verdict.steps.append(step)
                    if step.refused:
                        raise _Refused(f"at {percent} % of the traffic {step.refused}")
                versions.promote(root, destination, label, version)
                if config_map:
                    tensorflow_serving.hold(cluster, config_map, name, label, version)
                _wait_until_ready(servers, STABLE, version, ready_minutes * 60)
                traffic.settle(promoted=True)
                verdict.promoted = True
                verdict.reason = f"it kept every bound at {', '.join(f'{each} %' for each in steps)} of the traffic"
            except (_Refused, versions.OvertakenError) as refused:
                verdict.reason = str(refused)
                traffic.settle(promoted=False)
                if roll_back:
                    verdict.put_back = versions.put_back(root, destination, stable, version, verdict.reason, run)
    return _told(verdict, version, label, canary, metrics, report)


def _check(
    route: str,
    inference_service: str,
    steps: Sequence[int],
    step_minutes: float,
    min_requests: int,
    rows: int,
    bounds: Mapping[str, float],
) -> None:
    if bool(route) == bool(inference_service):
        raise InputError("canary needs what shares the traffic: either canary.route or canary.inference_service")
    is_share = [isinstance(each, int) and not isinstance(each, bool) and 0 < each <= 100 for each in steps]
    if not steps or not all(is_share) or sorted(set(steps)) != list(steps):
        raise InputError(f"steps: expected rising whole percentages from 1 to 100, not {steps}")
    if not step_minutes > 0 or min_requests < 1 or rows < 0:
        raise InputError("step_minutes has to be above 0, min_requests 1 or more, rows 0 or more")
    judging.check_bounds(bounds)


def _wait_until_ready(servers: Servers, side: str, version: int, seconds: float) -> None:
    """Waits until each pod of a side that says which version it has says this one."""
    end = time.monotonic() + seconds
    while True:
        seen = servers.look(side)
        if seen.versions and all(number in (None, version) for number in seen.versions.values()):
            return
        if time.monotonic() >= end:
            has = sorted({f"version {number}" for number in seen.versions.values() if number}) or ["nothing"]
            told = f"the {side} side serves {', '.join(has)} and not version {version} after {seconds / 60:g} minutes"
            if side == CANARY:
                raise _Refused(told)
            raise TransientError(f"{told}; its server has to hold the version with the label, see docs/canary.md")
        progress(f"waiting until the {side} side serves version {version}", force=False)
        time.sleep(_POLL_SECONDS)


def _answers(servers: Servers, examples: InputArtifact, split: str, count: int, version: int) -> float | None:
    stable = servers.client(STABLE)
    asked = asking.instances(examples, split, count, stable)
    progress(f"asking both versions about {len(asked)} rows of {split}")
    try:
        found = asking.differing(stable, servers.client(CANARY), asked)
    except StageError as error:
        try:
            stable.predict(asked[:1])
        except StageError:
            raise error from None
        raise _Refused(f"version {version} does not answer what the stable one does: {error}") from None
    if found is not None:
        progress(f"{found:.1%} of the rows are answered otherwise")
    return found


@contextlib.contextmanager
def _taken_back(
    root: Path, destination: str, label: str, stable: int, version: int, run: str, *, roll_back: bool
) -> Iterator[None]:
    """Takes the new version back where something goes wrong; a stage that is ended from outside is begun again."""
    try:
        yield
    except Exception as error:
        reason = str(error) or type(error).__name__
        became = versions.take_back(root, destination, label, stable, version, reason, run, roll_back=roll_back)
        if isinstance(error, StageError):
            raise type(error)(f"{error}; {became}") from None
        progress(became)
        raise


@contextlib.contextmanager
def _given_back(traffic: Traffic) -> Iterator[None]:
    """Gives all traffic to the stable version where something ends this without a verdict."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(StageError):
            traffic.settle(promoted=False)
            progress("all traffic is at the stable version again")
        raise


def _told(
    verdict: Verdict, version: int, label: str, canary: OutputArtifact, metrics: OutputArtifact, report: OutputArtifact
) -> dict[str, Any]:
    progress(f"{'promoted' if verdict.promoted else 'not promoted'}: {verdict.reason}")
    facts = {
        "promoted": verdict.promoted,
        "reason": verdict.reason,
        "version": version,
        "label": label,
        "stable": verdict.stable,
        "put_back": verdict.put_back,
    }
    last = verdict.steps[-1] if verdict.steps else None
    document = facts | {
        "answers": verdict.answers,
        "checks": [vars(each) | {"holds": each.holds} for each in (last.checks if last else [])],
        "steps": [{"percent": each.percent, "refused": each.refused} for each in verdict.steps],
        "samples": [each.document() for each in verdict.samples],
    }
    (canary.path / FILE).write_text(json.dumps(document, indent=1) + "\n")
    canary.metadata |= facts
    if last:
        for side, each in last.sides.items():
            slow = each.quantile(0.99)
            metrics.metadata[f"{side}_requests"] = each.requests
            metrics.metadata |= {} if each.error_rate is None else {f"{side}_error_rate": each.error_rate}
            metrics.metadata |= {} if slow is None else {f"{side}_p99_ms": slow * 1000}
    if verdict.answers is not None:
        metrics.metadata["answers"] = verdict.answers
    report.path.write_text(
        page.render(verdict.promoted, verdict.reason, version, label, verdict.stable, last, verdict.samples),
        encoding="utf-8",
    )
    return {"promoted": verdict.promoted}
