"""A run and its stages, in a notebook."""

from __future__ import annotations

import contextlib
import html
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from components.runtime.data import tfmd
from components.runtime.errors import InputError, did_you_mean
from components.runtime.records.execution_record import relative_uri
from components.runtime.stage.report import Html, escape
from runners.history import records
from runners.history.executions import Execution
from runners.history.explorer import files
from runners.history.outcome import Outcome, outcome
from runners.history.pages import run_report
from runners.history.pages.embedding import HTML_TYPE
from runners.history.records import Task
from runners.notebook import artifacts, cell, schema
from runners.notebook.artifacts import Artifact, Examples, Model, Split
from runners.notebook.cell import mendable
from runners.terminal import text

_Kind = TypeVar("_Kind", bound=Artifact)
_COLOURS = {"done": "#16a34a", "cached": "#3b82f6", "failed": "#ef4444", "running": "#0891b2", "stopped": "#d97706"}


class Run:
    """One run: `run["train"]` is a stage of it.

    Attributes:
      id: of the run, which `./millrace runs` lists.
      record: what its record says.
    """

    def __init__(self, record: records.Run) -> None:
        """Made by pipelines."""
        self.id, self.record = record.id, record

    @property
    def state(self) -> str:
        """Done, failed, stopped or running."""
        return self.record.state

    @property
    def outcome(self) -> Outcome:
        """Metrics, blessing, pushed version."""
        return outcome(self.record)

    @property
    def parameters(self) -> dict[str, Any]:
        """Of the pipeline."""
        return self.record.parameters

    @property
    def path(self) -> Path:
        """The folder of its record, logs and report."""
        return self.record.folder

    @property
    def stages(self) -> list[str]:
        """Names of its tasks."""
        return [task.name for task in self.record.tasks]

    def show(self) -> None:
        """Shows the report: the graph, timings, and every stage's page."""
        with mendable():
            page = run_report.render(self.record)
            cell.show(cell.framed(page, f"report of {self.id}"), f"report  {self.path / run_report.FILE}")

    def __getitem__(self, name: str) -> Stage:
        """A stage of this run."""
        with mendable():
            tasks = {task.name: task for task in self.record.tasks}
            if name not in tasks:
                raise InputError(
                    f"no stage {name!r}{did_you_mean(str(name), tasks)}; the stages are: {', '.join(tasks)}"
                )
            return Stage(self.record, tasks[name])

    def __iter__(self) -> Iterator[Stage]:
        return (self[name] for name in self.stages)

    def _ipython_key_completions_(self) -> list[str]:
        return self.stages

    def __repr__(self) -> str:
        metrics = "".join(f", {name} {text.number(value)}" for name, value in self.outcome.key_metrics().items())
        remark = f" ({self.record.remark})" if self.record.remark else ""
        return f"<Run {self.id}: {self.state}{remark} in {text.duration(self.record.elapsed)}{metrics}>"

    def _repr_html_(self) -> str:
        return f"<code>{escape(repr(self))}</code>"


