"""What tools import from the package is there; few of them run in the first tier of tests."""

from __future__ import annotations

import ast
import importlib
import importlib.util
from pathlib import Path

TOOLS = Path(__file__).resolve().parents[2] / "tools"
PACKAGES = ("dfl_tf", "dfl_tf_ops")


def missing(text: str) -> list[str]:
    """The names that a file imports from our packages and that are not there."""
    gone = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in PACKAGES:
            module = importlib.import_module(str(node.module))
            for name in (alias.name for alias in node.names):
                inside = f"{node.module}.{name}"
                if hasattr(module, name):
                    continue
                if not hasattr(module, "__path__") or importlib.util.find_spec(inside) is None:
                    gone.append(inside)
    return gone


def test_what_tools_import_is_there() -> None:
    found = {path.name: missing(path.read_text()) for path in sorted(TOOLS.rglob("*.py"))}
    assert {name: gone for name, gone in found.items() if gone} == {}


def test_a_name_that_is_gone_is_noticed() -> None:
    assert missing("from dfl_tf.errors import DflTfError, Nothing") == ["dfl_tf.errors.Nothing"]
