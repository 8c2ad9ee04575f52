"""A model's settings for something else than its usual run: to answer new data, to be watched, on a moving window."""

from __future__ import annotations

from typing import Any, Literal

from components.runtime.data.span_choice import LATEST, Asked, is_range
from components.runtime.errors import InputError
from runners.settings import plain_values
from runners.settings.folders import SETTINGS_FILE, shown
from runners.settings.kubernetes_values import pipeline_name
from runners.settings.model import Settings
from runners.settings.stages import Images


def with_schema(settings: Settings, file: str) -> Settings:
    """The same with a curated schema; as they are where none is named."""
    schema = settings.schema_.model_copy(update={"schema_file": file})
    return settings.model_copy(update={"schema_": schema}) if file else settings


def for_inference(settings: Settings) -> Settings:
    """The settings of the pipeline that has the model answer new data: a pipeline of its own, by its own name.

    Raises:
      InputError: the name would be too long.
    """
    are_images = settings.ingest.images or settings.ingest.format == "images"
    asked = {
        # What is said of training data holds for these as far as it says how its files are read, if they are such.
        "ingest": {
            "splits": {"all": 1},
            "split_patterns": {},
            "span": None,
            "spans": None,
            "leave_out_without": [],
            "format": "images" if are_images else "auto",
            "images": Images(layout="plain") if are_images else None,
            "query": None,
        },
        # (Drift needs something that is no part of a batch.)
        "validate_": {"previous_statistics": ""},
    }
    changed = {name: getattr(settings, name).model_copy(update=update) for name, update in asked.items()}
    description = f"Predictions of {settings.folder.name}"
    return _for(settings, "infer").model_copy(update={**changed, "description": description})


def for_watching(settings: Settings, *, begins: bool = False) -> Settings:
    """The settings of the pipeline that watches the model: one of its own, with runs of another name.

    Args:
      settings: of the model.
      begins: whether the pipeline itself begins a run where the settings ask for one; else who called it does.

    Raises:
      InputError: the name would be too long, or which of several models a run is of is not known.
    """
    made = _for(settings, "watch")
    watch, images = settings.watch, settings.ingest.images
    if images and images.layout == "pairs" and not watch.mask_values:
        # (The stage's own default, where neither says it.)
        watch = watch.model_copy(update={"mask_values": images.mask_values or [1, 2, 3]})
    if not begins:
        watch = watch.model_copy(update={"on_drift": "tell"})
    elif watch.on_drift == "retrain" and settings.candidates and settings.choose.push == "each":
        raise InputError(
            f"{shown(settings.folder / SETTINGS_FILE)}: watch.on_drift: retrain: with choose: {{push: each}} a look at "
            "one model begins no run of all on a cluster; write tell, and begin it yourself"
        )
    return made.model_copy(update={"watch": watch})


def for_feedback(settings: Settings) -> Settings:
    """The settings of the pipeline that makes training data of labels that came later.

    Raises:
      InputError: the name would be too long, or a span cannot hold the model's data.
    """
    if settings.ingest.format == "images" or settings.ingest.images:
        raise InputError(f"{settings.folder.name}: spans of images are made here: ./millrace feedback --labels FILE")
    return _for(settings, "feedback")


def for_retraining(settings: Settings) -> Settings:
    """The settings of the run that a look begins: on the newest spans, from the model in service."""
    return on_spans(settings, settings.watch.spans, warm_start=settings.watch.warm_start)


def _for(settings: Settings, purpose: Literal["infer", "watch", "feedback"]) -> Settings:
    name = f"{settings.pipeline_name}-{purpose}"
    try:
        pipeline_name(name)
    except ValueError as error:
        raise InputError(f"{shown(settings.folder / SETTINGS_FILE)}: pipeline_name: {name!r}: {error}") from None
    # Its tasks are others, which nobody has said to share a pod.
    cluster = settings.cluster.model_copy(update={"fuse": []})
    return settings.model_copy(update={"purpose": purpose, "pipeline_name": name, "cluster": cluster})


def on_spans(
    settings: Settings, spans: int | None = None, *, span: str | None = None, warm_start: bool | None = None
) -> Settings:
    """The same settings for a run on a moving window of the data.

    Args:
      settings: of the model.
      spans: how many of the newest are read; as the settings say where None.
      span: up to which, or a range; as the settings say where None. A range replaces the settings' count, as a count
        replaces their range.
      warm_start: whether it starts from the model in service; as the settings say where None.

    Raises:
      InputError: the data is in no spans, the text names none, the count is none or too large, or both a range and
        a count are given.
    """
    changed: dict[str, Any] = {}
    if spans is not None and spans < 1:
        raise InputError(f"spans is {spans}: say how many of the newest are read, 1 or more")
    plain_values.refuse(spans, "spans", free="spans")
    if span is not None:
        Asked(span).check()
    if spans and span and is_range(span):
        raise InputError(f"span is the range {span}, and spans is {spans}: give one of the two")
    asked: dict[str, Any] = {name: value for name, value in (("spans", spans), ("span", span)) if value is not None}
    if asked and settings.ingest.query:
        raise InputError(f"{next(iter(asked))} is of files, and the data is what ingest.query asks for; leave it out")
    if asked and span and is_range(span):
        asked["spans"] = None
    elif spans and span is None and is_range(settings.ingest.span or ""):
        asked["span"] = LATEST
    if asked:
        changed["ingest"] = settings.ingest.model_copy(update=asked)
    if warm_start is not None:
        changed["train"] = settings.train.model_copy(update={"warm_start": warm_start})
    return settings.model_copy(update=changed)
