"""Golden cases of the faceset tools: orders and numbers of every sort, whole runs, other tools.

The README of the folder describes the files; tolerances are its.
"""

from __future__ import annotations

from pathlib import Path

from golden_kinds import facesets_sorts, facesets_tools
from golden_kinds.arrays import load_json
from golden_kinds.check import Check


def cases(folder: Path) -> list[str]:
    """Names of all cases of the folder: `sort:set:method`, `run:tool`, `resize:tag`, ..."""
    found = [
        f"sort:{name}:{method}"
        for name, content in (load_json(folder / "sorts.json") or {}).items()
        for method in content["methods"]
    ]
    return found + facesets_tools.cases(folder)


def run(folder: Path, case: str) -> list[Check]:
    """Run one case."""
    group, _, rest = case.partition(":")
    if group == "sort":
        name, _, method = rest.partition(":")
        return facesets_sorts.run(folder, name, method)
    return facesets_tools.run(folder, group, rest)
