"""The thread that writes the log: bounded in memory and on disk, and no concern of those who ask."""

from __future__ import annotations

import contextlib
import datetime
import json
import logging
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
import tensorflow as tf
import urllib3

from components.runtime.data import pictures
from components.runtime.records import prediction_log as log_files
from model_server import metrics, prediction_log
from model_server.prediction_log import PredictionLog
from model_server.signature import PREDICT, Signature, Tensor
from tests.image_files import jpeg, png
from tests.model_server.conftest import MODEL, log_of, serving

SIGNATURE = Signature(
    "serving_default", PREDICT, {"x": Tensor("x", tf.float32, (None,))}, {"y": Tensor("y", tf.float32, (None,))}
)
MB = 1 << 20


@contextlib.contextmanager
def writing(folder: Path, **options: Any) -> Iterator[PredictionLog]:
    log = PredictionLog(folder, **{"share": 1.0, "redacted": [], "megabytes": 100, "seconds": 60.0} | options)
    try:
        yield log
    finally:
        log.close()


def add(log: PredictionLog, request: str, rows: int = 1, value: float = 1.0) -> bool:
    values = np.full(rows, value, np.float32)
    return log.add(request, 1, {"serving_default": SIGNATURE}, SIGNATURE, {"x": values}, {"y": values})


def ids(folder: Path) -> list[str]:
    return [each for batch in log_files.read(folder) for each in batch.column("prediction_id").to_pylist()]


def dropped(reason: str) -> float:
    return metrics.LOG_DROPPED.labels(reason)._value.get()


def test_a_sample_goes_by_the_id_of_the_request(tmp_path: Path) -> None:
    requests = [f"request-{number}" for number in range(4000)]
    with (
        writing(tmp_path, share=0.1) as one,
        writing(tmp_path, share=0.1) as other,
        writing(tmp_path, share=0.5) as more,
    ):
        chosen = [request for request in requests if one.asked(request).log]
        assert chosen == [request for request in requests if other.asked(request).log]
        assert 320 < len(chosen) < 480
        # What is in a smaller sample is in a larger one.
        assert set(chosen) < {request for request in requests if more.asked(request).log}


def test_what_waits_is_written_at_the_end(tmp_path: Path) -> None:
    with writing(tmp_path) as log:
        assert add(log, "a", 2)
        assert log.add_label("a-0", 1, log_files.EXPLICIT)
        assert ids(tmp_path) == []
    assert ids(tmp_path) == ["a-0", "a-1"]
    assert len(log_files.read_labels(tmp_path)) == 1
    assert not add(log, "b"), "nobody would write it any more"


def test_enough_rows_are_a_file_before_the_time_is_over(tmp_path: Path) -> None:
    with writing(tmp_path) as log:
        add(log, "a", prediction_log._FILE_ROWS)
        end = time.monotonic() + 60
        while not log_files.files(tmp_path):
            assert time.monotonic() < end
            time.sleep(0.02)


OF_IMAGES = Signature(
    "serving_default",
    PREDICT,
    {"image": Tensor("image", tf.string, (None,))},
    {"mask": Tensor("mask", tf.uint8, (None, 4, 5)), "sure": Tensor("sure", tf.float32, (None, 4, 5))},
)


@pytest.mark.parametrize("images", [False, True])
def test_of_an_image_is_logged_what_is_measured_of_it_and_the_image_only_where_it_is_asked_for(
    tmp_path: Path, images: bool
) -> None:
    contents = [jpeg(1), png(2), b""]
    answers = {"mask": np.full((3, 4, 5), 2, np.uint8), "sure": np.full((3, 4, 5), 0.75, np.float32)}
    with writing(tmp_path, images=images, redacted=["noise"]) as log:
        assert log.add(
            "a", 1, {"serving_default": OF_IMAGES}, OF_IMAGES, {"image": np.array(contents, object)}, answers
        )
    [batch] = log_files.read(tmp_path)
    found = {name: values.to_pylist() for name, values in log_files.features(batch).items()}
    assert found.pop("image", None) == ([*contents[:2], None] if images else None)
    assert found["image_format"] == ["jpeg", "png", None]
    assert (found["height"], found["width"]) == ([48, 48, None], [64, 64, None])
    for name in set(pictures.MEASURES) - {"noise"}:
        measured = [pictures.measured(each)[name] for each in contents[:2]]
        assert found[name] == [*map(pytest.approx, measured), None], name
    assert "noise" not in found
    told = {name: values.to_pylist() for name, values in log_files.prediction(batch).items()}
    assert told == {"mask": [[[2] * 5] * 4] * 3, "sure": [0.75] * 3}


