"""The metrics that are ours; an EvalConfig names them with `module: "components.evaluate.metrics"`.

The import also puts classes of ours in the places of some of TFMA's.
"""

import components.runtime.evaluation.metrics.curves
import components.runtime.evaluation.metrics.tfma_repairs  # noqa: F401
from components.runtime.evaluation.metrics.interval import LowerBound, UpperBound
from components.runtime.evaluation.metrics.lift import MajorityLift
from components.runtime.evaluation.metrics.regression import AbsoluteErrorLift, RegressionPlot, SquaredErrorLift
from components.runtime.evaluation.metrics.segmentation import (
    ClassIoU,
    MeanIoU,
    MeanIoULift,
    PixelAccuracy,
    PixelAccuracyLift,
    PixelConfusionMatrixPlot,
)
from components.runtime.evaluation.metrics.top_lift import TopLift

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
