"""Two benchmark reports side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dfl_tf.bench.machine import Report
from dfl_tf.disk.guarded import read_json
from dfl_tf.disk.tree_schema import ANYTHING, Record, Text
from dfl_tf.errors import UsageError

_REPORT = Record({"kind": Text()}, others=ANYTHING)

_MATTERS = ("kind", "model", "batch_size", "accumulate", "parameters", "numbers", "resolution")
_SAME = (*_MATTERS, "precision", "xla", "machine.cores", "machine.tensorflow", "machine.native_ops")


def read_report(path: Path) -> Report:
    """Read what ``--json`` wrote.

    Raises
    ------
    UsageError
    """
    report: Report = read_json(
        path,
        kind="a benchmark report",
        schema=_REPORT,
        error=UsageError,
        advice="Take what dfl-tf bench --json wrote.",
    )
    return report


def compare(a: Mapping[str, object], b: Mapping[str, object]) -> list[str]:
    """Every number that both reports have, with the ratio, and what they do not have in common.

    Raises
    ------
    UsageError
        If they are of two kinds.
    """
    if a["kind"] != b["kind"]:
        raise UsageError(f"One is a report of {a['kind']}, the other one of {b['kind']}.")
    first, second = dict(_flat(a)), dict(_flat(b))
    lines = [
        f"differs: {key} {first.get(key)} | {second.get(key)}"
        for key in _SAME
        if first.get(key) != second.get(key)
    ]
    lines.append(f"{'':<40} {'A':>12} {'B':>12}    B/A")
    for key, value in first.items():
        other = second.get(key)
        if key.startswith("options.") or not (_number(value) and _number(other)):
            continue
        ratio = f"{other / value:6.3f}" if value else "     -"
        lines.append(f"{key:<40} {value:>12,.6g} {other:>12,.6g} {ratio}")
    return lines


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _flat(value: object, name: str = "") -> Iterator[tuple[str, Any]]:
    """Leaves of a report under dotted names; rows of a list are named by what they are about."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _flat(item, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            mark = index
            if isinstance(item, Mapping):
                keys = ("workers", "keep", "batch_size")
                mark = next((item[key] for key in keys if key in item), index)
            yield from _flat(item, f"{name}.{mark}")
    else:
        yield name, value
