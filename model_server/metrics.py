"""What is counted, in Prometheus' form: under TensorFlow Serving's own names, so that its dashboards fit.

Latencies are in microseconds there.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics

from model_server.errors import RequestError

_US = 1e6
_BUCKETS = tuple(10 * 1.8**step for step in range(28))

disable_created_metrics()

# A counter of this library would be called …_total.
_REQUESTS = Gauge(
    ":tensorflow:serving:request_count", "Requests by how they ended.", ["model_name", "status", "entrypoint"]
)
_LATENCY = Histogram(
    ":tensorflow:serving:request_latency",
    "Microseconds from a request's arrival to its answer.",
    ["model_name", "API", "entrypoint"],
    buckets=_BUCKETS,
)
IN_SERVICE = Gauge("millrace_version_in_service", "The version that answers where none is asked for.", ["model_name"])
LOG_ROWS = Counter("millrace_prediction_log_rows", "Rows written into the log of predictions.")
LOG_LABELS = Counter("millrace_prediction_log_labels", "Labels written into the log of predictions.")
LOG_DROPPED = Counter(
    "millrace_prediction_log_dropped", "Rows that the log lost: no memory for what waits, or no disk.", ["reason"]
)
LOAD_SECONDS = Gauge("millrace_load_seconds", "How long a version took to load.", ["model_name", "version"])


@contextlib.contextmanager
def counted(model: str, verb: str, entrypoint: str) -> Iterator[None]:
    """Counts one request, and how long it takes.

    Args:
      model: its name.
      verb: predict, classify, regress, or get_model_metadata.
      entrypoint: REST or GRPC.
    """
    begun = time.perf_counter()
    status = "OK"
    try:
        yield
    except RequestError as error:
        status = error.grpc
        raise
    except BaseException:
        status = "INTERNAL"
        raise
    finally:
        _REQUESTS.labels(model, status, entrypoint).inc()
        _LATENCY.labels(model, verb.capitalize(), entrypoint).observe((time.perf_counter() - begun) * _US)
