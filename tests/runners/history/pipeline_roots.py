"""A pipeline root as the local runner leaves it, written by hand: two good runs and a failed one."""

from __future__ import annotations

import functools
import hashlib
import json
import math
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from components.runtime.lineage import record as lineage
from components.runtime.records import execution_record
from components.runtime.stage import report

START = datetime(2026, 11, 20, 21, 34, 55, tzinfo=UTC)
FIRST, SECOND, FAILED = "taxi-20261120-213455-3f2a", "taxi-20261120-220000-77c1", "taxi-20261120-223000-0b5d"
STATE_AFTER = {
    "ingest": [],
    "statistics": ["ingest"],
    "schema": ["statistics"],
    "validate": ["schema", "statistics"],
    "transform": ["ingest", "schema", "validate"],
    "transformed-statistics": ["transform"],
    "train": ["schema", "transform"],
    "resolve": ["train"],
    "evaluate": ["ingest", "resolve", "schema", "train"],
    "push": ["evaluate", "train"],
}
SECONDS = {
    "query": (0.0, 0.3),
    "ingest": (0.0, 0.9),
    "statistics": (1.0, 3.1),
    "schema": (4.2, 0.3),
    "validate": (4.6, 0.8),
    "transform": (11.0, 6.5),
    "transformed-statistics": (17.6, 2.2),
    "train": (17.6, 9.3),
    "resolve": (27.0, 0.2),
    "evaluate": (27.3, 7.7),
    "push": (35.1, 0.4),
    "watch": (0.0, 2.0),
    "feedback": (0.0, 1.0),
}
TYPES = {
    "examples": "system.Dataset",
    "transformed_examples": "system.Dataset",
    "model": "system.Model",
    "baseline_model": "system.Model",
    "pushed_model": "system.Model",
    "metrics": "system.Metrics",
    "classification": "system.ClassificationMetrics",
    "report": "system.HTML",
    "sample": "system.HTML",
}


@dataclass
class RootWriter:
    """Writes executions and runs into a pipeline root."""

    root: Path
    pipeline: str = "taxi"
    executions: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)

    def execution(
        self,
        run: str,
        task: str,
        *,
        inputs: dict[str, dict[str, Any]] | None = None,
        outputs: dict[str, dict[str, Any]] | None = None,
        pages: dict[str, str] | None = None,
        parameters: dict[str, Any] | None = None,
        offset: float = 0.0,
    ) -> dict[str, Any]:
        """Writes one finished execution; the content of an output is its metadata as text, or its page."""
        stage = {"transformed-statistics": "statistics"}.get(task, task)
        key = hashlib.sha256(json.dumps([task, inputs, parameters], sort_keys=True).encode()).hexdigest()[:32]
        folder = self.root / "artifacts" / self.pipeline / task / key
        folder.mkdir(parents=True)
        begin, seconds = SECONDS[task]
        started = START + timedelta(seconds=offset + begin)
        made = {}
        for name, metadata in (outputs or {}).items():
            content = (pages or {}).get(name) or json.dumps(metadata, sort_keys=True)
            (folder / name).write_text(content)
            digest = f"sha256:{hashlib.sha256(content.encode()).hexdigest()}"
            made[name] = {
                "uri": str(folder / name),
                "type": TYPES.get(name, "system.Artifact"),
                "metadata": metadata
                | {"digest": digest, "bytes": len(content.encode()), "producer": f"millrace/{stage} 0.1.0"},
            }
        record = {
            "pipeline": self.pipeline,
            "task": task,
            "stage": stage,
            "key": key,
            "run": run,
            "parameters": parameters or {},
            "output_parameters": {},
            "inputs": inputs or {},
            "outputs": made,
            "started": started.isoformat(),
            "finished": (started + timedelta(seconds=seconds)).isoformat(),
            "seconds": seconds,
            "start_up_seconds": round(min(0.1 * seconds, 0.5), 2),
            "peak_memory_bytes": 350_000_000 + 80_000_000 * len(task),
            "code": "c0de",
            "image": f"millrace/{stage}",
        }
        execution_record.write(self.root, folder, record)
        lineage.started(
            self.root, run, {key: value for key, value in record.items() if key not in ("outputs", "finished")}
        )
        lineage.ended(self.root, run, record, "done")
        self.executions[run, task] = record
        return record

    def reuse(self, run: str, earlier: str, task: str) -> dict[str, Any]:
        """Takes an earlier run's execution from the cache."""
        record = self.executions[run, task] = self.executions[earlier, task]
        lineage.ended(self.root, run, record, "cached")
        return record

    def run(self, run: str, *, offset: float = 0.0, **values: Any) -> dict[str, Any]:
        """Writes run.json: tasks with an execution are done or cached, the others skipped unless `states` says."""
        states, errors = values.pop("states", {}), values.pop("errors", {})
        tasks = []
        asks = (run, "query") in self.executions
        for task, after in ({"query": []} | STATE_AFTER | {"ingest": ["query"]} if asks else STATE_AFTER).items():
            record = self.executions.get((run, task), {})
            state = states.get(task) or ("skipped" if not record else "done" if record["run"] == run else "cached")
            rows = [output["metadata"].get("rows") for output in record.get("outputs", {}).values()]
            tasks.append(
                {
                    "name": task,
                    "stage": record.get("stage", task),
                    "state": state,
                    "after": after,
                    "condition": "",
                    "execution": f"artifacts/taxi/{task}/{record['key']}" if record else "",
                    "log": f"runs/{run}/{task}.log" if state in ("done", "failed") else "",
                    "seconds": record.get("seconds", 0.0) if state == "done" else 0.0,
                    "start_up_seconds": record.get("start_up_seconds", 0.0) if state == "done" else 0.0,
                    "peak_memory_bytes": record.get("peak_memory_bytes", 0) if state == "done" else 0,
                    "rows": next((count for count in rows if count), None),
                    "error": errors.get(task, ""),
                    "exit_code": None,
                }
            )
        started = START + timedelta(seconds=offset)
        seconds = values.pop("seconds", 36.2)
        record = {
            "id": run,
            "pipeline": self.pipeline,
            "target": "local",
            "state": "done",
            "started": started.isoformat(),
            "finished": (started + timedelta(seconds=seconds)).isoformat(),
            "seconds": seconds,
            "parameters": {},
            "exit_code": 0,
            "error": "",
            "tasks": tasks,
        } | values
        folder = self.root / "runs" / run
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "run.json").write_text(json.dumps(record, indent=1))
        return record


