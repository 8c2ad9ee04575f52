"""The statistics stage: what the values of every feature are, split by split."""

from __future__ import annotations

from components.runtime.data.records import record_files
from components.runtime.data.span_words import told
from components.runtime.data.storage import local_file
from components.runtime.data.tfmd import STATISTICS_FILE, read_schema, split_order
from components.runtime.errors import InputError
from components.runtime.stage import imports, progress
from components.runtime.stage.artifacts import InputArtifact, OutputArtifact, remove
from components.statistics.page import statistics_page
from components.statistics.splits import compute_splits
from components.statistics.summary import summarise

_WORK = ".work"


def statistics(
    examples: InputArtifact,
    schema_file: str,
    beam_options: list[str],
    statistics: OutputArtifact,
    report: OutputArtifact,
) -> None:
    """Computes TFDV's statistics of every split and draws them.

    Args:
      examples: gzip TFRecords of tf.Example under `Split-<name>/`, raw or transformed.
      schema_file: curated schema, whose integers that are categories get the statistics of categories, counts by
        value, without which their drift cannot be measured; empty to go by the types in the data.
      beam_options: Beam's command line options; empty to compute in this process.
      statistics: receives `Split-<name>/FeatureStats.pb`.
      report: receives the page.

    Raises:
      InputError: there are no splits, a split has no rows, or a file is damaged or holds no tf.Examples; the schema
        file is missing or no schema.
    """
    splits = split_order(examples.splits)
    if not splits:
        raise InputError(f"examples: no Split-<name> folders in {examples.path}; run the stage that makes them again")
    schema = read_schema(local_file(schema_file)) if schema_file else None
    files = {split: record_files(examples.split(split)) for split in splits}
    if beam_options:
        with imports.quick():
            from components.statistics.on_beam import compute_with_beam
        with progress.counting(examples.rows(), "rows", "computing statistics with Beam"):
            work = statistics.directory() / _WORK
            work.mkdir()
            found = compute_with_beam(files, beam_options, work, schema)
            remove(work)
    else:
        found = compute_splits(files, schema, examples.rows())
    rows = {split: found[split].datasets[0].num_examples if found[split].datasets else 0 for split in splits}
    for split, count in rows.items():
        if not count:
            raise InputError(f"examples: the split {split!r} has no rows; change the splits or give more data")
    for split in splits:
        content = found[split].SerializeToString(deterministic=True)
        (statistics.split(split) / STATISTICS_FILE).write_bytes(content)
    total = sum(rows.values())
    statistics.metadata |= {"splits": splits, "rows": total}
    progress.report(f"{total:,} rows in {len(splits)} splits; drawing")
    report.path.write_text(
        statistics_page({split: summarise(found[split]) for split in splits}, told(examples.metadata)), encoding="utf-8"
    )
