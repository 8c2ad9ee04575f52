"""The way to the Hugging Face Hub: token, client, and what can be checked before anything is pushed."""

from __future__ import annotations

import contextlib
import json
import logging as levels
import os
import re

import httpx2
from huggingface_hub import HfApi, ModelCard, constants, set_client_factory
from huggingface_hub.utils import logging
from huggingface_hub.utils.tqdm import disable_progress_bars

from components.push_hub.faults import TOKEN, explained
from components.runtime import VERSION
from components.runtime.errors import InputError

_CONNECT_SECONDS = 15.0
_ANSWER_SECONDS = 120.0
_LONGEST_QUOTE = 300
_TIMEOUT_VARIABLE = "HF_HUB_DOWNLOAD_TIMEOUT"
_REPO_ID = re.compile(r"[A-Za-z0-9][-\w.]{0,95}/[A-Za-z0-9_][-\w.]{0,95}", re.ASCII)
# Only what a header may carry; an error of the HTTP library would quote anything else, and with it the token.
_TOKEN = re.compile(r"[!-~]+")


def token() -> str:
    """The token, from the environment only.

    Raises:
      InputError: there is none, or it cannot be one. The error never quotes it.
    """
    found = os.environ.get(TOKEN, "").strip()
    if not found:
        raise InputError(
            f"{TOKEN} is not set, so nothing was pushed; give it as a secret: resources.push_hub.secrets: "
            f"[{{name: SECRET, env: {{KEY: {TOKEN}}}}}] on a cluster, the environment variable on a machine"
        )
    if not _TOKEN.fullmatch(found):
        raise InputError(f"{TOKEN} holds characters that no token has, such as a space or a line break; correct it")
    return found


def check_repo_id(repo_id: str, name: str) -> str:
    """Returns `repo_id` where it is one.

    Raises:
      InputError: it is not; `name` says which of the settings it was.
    """
    if _REPO_ID.fullmatch(repo_id) and "--" not in repo_id and ".." not in repo_id and not repo_id.endswith(".git"):
        return repo_id
    raise InputError(
        f"{name}: expected NAMESPACE/NAME of letters, digits, '-', '_' and '.', such as team/taxi, not {repo_id!r}"
    )


def connect(secret: str) -> HfApi:
    """A client of the Hub at HF_ENDPOINT, which waits for no answer forever and writes nothing into the log.

    Raises:
      InputError: HF_HUB_OFFLINE is set.
    """
    if constants.is_offline_mode():
        raise InputError("HF_HUB_OFFLINE is set, so nothing was pushed; unset it")
    # Warnings of the library quote the addresses that uploads go to, and these are signed.
    logging.set_verbosity(levels.CRITICAL)
    disable_progress_bars()
    set_client_factory(_client)
    return HfApi(token=secret, library_name="millrace", library_version=VERSION)


def check_card(text: str) -> None:
    """Asks the Hub, which knows the licences and tasks, whether it takes a model card.

    Raises:
      InputError: it does not, with its reason.
    """
    with explained("checking the model card", constants.ENDPOINT):
        try:
            ModelCard(text).validate()
        except ValueError as error:
            said = _messages(str(error))
            raise InputError(
                f"the Hub does not take the model card, so nothing was pushed: {said}; "
                "mend license, task or tags in the settings"
            ) from None


def _messages(answer: str) -> str:
    """What the Hub's check of a card says, from its JSON where it is that."""
    with contextlib.suppress(ValueError, KeyError, TypeError):
        answer = "; ".join(str(error["message"]) for error in json.loads(answer)["errors"])
    return " ".join(answer.split())[:_LONGEST_QUOTE]


def _client() -> httpx2.Client:
    def limit(request: httpx2.Request) -> None:
        # Here and not as the client's own timeout, because most of the library's calls say that they want none.
        seconds = dict.fromkeys(("connect", "pool"), _CONNECT_SECONDS) | dict.fromkeys(
            ("read", "write"), float(os.environ.get(_TIMEOUT_VARIABLE) or _ANSWER_SECONDS)
        )
        given = request.extensions.get("timeout") or {}
        request.extensions["timeout"] = seconds | {name: value for name, value in given.items() if value is not None}

    return httpx2.Client(event_hooks={"request": [limit]}, follow_redirects=True, timeout=None)
