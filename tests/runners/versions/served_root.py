"""A pipeline root whose runs pushed versions for real, of small folders in place of SavedModels."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from components.push.push import push
from components.runtime.lineage import record as lineage
from components.runtime.stage.artifacts import InputArtifact, OutputArtifact, content_digest
from tests.components.push.serving_support import make_blessing, make_model
from tests.runners.history.pipeline_roots import RootWriter


@dataclass
class ServedRoot:
    """Pushes versions of taxi, each by a run.

    Attributes:
      scratch: where models are made.
      runs: ids, in their order.
    """

    root: Path
    scratch: Path
    runs: list[str] = field(default_factory=list)
    _count: itertools.count[int] = field(default_factory=itertools.count)

    @property
    def serving(self) -> Path:
        return self.root / "serving" / "taxi"

    @property
    def versions(self) -> list[str]:
        return sorted(entry.name for entry in self.serving.iterdir() if entry.name.isdecimal())

    def copied(self, folder: Path) -> ServedRoot:
        """The same in another folder, as if the runs had been there."""
        root = folder / "root"
        shutil.copytree(self.root, root, symlinks=True)
        for record in root.glob("artifacts/*/push/*/execution.json"):
            record.write_text(record.read_text().replace(str(self.root), str(root)))
        return ServedRoot(root, folder, list(self.runs), itertools.count(100))

    def pushed(
        self, content: str, *, data: str = "august", steps: int = 500, network: str = "wide", features: str = "scaled",
        spans: Mapping[str, Any] = MappingProxyType({}), place: str = "/data/taxi",
    ) -> str:  # fmt: skip
        """A run that pushes a model; returns the version.

        Args:
          content: of the model.
          data: that it was trained on.
          steps: a hyperparameter.
          network: content of its model.py.
          features: content of its preprocessing.py.
          spans: what is told of the data's spans.
          place: where the data lies.
        """
        number = next(self._count)
        run = f"taxi-20261120-{number:06d}-aaaa"
        offset = number * 3600.0
        writer = RootWriter(self.root)
        code = self.scratch / "code"
        code.mkdir(exist_ok=True)
        (code / "model.py").write_text(network)
        (code / "preprocessing.py").write_text(features)
        examples = writer.execution(
            run,
            "ingest",
            parameters={"data": place, "attempt": run},
            outputs={"examples": {"rows": 9, "content": data, **spans}},
            offset=offset,
        )["outputs"]["examples"]
        transformed = writer.execution(
            run,
            "transform",
            inputs={"examples": examples},
            parameters={"module_file": str(code / "preprocessing.py"), "custom_config": {}},
            outputs={"transform_graph": {"features": 17}, "transformed_examples": {"rows": 9}},
            offset=offset,
        )["outputs"]
        model = writer.execution(
            run,
            "train",
            inputs=transformed,
            parameters={"module_file": str(code / "model.py"), "train_steps": steps, "hyperparameters_file": ""},
            outputs={"model": {"steps": steps, "content": content}},
            offset=offset,
        )["outputs"]["model"]
        judged = writer.execution(
            run,
            "evaluate",
            inputs={"examples": examples, "model": model},
            outputs={
                "blessing": {"blessed": True, "baseline": bool(number), "reason": "all 2 thresholds hold"},
                "metrics": {"auc": 0.9 + number / 1000},
            },
            offset=offset,
        )["outputs"]
        told = self._push(content)
        writer.execution(
            run,
            "push",
            inputs={"model": model, "blessing": judged["blessing"]},
            parameters={"destination": str(self.serving), "attempt": run},
            outputs={"pushed_model": told},
            offset=offset,
        )
        writer.run(run, offset=offset, by="anna")
        lineage.flush()
        self.runs.append(run)
        return str(told["version"])

    def _push(self, content: str) -> dict[str, object]:
        model, blessing = self.scratch / content, self.scratch / "blessing"
        if not model.exists():
            make_model(model, content)
        if not blessing.exists():
            make_blessing(blessing)
        output = OutputArtifact("pushed_model", str(self.scratch / f"pushed-{next(self._count)}"))
        given = InputArtifact("model", str(model), {"digest": content_digest(model)})
        push(given, InputArtifact("blessing", str(blessing), {}), None, None, str(self.serving), output)
        return output.metadata


def served_root(folder: Path, models: int = 3) -> ServedRoot:
    """One with versions 1 to `models`, each with other data: releases 1.0, 1.1, 1.2."""
    made = ServedRoot(folder / "root", folder)
    for number in range(1, models + 1):
        made.pushed(f"model{number}", data=f"month{number}")
    return made