def test_bytes_that_are_no_images_are_logged_as_they_are(tmp_path: Path) -> None:
    signature = Signature("serving_default", PREDICT, {"x": Tensor("x", tf.string, (None,))}, OF_IMAGES.outputs)
    answers = {"sure": np.full((2, 4, 5), 0.75, np.float32)}
    with writing(tmp_path) as log:
        log.add(
            "a",
            1,
            {"serving_default": signature},
            signature,
            {"x": np.array([b"BM\xff", b"\xff\xfe"], object)},
            answers,
        )
    [batch] = log_files.read(tmp_path)
    assert log_files.features(batch)["x"].to_pylist() == [b"BM\xff", b"\xff\xfe"]
    assert log_files.prediction(batch)["sure"].to_pylist() == [[[0.75] * 5] * 4] * 2


def test_what_the_memory_cannot_take_is_dropped_at_once_counted_and_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    may_go_on, is_writing, write = threading.Event(), threading.Event(), log_files.write

    def slow_disk(*arguments: Any) -> list[Path]:
        is_writing.set()
        assert may_go_on.wait(60)
        return write(*arguments)

    monkeypatch.setattr(log_files, "write", slow_disk)
    monkeypatch.setattr(prediction_log, "_FILE_BYTES", prediction_log._FILE_BYTES // 64)
    monkeypatch.setattr(prediction_log, "_MOST_WAITING", prediction_log._MOST_WAITING // 64)
    before = dropped("memory")
    large = prediction_log._FILE_BYTES // 8
    with caplog.at_level(logging.WARNING), writing(tmp_path) as log:
        assert add(log, "first", large)
        assert is_writing.wait(60)
        taken = ["first"]
        begun = time.monotonic()
        for number in range(20):
            if add(log, f"more{number}", large):
                taken.append(f"more{number}")
        assert time.monotonic() - begun < 10
        assert not log.add_label("a-0", "x" * prediction_log._MOST_WAITING, log_files.EXPLICIT)
        may_go_on.set()
    assert 1 < len(taken) <= prediction_log._MOST_WAITING // (large * 8)
    assert {each.rpartition("-")[0] for each in ids(tmp_path)} == set(taken)
    assert dropped("memory") - before == (21 - len(taken)) * large
    assert caplog.text.count("what is too much is not logged") == 1


def test_a_disk_that_takes_nothing_fails_no_answer_and_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "log"
    folder.write_text("a file lies where the log should be")
    before = dropped("disk")
    with caplog.at_level(logging.INFO), writing(folder, seconds=0.02) as log:
        for number in range(3):
            assert add(log, str(number))
            end = time.monotonic() + 60
            while dropped("disk") - before <= number:
                assert time.monotonic() < end
                time.sleep(0.01)
        assert caplog.text.count("cannot be written; what waited is lost") == 1
        folder.unlink()
        add(log, "later")
    assert ids(folder) == ["later-0"]
    assert caplog.text.count("that is over") == 1


def test_the_oldest_go_where_the_disk_has_enough(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rng = np.random.default_rng(0)
    now = datetime.datetime.now(datetime.UTC)
    for day in range(4, 0, -1):
        time_of = now - datetime.timedelta(days=day)
        values = log_files.pa.array(rng.random(100_000))
        count = len(values)
        table = log_files.table(
            [f"{day}-{row}" for row in range(count)], [time_of] * count, [1] * count, [""] * count, {"x": values}, {}
        )
        log_files.write(tmp_path, table)
    sizes = [file.stat().st_size for file in log_files.files(tmp_path)]
    megabytes = (sizes[2] + sizes[3]) // MB + 1
    half = tmp_path / f"date={now:%Y-%m-%d}" / ".half.parquet"
    half.parent.mkdir()
    for age, name in ((0, ".young.parquet"), (2 * 3600, half.name)):
        file = half.with_name(name)
        file.write_bytes(b"PAR1")
        os.utime(file, (time.time() - age,) * 2)
    with caplog.at_level(logging.INFO), writing(tmp_path, megabytes=megabytes) as log:
        add(log, "new")
    days = [file.parent.name for file in log_files.files(tmp_path)]
    assert days == [f"date={now - datetime.timedelta(days=day):%Y-%m-%d}" for day in (2, 1, 0)]
    assert not (tmp_path / f"date={now - datetime.timedelta(days=4):%Y-%m-%d}").exists()
    assert [file.name for file in half.parent.glob(".*")] == [".young.parquet"]
    assert f"it has more than {megabytes} MB" in caplog.text


def test_a_name_to_leave_out_that_a_version_does_not_have_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING), writing(tmp_path, redacted=["x", "nmae"]) as log:
        log.check(3, {"serving_default": SIGNATURE})
        add(log, "a")
    assert "version 3 has no 'nmae'" in caplog.text
    [batch] = log_files.read(tmp_path)
    assert (log_files.features(batch), log_files.redacted(batch)) == ({}, {"x", "nmae"})


@pytest.mark.slow
def test_servers_of_one_log_lose_nothing_and_one_that_is_killed_leaves_nothing_half(
    models: dict[int, Path], tmp_path: Path
) -> None:
    """Two servers write into one log while they are asked; one is killed in the middle, the other asked to end."""
    folder = tmp_path / "served"
    folder.mkdir()
    shutil.copytree(models[1], folder / "1")
    log = log_of(folder)
    options = [f"--prediction_log={log.parent}", "--prediction_log_share=1", "--prediction_log_seconds=0.5"]
    with serving(folder, *options) as killed, serving(folder, *options) as ended:
        answered: dict[Any, list[str]] = {killed.process.pid: [], ended.process.pid: []}
        done = threading.Event()

        def keep_asking(server: Any) -> None:
            pool = urllib3.PoolManager(retries=False)
            body = json.dumps({"signature_name": "single", "instances": [[0, 0]] * 5})
            while not done.is_set():
                with contextlib.suppress(urllib3.exceptions.HTTPError):
                    url = f"{server.client.address}/v1/models/{quote(MODEL)}:predict"
                    answer = pool.request("POST", url, body=body)
                    answered[server.process.pid].append(answer.headers["X-Prediction-Id"].removesuffix("-0"))

        for server in (killed, ended):
            server.wait_until_ready(120)
        threads = [threading.Thread(target=keep_asking, args=(server,)) for server in (killed, ended) for _ in "ab"]
        for thread in threads:
            thread.start()
        time.sleep(3)
        before = list(answered[killed.process.pid])
        time.sleep(2)
        os.killpg(killed.process.pid, signal.SIGKILL)
        killed.process.wait()
        time.sleep(1)
        done.set()
        for thread in threads:
            thread.join()
        os.killpg(ended.process.pid, signal.SIGTERM)
        assert ended.process.wait(30) == 0
        found = ids(log)
        assert len(found) == len(set(found)), "no two have the same name"
        requests = {each.rpartition("-")[0] for each in found}
        assert len(found) == 5 * len(requests), "a request is there whole or not"
        assert set(answered[ended.process.pid]) <= requests
        # What had been answered some seconds before the kill was on the disk.
        assert set(before) <= requests
        assert len(before) > 50


@pytest.mark.slow
def test_what_the_log_costs(models: dict[int, Path], tmp_path: Path) -> None:
    """Servers with and without a log, asked in turns in one run: docs/feedback.md has what it came to."""
    folder = tmp_path / "served"
    folder.mkdir()
    shutil.copytree(models[1], folder / "1")
    logs = {"none": [], "0.1": ["--prediction_log_share=0.1"], "1": ["--prediction_log_share=1"]}
    body = json.dumps({"signature_name": "single", "instances": [[0, 0]] * 50}).encode()
    with contextlib.ExitStack() as stack:
        servers = {}
        for share, options in logs.items():
            kept = [f"--prediction_log={tmp_path / share}", "--prediction_log_seconds=5"] if options else []
            servers[share] = stack.enter_context(serving(folder, *kept, *options))
        for server in servers.values():
            server.wait_until_ready(120)
        # The processors are shared with whatever else runs here: so is the time of each request, but not their work.
        work: dict[str, float] = dict.fromkeys(servers, 0.0)
        latencies: dict[str, list[float]] = {share: [] for share in servers}
        for turn in range(_TURNS):
            for share, server in servers.items():
                before = _cpu_seconds(server.process.pid)
                taken = _asked_for(f"{server.client.address}/v1/models/{quote(MODEL)}:predict", body, 1.5)
                # (The first turn is none of a server that has warmed up.)
                if turn:
                    latencies[share] += taken
                    work[share] += _cpu_seconds(server.process.pid) - before
    each = {share: work[share] / len(latencies[share]) for share in servers}
    p99 = {share: float(np.quantile(latencies[share], 0.99)) for share in servers}
    for share in servers:
        print(
            f"log {share}: {each[share] * 1e3:.3f} ms of a processor for each of {len(latencies[share]):,} requests, "
            f"{each[share] / each['none']:.3f} of what it is without; p99 {p99[share] * 1e3:.1f} ms, "
            f"{p99[share] / p99['none']:.2f} of what it is without"
        )
    assert each["0.1"] < 1.25 * each["none"]
    assert each["1"] < 1.75 * each["none"]
    assert sum(file.stat().st_size for file in (tmp_path / "1").rglob("*.parquet")) > 10_000


_TURNS = 5


def _cpu_seconds(process: int) -> float:
    """What a process has used of processors until now."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _asked_for(url: str, body: bytes, seconds: float) -> list[float]:
    """Asks by four threads for so long; how long each request took."""
    taken: list[float] = []
    end = time.monotonic() + seconds

    def keep_asking() -> None:
        with urllib3.PoolManager(retries=False) as pool:
            while (begun := time.monotonic()) < end:
                assert pool.request("POST", url, body=body, timeout=60).status == 200
                taken.append(time.monotonic() - begun)

    threads = [threading.Thread(target=keep_asking) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return taken
