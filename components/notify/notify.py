"""Tells people how a run ended: a webhook, mail, or both. Where to is in the environment only, for it is a secret."""

from __future__ import annotations

import os
from typing import Any

from components.notify import mail as smtp
from components.notify import webhook as http
from components.notify.message import Message
from components.runtime.errors import InputError, StageError, TransientError
from components.runtime.stage.artifacts import OutputArtifact
from components.runtime.stage.progress import report
from components.runtime.stage.webhook import URL

_WHEN = ("always", "failure", "success")


def notify(
    status: dict[str, Any],
    pipeline: str,
    when: str,
    webhook: str,
    mail: dict[str, Any],
    link: str,
    message: OutputArtifact,
    run: str = "",
    run_id: str = "",
) -> None:
    """Makes the message, and sends it where the environment and `mail` say.

    Args:
      status: KFP's PipelineTaskFinalStatus, see runtime/records/final_status.py; empty where nobody fills it in.
      pipeline: name of the pipeline.
      when: always, failure (also of a run that was stopped, or whose end is not known) or success.
      webhook: text, teams or json.
      mail: server, sender, to, security; empty for none.
      link: of a page about the run, with {run} for its id.
      message: gets what was told, as Markdown.
      run: its name, where the status has but an id, or nothing.
      run_id: its id, where the status has another one, or nothing.

    Raises:
      InputError: an unknown option, or a destination that refuses.
      TransientError: a destination that does not answer.
    """
    if when not in _WHEN:
        raise InputError(f"notify: when is {when!r}, expected one of {', '.join(_WHEN)}")
    if webhook not in http.PAYLOADS:
        raise InputError(f"notify: webhook is {webhook!r}, expected one of {', '.join(http.PAYLOADS)}")
    letter = smtp.Mail.read(mail) if mail else None
    content = Message.read(status, pipeline, link, run, run_id)
    message.path.write_text(content.markdown())
    told: list[str] = []
    faults: list[StageError] = []
    url = os.environ.get(URL, "").strip()
    if not content.wanted(when):
        report(f"nobody is told: the run is {content.state}, and only {when} is told")
    elif not url and letter is None:
        report(f"nobody is told: there is neither {URL} in the environment nor mail in the settings")
    else:
        # Both are tried: one that fails does not silence the other.
        try:
            if url:
                told.append(http.post(url, webhook, content))
                report(f"told {told[-1]}")
        except (InputError, TransientError) as fault:
            faults.append(fault)
        try:
            if letter:
                told.append(letter.send(content))
                report(f"told {told[-1]}")
        except (InputError, TransientError) as fault:
            faults.append(fault)
    report(content.title())
    if faults:
        # Once somebody has been told, trying again would tell them twice.
        final = told or any(isinstance(fault, InputError) for fault in faults)
        kind = InputError if final else TransientError
        raise kind("; ".join(str(fault) for fault in faults) + (f" ({', '.join(told)} was told)" if told else ""))
    message.metadata |= {"state": content.state, "told": told}
