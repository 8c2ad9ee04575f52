"""The DAG file: Airflow's view of a compiled pipeline, with all that it needs in one readable module."""

from __future__ import annotations

import builtins
import dataclasses
import json
import keyword
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from components.runtime.errors import InputError
from runners.airflow.options import AirflowOptions
from runners.airflow.tasks import CLOSE, HOME, Tasks, mounts
from runners.compiled import training_workers
from runners.compiled.ir import documents
from runners.compiled.launching import plan, read_launchable, specification, waits_for
from runners.compiled.platform_spec import read_platform
from runners.compiled.pod_security import CONTAINER_SECURITY, POD_SECURITY
from runners.compiled.tasks import Pipeline, TaskSpec
from runners.settings import parameters as pipeline_parameters
from runners.settings.kubernetes_values import pipeline_name

TEMPLATE = Path(__file__).parent / "dag.py.txt"

_TYPES = {
    "STRING": "string",
    "NUMBER_INTEGER": "integer",
    "NUMBER_DOUBLE": "number",
    "BOOLEAN": "boolean",
    "LIST": "array",
    "STRUCT": "object",
}
"""Types of the IR as JSON schema, in which Airflow has those of parameters."""
_AS_THEY_ARE = ("when", "outlets", "inlets", "retry_delay", "max_retry_delay", "arguments")
_WIDTH = 100
"""Columns that a value in one line takes at most."""
_OLDEST = "2.10"


def compile_dag(kfp_yaml: str, options: AirflowOptions) -> str:
    """Returns the DAG file of a compiled pipeline; the same input gives the same text.

    Args:
      kfp_yaml: what kfp's compiler writes: the IR, and behind it, where there is one, the kubernetes platform spec.
      options: volume, schedule, assets.

    Raises:
      InputError: not a compiled pipeline; something that Airflow cannot run; a value that a parameter cannot have.
    """
    ir, platform = documents(kfp_yaml)
    training_workers.refuse_several(ir, "Airflow")
    pipeline = read_launchable(ir, "Airflow")
    executors, limits = read_platform(platform, "Airflow")
    try:
        pipeline_name(pipeline.name)
    except ValueError as error:
        raise InputError(f"pipeline name {pipeline.name!r}: {error}") from None
    if "deadline_seconds" in limits:
        options = dataclasses.replace(options, deadline_seconds=limits["deadline_seconds"])
    return _Dag(pipeline, executors, options, str(ir["pipelineInfo"].get("description") or "")).text()


