"""A Space of the Hub in which people try the model: an app filled in with a commit of the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from components.push_hub import connection
from components.push_hub.card import TEMPLATES, render_template
from components.runtime.errors import InputError
from components.runtime.publish.saved_signatures import SERVING_DEFAULT, Signature

PYTHON = "3.11"
SDKS = {"gradio": "6.31.0", "streamlit": "1.67.0"}
"""What an app is written for, with its version; images/locks/space.txt has the same."""

REQUIREMENTS = {"huggingface_hub": "2.4.0", "numpy": "2.4.6", "pillow": "12.3.0", "tensorflow-cpu": "2.21.0"}
"""What an app needs besides, at the versions of images/locks/space.txt."""

_CONTAINER = {"Dockerfile": "streamlit.dockerfile", ".streamlit/config.toml": "streamlit.toml"}

INPUTS = ("auto", "table", "image")
_KEYS = ("sdk", "repo_id", "private", "title", "input", "classes")


@dataclass(frozen=True)
class App:
    """A Space to be.

    Attributes:
      repo_id: of the Space.
      private: whether nobody else may see it.
      sdk: gradio or streamlit.
      title: over the page.
      description: below the title.
      input: table or image: what `serving_default` takes.
      classes: names of what the model tells apart, in its order; may be empty.
    """

    repo_id: str
    private: bool
    sdk: str
    title: str
    description: str
    input: str
    classes: tuple[str, ...]

    def files(self, model: str, commit: str) -> dict[str, bytes]:
        """The files of the Space.

        Args:
          model: repository of the model.
          commit: which the app loads, and no other.
        """
        filled = {
            "app.py": render_template(f"app_{self.sdk}.py.j2", app=self, model=model, commit=commit),
            "requirements.txt": render_template("requirements.txt.j2", requirements=self._requirements),
            "README.md": render_template("space.md.j2", app=self, model=model, version=SDKS[self.sdk], python=PYTHON),
        }
        files = {name: text.encode() for name, text in filled.items()}
        plain = {"served_model.py": "served_model.py"} | (_CONTAINER if self.sdk == "streamlit" else {})
        return files | {name: (TEMPLATES / template).read_bytes() for name, template in plain.items()}

    @property
    def space_sdk(self) -> str:
        """What the Hub calls it: it has given up its own way to run Streamlit, and runs a container instead."""
        return "docker" if self.sdk == "streamlit" else self.sdk

    @property
    def _requirements(self) -> dict[str, str]:
        # Gradio is installed by the Space itself, at the version that its README names.
        own = {} if self.sdk == "gradio" else {self.sdk: SDKS[self.sdk]}
        return dict(sorted((REQUIREMENTS | own).items()))


def plan(
    options: Mapping[str, Any],
    model: str,
    private: bool,
    signatures: tuple[Signature, ...],
    description: str,
    classes: tuple[str, ...] = (),
) -> App:
    """Reads what the settings say of the Space.

    Args:
      options: `sdk`; `repo_id`, that of the model with `-demo` if none; `private`, that of the model if none; `title`;
        `input`, auto if none; `classes`, those that evaluate found if none.
      model: repository of the model.
      private: whether that is private.
      signatures: of the model.
      description: what the model does.
      classes: names that evaluate found, by number.

    Raises:
      InputError: an unknown key or value, or a model without `serving_default`.
    """
    if unknown := sorted(options.keys() - set(_KEYS)):
        raise InputError(f"space: unknown key {unknown[0]!r}; known here: {', '.join(_KEYS)}")
    sdk, kind = str(options.get("sdk") or "gradio"), str(options.get("input") or "auto")
    if sdk not in SDKS:
        raise InputError(f"space.sdk: expected {' or '.join(SDKS)}, not {sdk!r}")
    if kind not in INPUTS:
        raise InputError(f"space.input: expected {', '.join(INPUTS)}, not {kind!r}")
    serving = next((each for each in signatures if each.name == SERVING_DEFAULT), None)
    if serving is None:
        raise InputError(
            f"space: the model has no signature {SERVING_DEFAULT}, which the app asks; export it, or no Space"
        )
    image = len(serving.inputs) == 1 and serving.inputs[0].dtype == "string"
    if kind == "image" and not image:
        raise InputError(f"space.input: {SERVING_DEFAULT} does not take one encoded image; say table or auto")
    if kind == "auto":
        # A single text is a string too: what tells an image is its name.
        kind = (
            "image" if image and any(word in serving.inputs[0].name for word in ("image", "b64", "bytes")) else "table"
        )
    own, named = options.get("private"), options.get("classes")
    name = model.split("/")[1]
    return App(
        repo_id=connection.check_repo_id(str(options.get("repo_id") or f"{model}-demo"), "space.repo_id"),
        private=private if own is None else bool(own),
        sdk=sdk,
        title=" ".join(str(options.get("title") or name).split()),
        description=" ".join(description.split()),
        input=kind,
        classes=classes if named is None else tuple(str(each) for each in named),
    )
