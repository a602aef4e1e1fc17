"""Counts `Any` in the annotations of the packages and holds a limit that may only fall.

    python tools/count_any.py            # the number by room; exit code 1 if it is above the limit
    python tools/count_any.py --each     # every place
    python tools/count_any.py --lower    # write today's number as the limit, if it is lower

The limit stands in `pyproject.toml` (`[tool.count_any]`).
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("dfl_tf", "ops/dfl_tf_ops")


def places(source: str) -> Iterator[int]:
    """Yield the line of every `Any` that is used; importing it does not count.

    Annotations, aliases, bases, bounds and casts count alike, and so does text that is an
    annotation (``"list[Any]"``).
    """
    tree = ast.parse(source)
    quoted = {id(node) for note in _annotations(tree) for node in ast.walk(note)}
    for node in ast.walk(tree):
        if (isinstance(node, ast.Name) and node.id == "Any") or (
            isinstance(node, ast.Attribute) and node.attr == "Any"
        ):
            yield node.lineno
        elif isinstance(node, ast.Constant) and id(node) in quoted and isinstance(node.value, str):
            yield from [node.lineno] * len(re.findall(r"\bAny\b", node.value))


def _annotations(tree: ast.AST) -> Iterator[ast.expr]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.returns is not None:
            yield node.returns
        elif isinstance(node, ast.arg | ast.AnnAssign) and node.annotation is not None:
            yield node.annotation


def count(root: Path = ROOT) -> dict[str, list[int]]:
    """Return the lines with `Any` by file, relative to `root`; files without any are left out."""
    found = {}
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            if lines := sorted(places(path.read_text(encoding="utf-8"))):
                found[path.relative_to(root).as_posix()] = lines
    return found


def limit(pyproject: str) -> int:
    """Return the limit that stands in the text of `pyproject.toml`."""
    return int(tomllib.loads(pyproject)["tool"]["count_any"]["limit"])


def lowered(pyproject: str, total: int) -> str:
    """Return the text with the limit at `total`.

    Raises
    ------
    ValueError
        If that is no lower.
    """
    if total >= limit(pyproject):
        raise ValueError(f"{total} is not below the limit {limit(pyproject)}, which may only fall")
    return re.sub(r"(\[tool\.count_any\]\nlimit = )\d+", rf"\g<1>{total}", pyproject)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--each", action="store_true", help="Print every place.")
    parser.add_argument("--lower", action="store_true", help="Write the number as the limit.")
    given = parser.parse_args(arguments)
    found = count()
    total = sum(map(len, found.values()))
    rooms = Counter[str]()
    for name, lines in found.items():
        rooms["/".join(name.split("/")[:2])] += len(lines)
        if given.each:
            print("\n".join(f"{name}:{line}" for line in lines))
    for room, number in rooms.most_common():
        print(f"{number:5d}  {room}")
    path = ROOT / "pyproject.toml"
    text = path.read_text(encoding="utf-8")
    print(f"{total:5d}  together; the limit is {limit(text)}")
    if given.lower:
        path.write_text(lowered(text, total), encoding="utf-8")
    if total > limit(text):
        print(
            "error: name the type instead, or a Protocol; the limit may only fall", file=sys.stderr
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
