"""What is read from the servers' counters."""

from __future__ import annotations

import pytest

from components.canary.counters import Counted, between, in_service, read

TEXT = """# HELP :tensorflow:serving:request_count Requests by how they ended.
# TYPE :tensorflow:serving:request_count gauge
:tensorflow:serving:request_count{entrypoint="REST",model_name="taxi",status="OK"} 90.0
:tensorflow:serving:request_count{entrypoint="GRPC",model_name="taxi",status="OK"} 6.0
:tensorflow:serving:request_count{entrypoint="REST",model_name="taxi",status="INTERNAL"} 4.0
:tensorflow:serving:request_count{entrypoint="REST",model_name="taxi",status="INVALID_ARGUMENT"} 50.0
:tensorflow:serving:request_count{entrypoint="REST",model_name="other",status="INTERNAL"} 1000.0
:tensorflow:serving:request_latency_bucket{API="Predict",entrypoint="REST",le="1000.0",model_name="taxi"} 50.0
:tensorflow:serving:request_latency_bucket{API="Predict",entrypoint="REST",le="3000.0",model_name="taxi"} 90.0
:tensorflow:serving:request_latency_bucket{API="Predict",entrypoint="REST",le="+Inf",model_name="taxi"} 94.0
:tensorflow:serving:request_latency_bucket{API="Predict",entrypoint="GRPC",le="1000.0",model_name="taxi"} 6.0
:tensorflow:serving:request_latency_bucket{API="Predict",entrypoint="GRPC",le="3000.0",model_name="taxi"} 6.0
:tensorflow:serving:request_latency_bucket{API="Predict",entrypoint="GRPC",le="+Inf",model_name="taxi"} 6.0
:tensorflow:serving:request_latency_count{API="Predict",entrypoint="REST",model_name="taxi"} 94.0
millrace_version_in_service{model_name="other"} 9.0
millrace_version_in_service{model_name="taxi"} 3.0
"""


def test_requests_that_are_wrong_themselves_are_no_fault_of_a_version() -> None:
    found = read(TEXT, "taxi")
    assert (found.requests, found.error_rate) == (100, 0.04)
    assert in_service(TEXT, "taxi") == 3
    assert in_service("", "taxi") is None


def test_quantiles_are_those_of_prometheus() -> None:
    found = read(TEXT, "taxi")
    assert found.quantile(0.28) == pytest.approx(0.0005)
    assert found.quantile(0.76) == pytest.approx(0.001 + 0.002 * 20 / 40)
    # Above the last bound nobody knows more than that.
    assert found.quantile(0.99) == pytest.approx(0.003)
    assert Counted().quantile(0.5) is None
    assert Counted().error_rate is None


def test_between_two_looks_servers_come_go_and_begin_anew() -> None:
    earlier = {"a": Counted(10, 1, {1.0: 11}), "gone": Counted(100, 0, {1.0: 100})}
    now = {"a": Counted(15, 1, {1.0: 16}), "new": Counted(3, 2, {1.0: 5})}
    assert between(earlier, now) == Counted(8, 2, {1.0: 10})
    assert between({"a": Counted(10, 1, {1.0: 11})}, {"a": Counted(2, 0, {1.0: 2})}) == Counted(2, 0, {1.0: 2})
