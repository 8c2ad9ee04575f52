"""Models and examples that the tests of evaluate share: TensorFlow is slow to trace and save."""

from __future__ import annotations

from pathlib import Path

import pytest
from tensorflow_metadata.proto.v0 import schema_pb2

from tests.components.evaluate import evaluation_support as support


@pytest.fixture(scope="session")
def trip_examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return support.write_split(tmp_path_factory.mktemp("trips") / "examples", "eval", support.trips(600))


@pytest.fixture(scope="session")
def trip_schema(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return support.write_schema(tmp_path_factory.mktemp("trips") / "schema", support.TRIP_FEATURES)


@pytest.fixture(scope="session")
def good_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Knows that cards tip."""
    return support.save(support.TripModel(card=3.0, hour=0.0, bias=-1.5), tmp_path_factory.mktemp("good"))


@pytest.fixture(scope="session")
def hour_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Goes by the hour, which says nothing, half of the time."""
    return support.save(support.TripModel(card=0.3, hour=0.3, bias=-0.4), tmp_path_factory.mktemp("hour"))


@pytest.fixture(scope="session")
def constant_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Answers no, whatever it is asked."""
    return support.save(support.TripModel(card=0.0, hour=0.0, bias=-1.0), tmp_path_factory.mktemp("constant"))


@pytest.fixture(scope="session")
def digit_examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = [{"label": index % 10, "luck": (index * 7919 % 1000) / 1000} for index in range(300)]
    return support.write_split(tmp_path_factory.mktemp("digits") / "examples", "eval", rows)


@pytest.fixture(scope="session")
def digit_schema(tmp_path_factory: pytest.TempPathFactory) -> Path:
    features = {"label": schema_pb2.INT, "luck": schema_pb2.FLOAT}
    return support.write_schema(tmp_path_factory.mktemp("digits") / "schema", features)


@pytest.fixture(scope="session")
def house_examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return support.write_split(tmp_path_factory.mktemp("houses") / "examples", "eval", support.houses(260))


@pytest.fixture(scope="session")
def house_schema(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return support.write_schema(tmp_path_factory.mktemp("houses") / "schema", support.HOUSE_FEATURES)


@pytest.fixture(scope="session")
def house_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return support.save(support.HouseModel(), tmp_path_factory.mktemp("house"))


@pytest.fixture(scope="session")
def two_headed_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return support.save(support.HouseModel(heads=True), tmp_path_factory.mktemp("heads"))
