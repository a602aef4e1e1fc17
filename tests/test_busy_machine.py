"""No test takes the machine for an idle one: it waits for what happens, never for a time."""

from __future__ import annotations

import ast
from pathlib import Path

TESTS = Path(__file__).parent
CLOCKS = {"monotonic", "perf_counter", "time"}


def _reads_clock(node: ast.AST) -> bool:
    return any(
        isinstance(part, ast.Call)
        and isinstance(part.func, ast.Attribute)
        and part.func.attr in CLOCKS
        and isinstance(part.func.value, ast.Name)
        and part.func.value.id == "time"
        for part in ast.walk(node)
    )


def limits_in(source: str) -> list[int]:
    """Lines that give up after a time of the wall clock, or judge by it."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else ""
            timed = [word for word in node.keywords if word.arg == "timeout"]
            if called in ("run", "wait", "communicate", "join", "check_output", "get") and timed:
                found.append(node.lineno)
        elif isinstance(node, ast.Compare) and _reads_clock(node):
            found.append(node.lineno)
    return found


def test_no_test_has_a_limit_of_its_own():
    """Pytest's `timeout` in pyproject.toml ends what hangs; it is generous, and the only limit."""
    found = [
        f"{path.relative_to(TESTS)}:{line}"
        for path in sorted(TESTS.rglob("*.py"))
        for line in limits_in(path.read_text(encoding="utf-8"))
    ]
    assert found == []


def test_limits_are_seen():
    assert limits_in("import subprocess\nsubprocess.run(['x'], timeout=500)\n") == [2]
    assert limits_in("limit = time.monotonic() + 60\nassert time.monotonic() < limit\n") == [2]
    assert limits_in("child.communicate()\nstart = time.monotonic()\n") == []
