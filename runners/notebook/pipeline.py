"""A model's pipeline, in a notebook: the runs are those of `./millrace run`."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from components.runtime.errors import EXIT_INTERRUPTED, InputError, did_you_mean
from components.runtime.records import facts
from runners import in_checkout
from runners.compiled.ir import documents, read
from runners.compiled.tasks import Pipeline as Compiled
from runners.history import records
from runners.local import request
from runners.local.run import LocalRun
from runners.local.selection import Selection
from runners.notebook import cell, compiling
from runners.notebook.cell import CellDisplay, RunFailed, Stopped, mendable
from runners.notebook.comparison import Comparison
from runners.notebook.stages import Run, Stage
from runners.settings import parameters as parameters_of
from runners.settings.model import Settings, load
from runners.settings.root import ROOT, ROOT_VARIABLE, checked


class Pipeline:
    """The pipeline of a model: `p.run("statistics")`, `p["statistics"].show()`.

    Attributes:
      root: the pipeline root, where runs and artifacts lie.
      data: the raw data, where it was named.
    """

    def __init__(
        self, model: str | Path, *, data: str | Path | None = None, root: str | Path | None = None, module: str = ""
    ) -> None:
        """Reads the settings of the model.

        Args:
          model: a folder of models/ by its name, or a folder anywhere by its path.
          data: raw data: a folder, a file, or a gs:// or s3:// URI; what the settings say, or data/MODEL, without.
          root: the pipeline root; the variable MILLRACE_ROOT, or pipeline_root in the checkout, without.
          module: where the model's code lies, a folder or a URI, in place of what the settings say.

        Raises:
          InputError: there is no such model, or its settings are wrong.
        """
        with mendable():
            if not isinstance(model, str | Path):
                raise InputError(f"Pipeline({model!r}): name a model: its name in models/, or the path of its folder")
            # (A Path of one word is a folder here, which a word alone is not.)
            named = os.path.abspath(model.expanduser()) if isinstance(model, Path) else os.path.expanduser(model)
            self._folder = load(named).folder
            self._module = module
            self.data = None if data is None else os.path.expanduser(str(data))
            given = os.environ.get(ROOT_VARIABLE) if root is None else os.path.expanduser(str(root))
            self.root = (in_checkout(ROOT) if given is None else checked(given, "root=")).absolute()
            self._compiled: tuple[Settings, Compiled] | None = None
            self._name = self.settings.pipeline_name

    @property
    def folder(self) -> Path:
        """Of the model: its settings and its code."""
        return self._folder

    def raw_data(self) -> str:
        """Where its raw data is; of a model that comes with the project, sample data is made where there is none."""
        with mendable():
            given = {} if self.data is None else {"data": self.data}
            found = request.places(self.root, self.settings, given, lambda name: f"{name}=", ["data"])["data"]
            request.check_data(found, self.settings, "data=", named=bool(given))
            return found

    @property
    def settings(self) -> Settings:
        """What settings.yaml says now."""
        with mendable():
            return load(
                str(self._folder), os.path.abspath(self._module) if os.path.isdir(self._module) else self._module
            )

    @property
    def name(self) -> str:
        """Of the pipeline, by which its runs are called; as it was while the settings cannot be read."""
        with contextlib.suppress(InputError):
            self._name = self.settings.pipeline_name
        return self._name

    @property
    def stages(self) -> list[str]:
        """Names of the stages, as the pipeline has them now; as the newest run had them where it cannot be compiled.

        Raises:
          InputError: it cannot be compiled, and there is no run.
        """
        with mendable():
            try:
                return list(self._pipeline()[1].tasks)
            except InputError:
                if not self.runs:
                    raise
                return self.runs[0].stages

    def run(
        self,
        until: str = "",
        *,
        only: str | Sequence[str] = (),
        earlier: str | Run = "",
        no_cache: bool = False,
        show: bool = True,
        **parameters: Any,
    ) -> Run:
        """Runs the pipeline, or what of it is needed up to a stage; what has not changed is taken from the cache.

        Shows how the run goes on, and when it has ended the page of its last stage. Interrupting the kernel stops it.

        Args:
          until: the stage to stop after.
          only: run just these stages, on an earlier run's artifacts.
          earlier: the run that `only` goes on from; the newest that has the artifacts without.
          no_cache: execute every stage, whatever earlier runs left.
          show: whether the last stage's page is shown.
          **parameters: of the pipeline: `train_steps=200`.

        Raises:
          InputError: what can be told beforehand not to work.
          RunFailed: a stage failed; its error and the place of its log.
        """
        with mendable():
            chosen = (only,) if isinstance(only, str) else tuple(only)
            before = earlier.id if isinstance(earlier, Run) else earlier
            if until and chosen:
                raise InputError("until and only exclude each other; give one of them")
            if before and not chosen:
                raise InputError(f"earlier={before!r} is the run that only= goes on from; give only= as well")
            settings, _, ir = self._compile()
            display = cell.run_display()
            local = request.prepare(
                self.root,
                settings,
                ir,
                lambda known: self._given(parameters, known),
                lambda name: f"{name}=",
                display,
                selection=Selection(until, chosen, before),
                use_cache=not no_cache,
                warn=lambda line: print(f"warning: {line}", file=sys.stderr),
            )
            exit_code = local.run()
            return self._ended(local, settings, display, exit_code, show=show)

    def compare(self, earlier: str | Run = "", later: str | Run = "") -> Comparison:
        """Two runs side by side.

        Args:
          earlier: a run, its id or the beginning of one; the one before `later` without.
          later: the same; the newest of this pipeline without.
        """
        with mendable():
            right = self._find(later) if later else self.latest
            if earlier:
                return Comparison(self._find(earlier).record, right.record)
            ids = [run.id for run in self.runs]
            before = ids[ids.index(right.id) + 1 :] if right.id in ids else []
            if not before:
                raise InputError(f"no run of {self.name} before {right.id}; run once more, or name one")
            return Comparison(self._find(before[0]).record, right.record)

    @property
    def runs(self) -> list[Run]:
        """Its runs under the root, the newest first, wherever they were started."""
        return [Run(run) for run in records.list_runs(self.root) if run.pipeline == self.name and not run.decision]

    @property
    def latest(self) -> Run:
        """Its newest run.

        Raises:
          InputError: there is none.
        """
        with mendable():
            found = self.runs
            if not found:
                raise InputError(f"no run of {self.name} under {self.root} yet; start one: run()")
            return found[0]

    def __getitem__(self, name: str) -> Stage:
        """A stage in the newest run that had to do with it."""
        with mendable():
            for run in self.runs:
                task = next((task for task in run.record.tasks if task.name == name), None)
                if task and task.state not in ("skipped", "waiting"):
                    return Stage(run.record, task)
            known = self.stages
            if name not in known:
                raise InputError(
                    f"no stage {name!r}{did_you_mean(str(name), known)}; the stages are: {', '.join(known)}"
                )
            raise InputError(f"{name} has not run yet; run({name!r}) runs what it needs, and it")

    def __iter__(self) -> Iterator[str]:
        return iter(self.stages)

    def _ipython_key_completions_(self) -> list[str]:
        return self.stages

    def __repr__(self) -> str:
        return f"<Pipeline {self.name} of {self._folder}, root {self.root}>"

    def _repr_html_(self) -> str:
        from runners.notebook import overview

        return overview.of_pipeline(self)

    def _find(self, run: str | Run) -> Run:
        return run if isinstance(run, Run) else Run(records.load_run(self.root, run))

    def _given(self, parameters: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
        given = ({} if self.data is None else {"data": self.data}) | {
            name: str(value) if isinstance(value, Path) else value for name, value in parameters.items()
        }
        for name in given:
            parameters_of.check_known(name, known, "run()")
        declared = {name: known[name] for name in given}
        parameters_of.check(given, declared, "run()")
        return given

    def _pipeline(self) -> tuple[Settings, Compiled]:
        settings = self.settings
        if self._compiled is None or self._compiled[0] != settings:
            self._compile()
        assert self._compiled
        return self._compiled

    def _compile(self) -> tuple[Settings, Compiled, str]:
        """The settings, the pipeline and its IR, as they are now."""
        settings = self.settings
        ir = compiling.compiled(settings)
        pipeline = read(documents(ir)[0])
        self._compiled = settings, pipeline
        return settings, pipeline, ir

    def _ended(self, local: LocalRun, settings: Settings, display: Any, exit_code: int, *, show: bool) -> Run:
        """Shows what came of a run, and tells where it did not end well."""
        _, fault = request.report(local)
        if fault:
            print(f"warning: {fault}", file=sys.stderr)
        last = request.told(local, settings, None)
        if isinstance(display, CellDisplay):
            display.finish(last)
        else:
            print(f"\n{last.plain}", end="")
        run = self._find(local.id)
        worked = [task for task in run.record.tasks if task.state in ("done", "cached")]
        if exit_code == EXIT_INTERRUPTED:
            raise Stopped(f"{run.record.error}; run again, and it goes on from there")
        if exit_code:
            # What validate found is more than fits into an error.
            worked = [task for task in worked if task.alert == facts.ERROR]
        if show and (wanted := self._page(local, run, {task.name for task in worked})):
            wanted.show()
        if exit_code:
            failed = run.record.failed_tasks
            log = f"; its log: {self.root / failed[0].log}" if failed and failed[0].log else ""
            raise RunFailed(f"{run.record.error}{log}", exit_code)
        return run

    def _page(self, local: LocalRun, run: Run, worked: set[str]) -> Stage | None:
        """The stage whose page is shown after a run: the one it stops after, else the last that has pages."""
        until = local.selection.until
        if until in worked:
            return run[until]
        with_pages = [run[name] for name in run.stages if name in worked and run[name].has_pages]
        return with_pages[-1] if with_pages else None
