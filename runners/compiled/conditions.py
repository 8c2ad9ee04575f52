"""Translates the conditions of a compiled pipeline (CEL, as KFP's compiler writes them) to what a target evaluates."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

from components.runtime.errors import InputError
from runners.compiled.tasks import Condition, Constant, Parameter, Source

_TOKEN = re.compile(
    r"\s*(?:(?P<value>inputs\.parameter_values\['(?P<name>[^']+)'\])"
    r"|(?P<number>-?\d+\.\d+(?:[eE][-+]?\d+)?|-?\d+(?![.\w]))"
    r"|(?P<string>'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")"
    r"|(?P<operator>==|!=|<=|>=|<|>|&&|\|\||!|\(|\))"
    r"|(?P<word>true\b|false\b|int\b|double\b)"
    r"|(?P<end>$))"
)
_COMPARISONS = ("==", "!=", "<", "<=", ">", ">=")
_CASTS = {"int": "NUMBER_INTEGER", "double": "NUMBER_DOUBLE"}
_NUMBERS = ("NUMBER_INTEGER", "NUMBER_DOUBLE")


@dataclass(frozen=True)
class _Term:
    """A translated part with its type.

    Attributes:
      raw: the text without a cast, where it is a value that the target has as a text.
      bracketed: whether the text is in brackets.
    """

    text: str
    kind: str
    raw: str = ""
    bracketed: bool = False


@dataclass(frozen=True)
class Reference:
    """How a target names a value, and of which type it is."""

    text: str
    kind: str


@dataclass(frozen=True)
class Language:
    """What a target's expressions are written in.

    Attributes:
      target: what evaluates them, for messages.
      conjunction: between two truths.
      disjunction: between two truths, of which one has to hold.
      negation: before a truth.
      words: what `true` and `false` are called.
      casts: what makes a whole number (`int`) or a number (`double`) of a text.
      truth: what makes a Boolean of a text of the pipeline's parameter (`True`) or of a task's output (`False`), with
        {} for the text; None where values have their types, and no cast is needed.
      literal: how a string is written.
    """

    target: str
    conjunction: str
    disjunction: str
    negation: str
    words: Mapping[str, str]
    casts: Mapping[str, str]
    truth: Mapping[bool, str] | None
    literal: Callable[[str], str]


def translated(
    conditions: Sequence[Condition], references: Mapping[Source, Reference], language: Language
) -> list[str]:
    """The expressions of conditions, in the language of a target.

    Args:
      conditions: of a task; all must hold.
      references: how the target names the parameters and outputs in them.
      language: of the target.

    Raises:
      InputError: an expression that the target cannot evaluate as KFP does.
    """
    return [_Translation(condition, references, language).text() for condition in conditions]


class _Translation:
    """Recursive descent: `or := and ('||' and)*; and := test ('&&' test)*; test := unary (comparison unary)?`."""

    def __init__(self, condition: Condition, references: Mapping[Source, Reference], language: Language) -> None:
        self._condition = condition
        self._references = references
        self._language = language
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
        word = self._language.disjunction if operator == "||" else self._language.conjunction
        return _Term(f"({f' {word} '.join(self._truth(term).text for term in terms)})", "BOOLEAN", bracketed=True)

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
        words = self._language.words
        if left.text in words.values():
            left, right = right, left
        if right.text in words.values():
            # The usual form, `x == true`, is what x says already.
            return left if (right.text == words["true"]) == (operator == "==") else self._not(left)
        return _Term(f"({left.text}) {operator} ({right.text})", "BOOLEAN")

    def _unary(self) -> _Term:
        if self._take("!"):
            return self._not(self._truth(self._unary()))
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
            return _Term(self._language.literal(re.sub(r"\\(.)", r"\1", text[1:-1])), "STRING")
        if text in _CASTS:
            if not self._take("("):
                self._refuse(f"{text} without brackets")
            term = self._chain("||")
            self._close()
            return _Term(f"{self._language.casts[text]}({term.raw or term.text})", _CASTS[text])
        if kind == "word":
            return _Term(self._language.words[text], "BOOLEAN")
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
        reference, language = self._references[source], self._language
        if reference.kind in _NUMBERS and language.truth:
            cast = language.casts["int" if reference.kind == "NUMBER_INTEGER" else "double"]
            return _Term(f"{cast}({reference.text})", reference.kind, reference.text)
        if reference.kind == "BOOLEAN" and language.truth:
            return _Term(language.truth[isinstance(source, Parameter)].format(reference.text), "BOOLEAN")
        if reference.kind not in ("STRING", "BOOLEAN", *_NUMBERS):
            self._refuse(f"{name!r} is of the type {reference.kind}, which has no comparison")
        return _Term(reference.text, reference.kind, reference.text, bracketed=reference.kind == "BOOLEAN")

    def _constant(self, value: object) -> _Term:
        if isinstance(value, bool):
            return _Term(self._language.words["true" if value else "false"], "BOOLEAN")
        if isinstance(value, float) and value.is_integer():
            # Integers are numbers with a fraction in YAML made from protobuf's Struct.
            value = int(value)
        if isinstance(value, int | float):
            return _Term(json.dumps(value), "NUMBER_DOUBLE" if isinstance(value, float) else "NUMBER_INTEGER")
        if isinstance(value, str):
            return _Term(self._language.literal(value), "STRING")
        return self._refuse(f"{value!r} has no comparison")

    def _not(self, term: _Term) -> _Term:
        negation = self._language.negation
        return _Term(f"{negation}{term.text}" if term.bracketed else f"{negation}({term.text})", "BOOLEAN")

    def _refuse(self, reason: str) -> NoReturn:
        raise InputError(
            f"condition {self._condition.name!r}: {self._language.target} cannot evaluate "
            f"{self._condition.expression!r}: {reason}; "
            "compare parameters with ==, !=, <, <=, >, >= and join them with && and ||"
        )
