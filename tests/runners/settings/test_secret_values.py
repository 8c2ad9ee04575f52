"""Values of secrets do not get into compiled files."""

from __future__ import annotations

import hashlib
import json
import random
from base64 import b64encode
from pathlib import Path

import pytest

from components.runtime.errors import InputError
from runners.commands.compile import compile_pipeline
from runners.local import request
from runners.settings import secret_values
from runners.settings.parameters import from_texts, typed
from tests.runners.compiled_models import model


def _key(number: int, length: int = 32) -> bytes:
    return random.Random(number).randbytes(length)


@pytest.mark.parametrize(
    "value",
    [
        "AKIA" + "QWERTYUIOPASDFGH",
        "-----BEGIN " + "RSA PRIVATE KEY-----\nMII",
        "hf_" + "abcdefghijklmnopqrstuvwx",
        "AIza" + "x" * 35,
        "https://user:hunter2@example.org/data",
        "eyJhbGciOiJIUzI1NiJ9." + "eyJzdWIiOiIxMjM0NTY3ODkwIn0." + "c2lnbmF0dXJl",
        b64encode(_key(1, 48)).decode(),
        "token " + b64encode(_key(2, 33)).decode(),
    ],
)
def test_what_looks_like_a_secret_does_not_reach_the_file(tmp_path: Path, value: str) -> None:
    places = [
        {"data": value},
        {"description": value},
        {"train": {"custom_config": {"deep": [{"er": value}]}}},
        {"train": {"custom_config": {value: "as a key"}}},
        {"resources": {"train": {"secrets": [{"name": value, "env": {"a": "A"}}]}}},
        {"resources": {"train": {"secrets": [{"name": "s", "env": {"a": value}}]}}},
        {"cluster": {"labels": {"note": value}}},
    ]
    for place in places:
        with pytest.raises(InputError) as error:
            model(tmp_path / "mine", json.dumps(place))
        assert value not in str(error.value)
        assert "looks like" in str(error.value)


def test_a_secret_that_came_by_another_way_is_seen_in_the_compiled_pipeline(tmp_path: Path) -> None:
    chosen = model(tmp_path / "mine", "{}").model_copy(update={"data": "AKIA" + "QWERTYUIOPASDFGH"})
    with pytest.raises(InputError, match=r"the compiled pipeline: .*looks like an AWS access key"):
        compile_pipeline(chosen)


def test_keys_in_base64_are_told_from_names() -> None:
    missed = sum(not secret_values.kind(b64encode(_key(number)).decode()) for number in range(1000))
    assert missed <= 40, "of 1000 keys of 256 bits"
    for name in [
        "gs://my-Bucket/Projects/2026/Chicago-Taxi/Trips-Version-2/Part-0001-of-0020/data.csv",
        "models/taxi/preprocessing.py",
        "sha256:" + hashlib.sha256(b"x").hexdigest(),
        "registry.example/team/millrace/train@sha256:" + hashlib.sha256(b"y").hexdigest(),
        "projects/123456789/locations/us-central1/featureOnlineStores/TaxiTripsByHourAndPaymentType2026",
        "inputs.parameter_values['pipelinechannel--validate-valid'] == true",
        "ThisIsQuiteALongNameOfAClassInCamelCaseWithVersion2AndMore",
        "550e8400-e29b-41d4-a716-446655440000",
    ]:
        assert not secret_values.kind(name), name


def test_a_secret_has_no_place_for_a_value(tmp_path: Path) -> None:
    """Wherever secrets are named, only names are accepted."""
    with pytest.raises(InputError, match=r"unknown key 'resources\.train\.secrets\.0\.value'"):
        model(tmp_path / "mine", "resources: {train: {secrets: [{name: s, value: x, env: {a: A}}]}}")
    with pytest.raises(InputError, match="looks like a secret, by its key"):
        model(tmp_path / "mine", "train: {custom_config: {api_key: x}}")
    names = "resources: {train: {secrets: [{name: s, env: {api_key: API_KEY, password: PASSWORD}}]}}"
    assert model(tmp_path / "mine", names).pod("train").secrets[0].env["api_key"] == "API_KEY"


def test_a_parameter_of_a_run_is_no_place_for_a_secret() -> None:
    known = {"data": {"parameterType": "STRING"}}
    with pytest.raises(InputError, match="data") as refusal:
        from_texts(["data=AKIA" + "Q" * 16], known)
    assert "AKIAQQ" not in str(refusal.value)
    assert from_texts(["data=gs://bucket/trips"], known) == {"data": "gs://bucket/trips"}


@pytest.mark.parametrize("uri", ["s3://key:se/cret@bucket/trips", "https://host/trips.csv?X-Amz-Signature=cret"])
def test_a_run_here_takes_no_address_with_credentials(tmp_path: Path, uri: str) -> None:
    known = {"data": {"parameterType": "STRING"}, "serving_directory": {"parameterType": "STRING"}}
    settings = model(tmp_path / "mine", "{}")
    for name, written in (("data", "--data "), ("serving_directory", "serving_directory=")):
        with pytest.raises(InputError, match="set AWS_ACCESS_KEY_ID") as refusal:
            request.places(tmp_path, settings, {name: uri}, lambda _, written=written: written, known)
        assert "cret@" not in str(refusal.value)
    with pytest.raises(InputError) as unknown:
        typed((f"dta={uri}",), known)
    assert "=cret" not in str(unknown.value).replace("/cret@", "=cret")
