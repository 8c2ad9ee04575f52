"""Makes of a blessed model what devices, browsers and other runtimes take, and holds each to the model's own gates.

What comes out is the blessing that came in, so that whatever publishes needs not know of this stage; push finds what
passed beside it. An export that fails keeps nobody from publishing the model.
"""

from __future__ import annotations

import itertools
import json
import math
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from components.export import page
from components.export.gates import Gates
from components.export.made import Made, Workshop, check_bounds
from components.export.measuring import BATCH
from components.export.source import Source, check_features
from components.runtime.data import tfrecord
from components.runtime.errors import InputError
from components.runtime.evaluation.configuration import reading
from components.runtime.publish import blessing as blessings
from components.runtime.publish import export_formats as asking
from components.runtime.publish import serving
from components.runtime.stage.artifacts import InputArtifact, OutputArtifact, copy_folder
from components.runtime.stage.progress import report as progress

_MB = 1e6


def export(
    model: InputArtifact,
    blessing: InputArtifact,
    examples: InputArtifact,
    schema: InputArtifact,
    eval_config_file: str,
    example_splits: list[str],
    formats: dict[str, Any],
    bounds: dict[str, float],
    representative_split: str,
    representative_rows: int,
    export_blessing: OutputArtifact,
    metrics: OutputArtifact,
    report: OutputArtifact,
) -> dict[str, Any]:
    """Converts, evaluates and measures.

    Args:
      model: `Format-Serving/` with a SavedModel.
      blessing: of evaluate, or of a stage behind it; of a model without one nothing is made.
      examples: raw tf.Examples in splits.
      schema: `schema.pbtxt` of the raw examples.
      eval_config_file: `tensorflow_model_analysis.EvalConfig` as text.
      example_splits: splits to evaluate on.
      formats: by name what `formats.Format` has.
      bounds: `loss`, `size_mb`, `p50_ms`.
      representative_split: the split whose first rows int8 takes its ranges from.
      representative_rows: how many.
      export_blessing: gets the blessing, `exports/NAME`, and `exports.json`.
      metrics: gets what was measured as metadata.
      report: gets the page.

    Returns:
      `passed`.

    Raises:
      InputError: a format or an option that there is not, a model of which nothing can be made, examples without the
        splits, or a blessing of another model.
    """
    asked = asking.read(formats)
    held_to = check_bounds(bounds)
    if representative_rows < 1:
        raise InputError(f"representative_rows: expected 1 or more, not {representative_rows}")
    document = blessings.document(blessing)
    if not blessings.is_of(document, serving.model_digest(serving.saved_model_files(model))):
        raise InputError("the blessing is of another model; evaluate the model that is to be exported")
    if not document["blessed"]:
        progress(f"nothing exported: the model is not blessed: {document['reason']}")
        blessings.pass_on(blessing, export_blessing, {"exports": {}})
        report.path.write_text(page.not_exported(str(document["reason"])), encoding="utf-8")
        return {"passed": []}
    sample = []
    if needing := [each.name for each in asked if each.quantise == asking.INT8]:
        sample = _rows(examples, representative_split, representative_rows)
        if not sample:
            raise InputError(
                f"formats.{needing[0]}: int8 takes its ranges from rows of the split {representative_split!r}, and "
                "there are none; name another one in export.representative_split"
            )
    tf.get_logger().setLevel("ERROR")  # Its warnings of what is deprecated are none of the user's.
    source = Source(serving.saved_model(model))
    if any(each.format != asking.SAVED_MODEL for each in asked):
        check_features(source)
    gates = Gates(eval_config_file, examples, example_splits, reading.read_schema(schema.path), source.folder)
    with tempfile.TemporaryDirectory(prefix="millrace-exports-") as place:
        rows = _rows(examples, example_splits[0], BATCH)
        workshop = Workshop(source, gates, held_to, rows, sample, Path(place))
        model_cost = workshop.model()
        results = [workshop.make(each) for each in asked]
        made = [each for each, _ in results]
        passed = [each.asked.name for each in made if not each.refused]
        told = {each.asked.name: each.refused for each in made}
        blessings.pass_on(blessing, export_blessing, {"exports": told})
        for each, folder in results:
            if not each.refused:
                target = export_blessing.path / blessings.EXPORTS / each.asked.name
                target.parent.mkdir(exist_ok=True)
                copy_folder(folder, target)
    entries = {each.asked.name: each.as_json() for each in made}
    (export_blessing.path / blessings.EXPORTS_FILE).write_text(json.dumps(entries, indent=1) + "\n")
    export_blessing.metadata |= {"exports": passed, "review": _review(made)}
    if refused := {name: reason for name, reason in told.items() if reason}:
        export_blessing.metadata["exports_refused"] = refused
    metrics.metadata |= _measured(made)
    report.path.write_text(page.render(made, model_cost, held_to, gates.location), encoding="utf-8")
    for each in made:
        progress(f"{each.asked.name}: {'not handed on: ' + each.refused if each.refused else 'passes'}")
    return {"passed": passed}


def _rows(examples: InputArtifact, split: str, count: int) -> list[bytes]:
    files = sorted(examples.split(split).glob("*")) if split in examples.splits else []
    return list(itertools.islice(itertools.chain.from_iterable(map(tfrecord.read, files)), count))


def _review(made: list[Made]) -> str:
    passed = [each.asked.name for each in made if not each.refused]
    refused = [each.asked.name for each in made if each.refused]
    parts = [f"exported as {', '.join(passed)}"] if passed else []
    parts += [f"not as {', '.join(refused)}"] if refused else []
    return ", ".join(parts)


def _measured(made: list[Made]) -> Mapping[str, float]:
    values: dict[str, float] = {}
    for each in made:
        if each.cost is not None:
            values[f"{each.asked.name} size_mb"] = each.cost.size / _MB
            values[f"{each.asked.name} p50_ms"] = each.cost.single
        if each.kept is not None and each.kept.loss is not None and math.isfinite(each.kept.loss):
            values[f"{each.asked.name} loss"] = each.kept.loss
    return values
