"""A pipeline root with a run of three candidates, as the local runner leaves it, written by hand."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from components.runtime.lineage import record as lineage
from components.runtime.records import execution_record, facts, run_record
from components.runtime.stage import report

RUN = "rivals-20261129-220302-e2be"
AUCS = {"wide": 0.81, "deep-net": 0.93, "text": 0.95}
"""Of the candidates; text is not blessed."""
REPEATED = {"short": 0.61, "": 0.93}
"""Of two trainings by the suffix of their tasks; short is not blessed."""
_TYPES = {"model": "system.Model", "pushed_model": "system.Model", "baseline_model": "system.Model"} | {
    "metrics": "system.Metrics",
    "classification": "system.ClassificationMetrics",
    "report": "system.HTML",
}


def _task(stage: str, name: str) -> str:
    return f"{stage}-{name}" if name else stage


class RivalsRoot:
    """Writes a run."""

    def __init__(self, root: Path, *, each: bool = False, nobody: bool = False, repeated: bool = False) -> None:
        """Writes it.

        Args:
          root: the pipeline root.
          each: whether each is published, and nothing chosen.
          nobody: whether no candidate is blessed.
          repeated: whether they are two trainings, of which the one without a suffix is published.
        """
        self.root = root
        self.records: dict[str, dict[str, Any]] = {}
        self._tasks: list[dict[str, Any]] = []
        examples = self._add("ingest", {}, {"examples": {"rows": 30}})["examples"]
        transformed = self._add("transform", {"examples": examples}, {"transform_graph": {}})["transform_graph"]
        own = self._add("transform-text", {"examples": examples}, {"transform_graph": {}})["transform_graph"]
        inputs: dict[str, Any] = {}
        for name, auc in (REPEATED if repeated else AUCS).items():
            blessed = not nobody and name not in ("text", "short")
            graph = own if name == "text" else transformed
            made = {"model": {"steps": 5}, "metrics": {"loss": 1 - auc}, "report": {}}
            model = self._add(_task("train", name), {"transform_graph": graph}, made, units=len(name))["model"]
            reason = f"none: nothing of {name or 'train'} was pushed before"
            found = {"baseline_model": {"found": False, "version": 0, "reason": reason}}
            self._add(_task("resolve", name), {"model": model}, found)
            curve = [{"falsePositiveRate": each / 4, "recall": (each / 4) ** (1 - auc)} for each in range(5)]
            verdict = {
                "blessed": blessed,
                "baseline": False,
                "reason": f"{name or 'train'} is {'good' if blessed else '<bad>'}",
            }
            outputs = {
                "blessing": verdict,
                "metrics": {"auc": auc, "example_count": 30.0},
                "classification": {"confidenceMetrics": curve},
                "report": {},
            }
            judged = self._add(_task("evaluate", name), {"model": model, "examples": examples}, outputs)
            inputs |= {
                f"model_{name.replace('-', '_')}": model,
                f"blessing_{name.replace('-', '_')}": judged["blessing"],
            }
            if each:
                self._push(f"push-{name}", model, judged["blessing"], blessed, f"/srv/rivals/{name}")
        if repeated:
            self._push("push", model, judged["blessing"], blessed, "/srv/rivals")
        elif not each:
            best = "text" if nobody else "deep-net"
            why = f"no candidate is blessed: {'; '.join(AUCS)}" if nobody else f"{best} is the best of 2"
            told = {"candidate": best, "blessed": not nobody}
            outputs = {
                "model": {"candidate": best},
                "blessing": told | {"reason": why},
                "metrics": {"auc": AUCS[best], "example_count": 30.0},
                "choice": told
                | {"metric": "auc", "better": "higher", "value": AUCS[best], "why": why, "candidates": []},
                "report": {},
            }
            chosen = self._add("choose", inputs, outputs)
            self._push("push", chosen["model"], chosen["blessing"], not nobody, "/srv/rivals", candidate=best)
        lineage.flush()
        self.record: dict[str, Any] = {
            "id": RUN,
            "pipeline": "rivals",
            "target": "local",
            "state": "done",
            "started": "2026-11-29T22:03:02+00:00",
            "finished": "2026-11-29T22:04:02+00:00",
            "seconds": 60.0,
            "parameters": {"train_steps": 5},
            "exit_code": 0,
            "error": "",
            "tasks": self._tasks,
        }
        (root / "runs" / RUN).mkdir(parents=True, exist_ok=True)
        (root / "runs" / RUN / "run.json").write_text(json.dumps(self.record))

    def _push(
        self, task: str, model: dict[str, Any], blessing: dict[str, Any], blessed: bool, place: str, **more: Any
    ) -> None:
        pushed = {"pushed": True, "version": 1, "destination": place, "created": True} | more
        not_pushed = {"pushed": False, "reason": "not blessed"}
        self._add(task, {"model": model, "blessing": blessing}, {"pushed_model": pushed if blessed else not_pushed})

    def _add(
        self, task: str, inputs: dict[str, Any], outputs: dict[str, dict[str, Any]], **parameters: Any
    ) -> dict[str, Any]:
        stage = task.partition("-")[0]
        key = hashlib.sha256(task.encode()).hexdigest()[:32]
        folder = self.root / "artifacts" / "rivals" / task / key
        folder.mkdir(parents=True)
        made = {}
        for name, metadata in outputs.items():
            page = report.page(f"{task}", report.section(f"About {task}"))
            content = page if name == "report" else f"{task} {json.dumps(metadata)}"
            if task == "choose" and name == "model":
                content = f"train-{metadata['candidate']} {json.dumps({'steps': 5})}"
            (folder / name).write_text(content)
            digest = {"digest": f"sha256:{hashlib.sha256(content.encode()).hexdigest()}", "bytes": len(content)}
            kind = _TYPES.get(name, "system.Artifact")
            made[name] = {"uri": str(folder / name), "type": kind, "metadata": metadata | digest}
        moments = {"started": "2026-11-29T22:03:02+00:00", "finished": "2026-11-29T22:03:03+00:00"}
        record = {
            "pipeline": "rivals",
            "task": task,
            "stage": stage,
            "key": key,
            "run": RUN,
            "parameters": parameters,
            "output_parameters": {},
            "inputs": inputs,
            "outputs": made,
            **moments,
            "seconds": 1.0,
            "start_up_seconds": 0.1,
            "peak_memory_bytes": 9,
            "code": "c0de",
            "image": f"millrace/{stage}",
        }
        execution_record.write(self.root, folder, record)
        begun = {key: value for key, value in record.items() if key not in ("outputs", "finished")}
        lineage.started(self.root, RUN, begun)
        lineage.ended(self.root, RUN, record, "done")
        after = sorted({each["uri"].split("/")[-3] for each in inputs.values()})
        self._tasks.append(
            run_record.new_task(task, stage, after, "", "done")
            | run_record.ended(record, "done")
            | {"execution": f"artifacts/rivals/{task}/{key}", "facts": facts.facts(record)}
        )
        self.records[task] = record
        return made
