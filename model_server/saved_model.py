"""A SavedModel in memory, run as TensorFlow Serving runs it: a session, fed and fetched by the signature's nodes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2

from model_server import signature as signatures
from model_server.errors import BadRequestError
from model_server.signature import Signature

_TAG = "serve"


class SavedModel:
    """A model that answers; requests may run at once.

    Attributes:
      meta_graph: its MetaGraphDef, without the graph.
      signatures: by name.
    """

    def __init__(self, folder: Path) -> None:
        """Reads a SavedModel.

        Args:
          folder: with `saved_model.pb`.

        Raises:
          Exception: whatever TensorFlow raises where it cannot be read.
        """
        self._graph = tf.Graph()
        with self._graph.as_default():
            self._session = tf.compat.v1.Session(graph=self._graph)
            meta_graph = tf.compat.v1.saved_model.load(self._session, [_TAG], str(folder))
        self.signatures = signatures.read(meta_graph)
        self.signature_defs = {name: meta_graph.signature_def[name] for name in self.signatures}
        self._callables: dict[tuple[str, tuple[str, ...]], Callable[..., list[Any]]] = {}
        self._lock = threading.Lock()

    def signature(self, name: str) -> Signature:
        """A signature.

        Raises:
          BadRequestError: there is none of that name.
        """
        if found := self.signatures.get(name or "serving_default"):
            return found
        raise BadRequestError(f"the model has no signature {name!r}; it has {', '.join(sorted(self.signatures))}")

    def run(self, signature: Signature, given: Mapping[str, Any], outputs: tuple[str, ...] = ()) -> dict[str, Any]:
        """Answers one request.

        Args:
          signature: of this model.
          given: arrays or nested lists by input.
          outputs: the names wanted; all where none is named.

        Returns:
          arrays by output.

        Raises:
          BadRequestError: the values do not fit, or the graph refuses them.
        """
        wanted = signature.wanted(outputs)
        arrays = signature.arrays(given)
        try:
            answers = self._callable(signature, wanted)(*(arrays[name] for name in sorted(signature.inputs)))
        except (tf.errors.InvalidArgumentError, tf.errors.OutOfRangeError, tf.errors.UnimplementedError) as error:
            raise BadRequestError(f"the model refuses these values: {_first_line(error.message)}") from None
        except UnicodeDecodeError as error:
            # TensorFlow's error quotes bytes of the request, so that Python cannot make an exception of it.
            said = _first_line(error.object.decode(errors="replace"))
            raise BadRequestError(f"the model refuses these values: {said}") from None
        return {name: np.asarray(answer) for name, answer in zip(wanted, answers, strict=True)}

    def _callable(self, signature: Signature, outputs: tuple[str, ...]) -> Callable[..., list[Any]]:
        key = signature.name, outputs
        # What is made once per signature runs without looking its nodes up again.
        with self._lock:
            if key not in self._callables:
                options = config_pb2.CallableOptions()
                options.feed.extend(signature.inputs[name].node for name in sorted(signature.inputs))
                options.fetch.extend(signature.outputs[name].node for name in outputs)
                self._callables[key] = self._session._make_callable_from_options(options)
            return self._callables[key]

    def close(self) -> None:
        """Frees the memory; nothing may run any more."""
        self._callables.clear()
        self._session.close()


def _first_line(message: str) -> str:
    return next(iter(message.strip().splitlines()), "it does not say why")[:500]