def queried_root(root: Path) -> RootWriter:
    """Two runs that asked for the same rows: the second took what is made of them from the cache."""
    written = RootWriter(root)
    for run, offset in ((FIRST, 0.0), (SECOND, 1500.0)):
        # (A query is asked each time: its executions have keys of their own.)
        asked = written.execution(run, "query", outputs={"table": {"rows": 5}}, parameters={"": run}, offset=offset)
        if run == FIRST:
            written.execution(run, "ingest", inputs={"table": asked["outputs"]["table"]}, outputs={"examples": {}})
        else:
            written.reuse(run, FIRST, "ingest")
        written.run(run, offset=offset, parameters={"data": "data/taxi", "train_steps": 9})
    lineage.flush()
    return written


def taxi_root(root: Path) -> RootWriter:
    """Three runs of a taxi pipeline; 1: pushed as version 1; 2: more steps, not blessed; 3: the data had anomalies."""
    writer = RootWriter(root)
    _good(writer, FIRST, steps=500, auc=0.9371, blessed=True)
    _good(writer, SECOND, steps=50, auc=0.8712, blessed=False, offset=1505.0)
    _rejected(writer, FAILED, offset=3305.0)
    lineage.flush()
    return writer


LOOK = "taxi-watch-20261121-060000-1a2b"
NEXT = "taxi-20261121-060005-9c3d"


def watched_root(root: Path) -> RootWriter:
    """A version that was pushed, a look at it that found drift, and the run that look began, which pushed the next."""
    writer = RootWriter(root)
    for run, version in ((FIRST, 1), (NEXT, 2)):
        model = writer.execution(run, "train", parameters={"steps": version}, outputs={"model": {"steps": version}})
        digest = model["outputs"]["model"]["metadata"]["digest"]
        pushed = {"pushed": True, "version": version, "destination": "/srv/taxi", "created": True}
        writer.execution(
            run,
            "push",
            inputs={"model": model["outputs"]["model"]},
            outputs={"pushed_model": pushed | {"model_digest": digest}},
        )
        if run == FIRST:
            seen = {"state": "drifted", "reason": "fare", "version": 1, "model_digest": digest}
            look = RootWriter(root, "taxi-watch")
            look.execution(LOOK, "watch", outputs={"watched": seen})
            look.run(LOOK, by="anna", offset=30000.0)
    writer.run(FIRST, by="anna")
    writer.run(NEXT, by=f"anna, watch {LOOK}", offset=30005.0)
    lineage.flush()
    return writer


