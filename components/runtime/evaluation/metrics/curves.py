"""TFMA's metrics of curves, which are undefined where the examples lack one of the two classes.

TFMA itself gives 0 there, or another number, and averages it in with those of the other classes: a curve without points
then looks like the worst model. These take the places of TFMA's under their names, on every way of computing; NaN goes
on into averages, differences and thresholds by itself.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from tensorflow_model_analysis.metrics import confusion_matrix_metrics as tfma_metrics
from tensorflow_model_analysis.metrics import metric_types


class OfBothClasses:
    """Mixed into a metric of a confusion matrix at several thresholds.

    `_metric_value` is TFMA's own private method, read in 0.52.0. Where another version no longer goes by it,
    tests/components/evaluate/metrics/test_undefined.py: test_curves_of_one_class_are_undefined_without_any_plot fails.
    """

    def _metric_value(self, key: metric_types.MetricKey, matrices: Any, **settings: Any) -> Any:
        with np.errstate(divide="ignore", invalid="ignore"):
            value = super()._metric_value(key=key, matrices=matrices, **settings)  # type: ignore[misc]
        # At any threshold: who is positive and who is not does not depend on it.
        positives, negatives = matrices.tp[0] + matrices.fn[0], matrices.fp[0] + matrices.tn[0]
        if positives > 0 and negatives > 0:
            return value
        return np.full_like(value, math.nan) if isinstance(value, np.ndarray) else math.nan


class AUC(OfBothClasses, tfma_metrics.AUC):
    """Area under the ROC (or the precision-recall) curve."""


class AUCPrecisionRecall(OfBothClasses, tfma_metrics.AUCPrecisionRecall):
    """Area under the precision-recall curve."""


class SensitivityAtSpecificity(OfBothClasses, tfma_metrics.SensitivityAtSpecificity):
    """Highest sensitivity at no less than a specificity."""


class SpecificityAtSensitivity(OfBothClasses, tfma_metrics.SpecificityAtSensitivity):
    """Highest specificity at no less than a sensitivity."""


class PrecisionAtRecall(OfBothClasses, tfma_metrics.PrecisionAtRecall):
    """Highest precision at no less than a recall."""


class RecallAtPrecision(OfBothClasses, tfma_metrics.RecallAtPrecision):
    """Highest recall at no less than a precision."""


class RecallAtFalsePositiveRate(OfBothClasses, tfma_metrics.RecallAtFalsePositiveRate):
    """Highest recall at no more than a false positive rate."""


class ThresholdAtRecall(OfBothClasses, tfma_metrics.ThresholdAtRecall):
    """Highest threshold at no less than a recall."""


for _kind in OfBothClasses.__subclasses__():
    metric_types.register_metric(_kind)
