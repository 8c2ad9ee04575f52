"""A version that is served, and a log of what it was asked: rides that get dearer, while a way to pay vanishes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.runtime.publish import publishing, serving, trained_on
from components.runtime.records import prediction_log
from components.runtime.stage.artifacts import InputArtifact
from components.runtime.stage.executor import Execution
from tests.components.push.serving_support import make_model
from tests.support import executor_input
from tests.support_tfdv import call, run_schema, run_statistics, write_examples

END = datetime(2026, 11, 30, tzinfo=UTC)
PAYMENTS = ("Cash", "Credit Card", "No Charge")
PARAMETERS: dict[str, Any] = {
    "version": 0,
    "every": "1d",
    "windows": 4,
    "until": END.isoformat(),
    "threshold": 0.1,
    "thresholds": {},
    "worse_by": {"auc": 0.05, "accuracy": 0.05, "log_loss": 0.2, "mae": 0.2, "rmse": 0.2},
    "positive": {},
    "slices": [],
    "min_rows": 300,
    "min_labels": 100,
}


@dataclass
class Rides:
    """N rides: `generous` is what a model is to tell, `told` its answer, which goes by the payment alone."""

    fare: np.ndarray
    hour: np.ndarray
    payment: np.ndarray
    generous: np.ndarray
    told: np.ndarray

    @classmethod
    def of(cls, count: int, seed: int, *, drift: float = 0.0) -> Rides:
        """Rides of which a share pays by card no more, though it tips as before, and all of which cost more."""
        random = np.random.default_rng(seed)
        fare = (random.gamma(4, 3, count) + 3) * (1 + drift)
        card = random.random(count) < 0.4
        payment = np.where(card, "Credit Card", np.where(random.random(count) < 0.05, "No Charge", "Cash"))
        payment = np.where(card & (random.random(count) < drift), "Mobile", payment)
        generous = np.where(card, random.random(count) < 0.85, random.random(count) < 0.05).astype(np.int64)
        told = np.clip(np.where(payment == "Credit Card", 0.85, 0.05) + random.normal(0, 0.03, count), 0, 1)
        return cls(fare, random.integers(0, 24, count), payment, generous, told)

    def rows(self) -> list[Mapping[str, Any]]:
        """With the label, as they are trained on."""
        return [
            {"fare": float(fare), "hour": int(hour), "payment": str(payment), "generous": int(generous)}
            for fare, hour, payment, generous in zip(self.fare, self.hour, self.payment, self.generous, strict=True)
        ]


@dataclass
class World:
    """A serving directory and a log."""

    folder: Path
    log_name: str = "log"

    @property
    def serving(self) -> Path:
        return self.folder / "serving" / "rides"

    @property
    def log(self) -> Path:
        return self.folder / self.log_name

    def push(
        self, rides: Rides, metrics: Mapping[str, float] | None = None, *, curated: str = "", tells: bool = True
    ) -> int:
        """Pushes a version that was trained on rides; with the metrics that it had when it was blessed.

        Args:
          rides: half of them are the split train.
          metrics: the version says none without.
          curated: schema in place of an inferred one.
          tells: whether the version has what it was trained on.
        """
        made = self.folder / f"made-{len(list(self.folder.glob('made-*')))}"
        half = len(rides.fare) // 2
        rows = rides.rows()
        write_examples(made / "examples", {"train": rows[:half], "eval": rows[half:]})
        if curated:
            (made / "curated.pbtxt").write_text(curated)
        schema_file = made / "curated.pbtxt" if curated else ""
        run_statistics(made / "examples", made, schema_file=schema_file)
        run_schema(made / "statistics", made, schema_file=schema_file)
        model = InputArtifact("model", str(make_model(made / "model", made.name)), {})
        self.serving.mkdir(parents=True, exist_ok=True)
        about = {"metrics": dict(metrics)} if metrics is not None else {}
        schema, statistics = (InputArtifact(name, str(made / name), {}) for name in ("schema", "statistics"))
        besides = trained_on.files(schema, statistics) if tells else {}
        files = serving.saved_model_files(model)
        return publishing.publish(self.serving, serving.saved_model(model), files, about, besides)

    def ask(
        self, rides: Rides, day: int, version: int = 1, *, labelled: float = 1.0, without: Mapping[str, float] = {}
    ) -> None:
        """Logs rides of a day, the last of which is number 0, and labels for a share of them.

        Args:
          rides: that are asked about.
          day: on which.
          version: which answers.
          labelled: the share of the first ones that get a label.
          without: the share of the first ones that lack a feature.
        """
        count = len(rides.fare)
        start = END - timedelta(days=day + 1)
        times = [start + timedelta(days=1) * (place + 0.5) / count for place in range(count)]
        ids = [f"r{day}-{version}-{place}" for place in range(count)]
        features = {
            "fare": pa.array(rides.fare.astype(np.float32)),
            "hour": pa.array(rides.hour),
            "payment": pa.array(rides.payment),
        }
        for name, share in without.items():
            kept = pa.array(np.arange(count) >= round(count * share))
            features[name] = pc.if_else(kept, features[name], pa.scalar(None, features[name].type))
        prediction = {"outputs": pa.array(rides.told.astype(np.float32))}
        table = prediction_log.table(ids, times, [version] * count, ["serving_default"] * count, features, prediction)
        prediction_log.write(self.log, table)
        known = round(count * labelled)
        if known:
            file = prediction_log.write_labels(
                self.log,
                pa.table(
                    {
                        "prediction_id": ids[:known],
                        "label": pa.array(rides.generous[:known]),
                        "kind": ["explicit"] * known,
                        "time": pa.array([END] * known, prediction_log.TIME),
                    }
                ),
            )
            # (They are written now, and these days are others.)
            file.rename(file.with_name(f"of-day-{day}-{version}{file.suffix}"))

    def arguments(self, **parameters: Any) -> dict[str, Any]:
        """Of the stage, as `executor_input` takes them."""
        given = PARAMETERS | {"log": str(self.log), "destination": str(self.serving)} | parameters
        return {"parameters": given, "outputs": ["watched", "metrics", "report"], "output_parameters": ["drifted"]}

    def watch(self, **parameters: Any) -> Watched:
        """Runs the stage's function in this process."""
        out = self.folder / f"out-{len(list(self.folder.glob('out-*')))}"
        out.mkdir()
        return Watched(call("watch", executor_input(out, **self.arguments(**parameters))), out)


@dataclass(frozen=True)
class Watched:
    """What one look made."""

    execution: Execution
    folder: Path

    @property
    def told(self) -> dict[str, Any]:
        """What `watch.json` says."""
        found: dict[str, Any] = json.loads((self.folder / "watched" / "watch.json").read_text())
        return found

    @property
    def page(self) -> str:
        return (self.folder / "report").read_text()

    def metadata(self, artifact: str) -> dict[str, Any]:
        return self.execution.outputs[artifact].metadata
