"""One self-contained page for a run, good enough to send to a colleague."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from components.runtime.data import span_words
from components.runtime.lineage import record as lineage
from components.runtime.records.answered import metrics_of, truth
from components.runtime.records.facts import counted, size, which
from components.runtime.stage.artifacts import write_whole
from components.runtime.stage.report import Html, escape, page, section, table
from runners.history.executions import Artifact, Execution
from runners.history.outcome import Outcome, leading, model_of, outcome
from runners.history.pages import page_parts as parts
from runners.history.pages.candidates_section import candidates_section
from runners.history.pages.embedding import HTML_TYPE, StagePage, stage_pages
from runners.history.pages.task_graph import task_graph
from runners.history.pages.timeline import legend, spans, timeline
from runners.history.record_values import finite, timestamp
from runners.history.records import Run, Task, load_run
from runners.history.spans_read import late_versions
from runners.terminal import text

FILE = "report.html"


def write(root: Path, run_id: str) -> Path:
    """Writes `runs/<run>/report.html`, replacing an earlier one, and returns its path.

    Works for runs in every state: what a failed run made is shown below its error.

    Raises:
      InputError: there is no such run.
    """
    # Where a failed task began is known from its events only.
    lineage.flush()
    run = load_run(root, run_id)
    file = run.folder / FILE
    write_whole(file, render(run))
    return file


def render(run: Run) -> str:
    """The page as HTML."""
    made = outcome(run)
    pages = stage_pages(run)
    named = [
        ("graph", "Graph", section("Graph", task_graph(run.tasks))),
        ("timings", "Timings", section("Timings", timeline(spans(run)), legend())),
        ("tasks", "Tasks", section("Tasks", _tasks(run))),
        ("artifacts", "Artifacts", section("What went in and came out", *_artifacts(run))),
        ("parameters", "Parameters", section("Parameters", *_parameters(run))),
    ]
    sections = [Html(each.replace("<section>", f'<section id="{anchor}">', 1)) for anchor, _, each in named]
    rejected = _data_is_invalid(run)
    lead = leading(run)
    first = made.candidate or (model_of(lead[0]) if len(lead) == 1 else "")
    pages.sort(key=lambda each: (_place(each, rejected), which(each.task, each.stage) != first))
    stages = [_stage(run, each, rejected, first) for each in pages]
    links = [(anchor, title) for anchor, title, _ in named]
    side_by_side = candidates_section(run)
    rivals = [("candidates", "Candidates")] if side_by_side else []
    side_by_side = Html(side_by_side.replace("<section>", '<section id="candidates">', 1))
    contents = _contents([*links[:1], *rivals, *((each.anchor, each.title) for each in pages), *links[1:]])
    body = [parts.STYLE, _headline(run, made), contents, *sections[:1], side_by_side, *stages, *sections[1:]]
    return parts.portable(page(f"{run.pipeline}: {run.id}", *body), run.root)


def _headline(run: Run, made: Outcome) -> Html:
    entries = [parts.fact(text.number(value), name.replace("_", " ")) for name, value in made.key_metrics().items()]
    rows = max((task.rows or 0 for task in run.tasks if task.stage == "ingest"), default=0)
    if rows:
        ingested = run.of_stage("ingest")
        about = [*map(_left_out, ingested), *map(_spans, ingested)]
        entries.append(parts.fact(f"{rows:,}", ", ".join(filter(None, ["rows of data", *about]))))
    entries.append(parts.fact(text.duration(run.elapsed), "from start to end"))
    states = [task.state for task in run.tasks]
    counts = [
        f"{states.count(state)} {state}" for state in ("cached", "failed", "stopped", "skipped") if state in states
    ]
    entries.append(parts.fact(states.count("done"), ", ".join(["tasks done", *counts])))
    peak = max((task.peak_memory_bytes or 0 for task in run.tasks), default=0)
    if peak:
        entries.append(parts.fact(text.size(peak), "peak memory of a process"))
    boxes = [_error(run)] if run.state in ("failed", "stopped") else []
    if late := late_versions(run.root, run):
        boxes.append(_box("", "Late versions of spans", "; ".join(late)))
    tone, head, reason = parts.verdict(run, made)
    if tone or run.state == "done":
        boxes.append(_box(tone, head, reason))
    boxes += filter(None, map(_approval, run.of_stage("approve")))
    return Html(
        '<section id="top"><div class="hero"><div>'
        f'<div class="name">{escape(run.pipeline)}</div>'
        f'<div class="id">run {escape(run.id)} · {parts.time(run.started)} · {escape(run.target)}</div></div>'
        f"{parts.badge(run.state)}</div>{parts.facts(entries)}{''.join(boxes)}</section>"
    )


def _approval(execution: Execution) -> Html | None:
    """What a person said, who, when and why; None where nobody was asked."""
    said = execution.outputs["approval"].metadata if "approval" in execution.outputs else {}
    if "approved" not in said:
        return None
    if not said.get("by"):
        return _box("bad", "Not approved", str(said.get("review") or ""))
    which = model_of(execution)
    head = f"{'Approved' if said['approved'] else 'Not approved'} by {said['by']}{f': {which}' if which else ''}"
    when = Html(f'<div class="muted">{parts.time(timestamp(said.get("at")))}</div>')
    return _box("good" if said["approved"] else "bad", head, str(said.get("why") or "without a reason"), when)


def _left_out(execution: Execution) -> str:
    examples = execution.outputs.get("examples")
    count = examples.number("rows_left_out") if examples else None
    return f"{count:,.0f} left out" if count else ""


def _spans(execution: Execution) -> str:
    examples = execution.outputs.get("examples")
    if examples is None:
        return ""
    several = len(span_words.whole(examples.metadata, span_words.SPANS))
    return f"{several} spans" if several > 1 else span_words.told(examples.metadata)


def _error(run: Run) -> Html:
    failed = run.failed_tasks
    where = f"{failed[0].name} failed" if failed and run.state == "failed" else f"The run was {run.state}"
    message = (failed[0].error if failed else "") or run.error
    hint = []
    if failed and failed[0].log:
        hint.append(f"Log: {failed[0].log}")
    if run.exit_code is not None:
        hint.append(f"exit code {run.exit_code}")
    about = Html(f'<span class="muted">{escape(", ".join(hint))}</span>') if hint else Html("")
    return _box("bad", where, message, about)


def _box(tone: str, head: str, message: str, extra: Html = Html("")) -> Html:  # noqa: B008 (a constant)
    css = f"verdict {tone}-box" if tone else "verdict"
    body = f"<div>{escape(message)}</div>" if message else ""
    return Html(f'<div class="{css}"><b>{escape(head)}</b>{body}{extra}</div>')


def _contents(links: list[tuple[str, str]]) -> Html:
    return Html(
        '<nav class="contents">'
        + "".join(f'<a href="#{escape(anchor)}">{escape(title)}</a>' for anchor, title in links)
        + "</nav>"
    )


def _place(each: StagePage, rejected: bool) -> int:
    """Where a stage's page stands: the evaluation first, since it is what people look for, or why data was rejected."""
    order = (
        ["validate", "evaluate"]
        if rejected
        else ["choose", "evaluate", "bulk_infer", "train", "tune", "validate", "statistics", "ingest"]
    )
    return order.index(each.stage) if each.stage in order else len(order)


