import json

import pytest

from components.runtime.redaction import HIDDEN, is_secret, redact


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


def test_json_text_without_secrets_keeps_its_form() -> None:
    assert redact('{ "a" : 1 }') == '{ "a" : 1 }'
