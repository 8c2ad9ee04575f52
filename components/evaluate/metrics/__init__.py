"""The metrics that are ours under the name that an EvalConfig has for them: `module: "components.evaluate.metrics"`.

`__all__` is a promise to users, which docs/model-code.md lists.
"""

from components.runtime.evaluation.metrics import (
    AbsoluteErrorLift,
    ClassIoU,
    LowerBound,
    MajorityLift,
    MeanIoU,
    MeanIoULift,
    PixelAccuracy,
    PixelAccuracyLift,
    PixelConfusionMatrixPlot,
    RegressionPlot,
    SquaredErrorLift,
    TopLift,
    UpperBound,
)

__all__ = [
    "AbsoluteErrorLift",
    "ClassIoU",
    "LowerBound",
    "MajorityLift",
    "MeanIoU",
    "MeanIoULift",
    "PixelAccuracy",
    "PixelAccuracyLift",
    "PixelConfusionMatrixPlot",
    "RegressionPlot",
    "SquaredErrorLift",
    "TopLift",
    "UpperBound",
]
