"""Compares the candidates of a run, and hands on the best of those that are blessed.

What publishes gets a model and its blessing as from one training alone, and needs not know that there were several.
"""

from __future__ import annotations

import json
from typing import Any

from components.choose import candidates as reading
from components.choose import page
from components.runtime.errors import InputError, did_you_mean
from components.runtime.publish import blessing as blessings
from components.runtime.publish import serving
from components.runtime.stage.artifacts import BOOKKEEPING, InputArtifact, OutputArtifact, copy_folder
from components.runtime.stage.progress import report as progress

_WAYS = ("higher", "lower")


def choose(
    candidates: list[str],
    metric: str,
    better: str,
    model: OutputArtifact,
    blessing: OutputArtifact,
    metrics: OutputArtifact,
    choice: OutputArtifact,
    report: OutputArtifact,
    **artifacts: InputArtifact,
) -> dict[str, Any]:
    """Compares the candidates and copies the best one.

    Args:
      candidates: their names, in the order that decides between two that are as good.
      metric: over all examples, which decides; empty for the first that has a threshold with a direction.
      better: `higher` or `lower`; empty where a threshold says it.
      model: gets that of the chosen candidate; of the best one where none is blessed.
      blessing: gets its blessing with the candidate's name; where none is blessed, the reasons of all.
      metrics: gets its metrics as metadata.
      choice: gets `choice.json`.
      report: gets the page.
      artifacts: `model_<candidate>` and `blessing_<candidate>` of each, `-` in its name as `_`.

    Returns:
      `candidate`; empty where none is blessed.

    Raises:
      InputError: nothing says which one is best, or a blessing is of another model.
    """
    if better not in ("", *_WAYS):
        raise InputError(f"better: {better!r}{did_you_mean(better, _WAYS)}; expected higher or lower, or nothing")
    known = [_read(name, artifacts) for name in candidates]
    if not known:
        raise InputError("there are no candidates to choose from; name some in the settings: candidates")
    made = reading.choose(known, metric, better)
    best = made.best
    digest = serving.model_digest(serving.saved_model_files(best.model))
    if not blessings.is_of(blessings.document(best.blessing), digest):
        raise InputError(f"candidate {best.name}: its blessing is of another model; evaluate it again")
    progress(made.why)
    copy_folder(best.model.path, model.path)
    model.metadata |= {key: value for key, value in best.model.metadata.items() if key not in BOOKKEEPING}
    model.metadata["candidate"] = best.name
    reason = f"{made.why}; {best.reason}" if best.blessed else made.why
    blessing.metadata |= {key: value for key, value in best.blessing.metadata.items() if key not in BOOKKEEPING}
    blessing.metadata["candidate"] = best.name
    blessings.pass_on(best.blessing, blessing, {"candidate": best.name, "reason": reason})
    metrics.metadata |= best.metrics
    facts = {"candidate": best.name, "metric": made.metric, "better": made.better, "why": made.why}
    lines = [
        {"name": each.name, "blessed": each.blessed, "reason": each.reason, "value": each.metrics.get(made.metric)}
        for each in known
    ]
    (choice.directory() / "choice.json").write_text(json.dumps(facts | {"candidates": lines}, indent=1) + "\n")
    choice.metadata |= facts | {"blessed": best.blessed, "candidates": candidates}
    if made.metric in best.metrics:
        choice.metadata["value"] = best.metrics[made.metric]
    report.path.write_text(page.render(known, made), encoding="utf-8")
    return {"candidate": best.name if best.blessed else ""}


def _read(name: str, artifacts: dict[str, InputArtifact]) -> reading.Candidate:
    place = name.replace("-", "_")
    try:
        return reading.read(name, artifacts[f"model_{place}"], artifacts[f"blessing_{place}"])
    except KeyError as error:
        raise InputError(f"candidate {name}: the input artifact {error} is missing") from None
