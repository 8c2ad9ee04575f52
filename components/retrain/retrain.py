"""The retrain stage: begins the model's pipeline where the version in service has drifted.

Looks come again and again, and drift stays until another version is pushed. So what was begun is noted, and nothing is
begun while such a run is under way, nor a second time on the same data: what a run made of it, or did not, is
what there is to have of it, whatever version is in service.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from components.retrain.argo import Argo
from components.retrain.begun import Begun, note, noted
from components.retrain.kubeflow import Kubeflow
from components.retrain.window import Window, window
from components.runtime.publish import serving
from components.runtime.stage import pod
from components.runtime.stage.artifacts import InputArtifact, OutputArtifact
from components.runtime.stage.progress import report

FILE = "retrained.json"
_DRIFTED = "drifted"
_RUNNING = "running"
_ENDED = {"done": "ended well", "failed": "failed", "gone": "is gone"}
_LONGEST = 52
"""Letters of a run's name that are the pipeline's: pods' names have room for no more."""


class Target(Protocol):
    """Where runs are begun."""

    def state(self, run: str) -> str:
        """How a run is, by its id: running, done, failed, or gone."""
        ...

    def begin(self, wanted: Begun, parameters: Mapping[str, str]) -> Begun:
        """Begins a run; returns that of its name, which may be there already."""
        ...


def retrain(
    watched: InputArtifact,
    destination: str,
    data: str,
    spans: int,
    pipeline: str,
    template: str,
    run: str,
    retrained: OutputArtifact,
    run_id: str = "",
    kubeflow: str = "http://ml-pipeline.kubeflow:8888",
    kubernetes: str = "",
) -> dict[str, Any]:
    """Begins a training, or says why not.

    Args:
      watched: the verdict of watch, and of which version; its metadata.
      destination: the serving directory.
      data: raw data of the run.
      spans: how many of the newest spans of it; 0 for all of it.
      pipeline: name of the model's pipeline.
      template: what is begun.
      run: that watched.
      retrained: gets `retrained.json`.
      run_id: of that run on Kubeflow.
      kubeflow: address of its API.
      kubernetes: address of a proxy of the Kubernetes API.

    Returns:
      `begun`.

    Raises:
      InputError: there is nothing to begin or to train on, or the pod may not.
      TransientError: the target does not answer.
    """
    # (Other targets write its numbers as floats.)
    version, state = int(watched.metadata.get("version") or 0), str(watched.metadata.get("state") or "")
    told: dict[str, Any] = {"begun": False, "run": "", "version": version, "spans": [], "after": run}
    if state != _DRIFTED:
        return _tell(retrained, told | {"reason": f"nothing begun: version {version} is {state or 'not watched'}"})
    root = serving.serving_root(destination)
    in_service = max((number for number, _ in serving.numbered(root)), default=0)
    if version != in_service:
        why = f"nothing begun: version {version} was watched, and {in_service or 'none'} is in service"
        return _tell(retrained, told | {"reason": why})
    wanted = window(data, spans)
    told["spans"] = wanted.spans
    target: Target = Kubeflow(template, kubeflow, run_id) if pod.on_kubeflow() else Argo(template, kubernetes)
    # Of what the data holds when the run gets to read it, what was looked at here.
    parameters = {"data": data, "serving_directory": destination} | ({"span": str(wanted.spans[-1])} if spans else {})
    while True:
        earlier = noted(root)
        # (Of this look is one where an attempt before this one has begun it.)
        if own := next((each for each in earlier if each.after == run), None):
            reason = f"begun: {own.run}, on {own.data}, for version {own.version}"
            return _tell(retrained, told | {"begun": True, "run": own.run, "id": own.id, "reason": reason})
        if refusal := next(_refusals(target, earlier, version, wanted), None):
            known, why = refusal
            return _tell(retrained, told | {"run": known, "reason": f"nothing begun: {why}"})
        name = _name(pipeline, destination, earlier)
        # What is there already was begun by a look that came no further, or that is at its note now. It is noted here,
        # and looked at as all others are.
        note(root, target.begin(Begun(name, "", version, wanted.digest, wanted.told, run), parameters))


def _refusals(target: Target, earlier: list[Begun], version: int, wanted: Window) -> Iterator[tuple[str, str]]:
    """The runs that keep another one from being begun, and why; what goes on comes first."""
    states: dict[str, str] = {}
    for each in earlier:
        # Of those on other data the newest alone can still be under way: it kept others from being begun.
        if each is earlier[0] or each.window == wanted.digest:
            states[each.run] = target.state(each.id)
    for each in earlier:
        if states.get(each.run) == _RUNNING:
            yield each.run, f"{each.run} is under way, begun by {each.after}"
    for each in earlier:
        if each.window == wanted.digest:
            ended = _ENDED.get(states[each.run], states[each.run])
            if each.version == version and ended != _ENDED["failed"]:
                ended += ", and pushed nothing that is in service"
            yield (
                each.run,
                f"{each.run}, on the same data ({each.data}) for version {each.version}, {ended}; new data begins "
                "another, and so does a person (docs/watch.md)",
            )


def _name(pipeline: str, destination: str, earlier: list[Begun]) -> str:
    """The same for all looks that know of the same runs: two at once begin one, though data comes between them."""
    key = json.dumps([pipeline, destination, sorted(each.run for each in earlier)])
    return f"{pipeline[:_LONGEST].rstrip('-')}-{hashlib.sha256(key.encode()).hexdigest()[:8]}"


def _tell(retrained: OutputArtifact, told: dict[str, Any]) -> dict[str, Any]:
    content = json.dumps(told, indent=1) + "\n"
    (Path(retrained.directory()) / FILE).write_text(content)
    retrained.metadata |= told
    report(str(told["reason"]))
    return {"begun": told["begun"]}