def _good(writer: RootWriter, run: str, *, steps: int, auc: float, blessed: bool, offset: float = 0.0) -> None:
    first = run == FIRST

    def make(task: str, cached: bool = False, **values: Any) -> dict[str, Any]:
        if cached and not first:
            return writer.reuse(run, FIRST, task)["outputs"]
        return writer.execution(run, task, offset=offset, **values)["outputs"]

    splits = {"splits": ["eval", "train"], "rows": 9911, "rows_eval": 3311, "rows_train": 6600}
    examples = make(
        "ingest",
        True,
        parameters={"data": "/data/taxi"},
        outputs={"examples": splits, "sample": {"sample_rows": 10}},
        pages={"sample": report.page("Raw data", report.section("train: 10 of 6,600 rows", report.paragraph("Cash")))},
    )["examples"]
    made = make(
        "statistics",
        True,
        inputs={"examples": examples},
        outputs={"statistics": {"splits": ["eval", "train"], "rows": 9911}, "report": {}},
        pages={"report": _statistics_page("Statistics")},
    )
    statistics = made["statistics"]
    schema = make(
        "schema", True, inputs={"statistics": statistics}, outputs={"schema": {"features": 18, "source": "inferred"}}
    )["schema"]
    make(
        "validate",
        True,
        inputs={"statistics": statistics, "schema": schema},
        outputs={"anomalies": {"valid": True, "anomalies": 0, "errors": 0, "summary": "no anomalies"}, "report": {}},
        pages={"report": report.page("Anomalies", report.section("Split train", report.paragraph("No anomalies.")))},
    )
    transformed = make(
        "transform",
        True,
        inputs={"examples": examples, "schema": schema},
        outputs={"transform_graph": {"features": 17}, "transformed_examples": splits},
    )
    make(
        "transformed-statistics",
        True,
        inputs={"examples": transformed["transformed_examples"]},
        outputs={"statistics": {"splits": ["eval", "train"], "rows": 9911}, "report": {}},
        pages={"report": _statistics_page("Statistics")},
    )
    model = make(
        "train",
        inputs={**transformed, "schema": schema},
        parameters={"train_steps": steps, "eval_steps": 50, "hub_token": "hf_verySecretValue"},
        outputs={
            "model": {"steps": steps, "signatures": ["serving_default", "transform_features"]},
            "model_run": {},
            "metrics": {"loss": 0.31 - steps / 5000, "val_loss": 0.33 - steps / 6000},
            "report": {},
        },
        pages={"report": _training_page(steps)},
    )["model"]
    baseline = make(
        "resolve",
        inputs={"model": model},
        parameters={"destination": "/srv/taxi", "attempt": run},
        outputs={
            "baseline_model": {
                "found": not first,
                "version": 0 if first else 1,
                "reason": "none: nothing was pushed before" if first else "version 1",
            }
        },
    )["baseline_model"]
    rates = [position / 20 for position in range(21)]
    blessing = make(
        "evaluate",
        inputs={"examples": examples, "model": model, "baseline_model": baseline, "schema": schema},
        outputs={
            "evaluation": {"rows": 3311, "slices": 24},
            "blessing": {
                "blessed": blessed,
                "baseline": not first,
                "better": {"auc": "higher"},
                "reason": "all thresholds met; there is no baseline yet"
                if blessed
                else "auc 0.8712 is below 0.9 (all examples)",
            },
            "metrics": {"auc": auc, "binary_accuracy": auc - 0.06, "loss": 1 - auc, "example_count": 3311.0},
            "classification": {
                "confidenceMetrics": [
                    {"confidenceThreshold": 1 - rate, "falsePositiveRate": rate, "recall": rate ** (1 - auc)}
                    for rate in rates
                ]
            },
            "report": {},
        },
        pages={"report": _evaluation_page(auc, blessed)},
    )["blessing"]
    pushed = {"pushed": True, "version": 1, "destination": "/srv/taxi", "created": True}
    make(
        "push",
        inputs={"model": model, "blessing": blessing},
        parameters={"destination": "/srv/taxi"},
        outputs={"pushed_model": pushed if blessed else {"pushed": False, "reason": "auc 0.8712 is below 0.9"}},
    )
    writer.run(
        run,
        offset=offset,
        seconds=36.2 if first else 20.4,
        parameters={"data": "/data/taxi", "train_steps": steps, "eval_steps": 50, "hub_token": "hf_verySecretValue"},
    )


