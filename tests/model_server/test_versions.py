"""Which versions answer, as the serving directory changes: in this process, one look after the other."""

from __future__ import annotations

import json
import os
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from components.runtime.publish import labels
from components.runtime.publish.serving import MANIFEST, WARM_UP, model_digest
from components.runtime.stage.artifacts import file_digests
from model_server.errors import NotReadyError, NotServedError
from model_server.versions import State, Versions


@pytest.fixture
def served(tmp_path: Path) -> Versions:
    """The versions of an empty serving directory."""
    (tmp_path / "served").mkdir()
    return Versions("m", tmp_path / "served")


def put(served: Versions, models: dict[int, Path], number: int, told: int) -> Path:
    """Pushes a model as a version, by one rename."""
    staged = served.root / f".staging-{number}"
    shutil.copytree(models[told], staged)
    return staged.rename(served.root / str(number))


def told(served: Versions, number: int | None = None, label: str = "") -> float:
    """Which model answers."""
    with served.using(number, label) as version:
        assert version.model is not None
        answer = version.model.run(version.model.signature("single"), {"x": [[0.0, 0.0]]})
        return float(answer["y"][0, 0])


def states(served: Versions) -> dict[int, str]:
    return {each.number: each.state.value for each in served.statuses()}


def test_nothing_is_served_of_an_empty_folder(served: Versions) -> None:
    served.refresh()
    assert not served.is_ready
    with pytest.raises(NotReadyError, match="no version is loaded yet"):
        told(served)
    with pytest.raises(NotServedError, match="version 1 is not served; these are: none"):
        told(served, 1)


def test_the_highest_is_in_service_and_one_taken_back_is_not(served: Versions, models: dict[int, Path]) -> None:
    put(served, models, 2, 1)
    served.refresh()
    assert told(served) == 1
    new = put(served, models, 10, 2)
    served.refresh()
    assert (told(served), told(served, 10), served.in_service) == (2, 2, 10)
    # TensorFlow Serving keeps one version, too.
    assert states(served) == {10: "AVAILABLE"}
    shutil.rmtree(new)
    served.refresh()
    assert told(served) == 1
    assert states(served) == {2: "AVAILABLE"}
    shutil.rmtree(served.root / "2")
    served.refresh()
    with pytest.raises(NotReadyError):
        told(served)


def test_a_version_that_cannot_be_loaded_leaves_the_earlier_one_in_service(
    served: Versions, models: dict[int, Path]
) -> None:
    put(served, models, 1, 1)
    served.refresh()
    (served.root / "2").mkdir()
    (served.root / "2" / "saved_model.pb").write_bytes(b"none")
    served.refresh()
    assert told(served) == 1
    assert states(served) == {2: "END", 1: "AVAILABLE"}
    assert served.statuses(2)[0].error
    with pytest.raises(NotServedError):
        told(served, 2)
    # It is loaded once it can be, as when somebody copies a model into place file by file.
    shutil.copytree(models[2], served.root / "2", dirs_exist_ok=True)
    served.refresh()
    assert (told(served), served.statuses(2)[0].error) == (2, "")


def test_a_version_is_held_to_its_manifest(served: Versions, models: dict[int, Path]) -> None:
    put(served, models, 1, 1)
    folder = put(served, models, 2, 2)
    files = file_digests(folder)
    (folder / MANIFEST).parent.mkdir()
    (folder / MANIFEST).write_text(json.dumps({"model_digest": model_digest(files), "files": files}))
    variables = folder / "saved_model.pb"
    content = variables.read_bytes()
    variables.write_bytes(content + b"\n")
    served.refresh()
    assert told(served) == 1
    assert "saved_model.pb has other bytes than were pushed" in served.statuses(2)[0].error
    variables.write_bytes(content)
    served.refresh()
    assert told(served) == 2


def test_what_is_damaged_while_it_is_served_stays_served(served: Versions, models: dict[int, Path]) -> None:
    folder = put(served, models, 1, 1)
    served.refresh()
    file = folder / "saved_model.pb"
    file.write_bytes(file.read_bytes()[:100])
    served.refresh()
    assert told(served) == 1
    assert states(served) == {1: "AVAILABLE"}
    # Other files in its place are another model.
    shutil.rmtree(folder)
    put(served, models, 1, 3)
    served.refresh()
    assert told(served) == 3


def test_requests_keep_the_version_that_they_were_given(served: Versions, models: dict[int, Path]) -> None:
    put(served, models, 1, 1)
    served.refresh()
    with served.using() as version:
        put(served, models, 2, 2)
        served.refresh()
        shutil.rmtree(served.root / "1")
        served.refresh()
        assert told(served) == 2
        assert version.state is State.UNLOADING
        assert version.model is not None
        answer = version.model.run(version.model.signature("single"), {"x": [[0.0, 0.0]]})
        assert answer["y"][0, 0] == 1
    assert version.state is State.END