def _stage(run: Run, each: StagePage, rejected: bool, first: str) -> Html:
    task = next(task for task in run.tasks if task.name == each.task)
    notes = []
    if task.rows:
        notes.append(counted(task.rows, "row"))
    anomalies = run.executions[task.name].outputs.get("anomalies")
    if anomalies and (summary := anomalies.metadata.get("summary")):
        notes.append(text.clipped(str(summary), 100))
    transformed = run.executions[task.name].outputs.get("transformed_examples")
    if not_finite := transformed and transformed.metadata.get("not_finite"):
        notes.append(text.clipped(f"not finite: {not_finite}", 100))
    if task.state == "cached":
        notes.append(f"from the cache, made by {run.executions[task.name].run}")
    is_open = (
        rejected or bool(anomalies.metadata.get("anomalies"))
        if anomalies
        else bool(not_finite) or each.stage not in ("statistics", "ingest", "transform")
    )
    # Of several models that of the one that was chosen or published.
    is_open &= which(each.task, each.stage) in ("", first)
    about = f"<small>{escape(' · '.join(notes))}</small>" if notes else ""
    return Html(
        f'<details class="stage"{" open" if is_open else ""}><summary>{escape(each.title)}{about}</summary>'
        f'<div id="{escape(each.anchor)}">{each.body}</div></details>'
    )


