"""Asks before a Workflow of Argo is suspended: `python -m components.approve.asking`, with the launcher's options.

It leaves the question in the serving directory and sends it to people. The node that is suspended then is given the
question, and for how long. What came of it the stage records, behind the suspension.
"""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from components.approve.question import asked
from components.approve.telling import tell
from components.runtime.errors import InputError
from components.runtime.launch.command import end_with, given_task, parse
from components.runtime.launch.task import Task
from components.runtime.publish import approval, serving, suspension
from components.runtime.stage.artifacts import InputArtifact
from components.runtime.stage.progress import report


def ask(arguments: Namespace) -> None:
    """Asks what the task of a container is there for.

    Args:
      arguments: of the launcher, with one task.
    """
    with given_task(arguments) as task:
        _ask(task, arguments.outputs)


def _ask(task: Task, outputs: Path) -> None:
    inputs = {name: InputArtifact(name, each["uri"], each["metadata"]) for name, each in task.inputs.items()}
    settings = task.parameters
    question = asked(
        inputs["model"],
        inputs["blessing"],
        inputs.get("metrics"),
        run=task.run,
        timeout_minutes=float(settings["timeout_minutes"]),
        approvers=settings["approvers"],
        candidate=settings["candidate"],
        slack_users=settings["slack_users"],
        link=settings["link"],
        workflow=task.run,
    )
    if question:
        _leave(settings["destination"], settings["candidate"], question)
        tell(question, settings["webhook"])
        report(f"asked, until {question.deadline}: {question.command}")
    else:
        report("nobody is asked: the model is not blessed")
    outputs.mkdir(parents=True, exist_ok=True)
    (outputs / suspension.QUESTION).write_text(suspension.question_text(question))
    # Resumed at once where nobody is asked.
    (outputs / suspension.SECONDS).write_text(str(round(60 * settings["timeout_minutes"])) if question else "0")


def _leave(destination: str, candidate: str, question: approval.Question) -> None:
    try:
        approval.ask(serving.serving_root(serving.of_candidate(destination, candidate)), question)
    except PermissionError as error:
        raise InputError(f"{destination}: the serving directory is not writable ({error.strerror})") from None


if __name__ == "__main__":
    options = parse()
    end_with(lambda: ask(options))
