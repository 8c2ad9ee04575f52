"""When Argo tries a task again, and after how long."""

from __future__ import annotations

import math
import signal
from collections.abc import Mapping
from typing import Any

from components.runtime.errors import EXIT_TRANSIENT
from runners.argo.options import ArgoOptions

_TERMINATED = 128 + signal.SIGTERM
_AGAIN = f"lastRetry.status == 'Error' || asInt(lastRetry.exitCode) == {EXIT_TRANSIENT}"
"""The beginning of our expression."""


def strategy(policy: Mapping[str, Any], options: ArgoOptions, deadline: int | None) -> dict[str, Any]:
    """The retryStrategy of a template; empty where nothing is tried again.

    Args:
      policy: the IR's RetryPolicy; empty where the task has none.
      options: what holds then.
      deadline: seconds that an attempt may take, where it has a limit.
    """
    limit = attempts(policy, options)
    if not limit:
        return {}
    wait = _seconds(policy.get("backoffDuration"), options.backoff_seconds)
    longest = _seconds(policy.get("backoffMaxDuration"), options.backoff_cap_seconds)
    return {
        "limit": str(limit),
        "retryPolicy": "Always",
        "expression": _lost_or_passing(deadline),
        # Argo waits before it evaluates the expression: a fault that stays is told so much later.
        "backoff": {
            "duration": f"{min(wait, longest)}s",
            "factor": str(_factor(limit, wait, float(policy.get("backoffFactor") or 2), longest)),
        },
    }


def attempts(policy: Mapping[str, Any], options: ArgoOptions) -> int:
    """How many attempts may follow the first, by the IR's RetryPolicy, or where the task has none by the options."""
    return int(policy.get("maxRetryCount", 0)) if policy else options.retries


def _lost_or_passing(deadline: int | None) -> str:
    """Which attempts are followed by another: any other end says that trying again cannot help.

    A passing fault is 75. A pod that was deleted is an Error for Argo; where its end is seen before it is gone, or its
    node shuts down, it has failed with the launcher's code for SIGTERM. So has one that reached its deadline.
    """
    ended = f"asInt(lastRetry.exitCode) == {_TERMINATED}"
    if deadline:
        ended = f"({ended} && asFloat(lastRetry.duration) < {deadline})"
    return f"{_AGAIN} || {ended}"


def is_over(strategy: Mapping[str, Any], attempts: int, *, lost: bool, exit_code: int | None) -> bool:
    """Whether no other attempt follows one that failed; Argo says so only after its wait.

    Args:
      strategy: the retryStrategy of the task's template; empty where nobody knows it.
      attempts: how many there were.
      lost: whether it ended in an Error of Argo's and did not fail by itself.
      exit_code: of its container; None where nobody knows.
    """
    limit = str(strategy.get("limit", ""))
    if limit.isdigit() and attempts > int(limit):
        return True
    # Another expression than ours, or none, may try anything again.
    ours = str(strategy.get("expression", "")).startswith(_AGAIN)
    return ours and not lost and exit_code not in (None, EXIT_TRANSIENT, _TERMINATED)


def _seconds(duration: str | None, otherwise: int) -> int:
    """A duration of the IR, which is protobuf's: seconds with an s."""
    return round(float(duration.removesuffix("s"))) if duration else otherwise


def _factor(limit: int, wait: int, factor: float, longest: int) -> int:
    """A factor of the kind that Argo knows, a whole number, with which no wait is above the longest.

    (Argo's own `cap` is newer than most installations, whose `argo submit` refuses it; its `maxDuration` counts from
    the task's beginning, and would leave no retry to a task that works for long.)
    """
    whole = max(1, math.ceil(factor))
    while whole > 1 and wait * whole ** (limit - 1) > longest:
        whole -= 1
    return whole
