"""Load across a hot swap, a rollback, and a version taken away: every request is answered, by one whole version.

As long as MILLRACE_LOAD_SECONDS says, a minute without, half of it in batches: docs/serving.md has what came of it.
"""

from __future__ import annotations

import collections
import json
import os
import shutil
import threading
import time
from pathlib import Path
from urllib.parse import quote

import grpc
import numpy as np
import pytest
import tensorflow as tf
import urllib3
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from components.runtime.model_server.process import Server
from tests.model_server.conftest import MODEL, serving

SECONDS = float(os.environ.get("MILLRACE_LOAD_SECONDS", "60")) / 2
_THREADS = 4
_ROWS = 50


class Load:
    """Asks from several threads, on both protocols, until told to stop."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._done = threading.Event()
        self._lock = threading.Lock()
        self.faults: list[str] = []
        self.answers: collections.Counter[tuple[str, int, int]] = collections.Counter()
        self.slowest = 0.0
        self._threads = [
            threading.Thread(target=self._keep_asking, args=(ask,))
            for ask in (self._rest, self._grpc)
            for _ in range(_THREADS)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join()

    def wait_for(self, version: int) -> None:
        """Until both protocols have been answered by a version."""
        end = time.monotonic() + 60
        while {"REST", "gRPC"} - {protocol for protocol, number, _ in list(self.answers) if number == version}:
            assert time.monotonic() < end, f"version {version} never answered"
            time.sleep(0.05)

    def _keep_asking(self, ask: object) -> None:
        assert callable(ask)
        with urllib3.PoolManager(retries=False) as pool, grpc.insecure_channel(self._server.grpc) as channel:
            while not self._done.is_set():
                begun = time.monotonic()
                try:
                    protocol, version, values = ask(pool, channel)
                    [model] = np.unique(values)
                    assert np.shape(values) == (_ROWS, 2)
                except Exception as error:
                    self.faults.append(repr(error))
                    continue
                with self._lock:
                    self.answers[protocol, version, int(model)] += 1
                    self.slowest = max(self.slowest, time.monotonic() - begun)

    def _rest(self, pool: urllib3.PoolManager, channel: grpc.Channel) -> tuple[str, int, object]:
        body = json.dumps({"signature_name": "single", "instances": [[0, 0]] * _ROWS}).encode()
        answer = pool.request(
            "POST", f"{self._server.client.address}/v1/models/{quote(MODEL)}:predict", body=body, timeout=60
        )
        assert answer.status == 200, answer.data
        return "REST", int(answer.headers["X-Model-Version"]), json.loads(answer.data)["predictions"]

    def _grpc(self, pool: urllib3.PoolManager, channel: grpc.Channel) -> tuple[str, int, object]:
        asked = predict_pb2.PredictRequest()
        asked.model_spec.name, asked.model_spec.signature_name = MODEL, "single"
        asked.inputs["x"].CopyFrom(tf.make_tensor_proto(np.zeros([_ROWS, 2], np.float32)))
        answer = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(asked, timeout=60)
        return "gRPC", answer.model_spec.version.value, tf.make_ndarray(answer.outputs["y"])


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), (f"--batch_rows={_ROWS * _THREADS}", "--batch_milliseconds=2")])
def test_no_request_is_lost_while_versions_come_and_go(
    options: tuple[str, ...], models: dict[int, Path], tmp_path: Path
) -> None:
    folder = tmp_path / "served"
    folder.mkdir()

    def put(number: int, model: int) -> None:
        staged = folder / f".staging-{number}"
        shutil.copytree(models[model], staged)
        staged.rename(folder / str(number))

    put(1, 1)
    with serving(folder, *options) as server:
        server.wait_until_ready(300)
        load = Load(server)
        begun = time.monotonic()
        number = 1
        try:
            while number == 1 or time.monotonic() - begun < SECONDS:
                # A new model; back to the old one under a new number; one more, which is taken away again.
                for model in (2, 1, 3):
                    number += 1
                    put(number, model)
                    load.wait_for(number)
                    time.sleep(min(2.0, SECONDS / 20))
                shutil.rmtree(folder / str(number))
                before = load.answers.total()
                while load.answers.total() < before + 500:
                    time.sleep(0.05)
        finally:
            load.stop()
        seconds = time.monotonic() - begun
        peak = server.peak_memory()
    requests = load.answers.total()
    print(
        f"{requests:,} requests in {seconds:.0f} s, {requests / seconds:,.0f} a second, {len(load.faults)} not answered"
    )
    print(f"{number} versions pushed, slowest answer {load.slowest:.2f} s, peak memory {(peak or 0) / 1e6:,.0f} MB")
    assert load.faults == []
    # Each version is of one model, whoever answers: 1, then 2, 1, 3 again and again.
    expected = {version: (1 if version == 1 else (2, 1, 3)[(version - 2) % 3]) for version in range(1, number + 1)}
    assert {(version, model) for _, version, model in load.answers} == set(expected.items())
