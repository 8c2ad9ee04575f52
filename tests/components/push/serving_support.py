"""Model and blessing artifacts for tests of push and resolve: real files, no TensorFlow."""

from __future__ import annotations

import json
from pathlib import Path

from components.runtime.stage.artifacts import content_digest


def make_model(folder: Path, content: str = "one", extra_bytes: int = 0) -> Path:
    """A model artifact with the files of a SavedModel."""
    saved = folder / "Format-Serving"
    (saved / "variables").mkdir(parents=True)
    (saved / "assets").mkdir()
    (saved / "saved_model.pb").write_text(f"graph {content}")
    (saved / "fingerprint.pb").write_text(f"fingerprint {content}")
    (saved / "variables" / "variables.index").write_text("index")
    (saved / "variables" / "variables.data-00000-of-00001").write_bytes(content.encode() * 100 + bytes(extra_bytes))
    return folder


def make_blessing(
    folder: Path, blessed: bool = True, model: Path | None = None, baseline: Path | str | None = None
) -> Path:
    """A blessing artifact as evaluate writes it.

    Args:
      folder: where.
      blessed: what it says.
      model: that it is of; it does not say without.
      baseline: the model that this one was compared with; "" for none. It does not say without.
    """
    folder.mkdir(parents=True)
    (folder / ("BLESSED" if blessed else "NOT_BLESSED")).touch()
    document = {"blessed": blessed, "reason": "all 2 thresholds hold" if blessed else "auc 0.71 < 0.85 (overall)"}
    if model is not None:
        document["model_digest"] = content_digest(model)
    if baseline is not None:
        document["baseline_digest"] = content_digest(baseline) if isinstance(baseline, Path) else baseline
    (folder / "blessing.json").write_text(json.dumps(document))
    return folder


def tree(folder: Path) -> dict[str, bytes]:
    """All files of a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
