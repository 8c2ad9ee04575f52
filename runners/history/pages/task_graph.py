"""Draws the tasks of a run as a graph, in layers from left to right."""

from __future__ import annotations

import itertools
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from components.runtime.records import facts
from components.runtime.stage.report import Html, escape
from runners.history.records import Task
from runners.terminal import text

_ALERTS = {facts.ERROR: "failed", facts.WARNING: "running"}
"""A task that ended well and found something wrong is drawn as one of this state."""

FILLS = {
    "done": ("#d1fae5", "#059669"),
    "cached": ("#dbeafe", "#2563eb"),
    "failed": ("#fee2e2", "#dc2626"),
    "stopped": ("#ffedd5", "#ea580c"),
    "running": ("#fef3c7", "#d97706"),
    "waiting": ("#f9fafb", "#9ca3af"),
    "skipped": ("#f9fafb", "#d1d5db"),
}
"""Fill and line of a task by its state."""

_WIDTH, _HEIGHT, _GAP_X, _GAP_Y = 98, 52, 28, 20
_LANE = 10
_LINES = 3
"""Of a node."""
_NOTE = 16
"""Letters of a note that fit into a line."""
_ROWS = re.compile(r"^[\d,]+ rows?, ")


@dataclass
class _Place:
    """A task, or the lane of an edge that passes through a layer."""

    task: Task | None
    layer: int
    y: float = 0.0

    @property
    def height(self) -> int:
        return _HEIGHT if self.task else _LANE


def task_graph(tasks: Sequence[Task]) -> Html:
    """The graph as SVG, with an arrow for every dependency that no longer path implies.

    Layers by longest path, lanes for the edges that skip layers, order inside the layers by barycentres: K. Sugiyama,
    S. Tagawa, M. Toda, Methods for Visual Understanding of Hierarchical System Structures, 1981.
    """
    known = {task.name: task for task in tasks}
    before = {task.name: [name for name in task.after if name in known] for task in tasks}
    depth = depths(tasks)
    places = {name: _Place(task, depth[name]) for name, task in known.items()}
    layers: list[list[_Place]] = [[] for _ in range(max(depth.values(), default=-1) + 1)]
    for place in places.values():
        layers[place.layer].append(place)
    edges = []
    for name, earlier_names in before.items():
        for earlier in earlier_names:
            if _is_implied(before, earlier, name):
                continue
            chain = [places[earlier]]
            for layer in range(depth[earlier] + 1, depth[name]):
                chain.append(_Place(None, layer))
                layers[layer].append(chain[-1])
            edges.append([*chain, places[name]])
    height = _arrange(layers, edges)
    width = len(layers) * (_WIDTH + _GAP_X) - _GAP_X
    drawn = [_edge(chain) for chain in edges]
    drawn += [_node(place, place.task) for place in places.values() if place.task]
    return Html(
        '<svg role="img" aria-label="The tasks of the run and what each waits for" '
        f'viewBox="-2 -2 {width + 4} {height + 4:.0f}" width="{width + 4}" '
        'xmlns="http://www.w3.org/2000/svg" font-family="system-ui, sans-serif">'
        '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0 1 L7 4 L0 7 z" fill="#6b7280"/></marker></defs>{"".join(drawn)}</svg>'
    )


def depths(tasks: Sequence[Task]) -> dict[str, int]:
    """Length of the longest path to each task; a task on a circle, which no compiler makes, counts as a beginning."""
    before = {task.name: task.after for task in tasks}
    found: dict[str, int] = {}

    def depth(name: str, path: tuple[str, ...]) -> int:
        if name not in found:
            earlier = [each for each in before[name] if each in before and each not in path]
            found[name] = 1 + max((depth(each, (*path, name)) for each in earlier), default=-1)
        return found[name]

    for name in before:
        depth(name, (name,))
    return found


def _is_implied(before: dict[str, list[str]], earlier: str, name: str) -> bool:
    """Whether a longer path leads from `earlier` to `name`."""
    seen: set[str] = set()
    waiting = [each for each in before[name] if each != earlier]
    while waiting:
        each = waiting.pop()
        if each == earlier:
            return True
        if each not in seen:
            seen.add(each)
            waiting.extend(before[each])
    return False


