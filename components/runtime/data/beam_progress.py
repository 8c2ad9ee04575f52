"""Tells how far workers elsewhere are, by the counter that the runner has of what they do."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from components.runtime.stage import progress

_SECONDS = 2.0


@contextmanager
def followed(pipeline: Any) -> Iterator[None]:
    """While the context is entered, what workers of a pipeline that runs count is counted here too."""
    ended = threading.Event()
    thread = threading.Thread(target=_follow, args=(pipeline, ended), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _follow(pipeline: Any, ended: threading.Event) -> None:
    told = 0
    is_last = False
    while not is_last:
        is_last = ended.wait(_SECONDS)
        done = _done(pipeline)
        if done > told:
            progress.advance(done - told)
            told = done


def _done(pipeline: Any) -> int:
    from apache_beam.metrics.metric import MetricsFilter

    # (It has a result as soon as it runs.)
    result = getattr(pipeline, "result", None)
    if result is None:
        return 0
    wanted = MetricsFilter().with_namespace(progress.COUNTER[0]).with_name(progress.COUNTER[1])
    # It would keep its first answer, of a pipeline that has only begun.
    result._metrics = None
    try:
        counters = result.metrics().query(wanted)["counters"]
    except Exception:
        # Not every runner knows, and one that is lost does not answer: the pipeline's own end says so.
        return 0
    return sum(max(each.attempted or 0, each.committed or 0) for each in counters)