def _rejected(writer: RootWriter, run: str, offset: float) -> None:
    def make(task: str, **values: Any) -> dict[str, Any]:
        return writer.execution(run, task, offset=offset, **values)["outputs"]

    splits = {"splits": ["eval", "train"], "rows": 120, "rows_eval": 40, "rows_train": 80}
    examples = make("ingest", parameters={"data": "/data/<script>alert(1)</script>"}, outputs={"examples": splits})[
        "examples"
    ]
    made = make(
        "statistics",
        inputs={"examples": examples},
        outputs={"statistics": {"splits": ["eval", "train"], "rows": 120}, "report": {}},
        pages={"report": _statistics_page("Statistics")},
    )
    schema = make(
        "schema", inputs={"statistics": made["statistics"]}, outputs={"schema": {"features": 18, "source": "curated"}}
    )["schema"]
    summary = "fare: expected a number, found text; payment_type: unexpected value <script>alert(2)</script>"
    rows = [
        ("train", "fare", "ERROR", "expected a number, found text"),
        ("train", "payment_type", "ERROR", "<script>alert(2)</script>"),
    ]
    make(
        "validate",
        inputs={"statistics": made["statistics"], "schema": schema},
        outputs={"anomalies": {"valid": False, "anomalies": 2, "errors": 2, "summary": summary}, "report": {}},
        pages={
            "report": report.page(
                "Anomalies",
                report.section("Split train", report.table(["split", "feature", "severity", "reason"], rows)),
            )
        },
    )
    (writer.root / "runs" / run).mkdir(parents=True, exist_ok=True)
    error = f"the data did not pass validate: {summary}; its report has them"
    (writer.root / "runs" / run / "transform.log").write_text(f"progress: started\nerror: {error}\n")
    record = {"pipeline": "taxi", "task": "transform", "stage": "transform", "key": "0" * 32, "run": run, "inputs": {}}
    begin, seconds = SECONDS["transform"][0], 0.7
    moments = [(START + timedelta(seconds=offset + begin + each)).isoformat() for each in (0.0, seconds)]
    lineage.started(writer.root, run, record | {"started": moments[0]})
    lineage.ended(writer.root, run, record | {"finished": moments[1]}, "failed", error)
    writer.run(
        run,
        offset=offset,
        seconds=6.3,
        state="failed",
        exit_code=65,
        error=f"transform: {error}",
        states={"transform": "failed"},
        errors={"transform": error},
        parameters={"data": "/data/<script>alert(1)</script>", "train_steps": 500},
    )


@functools.cache
def _statistics_page(title: str) -> str:
    sections = []
    for feature in ("trip_miles", "fare", "trip_start_hour"):
        figure = report.figure(5.0, 1.8)
        axes = figure.add_subplot()
        axes.bar(range(20), [math.exp(-position / 6) * len(feature) for position in range(20)], label="train")
        axes.plot(
            range(20),
            [math.exp(-position / 5) * len(feature) for position in range(20)],
            color=report.COLORS[1],
            label="eval",
        )
        axes.legend()
        rows = [("train", 6600, 0, 3.2 + len(feature)), ("eval", 3311, 1, 3.1 + len(feature))]
        sections.append(
            report.section(
                feature,
                report.table(["split", "count", "missing", "mean"], rows),
                report.drawing(figure, f"Distribution of {feature}"),
            )
        )
    return report.page(title, *sections)


@functools.cache
def _training_page(steps: int) -> str:
    figure = report.figure(7.0, 2.4)
    axes = figure.add_subplot()
    axes.plot([0.7 * math.exp(-step / 15) + 0.2 for step in range(50)], label="train")
    axes.plot([0.7 * math.exp(-step / 14) + 0.22 for step in range(50)], label="eval")
    axes.legend()
    return report.page(
        "Training",
        report.section(
            "Loss", report.paragraph(f"{steps} steps, token hf_verySecretValue"), report.drawing(figure, "Loss")
        ),
    )


@functools.cache
def _evaluation_page(auc: float, blessed: bool) -> str:
    figure = report.figure(3.2, 3.0)
    axes = figure.add_subplot()
    axes.plot([0, 0.1, 0.3, 1], [0, 0.6, 0.9, 1])
    outcome = report.text("met", "good") if blessed else report.text("not met", "bad")
    return report.page(
        "Evaluation",
        report.section("Blessing", report.table(["threshold", "value", "outcome"], [("auc ≥ 0.9", auc, outcome)])),
        report.section("ROC curve", report.drawing(figure, "ROC curve")),
    )
