"""The slices that an EvalConfig asks for, and those that its thresholds are on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tensorflow_model_analysis.proto import config_pb2

from components.runtime.errors import InputError

try:
    from tfx_bsl.arrow import sql_util
except ImportError:
    sql_util = None


def slice_features(config: config_pb2.EvalConfig) -> set[str]:
    """Names of the features that any slice is cut by."""
    return {key for spec in _slicing_specs(config) for key in (*spec.feature_keys, *spec.feature_values)}


def _slicing_specs(config: config_pb2.EvalConfig) -> list[config_pb2.SlicingSpec]:
    """All that stand anywhere, those of thresholds included."""
    specs = list(config.slicing_specs)
    for cross in [*config.cross_slicing_specs, *(spec for _, spec in _cross_thresholds(config))]:
        specs += [cross.baseline_spec, *cross.slicing_specs]
    return specs + [spec for _, spec in _slice_thresholds(config)]


def _slice_thresholds(config: config_pb2.EvalConfig) -> Iterator[tuple[str, config_pb2.SlicingSpec]]:
    """Names of metrics, and slices that thresholds of theirs are on."""
    for entry in config.metrics_specs:
        for metric in entry.metrics:
            for threshold in metric.per_slice_thresholds:
                yield from ((metric.class_name, spec) for spec in threshold.slicing_specs)
        for name, thresholds in entry.per_slice_thresholds.items():
            for threshold in thresholds.thresholds:
                yield from ((name, spec) for spec in threshold.slicing_specs)


def _cross_thresholds(config: config_pb2.EvalConfig) -> Iterator[tuple[str, config_pb2.CrossSlicingSpec]]:
    """Names of metrics, and pairs of slices that thresholds of theirs are on."""
    for entry in config.metrics_specs:
        for metric in entry.metrics:
            for threshold in metric.cross_slice_thresholds:
                yield from ((metric.class_name, spec) for spec in threshold.cross_slicing_specs)
        for name, thresholds in entry.cross_slice_thresholds.items():
            for threshold in thresholds.thresholds:
                yield from ((name, spec) for spec in threshold.cross_slicing_specs)


def check_slices(file: str, config: config_pb2.EvalConfig) -> None:
    """Slices can be cut, and all that a threshold or a pair needs are asked for: nothing else is measured."""
    for spec in _slicing_specs(config):
        both = sorted(set(spec.feature_keys) & set(spec.feature_values))
        if both:
            raise InputError(
                f"{file}: a slicing spec has {both[0]!r} in both feature_keys and feature_values; "
                "keep the one that is meant: each of its values, or this one"
            )
        if spec.slice_keys_sql and sql_util is None:
            raise InputError(
                f"{file}: slice_keys_sql needs a tfx-bsl with SQL, which no wheel of it has; slice by feature_keys "
                "and feature_values, or let the transform compute the feature to slice by"
            )
    # Without any, TFMA measures all examples as one.
    measured = list(config.slicing_specs) or [config_pb2.SlicingSpec()]
    for name, spec in _slice_thresholds(config):
        _check_measured(f"{file}: a threshold of {name!r}", spec, measured)
    for cross in config.cross_slicing_specs:
        for spec in (cross.baseline_spec, *cross.slicing_specs):
            _check_measured(f"{file}: cross_slicing_specs", spec, measured)
    for name, cross in _cross_thresholds(config):
        for spec in cross.slicing_specs or [None]:
            if not any(_compares(other, cross.baseline_spec, spec) for other in config.cross_slicing_specs):
                raise InputError(
                    f"{file}: a threshold of {name!r} is on {cross_name(cross)}, which no cross_slicing_specs asks "
                    "for; add the same cross_slicing_specs beside slicing_specs"
                )


def _check_measured(where: str, spec: config_pb2.SlicingSpec, measured: Iterable[config_pb2.SlicingSpec]) -> None:
    if spec.slice_keys_sql or any(_covers(other, spec) for other in measured):
        return
    wanted = "".join(f' feature_keys: "{key}"' for key in sorted({*spec.feature_keys, *spec.feature_values}))
    raise InputError(
        f"{where} is on the slice {slice_spec_name(spec)}, which no slicing_specs asks for; "
        f"add slicing_specs {{{wanted} }}"
    )


def _covers(measured: config_pb2.SlicingSpec, wanted: config_pb2.SlicingSpec) -> bool:
    """Whether slices of one spec can be slices of the other."""
    if {*measured.feature_keys, *measured.feature_values} != {*wanted.feature_keys, *wanted.feature_values}:
        return False
    shared = set(measured.feature_values) & set(wanted.feature_values)
    return all(measured.feature_values[key] == wanted.feature_values[key] for key in shared)


def _compares(
    cross: config_pb2.CrossSlicingSpec, baseline: config_pb2.SlicingSpec, other: config_pb2.SlicingSpec | None
) -> bool:
    """Whether a pair is among those of a spec; without the other slice, whether all pairs of the baseline are."""
    if not _covers(cross.baseline_spec, baseline):
        return False
    return not cross.slicing_specs or (other is not None and any(_covers(spec, other) for spec in cross.slicing_specs))


def slice_spec_name(spec: config_pb2.SlicingSpec) -> str:
    """A slicing spec as people read it."""
    parts = [f"{name}={value}" for name, value in sorted(spec.feature_values.items())]
    return ", ".join([*parts, *(f"{name}=*" for name in spec.feature_keys)]) or spec.slice_keys_sql or "overall"


def cross_name(spec: config_pb2.CrossSlicingSpec) -> str:
    """A spec of pairs of slices as people read it."""
    others = ", ".join(map(slice_spec_name, spec.slicing_specs)) or "every other slice"
    return f"{slice_spec_name(spec.baseline_spec)} against {others}"