def _arrange(layers: list[list[_Place]], chains: list[list[_Place]]) -> float:
    """Gives every place its y, and returns the height of the drawing."""
    lefts: dict[int, list[_Place]] = {}
    ahead: dict[int, int] = {}
    pairs = [pair for chain in chains for pair in itertools.pairwise(chain)]
    for left, right in sorted(pairs, key=lambda pair: -pair[0].layer):
        lefts.setdefault(id(right), []).append(left)
        ahead[id(left)] = max(ahead.get(id(left), 0), ahead.get(id(right), 0) + 1)
    heights = [sum(place.height for place in layer) + _GAP_Y * (len(layer) - 1) for layer in layers]
    total = max(heights, default=0)
    for layer, height in zip(layers, heights, strict=True):
        wanted = {id(place): _mean([each.y for each in lefts.get(id(place), [])], place.y) for place in layer}
        # Of two with the same wish the one that leads further comes first, so that the main path stays straight.
        layer.sort(key=lambda place: (wanted[id(place)], -ahead.get(id(place), 0)))
        y = (total - height) / 2
        for place in layer:
            place.y = y + place.height / 2
            y += place.height + _GAP_Y
    return total


def _mean(values: list[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _left(place: _Place) -> float:
    return place.layer * (_WIDTH + _GAP_X)


def _edge(chain: list[_Place]) -> str:
    x, y = _left(chain[0]) + _WIDTH, chain[0].y
    path = [f"M{x} {y:.1f}"]
    for place in chain[1:]:
        end = _left(place)
        middle = (x + end) / 2
        path.append(f"C{middle} {y:.1f} {middle} {place.y:.1f} {end} {place.y:.1f}")
        x, y = end, place.y
        if place.task is None:
            x += _WIDTH
            path.append(f"L{x} {y:.1f}")
    return f'<path d="{" ".join(path)}" fill="none" stroke="#9ca3af" stroke-width="1.6" marker-end="url(#arrow)"/>'


def _node(place: _Place, task: Task) -> str:
    fill, line = FILLS.get(_ALERTS.get(task.alert, task.state), FILLS["waiting"])
    dashes = ' stroke-dasharray="4 3"' if task.state in ("skipped", "waiting") else ""
    ink = "#9ca3af" if task.state in ("skipped", "waiting") else "#111827"
    left, top = _left(place), place.y - _HEIGHT / 2
    centre = left + _WIDTH / 2
    lines = _wrapped(task.name)
    notes = [text.duration(task.seconds) if task.state == "done" and task.seconds is not None else task.state]
    if task.alert:
        # (All of it is in the title; how many rows there are is not what was found.)
        note = task.facts if len(task.facts) <= _NOTE else _ROWS.sub("", task.facts)
        notes = textwrap.wrap(note, _NOTE, max_lines=_LINES - len(lines), placeholder="…")
    quiet = line if ink != "#9ca3af" else ink
    rows = [*((each, 12, 600, ink) for each in lines), *((each, 10.5, 400, quiet) for each in notes)]
    step = 13.5
    begin = place.y - (len(rows) - 1) * step / 2 + 4
    texts = "".join(
        f'<text x="{centre}" y="{begin + number * step:.1f}" text-anchor="middle" font-size="{size}" '
        f'font-weight="{weight}" fill="{colour}">{escape(each)}</text>'
        for number, (each, size, weight, colour) in enumerate(rows)
    )
    condition = f" (only if {task.condition})" if task.condition else ""
    told = f", {task.facts}" if task.facts else ""
    return (
        f"<g><title>{escape(f'{task.name}: {task.state}{told}{condition}')}</title>"
        f'<rect x="{left}" y="{top:.1f}" width="{_WIDTH}" height="{_HEIGHT}" rx="8" fill="{fill}" stroke="{line}" '
        f'stroke-width="1.4"{dashes}/>{texts}</g>'
    )


def _wrapped(name: str, limit: int = 14) -> list[str]:
    """A name in at most two lines of at most `limit` letters."""
    if len(name) <= limit:
        return [name]
    head, dash, tail = name.partition("-")
    if not dash or len(head) > limit:
        return [f"{name[: limit - 1]}…"]
    return [head + dash, tail if len(tail) <= limit else f"{tail[: limit - 1]}…"]
