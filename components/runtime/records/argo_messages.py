"""What Argo says of a node, in words for people, and what our pods tell Argo.

Its own words are those of argo-workflows, workflow/controller/operator.go and exec_control.go.
"""

from __future__ import annotations

import re

from components.runtime.errors import without_trace
from components.runtime.stage.executor import ERROR_PREFIX

STATE_OUTPUT = "millrace-state"
"""The output parameter of a pod that says whether it worked: `done`, or `cached` where all of it was there already."""
TASKS_OUTPUT = "millrace-tasks"
"""The output parameter of a pod of several tasks that tells of each that began, as JSON: its name (`task`), its state
(`done`, `cached`, `failed`, `stopped`), and from when to when (`started`, `ended`, ISO 8601)."""
STAGE_BEGAN = "progress: the container of the stage has begun"
"""What a pod with a container beside the launcher's shows as long as that one works."""
STOPPED = "the Workflow was stopped"

_STOP = re.compile(r"shutdown with strategy|[Ss]topped with strategy")
# (Where the processes of a pod's containers see each other, Argo ends all of them at once.)
_TERMINATION = re.compile(rf"^main: \S+ \(exit code 143\)|^main: Error \(exit code 137\): {STAGE_BEGAN}")
_OF_ATTEMPTS = re.compile(
    r"^(retryStrategy\.expression evaluated to false|No more retries left|Backoff for |Max duration limit|child '|\s*$)"
)
_OUTSIDE = (
    (_STOP, STOPPED),
    (
        re.compile(r"^(Step exceeded its deadline|retry exceeded workflow deadline)"),
        "the run's time was over (cluster.deadline)",
    ),
    (
        re.compile(r"Pod was active on the node longer than the specified deadline"),
        "its time was over (timeout in resources, or what cluster.deadline left of the run)",
    ),
    (re.compile(r"^pod deleted$"), "its pod was lost: deleted, drained or preempted"),
    (
        re.compile(r"^wait: .*/workflowtaskresults", re.DOTALL),
        "what it made could not be handed to Argo: Kubernetes' API server did not answer",
    ),
    (_TERMINATION, "its pod had to go (SIGTERM): it was deleted, or its node shut down"),
)
"""Ends that are no fault of the stage."""
# On a line of its own, or behind Argo's words; "rpc error: " is no stage's.
_OWN_LINE = re.compile(rf"(?:^|: ){ERROR_PREFIX}(.+)$", re.MULTILINE)
_PREEMPTION = re.compile(r"(^Unschedulable: .*?)\s*(?:no new claims to deallocate, )?preemption: .*$", re.DOTALL)
"""Behind why no node takes a pod the scheduler says it once more, as why it puts no other pod away for it."""
_CONTAINER = re.compile(r"^main: (?P<how>\S+ \(exit code \d+\)(?:: )?)?(?P<said>.*)$", re.DOTALL)


def is_stop(message: str) -> bool:
    """Whether a node was ended because somebody stopped its Workflow."""
    return bool(_STOP.search(message))


def is_termination(message: str) -> bool:
    """Whether a node's container was told to end: its pod was lost, or its Workflow stopped."""
    return bool(_TERMINATION.search(message))


def is_from_outside(message: str) -> bool:
    """Whether a node was ended by something else than its own work."""
    return any(pattern.search(message) for pattern, _ in _OUTSIDE)


def tells(message: str) -> bool:
    """Whether a message says why; that of a node above others only says what Argo does about theirs."""
    return not _OF_ATTEMPTS.match(message)


def reason(message: str) -> str:
    """Why a node ended, in one line: the stage's own error where its container left one."""
    for pattern, words in _OUTSIDE:
        if pattern.search(message):
            return words
    if own := _OWN_LINE.findall(message):
        return " ".join(own[-1].split())
    how, said = (found["how"] or "", found["said"]) if (found := _CONTAINER.match(message)) else ("", message)
    return how + without_trace(_PREEMPTION.sub(r"\1", said))
