"""What a person is asked about a model."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from components.runtime.errors import InputError
from components.runtime.publish import blessing as blessings
from components.runtime.publish import serving
from components.runtime.publish.approval import Question
from components.runtime.stage.artifacts import BOOKKEEPING, InputArtifact

LONGEST_MINUTES = 24 * 60


def asked(
    model: InputArtifact,
    blessing: InputArtifact,
    metrics: InputArtifact | None,
    *,
    run: str,
    timeout_minutes: float,
    approvers: list[str],
    candidate: str,
    slack_users: Mapping[str, str],
    link: str,
    workflow: str = "",
) -> Question | None:
    """The question, from now on; None where the model is not blessed, and nobody is asked.

    Args:
      model: as of the stage, and so all but the last.
      blessing: of the model.
      metrics: of the model.
      run: name of the run.
      timeout_minutes: until it becomes a no.
      approvers: who may answer.
      candidate: of several models: which one.
      slack_users: names by ids.
      link: of a page about the run.
      workflow: of Argo, that is suspended until it is answered.

    Raises:
      InputError: the blessing is of another model, or the time is none.
    """
    if not 0 < timeout_minutes <= LONGEST_MINUTES:
        raise InputError(
            f"timeout_minutes: expected more than 0 and at most {LONGEST_MINUTES}, not {timeout_minutes:g}"
        )
    digest = serving.model_digest(serving.saved_model_files(model))
    document = blessings.document(blessing)
    if not blessings.is_of(document, digest):
        raise InputError("the blessing is of another model; evaluate the model that is to be published")
    if not document["blessed"]:
        return None
    now = datetime.now(UTC)
    return Question(
        run=f"{run}-{candidate}" if candidate else run,
        model_digest=digest,
        reason=str(document["reason"]),
        metrics={name: value for name, value in metrics.metadata.items() if name not in BOOKKEEPING} if metrics else {},
        approvers=approvers,
        asked=now.isoformat(),
        until=(now + timedelta(minutes=timeout_minutes)).isoformat(),
        slack_users=dict(slack_users),
        workflow=workflow,
        link=link.replace("{run}", run),
    )
