"""Writes the card of a model that is about to be published.

It goes into the version with the blessing: push need not know of this stage, and there is no card of what is not
published.
"""

from __future__ import annotations

from datetime import UTC, datetime

from components.model_card.blocks import as_html, as_markdown
from components.model_card.card import Words, parts
from components.model_card.known import gather
from components.runtime.data import tfmd
from components.runtime.errors import InputError
from components.runtime.publish import blessing as blessings
from components.runtime.publish import serving
from components.runtime.stage import report as pages
from components.runtime.stage.artifacts import InputArtifact, OutputArtifact
from components.runtime.stage.progress import report as progress


def model_card(
    model: InputArtifact,
    blessing: InputArtifact,
    examples: InputArtifact,
    statistics: InputArtifact,
    explanations: InputArtifact | None,
    run: str,
    pipeline: str,
    description: str,
    intended_use: str,
    not_for: str,
    limits: list[str],
    trade_offs: str,
    owners: list[str],
    license: str,
    links: list[str],
    distributions: bool,
    carded_blessing: OutputArtifact,
    report: OutputArtifact,
) -> None:
    """Writes the card, of a blessed model.

    Args:
      model: `Format-Serving/` with a SavedModel.
      blessing: the last word on it.
      examples: of them their metadata.
      statistics: of the raw examples.
      explanations: of explain, where there are any.
      run: name of the run.
      pipeline: name of the pipeline.
      description: of the model.
      intended_use: what it is for.
      not_for: what it is not for.
      limits: what it does not do well.
      trade_offs: what was given up for what.
      owners: whom to ask.
      license: under which it may be used.
      links: further reading.
      distributions: whether values of the data are shown.
      carded_blessing: gets the blessing, and `model_card/`.
      report: gets the card.

    Raises:
      InputError: the blessing is of another model, or something cannot be read.
    """
    digest = serving.model_digest(serving.saved_model_files(model))
    document = blessings.document(blessing)
    if not blessings.is_of(document, digest):
        raise InputError("the blessing is of another model; evaluate the model that is to be published")
    blessings.pass_on(blessing, carded_blessing, {})
    if not document["blessed"]:
        progress(f"no card: the model is not blessed: {document['reason']}")
        told = pages.paragraph("The model is not blessed, and not published: ", document["reason"])
        report.path.write_text(pages.page("Model card", pages.section("No card", told)), encoding="utf-8")
        return
    words = Words(
        description, intended_use, not_for, limits, trade_offs, owners, license, links,
        pipeline, run, f"{datetime.now(UTC):%Y-%m-%d}",
    )  # fmt: skip
    known = gather(model, blessing, examples, explanations)
    made = parts(words, known, digest, tfmd.read_statistics(statistics), distributions=distributions)
    title = f"Model card of {pipeline}"
    folder = carded_blessing.path / blessings.CARD
    folder.mkdir()
    (folder / serving.CARD_MARKDOWN).write_text(as_markdown(title, made), encoding="utf-8")
    page = as_html(title, made)
    (folder / serving.CARD_HTML).write_text(page, encoding="utf-8")
    report.path.write_text(page, encoding="utf-8")
    progress(f"the card has {len(made)} parts")
