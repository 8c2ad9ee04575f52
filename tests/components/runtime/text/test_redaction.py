import json
import time

import pytest

from components.runtime.errors import InputError
from components.runtime.text.redaction import HIDDEN, credentials, is_secret, redact, refuse_credentials


@pytest.mark.parametrize(
    "name",
    [
        "token",
        "hub_token",
        "hubToken",
        "HF_TOKEN",
        "api_key",
        "apiKey",
        "APIKey",
        "apikey",
        "key",
        "aws_secret_access_key",
        "password",
        "dbPassword",
        "client-secret",
        "credentials",
    ],
)
def test_names_of_secrets(name: str) -> None:
    assert is_secret(name)


@pytest.mark.parametrize(
    "name",
    ["label_key", "feature_keys", "labelKey", "weight_key", "monkey", "keyboard", "train_steps", "tokenizer", "data"],
)
def test_names_of_other_things(name: str) -> None:
    assert not is_secret(name)


def test_hides_values_at_every_depth_and_in_json_text() -> None:
    value = {
        "hub_token": "hf_abcdef",
        "custom_config": {"layers": [32, 16], "service": {"password": "correct horse", "user": "me"}},
        "options": json.dumps({"api_key": "k-123456", "depth": 3}),
        "nested": [{"secret": ["one-secret", "two-secret"]}],
        "max_tokens": 512,
        "token_file": "",
    }

    cleaned = redact(value)

    assert cleaned["hub_token"] == HIDDEN
    assert cleaned["custom_config"] == {"layers": [32, 16], "service": {"password": HIDDEN, "user": "me"}}
    assert json.loads(cleaned["options"]) == {"api_key": HIDDEN, "depth": 3}
    assert cleaned["nested"] == [{"secret": HIDDEN}]
    assert cleaned["max_tokens"] == 512
    assert cleaned["token_file"] == ""
    assert value["hub_token"] == "hf_abcdef", "the original stays as it is"


def test_hides_secrets_that_an_error_quotes() -> None:
    parameters = {"token": "hf_abcdef", "custom_config": '{"password": "hf_abcdef_and_more"}', "pin": "1234"}

    error = redact("login with hf_abcdef failed, and with hf_abcdef_and_more too; 1234 is fine", also=parameters)

    assert error == "login with *** failed, and with *** too; 1234 is fine"


def test_hides_users_in_urls() -> None:
    assert (
        redact("s3://id:code@bucket/trips and gs://bucket/me@home") == "s3://***@bucket/trips and gs://bucket/me@home"
    )


WITH_CREDENTIALS = [
    ("s3://key:secret@bucket/trips", "s3://***@bucket/trips"),
    ("s3://AKIA:se/cr+et=@bucket/trips?region=x", "s3://***@bucket/trips?region=x"),
    ("gs://b/t?token=abc&scheme=https", "gs://b/t?token=***&scheme=https"),
    (
        "https://h/t.csv?X-Amz-Credential=a%2Fb&X-Amz-Date=1&X-Amz-Signature=c0ffee",
        "https://h/t.csv?X-Amz-Credential=***&X-Amz-Date=1&X-Amz-Signature=***",
    ),
    ("https://h/t?sv=2&sig=abc%3D", "https://h/t?sv=2&sig=***"),
    ("s3://bucket/x#token=abc", "s3://bucket/x#token=***"),
    ("s3://bucket/x?a=1;token=abc;b=2", "s3://bucket/x?a=1;token=***;b=2"),
    ("s3:/key:secret@bucket/x", "s3:/***@bucket/x"),
    ("s3:key:secret@bucket/x", "s3:***@bucket/x"),
    ("S3:///key:secret@bucket/x", "S3:///***@bucket/x"),
    ("s3://key:12345/x@bucket/y", "s3://***@bucket/y"),
    ("s3://key%3Asecret@bucket/x", "s3://***@bucket/x"),
    ("s3://key:secret%40bucket/x", "s3://***@bucket/x"),
    ("s3://b/t?access_key=a&secret_key=b", "s3://b/t?access_key=***&secret_key=***"),
]


@pytest.mark.parametrize(("uri", "clean"), WITH_CREDENTIALS)
def test_credentials_in_an_address_are_hidden_and_refused(uri: str, clean: str) -> None:
    assert redact(f"{uri}: cannot be read") == f"{clean}: cannot be read"
    for value in (uri, [uri], {"deep": {"er": uri}}):
        with pytest.raises(InputError) as refusal:
            refuse_credentials(value, "data")
        assert "an address with a" in str(refusal.value)
        assert uri not in str(refusal.value)
    refuse_credentials(clean, "what is hidden already")


@pytest.mark.parametrize(
    "uri",
    [
        "gs://anonymous@bucket/trips",
        "s3://bucket/a:b/c@d",
        "gs://bucket/x#part=2",
        "hdfs://host:8020/x@y",
        "https://host:8080/x@y",
        "s3://bucket/trips?endpoint_override=127.0.0.1:9000&scheme=http",
        "a path: with@signs and = and ? and &",
        "gs://bucket/t?sort_key=x",
    ],
)
def test_other_addresses_are_none_of_them(uri: str) -> None:
    refuse_credentials(uri, "data")
    assert credentials(uri) == ""


def test_json_text_without_secrets_keeps_its_form() -> None:
    assert redact('{ "a" : 1 }') == '{ "a" : 1 }'


def test_a_place_without_its_scheme() -> None:
    slips = ["key:secret@bucket/trips", "AKIA%3Asec/ret@bucket", "key:pa@ss@bucket/x", " key:secret@bucket\n"]
    slips += ["AKIA%3Asecret%40bucket", "./key:secret@bucket", "//key:secret@bucket"]
    for uri in slips:
        with pytest.raises(InputError, match=r"^data: an address with a password"):
            refuse_credentials(uri, "data", place=True)
        refuse_credentials(uri, "a parameter that may be anything")
    with pytest.raises(InputError, match=r"^data: an address with a key or signature"):
        refuse_credentials("bucket/x?X-Amz-Signature=abc", "data", place=True)
    paths = ["/data/12:30/a@b", "data/key:secret@bucket", "trips@home", "a:b", "s3://my-bucket/email/a@b.com"]
    paths += ["https://host/org/data@v2.csv", "gs://bucket/code@v2", "file:///home/me@corp", "hdfs://user@nn:8020/x"]
    for path in paths:
        refuse_credentials(path, "data", place=True)


def test_long_texts_are_read_in_time() -> None:
    began = time.monotonic()
    for text in ("http://" + "%3a" * 16_000, "http://" * 8_000):
        redact(text)
    assert time.monotonic() - began < 5