def test_a_server_of_a_label_serves_nothing_newer(tmp_path: Path, models: dict[int, Path]) -> None:
    served = Versions("m", tmp_path / "served", serve_label="stable")
    put(served, models, 1, 1)
    served.refresh()
    assert told(served) == 1, "nothing has the label yet"
    labels.write(served.root, {"stable": 1})
    for number in (2, 3):
        put(served, models, number, number)
    served.refresh()
    assert (told(served), states(served)) == (1, {1: "AVAILABLE"})
    labels.write(served.root, {"stable": 3})
    served.refresh()
    assert (told(served), states(served)) == (3, {3: "AVAILABLE"})
    # Nor does it take one that was never stable for one that cannot be loaded.
    put(served, models, 4, 2)
    (served.root / "5").mkdir()
    labels.write(served.root, {"stable": 5})
    served.refresh()
    assert told(served) == 3


def test_labels_are_read_live(served: Versions, models: dict[int, Path]) -> None:
    for number in (1, 2, 3):
        put(served, models, number, number)
    served.refresh()
    with pytest.raises(NotServedError, match=r"no version has the label 'stable'$"):
        told(served, label="stable")
    labels.write(served.root, {"stable": 1, "gone": 9})
    served.refresh()
    assert (told(served, label="stable"), told(served, 1), told(served)) == (1, 1, 3)
    assert states(served) == {3: "AVAILABLE", 1: "AVAILABLE"}
    with pytest.raises(NotServedError, match="'gone'; there are stable"):
        told(served, label="gone")
    labels.write(served.root, {"stable": 2})
    served.refresh()
    assert told(served, label="stable") == 2
    with pytest.raises(NotServedError, match=r"these are: \[2, 3\]"):
        told(served, 1)
    # A file that cannot be read changes nothing; nor does a label that is given to what cannot be loaded.
    (served.root / "labels.json").write_text("{")
    served.refresh()
    assert told(served, label="stable") == 2
    (served.root / "4").mkdir()
    labels.write(served.root, {"stable": 4})
    served.refresh()
    assert (told(served, label="stable"), told(served)) == (2, 3)


def warm_up(folder: Path, *rows: list[float], signature: str = "single") -> None:
    with tf.io.TFRecordWriter(str(_made(folder / WARM_UP))) as file:
        for row in rows:
            log = prediction_log_pb2.PredictionLog()
            asked = log.predict_log.request
            asked.model_spec.signature_name = signature
            asked.inputs["x"].CopyFrom(tf.make_tensor_proto(np.float32([row])))
            file.write(log.SerializeToString())


def _made(file: Path) -> Path:
    file.parent.mkdir(exist_ok=True)
    return file


def test_warm_up_requests_are_answered_before_any_other(
    served: Versions, models: dict[int, Path], caplog: pytest.LogCaptureFixture
) -> None:
    warm_up(put(served, models, 1, 1), [0, 0], [1, 1])
    with caplog.at_level("INFO"):
        served.refresh()
    assert "2 warm-up requests answered" in caplog.text
    assert told(served) == 1


@pytest.mark.parametrize("fault", ["shape", "signature", "file"])
def test_a_model_that_refuses_its_warm_up_is_not_served(served: Versions, models: dict[int, Path], fault: str) -> None:
    put(served, models, 1, 1)
    folder = put(served, models, 2, 2)
    if fault == "file":
        _made(folder / WARM_UP).write_bytes(b"no records" * 10)
    else:
        warm_up(
            folder, [0, 0, 0] if fault == "shape" else [0, 0], signature="none" if fault == "signature" else "single"
        )
    served.refresh()
    assert told(served) == 1
    assert {"shape": "'x' has to be", "signature": "no signature 'none'", "file": WARM_UP}[fault] in served.statuses(2)[
        0
    ].error


def test_each_answer_is_of_one_version_while_versions_come_and_go(served: Versions, models: dict[int, Path]) -> None:
    put(served, models, 1, 1)
    served.refresh()
    faults: list[str] = []
    seen: set[float] = set()
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            try:
                with served.using() as version:
                    assert version.model is not None
                    answer = version.model.run(version.model.signature("single"), {"x": [[0.0, 0.0]] * 100})["y"]
                    if len(set(answer.ravel())) != 1:
                        faults.append(str(answer))
                    seen.add(float(answer[0, 0]))
            except Exception as error:
                faults.append(repr(error))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number, model in ((2, 2), (3, 1), (4, 3)):
        put(served, models, number, model)
        served.refresh()
        if number > 2:
            shutil.rmtree(served.root / str(number - 1))
            served.refresh()
    shutil.rmtree(served.root / "4")
    served.refresh()
    done.set()
    for thread in threads:
        thread.join()
    assert not faults
    assert seen >= {1.0}


def test_a_link_and_odd_names_are_no_trouble(served: Versions, models: dict[int, Path]) -> None:
    (served.root / "README").write_text("")
    (served.root / "-1").mkdir()
    (served.root / "٣").mkdir()
    (served.root / str(2**70)).mkdir()
    os.symlink(models[1], served.root / "1")
    served.refresh()
    assert (told(served), served.in_service) == (1, 1)
