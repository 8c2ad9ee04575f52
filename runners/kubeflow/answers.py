"""What is no answer of Kubeflow Pipelines's is told as that, before anything is read from it."""

from __future__ import annotations

from typing import Any

from components.runtime.errors import InputError
from components.runtime.text.json_text import parse
from components.runtime.text.visible import in_one_line

_IDENTITIES = {
    "V2beta1Run": "run_id",
    "V2beta1Pipeline": "pipeline_id",
    "V2beta1PipelineVersion": "pipeline_version_id",
    "V2beta1Experiment": "experiment_id",
    "V2beta1RecurringRun": "recurring_run_id",
}
"""What each thing on a server has besides its name on display."""
_SHOWN = 60


def document(where: str, data: bytes) -> dict[str, Any]:
    """The JSON object that a server answers.

    Raises:
      InputError: it is something else.
    """
    try:
        found = parse(data)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise stranger(where, data)
    return found


def hold(api_client: Any, where: str) -> None:
    """Has kfp's client hold every answer to what it is an answer to."""
    plain = api_client.deserialize

    def deserialize(response: Any, kind: Any) -> Any:
        try:
            found = plain(response, kind)
        except Exception:
            # Whatever its generated code meets with: there is no other reason.
            found = None
        if found is None or not _is_whole(found):
            raise stranger(where, response.data)
        return found

    api_client.deserialize = deserialize


def stranger(where: str, data: bytes | str) -> InputError:
    """The error for an answer of something else."""
    text = data.decode(errors="replace") if isinstance(data, bytes) else data
    if text.lstrip().startswith("<") or not text.strip():
        return InputError(
            f"{where}: answers, but not as Kubeflow Pipelines does (is it a login page?); check the host and the token"
        )
    line = in_one_line(text)
    said = line if len(line) <= _SHOWN else f"{line[: _SHOWN - 1]}…"
    return InputError(f"{where}: is not a Kubeflow Pipelines server: it answered {said}; check the host")


def _is_whole(answer: Any) -> bool:
    """Whether a thing has its id and its name, and a list nothing but such things."""
    identity = _IDENTITIES.get(type(answer).__name__)
    if identity:
        return all(isinstance(getattr(answer, name), str) for name in (identity, "display_name"))
    kinds = getattr(answer, "openapi_types", {})
    lists = [getattr(answer, name) or [] for name, kind in kinds.items() if kind.startswith("list[")]
    return all(_is_whole(each) for found in lists for each in found) and answer is not None
