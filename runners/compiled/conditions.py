"""Translates the conditions of a compiled pipeline (CEL, as KFP's compiler writes them) to Argo's `when`.

The result is an expression tag of Argo, `{{=...}}`, in the expr language: unlike plain tags it compares values, so that
no parameter's text can become part of the condition.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

from components.runtime.errors import InputError
from runners.compiled.tasks import Condition, Constant, Output, Parameter, Source

_TOKEN = re.compile(
    r"\s*(?:(?P<value>inputs\.parameter_values\['(?P<name>[^']+)'\])"
    r"|(?P<number>-?\d+\.\d+(?:[eE][-+]?\d+)?|-?\d+(?![.\w]))"
    r"|(?P<string>'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")"
    r"|(?P<operator>==|!=|<=|>=|<|>|&&|\|\||!|\(|\))"
    r"|(?P<word>true\b|false\b|int\b|double\b)"
    r"|(?P<end>$))"
)
_COMPARISONS = ("==", "!=", "<", "<=", ">", ">=")
_CASTS = {"int": ("asInt", "NUMBER_INTEGER"), "double": ("asFloat", "NUMBER_DOUBLE")}
_NUMBERS = ("NUMBER_INTEGER", "NUMBER_DOUBLE")


@dataclass(frozen=True)
class _Term:
    """A translated part with its type.

    Attributes:
      raw: the text without a cast, where it is a parameter, which in Argo is text always.
      bracketed: whether the text is in brackets.
    """

    text: str
    kind: str
    raw: str = ""
    bracketed: bool = False


@dataclass(frozen=True)
class Reference:
    """How Argo names a value, and of which type it is."""

    text: str
    kind: str


def when(conditions: Sequence[Condition], references: Mapping[Source, Reference]) -> str:
    """Returns Argo's `when` for a task under these conditions; empty where there are none.

    Args:
      conditions: all must hold.
      references: how Argo names the parameters and outputs in them.

    Raises:
      InputError: an expression that Argo cannot evaluate as KFP does.
    """
    texts = [_Translation(condition, references).text() for condition in conditions]
    if not texts:
        return ""
    return "{{=" + " && ".join(texts) + "}}"


class _Translation:
    """Recursive descent: `or := and ('||' and)*; and := test ('&&' test)*; test := unary (comparison unary)?`."""

    def __init__(self, condition: Condition, references: Mapping[Source, Reference]) -> None:
        self._condition = condition
        self._references = references
        self._tokens = self._tokenise()
        self._position = 0

    def text(self) -> str:
        term = self._chain("||")
        if self._next() is not None:
            self._refuse(f"{self._next()[0]!r} is not expected there")  # type: ignore[index]
        return self._truth(term).text

    def _tokenise(self) -> list[tuple[str, str]]:
        tokens: list[tuple[str, str]] = []
        position, expression = 0, self._condition.expression
        while True:
            found = _TOKEN.match(expression, position)
            if not found:
                self._refuse(f"not understood at {expression[position : position + 20].strip()!r}")
            if found["end"] is not None:
                return tokens
            kind = next(each for each in ("value", "number", "string", "operator", "word") if found[each] is not None)
            tokens.append((found["name"] if kind == "value" else found[kind], kind))
            position = found.end()

    def _next(self) -> tuple[str, str] | None:
        return self._tokens[self._position] if self._position < len(self._tokens) else None

    def _take(self, *operators: str) -> str:
        """The next token if it is one of these operators."""
        token = self._next()
        if token and token[1] == "operator" and token[0] in operators:
            self._position += 1
            return token[0]
        return ""

    def _chain(self, operator: str) -> _Term:
        inner = (lambda: self._chain("&&")) if operator == "||" else self._comparison
        terms = [inner()]
        while self._take(operator):
            terms.append(inner())
        if len(terms) == 1:
            return terms[0]
        return _Term(f"({f' {operator} '.join(self._truth(term).text for term in terms)})", "BOOLEAN", bracketed=True)

    def _comparison(self) -> _Term:
        left = self._unary()
        operator = self._take(*_COMPARISONS)
        if not operator:
            return left
        right = self._unary()
        kinds = {left.kind, right.kind}
        if len(kinds) > 1 and not kinds <= set(_NUMBERS):
            self._refuse(f"{left.text} and {right.text} are of different types")
        if "BOOLEAN" in kinds:
            return self._booleans(left, operator, right)
        return _Term(f"{left.text} {operator} {right.text}", "BOOLEAN")

    def _booleans(self, left: _Term, operator: str, right: _Term) -> _Term:
        if operator not in ("==", "!="):
            self._refuse("Booleans have no order")
        if left.text in ("true", "false"):
            left, right = right, left
        if right.text in ("true", "false"):
            # The usual form, `x == true`, is what x says already.
            return left if (right.text == "true") == (operator == "==") else _not(left)
        return _Term(f"({left.text}) {operator} ({right.text})", "BOOLEAN")

    def _unary(self) -> _Term:
        if self._take("!"):
            return _not(self._truth(self._unary()))
        if self._take("("):
            term = self._chain("||")
            self._close()
            return _Term(f"({term.text})", term.kind, term.raw, bracketed=True)
        token = self._next()
        if token is None:
            self._refuse("it ends too early")
        self._position += 1
        text, kind = token
        if kind == "value":
            return self._value(text)
        if kind == "number":
            return _Term(text, "NUMBER_DOUBLE" if "." in text else "NUMBER_INTEGER")
        if kind == "string":
            return _Term(_literal(re.sub(r"\\(.)", r"\1", text[1:-1])), "STRING")
        if text in _CASTS:
            if not self._take("("):
                self._refuse(f"{text} without brackets")
            term = self._chain("||")
            self._close()
            function, result = _CASTS[text]
            return _Term(f"{function}({term.raw or term.text})", result)
        if kind == "word":
            return _Term(text, "BOOLEAN")
        return self._refuse(f"{text!r} is not expected there")

    def _close(self) -> None:
        if not self._take(")"):
            self._refuse("a closing bracket is missing")

    def _truth(self, term: _Term) -> _Term:
        if term.kind != "BOOLEAN":
            self._refuse(f"{term.text} is not a Boolean")
        return term

    def _value(self, name: str) -> _Term:
        source = self._condition.values.get(name)
        if source is None:
            self._refuse(f"{name!r} is not given to it")
        if isinstance(source, Constant):
            return self._constant(source.value)
        reference = self._references[source]
        if reference.kind in _NUMBERS:
            cast = "asInt" if reference.kind == "NUMBER_INTEGER" else "asFloat"
            return _Term(f"{cast}({reference.text})", reference.kind, reference.text)
        if reference.kind == "BOOLEAN":
            # People write a Boolean parameter either way; the launcher writes JSON.
            test = "in ['true', 'True']" if isinstance(source, Parameter) else "== 'true'"
            return _Term(f"{reference.text} {test}", "BOOLEAN")
        if reference.kind != "STRING":
            self._refuse(f"{name!r} is of the type {reference.kind}, which has no comparison")
        return _Term(reference.text, "STRING", reference.text)

    def _constant(self, value: object) -> _Term:
        if isinstance(value, bool):
            return _Term("true" if value else "false", "BOOLEAN")
        if isinstance(value, float) and value.is_integer():
            # Integers are numbers with a fraction in YAML made from protobuf's Struct.
            value = int(value)
        if isinstance(value, int | float):
            return _Term(json.dumps(value), "NUMBER_DOUBLE" if isinstance(value, float) else "NUMBER_INTEGER")
        if isinstance(value, str):
            return _Term(_literal(value), "STRING")
        return self._refuse(f"{value!r} has no comparison")

    def _refuse(self, reason: str) -> NoReturn:
        raise InputError(
            f"condition {self._condition.name!r}: Argo cannot evaluate {self._condition.expression!r}: {reason}; "
            "compare parameters with ==, !=, <, <=, >, >= and join them with && and ||"
        )


def _not(term: _Term) -> _Term:
    return _Term(f"!{term.text}" if term.bracketed else f"!({term.text})", "BOOLEAN")


def _literal(text: str) -> str:
    """A string of the expr language, which knows JSON's escapes; without braces, which would end Argo's tag."""
    return json.dumps(text).replace("{", "\\u007b").replace("}", "\\u007d")


def reference(source: Source, kind: str, node: str = "") -> Reference:
    """How Argo's expressions name a value.

    Args:
      source: a parameter of the workflow or an output of a task.
      kind: its type in the IR.
      node: Argo's name of the task.
    """
    if isinstance(source, Output):
        return Reference(f"tasks['{node}'].outputs.parameters['{source.name}']", kind)
    assert isinstance(source, Parameter), source
    return Reference(f"workflow.parameters['{source.name}']", kind)
