"""The transform stage: refuses data that validate found invalid, before TensorFlow is imported."""

from __future__ import annotations

from typing import Any

from components.runtime.data import validity
from components.runtime.errors import InputError
from components.runtime.stage import imports
from components.runtime.stage.artifacts import InputArtifact, OutputArtifact

ON_NOT_FINITE = ("warn", "fail")


def transform(
    examples: InputArtifact,
    schema: InputArtifact,
    anomalies: InputArtifact | None,
    module_file: str,
    custom_config: dict[str, Any],
    beam_options: list[str],
    on_not_finite: str,
    transform_graph: OutputArtifact,
    transformed_examples: OutputArtifact,
    report: OutputArtifact,
) -> None:
    """Runs preprocessing_fn over the split `train`, and what it learned there over every split.

    Args:
      examples: tf.Examples in splits.
      schema: of the examples; decides which features come dense and which sparse.
      anomalies: what validate found; None for data that nobody validates.
      module_file: Python file with `preprocessing_fn(inputs)` or `preprocessing_fn(inputs, custom_config)`.
      custom_config: handed to the second form.
      beam_options: Beam's command line options; the default runs in this process.
      on_not_finite: what transformed values that are NaN or infinite do: `warn`, or `fail`, which ends the stage.
      transform_graph: gets what `tft.TFTransformOutput` reads.
      transformed_examples: gets every split, records in the order of the input.
      report: page with the transformed features and the count of values that are not finite.

    Raises:
      InputError: the data is invalid; the module, the schema or the data is wrong; or there are values that are not
        finite and `on_not_finite` is `fail`.
    """
    if on_not_finite not in ON_NOT_FINITE:
        raise InputError(f"on_not_finite is {on_not_finite!r}; write {' or '.join(ON_NOT_FINITE)}")
    if anomalies is not None:
        validity.check(anomalies)
    with imports.quick():
        from components.transform.dataset import transform_dataset

    transform_dataset(
        examples,
        schema,
        module_file,
        custom_config,
        beam_options,
        fail_on_not_finite=on_not_finite == "fail",
        transform_graph=transform_graph,
        transformed_examples=transformed_examples,
        report=report,
    )
