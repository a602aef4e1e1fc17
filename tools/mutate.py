"""Break the program on purpose, one named mutant at a time: a test that claims it must fail.

    python tools/mutate.py [NAME …] [--jobs 2] [--list] [--json]

`tools/mutants.toml` names each mutant: the function that holds it, a pattern that matches exactly
once within that function, what it is replaced by, and the tests that claim it. A function is found
by its name wherever it lies, so moving code breaks no mutant; one whose pattern does not match any
more is an error, to be mended there. Each mutant is applied to a copy of the tree. First the tests
run on a copy without a mutant: all of them must pass.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

ROOT = Path(__file__).resolve().parents[1]
LIST = ROOT / "tools" / "mutants.toml"
PACKAGES = ("dfl_tf", "ops/dfl_tf_ops")
LEFT_OUT = (".git", ".venv", "build", "dist", "shared", "*.egg-info", ".*_cache")
HANGS_AFTER = 900


@dataclass(frozen=True)
class Change:
    """One place of a mutant.

    Attributes
    ----------
    function : str
        Its qualified name, such as ``Checkpointer.save``; ``file.py::name`` where several have it.
    pattern, replacement : str
        Regular expression (`re.DOTALL`) and `re.sub` template.
    """

    function: str
    pattern: str
    replacement: str


@dataclass(frozen=True)
class Mutant:
    """One mutant: its name, its places, and what pytest is given."""

    name: str
    changes: tuple[Change, ...]
    tests: tuple[str, ...]


class StaleMutant(Exception):
    """A mutant does not fit the code any more."""


def read_mutants(path: Path = LIST) -> list[Mutant]:
    """All mutants, cheap ones first: in the order of the file."""
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    return [
        Mutant(
            name,
            tuple(
                Change(one["function"], one["pattern"], one["replacement"])
                for one in (row, *row.get("also", []))
            ),
            tuple(row["tests"]),
        )
        for name, row in table.items()
    ]


def _functions(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, ast.AST]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            name = prefix + node.name
            yield name, node
            yield from _functions(node, f"{name}.")


def find_functions(root: Path, wanted: str) -> list[tuple[Path, int, int]]:
    """The files of all functions or classes of a name, and their first and last lines, 1-based."""
    file, _, name = wanted.rpartition("::")
    declared = re.compile(rf"\b(def|class) {name.rpartition('.')[2]}\b")
    found = []
    for package in PACKAGES:
        for path in sorted((root / package).rglob(file or "*.py")):
            text = path.read_text(encoding="utf-8")
            if not declared.search(text):
                continue
            for qualified, node in _functions(ast.parse(text)):
                if qualified == name:
                    found.append((path, node.lineno, node.end_lineno or node.lineno))
    return found


def mutate(root: Path, change: Change) -> tuple[Path, str]:
    """The file that a change is made in, and its new text.

    Raises
    ------
    StaleMutant
        If there is no function of that name, or the pattern does not match exactly once in them.
    """
    found, matches = find_functions(root, change.function), []
    for path, first, last in found:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        body = "".join(lines[first - 1 : last])
        for _ in re.finditer(change.pattern, body, re.DOTALL):
            changed = re.sub(change.pattern, change.replacement, body, flags=re.DOTALL)
            matches.append((path, "".join([*lines[: first - 1], changed, *lines[last:]])))
    if len(matches) != 1:
        places = ", ".join(f"{p.relative_to(root)}:{line}" for p, line, _ in found) or "nowhere"
        raise StaleMutant(
            f"{change.pattern!r} must match once in {change.function} (found {places}); it matches "
            f"{len(matches)} times"
        )
    ast.parse(matches[0][1])
    return matches[0]


@contextmanager
def applied(root: Path, mutant: Mutant) -> Iterator[None]:
    """A mutant in a copy of the tree, for a while."""
    undo = []
    try:
        for change in mutant.changes:
            path, text = mutate(root, change)
            undo.append((path, path.read_bytes(), path.stat()))
            path.write_text(text, encoding="utf-8")
        yield
    finally:
        for path, before, stamp in reversed(undo):
            path.write_bytes(before)
            os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))  # for numba's cache


def run_tests(root: Path, tests: Sequence[str]) -> tuple[int, str]:
    """Pytest's exit code in a copy of the tree, and the end of what it printed."""
    environ = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(root), str(root / "ops")]),
        "PYTHONDONTWRITEBYTECODE": "1",  # a file may change twice within a second
    }
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
    command += [f"--timeout={HANGS_AFTER}", *tests]
    done = subprocess.run(
        command, cwd=root, env=environ, capture_output=True, text=True, check=False
    )
    return done.returncode, (done.stdout + done.stderr)[-2000:]


