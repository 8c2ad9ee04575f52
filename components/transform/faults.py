"""Tells the user's faults from ours in what Beam and TensorFlow raise while they run preprocessing_fn."""

from __future__ import annotations

import re

import tensorflow as tf

from components.runtime.errors import STEP, InputError, causes, classify

_LENGTH = 400
# With and without the places in Python where nodes were made.
_TRACE = re.compile(
    r"Graph execution error:\s*(?:.*<stack traces unavailable>\s*|(?:Detected at node [^\n]*\s*(?:File [^\n]*\s*)*)+)",
    re.DOTALL,
)
_NOISE = re.compile(rf"\s*(?:\[\[\{{\{{.*?\}}\}}\]\]|\[Op:\w*\](?: name:[^\n]*)?|{STEP})|\{{\{{function_node .*?\}}\}}")
_USERS = (ValueError, TypeError, tf.errors.InvalidArgumentError, tf.errors.FailedPreconditionError)


def users_fault(error: Exception, what: str) -> InputError | None:
    """Returns an error for the user, or None when it is not the user's fault or has been told already.

    Args:
      error: raised while preprocessing_fn ran over data.
      what: what was being done, and with which data.
    """
    operations = [cause for cause in causes(error) if isinstance(cause, tf.errors.OpError)]
    root = operations[-1] if operations else error
    if classify(error) is not None or not isinstance(root, _USERS):
        return None
    reason = " ".join(_NOISE.sub("", _TRACE.sub("", str(root))).split())
    if len(reason) > _LENGTH:
        reason = f"{reason[:_LENGTH]}…"
    return InputError(f"{what} by preprocessing_fn fails: {reason}")
