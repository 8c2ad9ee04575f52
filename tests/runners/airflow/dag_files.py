"""DAG files for the tests, and what is in one, read without Airflow."""

from __future__ import annotations

import ast
import functools
import tempfile
from pathlib import Path
from typing import Any

from runners.airflow.dag_file import compile_dag
from runners.airflow.options import for_settings
from runners.commands.compile import compile_pipeline
from runners.settings.model import load
from tests.runners.compiled_models import digest, full


@functools.cache
def text_of_model(name: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        settings = full(Path(folder), name.removeprefix("full-")) if name.startswith("full") else load(name)
        return compile_dag(compile_pipeline(settings, digest), for_settings(settings))


class DagFile:
    """A DAG file, read.

    Attributes:
      constants: the values of its plain constants, by name.
      stages: the arguments of its operators by task; what is no plain value is its text.
      edges: the tasks that each one comes after.
      parameters: the arguments of `Param`, by parameter.
      dag: the plain arguments of `DAG`.
    """

    def __init__(self, text: str) -> None:
        self.constants: dict[str, Any] = {}
        self.stages: dict[str, dict[str, Any]] = {}
        self.edges: dict[str, set[str]] = {}
        self.dag: dict[str, Any] = {}
        self.parameters: dict[str, dict[str, Any]] = {}
        tree = ast.parse(text)
        for node in tree.body:
            if isinstance(node, ast.Assign):
                self.constants[ast.unparse(node.targets[0])] = _value(node.value)
            elif isinstance(node, ast.With):
                self._read(node)

    def _read(self, block: ast.With) -> None:
        call = block.items[0].context_expr
        assert isinstance(call, ast.Call)
        for keyword in call.keywords:
            assert keyword.arg
            if keyword.arg == "params":
                assert isinstance(keyword.value, ast.Dict)
                for key, value in zip(keyword.value.keys, keyword.value.values, strict=True):
                    self.parameters[_value(key)] = _keywords(value)
            else:
                self.dag[keyword.arg] = _value(keyword.value)
        names: dict[str, str] = {}
        for node in block.body:
            if isinstance(node, ast.Assign):
                made = node.value
                is_teardown = isinstance(made, ast.Call) and isinstance(made.func, ast.Attribute)
                if isinstance(made, ast.Call) and isinstance(made.func, ast.Attribute):
                    assert made.func.attr == "as_teardown"
                    made = made.func.value
                arguments = _keywords(made)
                names[ast.unparse(node.targets[0])] = arguments["task_id"]
                self.stages[arguments["task_id"]] = arguments | {"is_teardown": is_teardown}
                self.edges[arguments["task_id"]] = set()
            else:
                assert isinstance(node, ast.Expr)
                assert isinstance(node.value, ast.BinOp)
                before, after = node.value.left, node.value.right
                earlier = before.elts if isinstance(before, ast.List) else [before]
                self.edges[names[ast.unparse(after)]] |= {names[ast.unparse(each)] for each in earlier}


def _keywords(node: ast.AST | None) -> dict[str, Any]:
    assert isinstance(node, ast.Call)
    return {str(keyword.arg): _value(keyword.value) for keyword in node.keywords}


def _value(node: ast.AST | None) -> Any:
    assert isinstance(node, ast.expr)
    try:
        return ast.literal_eval(node)
    except ValueError:
        return ast.unparse(node)
