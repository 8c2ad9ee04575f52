"""The function that defines a pipeline, as kfp's compiler takes it: its parameters, and what Python cannot ask."""

from __future__ import annotations

import contextlib
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kfp import dsl
from kfp.dsl import pipeline_channel, pipeline_context

from components.runtime.data.span_choice import LATEST
from components.runtime.errors import InputError
from runners.compiled import op_functions, own_pipeline
from runners.settings.folders import shown

if TYPE_CHECKING:
    from kfp.dsl.base_component import BaseComponent

    from runners.compiled.building import Blocks

_PLAIN = (str, int, float, bool, list, dict)


def kfp_pipeline(build: Blocks, define: Callable[..., None]) -> BaseComponent:
    """Has a function define a pipeline.

    Args:
      build: the function's first argument.
      define: its other arguments are the parameters of the pipeline: what can vary from run to run. Those that the
        settings have a value for need neither type nor default.
    """
    settings = build.settings
    defaults: dict[str, Any] = {
        "data": settings.place("data"),
        "train_steps": settings.train.train_steps,
        "eval_steps": settings.train.eval_steps,
        "serving_directory": settings.place("serving_directory"),
        "log": settings.place("log"),
        "data_format": settings.ingest.format,
        "on_anomalies": settings.validate_.on_anomalies,
        "output_format": settings.bulk_infer.output_format,
        "columns": settings.bulk_infer.columns,
        "span": settings.ingest.span or LATEST,
        "spans": settings.ingest.spans or 1,
    }
    _, *others = inspect.signature(define).parameters.values()
    absent: dict[str, None] = {}
    if not settings.is_in_spans:
        absent = {each.name: None for each in others if each.name in ("span", "spans") and each.default is each.empty}
        others = [each for each in others if each.name not in absent]
    parameters = [_parameter(each, define, defaults) for each in others]
    names = [each.name for each in parameters]

    def millrace(*values: Any) -> None:
        with _no_python_if(define.__code__.co_filename):
            define(build, **dict(zip(names, values, strict=True)), **absent)
        if not pipeline_context.Pipeline.get_default_pipeline().tasks:
            raise InputError(f"{own_pipeline.FUNCTION} makes no task; build.stage(NAME, ...) makes one of a stage")

    # By which kfp knows the parameters; it gives their values in this order.
    millrace.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return dsl.pipeline(
        name=settings.pipeline_name,
        description=settings.description,
        pipeline_config=op_functions.run_limits(settings.cluster),
    )(millrace)


@contextlib.contextmanager
def _no_python_if(file: str) -> Iterator[None]:
    """Refuses a Python `if` on what is known when the pipeline runs: to kfp it is always true.

    Args:
      file: has the function that defines the pipeline. (kfp itself asks, too, when it looks something up.)
    """

    def is_true(value: Any) -> bool:
        if sys._getframe(1).f_code.co_filename != file:
            return True
        channel = getattr(value, "left_operand", value)
        if not isinstance(channel, pipeline_channel.PipelineChannel):
            channel = getattr(value, "right_operand", value)
        of = f" of {channel.task_name}" if channel.task_name else ""
        raise InputError(
            f"{channel.name}{of} is known when the pipeline runs, not when it is compiled, so Python cannot ask for "
            "it; write: with dsl.If(...):"
        )

    asked = (pipeline_channel.PipelineChannel, pipeline_channel.ConditionOperation)
    for kind in asked:
        kind.__bool__ = is_true
    try:
        yield
    finally:
        for kind in asked:
            del kind.__bool__


def _parameter(each: inspect.Parameter, define: Callable[..., None], defaults: Mapping[str, Any]) -> inspect.Parameter:
    """A parameter of a pipeline, with type and default.

    Raises:
      InputError: it has no type that a parameter can have.
    """
    kind = own_pipeline.type_of(each, define)
    if each.name in defaults and kind in (each.empty, Any):
        kind = type(defaults[each.name])
    where = f"{shown(Path(define.__code__.co_filename))}:{define.__code__.co_firstlineno}"
    if (getattr(kind, "__origin__", None) or kind) not in _PLAIN:
        known = ", ".join(one.__name__ for one in _PLAIN)
        raise InputError(
            f"{where}: the parameter {each.name!r} has none of the types "
            f"that a pipeline's can have; write {each.name}: str, or one of {known}"
        )
    default = defaults.get(each.name, each.empty) if each.default is each.empty else each.default
    plain = getattr(kind, "__origin__", None) or kind
    if default is each.empty:
        raise InputError(f"{where}: the parameter {each.name!r} needs a default: {each.name}: {plain.__name__} = ...")
    # (A whole number is a float; True is no number.)
    fits = type(default) in ((float, int) if plain is float else (plain,))
    if not fits and default is not None:
        raise InputError(f"{where}: the default of the parameter {each.name!r} is {default!r}, no {plain.__name__}")
    return each.replace(annotation=kind, default=default)
