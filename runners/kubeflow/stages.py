"""The stages of a pipeline on a server, as its IR has them: what people know, where the server has layers and keys."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from runners.compiled.ir import documents, in_order
from runners.settings.parameters import definitions


def unwrapped(spec: dict[str, Any] | None) -> dict[str, Any]:
    """The IR in what the API calls a pipeline's spec; with a platform spec the API wraps it."""
    found = spec or {}
    return dict(found.get("pipeline_spec", found))


def names(ir: dict[str, Any]) -> dict[str, str]:
    """The names on display of the stages by their keys, in an order in which they can run.

    A key is what the server and Argo call a task, such as `statistics-2`. Groups of tasks (conditions, exit handlers)
    are looked into, whatever is in them.
    """
    found: dict[str, str] = {}
    for key, task in _leaves(ir.get("components") or {}, ir.get("root") or {}):
        name = str((task.get("taskInfo") or {}).get("name") or key)
        found[key] = key if name in found.values() else name
    return found


def uncached(text: str) -> str:
    """A compiled pipeline of whose tasks none may be taken from the cache, those in groups included."""
    ir, platform = documents(text)
    for component in (ir["root"], *(ir.get("components") or {}).values()):
        for task in (component.get("dag") or {}).get("tasks", {}).values():
            # What kfp writes where it is switched off.
            task["cachingOptions"] = {}
    return yaml.safe_dump_all([ir, platform] if platform else [ir], sort_keys=False)


def defaults(ir: dict[str, Any]) -> dict[str, Any]:
    """The values of the parameters that a run need not be given."""
    found = {}
    for name, definition in definitions(ir).items():
        if "defaultValue" in definition:
            value = definition["defaultValue"]
            # The IR has no whole numbers.
            is_whole = definition.get("parameterType") == "NUMBER_INTEGER" and isinstance(value, float)
            found[name] = int(value) if is_whole else value
    return found


def _leaves(components: dict[str, Any], component: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    tasks = (component.get("dag") or {}).get("tasks") or {}
    for key in in_order(tasks):
        inside = components.get(str((tasks[key].get("componentRef") or {}).get("name")), {})
        if "dag" in inside:
            yield from _leaves(components, inside)
        else:
            yield key, tasks[key]