class _Dag:
    """Fills in the template."""

    def __init__(
        self, pipeline: Pipeline, executors: dict[str, Any], options: AirflowOptions, description: str
    ) -> None:
        self._pipeline = pipeline
        self._options = options
        self._description = description
        self._tasks = Tasks(pipeline, executors, options)
        self._template = TEMPLATE.read_text()
        self._variables = {name: self._variable(name) for name in [*self._tasks.names.values(), CLOSE]}

    def text(self) -> str:
        import jinja2

        options, pipeline = self._options, self._pipeline
        environment = jinja2.Environment(
            undefined=jinja2.StrictUndefined,
            keep_trailing_newline=True,
            autoescape=False,
        )
        environment.filters |= {"literal": literal, "arguments": _arguments, "group": _group}
        model = options.model or pipeline.name
        return environment.from_string(self._template).render(
            title=" ".join(f"{pipeline.name}: {self._description}".split())
            .rstrip(":")
            .replace("\\", "/")
            .replace('"', "'"),
            pipeline=pipeline.name,
            oldest=_OLDEST,
            root=options.mount_path,
            namespace=options.namespace or None,
            connection=options.connection,
            deferrable=options.deferrable,
            deadline=options.deadline_seconds,
            schedule=self._schedule(),
            dated=dict(options.dated),
            alias=f"{pipeline.name}/pushed_model",
            asset=options.outlet or f"x-millrace://{model}/serving",
            labels=dict(options.labels)
            | {"app.kubernetes.io/part-of": "millrace", "millrace/pipeline": pipeline.name, "millrace/model": model},
            env=HOME,
            volumes=self._tasks.volumes,
            mounts=mounts(options.mount_path),
            pod_security=POD_SECURITY,
            container_security=CONTAINER_SECURITY,
            names={
                self._tasks.names[tasks[0].name]: [pod, *(task.name for task in tasks if task.name != pod)]
                for pod, tasks in pipeline.pods.items()
                if not tasks[0].is_exit
            },
            conditional=sorted(self._tasks.conditional()),
            same_node=options.access_mode != "ReadWriteMany",
            dag_id=options.dag_id or pipeline.name,
            description=self._description,
            specifications={name: specification(pipeline.name, task) for name, task in pipeline.tasks.items()},
            plan=plan(pipeline),
            parameters=self._parameters(),
            tasks=self._operators(),
            edges=self._edges(),
        )

    def _variable(self, name: str) -> str:
        """The name of a task in the file, which nothing else there has."""
        found = re.sub(r"\W", "_", name, flags=re.ASCII)
        taken = {*re.findall(r"[A-Za-z_]\w*", self._template), *keyword.kwlist, *dir(builtins)} - {CLOSE}
        return f"task_{found}" if found in taken or found[0].isdigit() else found

    def _schedule(self) -> str:
        options = self._options
        if options.on_assets:
            return f"[{', '.join(f'Asset({literal(uri)})' for uri in options.on_assets)}]"
        return literal(options.schedule or None)

    def _parameters(self) -> dict[str, dict[str, Any]]:
        """The arguments of Airflow's Param by name.

        Raises:
          InputError: values that are given and do not fit, or a schedule without a value that a run needs.
        """
        pipeline, options = self._pipeline, self._options
        given = options.parameters
        self._check_dated()
        missing = [
            name for name, each in pipeline.parameters.items() if name not in given and "defaultValue" not in each
        ]
        values = pipeline.values({**given, **dict.fromkeys(missing)})
        found = {}
        for name, definition in pipeline.parameters.items():
            kind: Any = _TYPES.get(definition["parameterType"], "string")
            made: dict[str, Any] = {}
            if name in options.dated:
                made["default"], kind = options.dated[name], kind if kind == "string" else [kind, "string"]
            elif name not in missing:
                made["default"] = values[name]
            elif definition.get("isOptional"):
                raise InputError(
                    f"the parameter {name!r} may be None, which a pod's arguments cannot; give it a default"
                )
            elif options.schedule or options.on_assets:
                raise InputError(
                    f"the parameter {name!r} has no default, and nobody gives it where a schedule starts the run; give "
                    f"it by --param {name}=VALUE"
                )
            found[name] = made | {"type": kind} | _description(definition)
        return found

    def _check_dated(self) -> None:
        known = self._pipeline.parameters
        for name, form in self._options.dated.items():
            pipeline_parameters.check_known(name, known, "--dated")
            try:
                pipeline_parameters.typed([f"{name}={datetime.now(UTC).strftime(form)}"], known)
            except InputError as error:
                raise InputError(f"--dated {name}={form}: {str(error).rpartition(': ')[2]} of every date") from None

    def _operators(self) -> list[dict[str, Any]]:
        operators = []
        for tasks in self._pipeline.pods.values():
            arguments = self._tasks.arguments(tasks)
            if self._options.on_assets and not tasks[0].after:
                arguments["inlets"] = "SCHEDULE"
            operators.append(self._operator(arguments))
        return [*operators, self._operator(self._tasks.closing())]

    def _operator(self, arguments: dict[str, Any]) -> dict[str, Any]:
        return {
            "variable": self._variables[arguments["task_id"]],
            "is_last": arguments.get("is_last", False),
            "arguments": {
                name: value if name in _AS_THEY_ARE else literal(value, 8) for name, value in arguments.items()
            },
        }

    def _edges(self) -> list[tuple[list[str], str]]:
        """What comes after what, by names in the file; what comes last is behind all that nothing follows."""
        pods = list(self._pipeline.pods.values())
        main = [tasks for tasks in pods if not tasks[0].is_exit]
        edges = []
        for tasks in main:
            direct = waits_for(self._pipeline, tasks)[1]
            names = [self._tasks.names[name] for name in self._pipeline.tasks if name in direct]
            if names:
                edges.append(([self._variables[name] for name in dict.fromkeys(names)], self._name(tasks)))
        followed = {name for before, _ in edges for name in before}
        ends = [name for name in map(self._name, main) if name not in followed]
        for last in [*(self._name(tasks) for tasks in pods if tasks[0].is_exit), self._variables[CLOSE]]:
            edges.append((ends, last))
            ends = [last]
        return edges

    def _name(self, tasks: list[TaskSpec]) -> str:
        return self._variables[self._tasks.names[tasks[0].name]]


def literal(value: Any, indent: int = 0) -> str:
    """A plain value as Python: in one line where it fits behind so many columns, else one line for each part."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if not isinstance(value, dict | list) or not value:
        return repr(value)
    inner = indent + 4
    if isinstance(value, dict):
        parts, (begin, end) = [f"{literal(key)}: {literal(each, inner)}" for key, each in value.items()], "{}"
    else:
        parts, (begin, end) = [literal(each, inner) for each in value], "[]"
    if sum(len(part) + 2 for part in parts) + indent <= _WIDTH and not any("\n" in part for part in parts):
        return f"{begin}{', '.join(parts)}{end}"
    lines = "".join(f"{' ' * inner}{part},\n" for part in parts)
    return f"{begin}\n{lines}{' ' * indent}{end}"


def _group(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"[{', '.join(names)}]"


def _arguments(values: dict[str, Any]) -> str:
    return ", ".join(f"{name}={literal(value)}" for name, value in values.items())


def _description(definition: dict[str, Any]) -> dict[str, str]:
    return {"description": definition["description"]} if definition.get("description") else {}