def copy_tree(target: Path) -> Path:
    """Copy what tests need; times are kept, so compiled kernels stay valid."""
    shutil.copytree(ROOT, target, ignore=shutil.ignore_patterns(*LEFT_OUT), symlinks=True)
    return target


def judge(root: Path, mutant: Mutant) -> dict[str, object]:
    """Apply a mutant and run its tests: caught, survived, or an error."""
    started = time.monotonic()
    try:
        with applied(root, mutant):
            code, output = run_tests(root, mutant.tests)
    except StaleMutant as error:
        return {"name": mutant.name, "verdict": "error", "seconds": 0.0, "why": str(error)}
    verdict = {0: "survived", 1: "caught"}.get(code, "error")
    row: dict[str, object] = {"name": mutant.name, "verdict": verdict}
    row["seconds"] = round(time.monotonic() - started, 1)
    if verdict == "error":
        row["why"] = f"pytest ended with {code}: {output}"
    return row


def run_all(mutants: Sequence[Mutant], jobs: int) -> list[dict[str, object]]:
    """Judge all mutants, some at a time, each in a copy of the tree that is free."""
    with tempfile.TemporaryDirectory(prefix="dfl-tf-mutants-") as place:
        copies: SimpleQueue[Path] = SimpleQueue()
        for number in range(jobs):
            copies.put(copy_tree(Path(place) / str(number)))

        def one(mutant: Mutant | None) -> dict[str, object]:
            root = copies.get()
            try:
                return judge(root, mutant) if mutant else whole(root)
            finally:
                copies.put(root)

        def whole(root: Path) -> dict[str, object]:
            tests = sorted({test for mutant in mutants for test in mutant.tests})
            code, output = run_tests(root, tests)
            verdict = "passes" if code == 0 else "error"
            return {"name": "(no mutant)", "verdict": verdict, "seconds": 0.0, "why": output}

        rows = []
        with ThreadPoolExecutor(jobs) as pool:
            for row in pool.map(one, [None, *mutants]):
                rows.append(row)
                why = f"  {row['why']}" if row["verdict"] == "error" else ""
                print(f"{row['verdict']:9}{row['seconds']:7} s  {row['name']}{why}", flush=True)
    return rows


def _list(mutants: Sequence[Mutant]) -> int:
    stale = 0
    for mutant in mutants:
        for change in mutant.changes:
            try:
                path, _ = mutate(ROOT, change)
                print(f"{mutant.name}: {path.relative_to(ROOT)}")
            except StaleMutant as error:
                stale += 1
                print(f"{mutant.name}: {error}")
    return int(bool(stale))


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", help="only these mutants")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--list", action="store_true", help="check that all fit the code, and end")
    parser.add_argument("--json", action="store_true", help="end with a summary in one line")
    args = parser.parse_args(argv)
    mutants = [m for m in read_mutants() if not args.names or m.name in args.names]
    if unknown := set(args.names) - {mutant.name for mutant in mutants}:
        parser.error(f"no such mutant: {', '.join(sorted(unknown))}")
    if args.list:
        return _list(mutants)
    started = time.monotonic()
    rows = run_all(mutants, args.jobs)
    caught = [row["name"] for row in rows if row["verdict"] == "caught"]
    summary = {
        "part": "mutate",
        "mutants": len(mutants),
        "caught": len(caught),
        "survived": [row["name"] for row in rows if row["verdict"] == "survived"],
        "errors": [row["name"] for row in rows if row["verdict"] == "error"],
        "minutes": round((time.monotonic() - started) / 60, 1),
    }
    print(json.dumps(summary) if args.json else f"{len(caught)} of {len(mutants)} caught")
    return 0 if len(caught) == len(mutants) and not summary["errors"] else 1


if __name__ == "__main__":
    sys.exit(main())
