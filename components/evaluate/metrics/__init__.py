"""The metrics that are ours: what an EvalConfig names with `module: "components.evaluate.metrics"`.

`__all__` is a promise to users, which docs/model-code.md lists. The import also puts classes of ours in the places of
some of TFMA's.
"""

import components.evaluate.metrics.curves
import components.evaluate.metrics.tfma_repairs  # noqa: F401
from components.evaluate.metrics.interval import LowerBound, UpperBound
from components.evaluate.metrics.lift import MajorityLift
from components.evaluate.metrics.regression import AbsoluteErrorLift, RegressionPlot, SquaredErrorLift
from components.evaluate.metrics.segmentation import (
    ClassIoU,
    MeanIoU,
    MeanIoULift,
    PixelAccuracy,
    PixelAccuracyLift,
    PixelConfusionMatrixPlot,
)
from components.evaluate.metrics.top_lift import TopLift

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