class Stage:
    """A stage of a run: `stage["model"]` is an artifact of it.

    Attributes:
      name: of the task.
      run: id of the run.
      task: what the run's record says.
    """

    def __init__(self, run: records.Run, task: Task) -> None:
        """Made by runs."""
        self.name, self.run, self.task = task.name, run.id, task
        self._record = run

    @property
    def state(self) -> str:
        """Done, cached, failed, stopped, skipped, running or waiting."""
        return self.task.state

    @property
    def parameters(self) -> dict[str, Any]:
        """What it was given."""
        with mendable():
            return self._execution.parameters

    @property
    def artifacts(self) -> dict[str, Artifact]:
        """What it made, by name."""
        with mendable():
            return artifacts.of_execution(self._record.root, self.run, self._execution)

    @property
    def log(self) -> str:
        """What it printed in this run; empty where it came from the cache."""
        try:
            return (self._record.root / self.task.log).read_text(errors="replace") if self.task.log else ""
        except OSError:
            return ""

    @property
    def model(self) -> Model:
        """The model that it made."""
        with mendable():
            return self._only(Model, "model")

    def examples(self, split: str = "") -> Split:
        """The rows that it made, of a split; of the first without a name."""
        with mendable():
            return self._only(Examples, "examples").split(split)

    def show(self) -> None:
        """Shows its pages; of a stage without any, the schema or what it made."""
        with mendable():
            if self.state in ("failed", "stopped"):
                cell.show(Html(self._repr_html_()), repr(self))
                return
            for page, place in self._pages():
                cell.show(cell.framed(page, f"{self.name} of {self.run}"), f"page    {place}")
            if not self._pages():
                found = [each.path / tfmd.SCHEMA_FILE for each in self.artifacts.values()]
                made = next((file for file in found if file.is_file()), None)
                if made:
                    cell.show(schema.as_table(made), str(made))
                else:
                    cell.show(Html(self._repr_html_()), repr(self))

    @property
    def has_pages(self) -> bool:
        """Whether it made any page."""
        return bool(self._pages())

    def __getitem__(self, name: str) -> Artifact:
        """An artifact that it made."""
        with mendable():
            made = self.artifacts
            if name not in made:
                raise InputError(
                    f"{self.name} makes no {name!r}{did_you_mean(str(name), made)}; it makes: {', '.join(made)}"
                )
            return made[name]

    def __iter__(self) -> Iterator[Artifact]:
        return iter(self.artifacts.values())

    def _ipython_key_completions_(self) -> list[str]:
        found = self._record.executions.get(self.name)
        return list(found.outputs) if found else []

    @property
    def _execution(self) -> Execution:
        found = self._record.executions.get(self.name)
        if found:
            return found
        if self.state == "failed":
            raise InputError(f"{self.name} failed in {self.run}: {self.task.error}")
        raise InputError(
            f"{self.name} is {self.state} in {self.run}, so it has made nothing; run({self.name!r}) runs it"
        )

    def _only(self, kind: type[_Kind], what: str) -> _Kind:
        found = [each for each in self.artifacts.values() if isinstance(each, kind)]
        if len(found) != 1:
            names = ", ".join(each.name for each in found)
            has = f"several: {names}; take one by its name, as ['{found[0].name}']" if found else "none"
            raise InputError(f"{self.name} makes {has} ({what})")
        return found[0]

    def _pages(self) -> list[tuple[str, Path]]:
        pages = []
        execution = self._execution
        for name, artifact in execution.outputs.items():
            if artifact.type == HTML_TYPE:
                place = execution.path(name)
                file = place / "index.html" if place.is_dir() else place
                try:
                    pages.append((execution.scrub(file.read_text(errors="replace")), self._opened(file)))
                except OSError:
                    continue
        return pages

    def _opened(self, page: Path) -> Path:
        """Where a browser finds a page as one: it takes a file without an ending for text."""
        if page.suffix:
            return page
        folder = self._record.root / files.FOLDER
        with contextlib.suppress(OSError):
            return folder / files.link_page(folder, page, relative_uri(self._record.root, str(page)))
        # Nobody may write there: the page as its stage left it.
        return page

    def __repr__(self) -> str:
        said = self.task.error if self.state == "failed" else self.task.facts
        return f"<Stage {self.name}: {self.state}{f', {said}' if said else ''}; of {self.run}>"

    def _repr_html_(self) -> str:
        said = self.task.error if self.state == "failed" else self.task.facts
        found = self._record.executions.get(self.name)
        made = artifacts.of_execution(self._record.root, self.run, found).values() if found else ()
        rows = [
            (each.name, each.type, artifacts.code(text.short(each.digest)), artifacts.code(each.uri)) for each in made
        ]
        head = f"<p><b>{escape(self.name)}</b> {state(self.state)} {escape(said)} <small>{escape(self.run)}</small></p>"
        return head + (cell.table(("artifact", "type", "digest", "uri"), rows) if rows else "")


def state(name: str) -> Html:
    """A state in its colour."""
    colour = _COLOURS.get(name, "inherit")
    return Html(f'<span style="font-weight:600;white-space:nowrap;color:{colour}">{html.escape(name)}</span>')