def _data_is_invalid(run: Run) -> bool:
    outputs = [execution.outputs.get("anomalies") for execution in run.of_stage("validate")]
    return any(output is not None and truth(output.metadata.get("valid")) is False for output in outputs)


def _tasks(run: Run) -> Html:
    rows = []
    order = [task.name for task in run.tasks]
    for span in sorted(spans(run), key=lambda span: order.index(span.task.name)):
        task = span.task
        execution = run.executions.get(task.name)
        worked = task.state in ("done", "failed", "stopped", "running")
        rows.append(
            [
                task.name,
                parts.badge(task.state, task.alert),
                f"{task.rows:,}" if task.rows else "",
                text.duration(span.seconds) if worked and span.seconds is not None else "",
                text.duration(span.start_up) if worked and span.start_up else "",
                text.size(task.peak_memory_bytes) if task.peak_memory_bytes else "",
                "; ".join(filter(None, [_remark(run, task, execution), _attempts(task)])),
            ]
        )
    headers = ["task", "state", "rows", "time", "start-up", "peak memory of a process", ""]
    return table(headers, rows)


def _remark(run: Run, task: Task, execution: Execution | None) -> str:
    if task.error:
        return task.error
    if task.state == "cached" and execution is not None:
        return f"made by {execution.run}"
    if task.state == "skipped" and task.condition and run.state == "done":
        return f"only if {task.condition}"
    if execution is None:
        return ""
    metrics = [f"{name} {text.number(value)}" for name, value in list(metrics_of(execution).items())[:4]]
    return ", ".join(metrics or [task.facts])


def _attempts(task: Task) -> str:
    """How often a cluster tried it, and why the attempts before the last did not do."""
    before = task.failed_attempts[:-1] if task.state in ("failed", "stopped") else task.failed_attempts
    return f"{len(before) + 1} attempts, before: {'; '.join(dict.fromkeys(before))}" if before else ""


def _artifacts(run: Run) -> Iterator[Html]:
    rows = []
    for name, execution in run.executions.items():
        rows.append(
            [
                name,
                _list(_in_line(each) for each in execution.inputs.values()),
                _list(_out_line(each) for each in execution.outputs.values() if each.type != HTML_TYPE),
            ]
        )
    if not rows:
        yield Html('<p class="muted">No task finished.</p>')
        return
    yield table(["task", "in", "out"], rows)
    yield Html(
        '<p class="muted">Equal digests mean equal content. <code>./millrace lineage DIGEST</code> '
        "tells what made an artifact and what came of it.</p>"
    )


def _list(lines: Iterator[Html]) -> Html:
    return Html(f'<ul class="artifacts">{"".join(f"<li>{line}</li>" for line in lines)}</ul>')


def _in_line(artifact: Artifact) -> Html:
    return Html(f"{escape(artifact.name)} {parts.digest(artifact)}")


def _out_line(artifact: Artifact) -> Html:
    facts = []
    if rows := artifact.number("rows"):
        facts.append(counted(rows, "row"))
    if spans := span_words.told(artifact.metadata):
        facts.append(spans)
    if count := finite(size(artifact.metadata)):
        facts.append(text.size(count))
    about = f' <span class="muted">{escape(", ".join(facts))}</span>' if facts else ""
    return Html(f"{escape(artifact.name)} {parts.digest(artifact)}{about}")


def _parameters(run: Run) -> Iterator[Html]:
    # (Where a query is asked, nobody looks at the data that a run has else.)
    unread = {"data"} if any(task.stage == "query" for task in run.tasks) else set()
    given = [[name, _value(value)] for name, value in run.parameters.items() if name not in unread]
    yield table(["of the pipeline", "value"], given)
    rows = [
        [task, name, _value(value)]
        for task, execution in run.executions.items()
        for name, value in execution.said.items()
    ]
    if rows:
        inner = table(["task", "parameter", "value"], rows)
        yield Html(f'<details class="plain"><summary>Parameters of every task</summary>{inner}</details>')


def _value(value: object) -> str:
    return "" if value is None else str(value)
