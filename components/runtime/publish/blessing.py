"""Whether a model may leave the pipeline: what every stage that publishes asks before it does anything."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from components.runtime.errors import InputError, TransientError
from components.runtime.stage.artifacts import InputArtifact, OutputArtifact, copy_folder
from components.runtime.stage.progress import report
from components.runtime.text.json_text import parse

FILE = "blessing.json"

SLICES = "slices.json"
"""In a blessing: `label` (the feature that the answers were held to, empty where there are several), `splits`, `rows`,
and of each slice (`slice`: value by feature, none of all examples) its `examples` and `metrics`; `left_out` of them are
not there. What explains a model or writes of it, on any target, gets it with the blessing."""

WARM_UP = "warm_up/tf_serving_warmup_requests"
"""In a blessing of infra_validate: what goes into the version that is pushed, as `serving.WARM_UP`."""

EXPORTS = "exports"
"""In a blessing of export: a folder for each export that goes into the version that is pushed, as `serving.EXPORTS`."""

EXPORTS_FILE = "exports.json"
"""In a blessing of export: what each export came to, by its name; also of those that are not handed on."""


CARD = "model_card"
"""In a blessing of model_card: a folder that becomes `serving.CARD` in the version that is pushed."""


@dataclass(frozen=True)
class Blessing:
    """That a model met every threshold.

    Attributes:
      reason: why, in one line, as evaluate says it.
      baseline_digest: `serving.model_digest` of the model that it was compared with, empty where there was none; None
        where the blessing does not say.
      metrics: that it had then over all examples, by name; none where the blessing has none.
    """

    reason: str
    baseline_digest: str | None
    metrics: Mapping[str, float] = field(default_factory=dict)

    def check_not_overtaken(self, where: str, model_digest: str, published: str, published_baseline: str) -> None:
        """Refuses to publish a model over one that was found better than it, as when the runs of both overlap.

        For places that resolve does not look into: what they hold need not be the baseline, for they may lag behind.

        Args:
          where: the place, for the error.
          model_digest: of the model that is to be published.
          published: digest of the one that is there.
          published_baseline: digest of the one that it was blessed against.

        Raises:
          TransientError: the one that is there was blessed against this one, and not the other way round.
        """
        if published_baseline == model_digest and self.baseline_digest not in (None, published):
            raise TransientError(
                f"{where}: another run has published a model that was found better than this one: "
                "evaluate again, by running the pipeline again (trying this stage alone again cannot help)"
            )


def record_push(pushed_model: OutputArtifact, facts: dict[str, Any], *, pushed: bool = True) -> None:
    """Writes what a stage published into `pushed_model`, as `pushed.json` and as metadata.

    Args:
      pushed_model: of a stage that publishes.
      facts: what there is to say of it.
      pushed: whether anything was.
    """
    document = {"pushed": pushed} | facts
    (pushed_model.directory() / "pushed.json").write_text(json.dumps(document, indent=1, sort_keys=True) + "\n")
    pushed_model.metadata |= document


def document(blessing: InputArtifact) -> dict[str, Any]:
    """Reads `blessing.json`, in which `blessed` is a bool and `reason` a text.

    Raises:
      InputError: it contradicts itself, or there is none.
    """
    try:
        found: dict[str, Any] = parse((blessing.path / FILE).read_bytes())
        blessed = found["blessed"]
        found["reason"] = str(found["reason"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"blessing: {blessing.path} is no blessing ({error}); run evaluate again") from None
    marks = {name for name in ("BLESSED", "NOT_BLESSED") if (blessing.path / name).exists()}
    if not isinstance(blessed, bool) or marks != {"BLESSED" if blessed else "NOT_BLESSED"}:
        raise InputError(
            f"blessing: {blessing.path} contradicts itself (blessed: {blessed}, files: "
            f"{', '.join(sorted(marks)) or 'none'}); run evaluate again"
        )
    return found


def slices(blessing: InputArtifact) -> dict[str, Any] | None:
    """Reads `slices.json`; None where the blessing has none, as one that an older evaluate made.

    Raises:
      InputError: it cannot be read.
    """
    try:
        found: dict[str, Any] = parse((blessing.path / SLICES).read_bytes())
        found["label"], found["slices"] = str(found["label"]), list(found["slices"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"blessing: {blessing.path / SLICES} cannot be read ({error}); run evaluate again") from None
    return found


def is_of(found: Mapping[str, Any], model_digest: str) -> bool:
    """Whether a blessing is of a model, as far as it says of which it is.

    Args:
      found: what `document` returned.
      model_digest: `serving.model_digest` of the model.
    """
    return found.get("model_digest") in (None, model_digest)


def pass_on(blessing: InputArtifact, made: OutputArtifact, told: Mapping[str, Any]) -> None:
    """Writes a blessing anew with what a later stage has to say of it, as a folder and as metadata.

    Args:
      blessing: of an earlier stage; all that lies in it goes along.
      made: gets the copy.
      told: what is said anew in `blessing.json`; with `blessed` False there is none any more.
    """
    copy_folder(blessing.path, made.path)
    content = document(blessing) | dict(told)
    for mark, is_so in (("BLESSED", content["blessed"]), ("NOT_BLESSED", not content["blessed"])):
        (made.path / mark).unlink(missing_ok=True)
        if is_so:
            (made.path / mark).touch()
    (made.path / FILE).write_text(json.dumps(content, indent=1) + "\n")
    made.metadata |= {"blessed": content["blessed"], "reason": content["reason"]}


def read(blessing: InputArtifact, model_digest: str, pushed_model: OutputArtifact) -> Blessing | None:
    """Reads the blessing of a model; None where it has none, and then says so, in the log and in `pushed_model`.

    Args:
      blessing: what evaluate made: `blessing.json` beside a file `BLESSED` or `NOT_BLESSED`.
      model_digest: `serving.model_digest` of the model that is to be published.
      pushed_model: of the stage that publishes.

    Raises:
      InputError: the blessing is of another model, contradicts itself, or there is none.
    """
    found = document(blessing)
    if not is_of(found, model_digest):
        raise InputError("the blessing is of another model and was not used: evaluate the model that is to be pushed")
    if not found["blessed"]:
        report(f"nothing published: the model is not blessed: {found['reason']}")
        record_push(pushed_model, {"reason": found["reason"]}, pushed=False)
        return None
    if candidate := found.get("candidate"):
        # Which of several models of its run it is, as choose notes.
        pushed_model.metadata["candidate"] = str(candidate)
    baseline = found.get("baseline_digest")
    metrics = found.get("metrics")
    return Blessing(
        found["reason"], None if baseline is None else str(baseline), metrics if isinstance(metrics, dict) else {}
    )
