#!/usr/bin/env python3
"""Run a golden folder against the code: case, worst error, tolerance, verdict.

    python tools/compare_golden.py DIR [--json] [--only GLOB] [--jobs N] [--summary]
                                       [--faces DIR] [--workspace NAME]

DIR is a folder of one kind (`models`, `training`, `data`, `merge`, `options`, `workspace`,
`extract`, `facesets`: told by the files in it, not by its name) or a folder that holds such folders
at any depth. Frames and faces that cases name are found in the workspaces of --faces. Nothing about
the cases is known beforehand. Arrays that no case looked at are listed at the end. Exit code 0:
every check within its tolerance; 1: a miss, a case that could not be run, or no case at all;
2: wrong usage.
"""

from __future__ import annotations

import argparse
import fnmatch
import importlib
import json
import math
import os
import sys
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
for entry in (ROOT / "tools", ROOT / "ops", ROOT):
    if str(entry) not in sys.path:
        sys.path.insert(0, str(entry))

from golden_kinds.arrays import array_names, take_read  # noqa: E402
from golden_kinds.check import Check  # noqa: E402
from golden_kinds.folders import golden_folders  # noqa: E402
from golden_kinds.workspaces import FACES, WORKSPACE  # noqa: E402

Job = tuple[str, str, str]  # kind, folder, case
UNKNOWN = "(unknown kind)"
UNLISTED = "(list of cases)"
# Kept by the goldens' makers for information, not for comparison (their READMEs).
INFORMATION = ("legacy_*", "*_sot_dirs_raw")


@dataclass
class CaseResult:
    """All checks of one case, or the reason why it could not be run."""

    kind: str
    folder: str
    case: str
    seconds: float = 0.0
    checks: list[Check] = field(default_factory=list)
    failure: str = ""
    read: list[tuple[str, str]] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return not self.failure and bool(self.checks) and all(c.passed for c in self.checks)

    @property
    def worst(self) -> Check | None:
        """The check that is nearest to (or furthest beyond) its tolerance."""

        def share(check: Check) -> float:
            if check.error != check.error:
                return float("inf")
            if check.tolerance > 0:
                return check.error / check.tolerance
            return 0.0 if check.error <= 0 else float("inf")

        return max(self.checks, key=share, default=None)


def _limit_threads() -> None:
    # The goldens were made with one thread; two processes also share two cores better so.
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
    os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


def run_case(kind: str, folder: str, case: str) -> CaseResult:
    """Run one case; an exception becomes the case's failure, never a pass."""
    _limit_threads()
    result = CaseResult(kind, folder, case)
    start = time.perf_counter()
    take_read()
    try:
        if kind == UNKNOWN:
            raise ValueError("files of no golden kind that is known")
        module = importlib.import_module(f"golden_kinds.{kind}")
        if case == UNLISTED:
            module.cases(Path(folder))
        result.checks = list(module.run(Path(folder), case))
        if not result.checks:
            result.failure = "nothing was compared"
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(last.filename).name}:{last.lineno}"
        result.failure = f"{type(error).__name__}: {error} ({where})"
    result.read = take_read()
    result.seconds = time.perf_counter() - start
    return result


def find_cases(folder: Path, only: str | None) -> list[Job]:
    """All (kind, folder, case) of the golden folders in a folder, at any depth."""
    found: list[Job] = []
    for place, kind in golden_folders(folder):
        names = [UNKNOWN]
        if kind is not None:
            try:
                names = importlib.import_module(f"golden_kinds.{kind}").cases(place)
            except Exception:
                names = [UNLISTED]  # its run says what is wrong
        found += [
            (kind or UNKNOWN, str(place), name)
            for name in names
            if only is None or fnmatch.fnmatchcase(name, only)
        ]
    return found


def run_all(wanted: list[Job], jobs: int) -> Iterator[CaseResult]:
    """Run cases in processes; one that dies fails its case and no other."""
    if jobs <= 1 or len(wanted) <= 1:
        yield from (run_case(*job) for job in wanted)
        return
    died = False
    left = list(wanted)
    while left:
        # After a death nobody knows whose it was: one process, one case at a time.
        many = 1 if died else jobs
        with ProcessPoolExecutor(many, mp_context=get_context("spawn")) as pool:
            futures: list[Future[CaseResult]]
            futures = [pool.submit(run_case, *job) for job in (left[:1] if died else left)]
            try:
                for future in futures:
                    yield future.result()
                    left.pop(0)
                died = False
            except BrokenProcessPool:
                if died:
                    yield CaseResult(*left.pop(0), failure="the process that ran it died")
                    died = False
                else:
                    died = True


def unread_arrays(results: list[CaseResult]) -> list[str]:
    """Arrays in the folders of the results that no case looked at."""
    read = {(str(Path(file).resolve()), name) for r in results for file, name in r.read}
    found = []
    for folder in sorted({r.folder for r in results if r.kind != UNKNOWN}):
        for path in sorted(Path(folder).rglob("*.npz")):
            found += [
                f"{path}: {name}"
                for name in array_names(path)
                if (str(path.resolve()), name) not in read
                and not any(fnmatch.fnmatchcase(name, pattern) for pattern in INFORMATION)
            ]
    return found


def show(result: CaseResult) -> str:
    """One line: verdict, case, the check nearest to its tolerance, time."""
    verdict = "pass" if result.passed else "MISS" if not result.failure else "FAIL"
    if result.failure:
        detail = result.failure
    else:
        worst = result.worst
        assert worst is not None
        detail = f"{worst.error:.3g} <= {worst.tolerance:.3g}  {worst.name}"
        detail += f" [{len(result.checks)} checks]"
        missed = [c for c in result.checks if not c.passed]
        if missed:
            detail = "; ".join(
                f"{c.name}: {c.error:.3g} > {c.tolerance:.3g} {c.note}" for c in missed[:4]
            )
            detail += f" (and {len(missed) - 4} more)" if len(missed) > 4 else ""
    return f"{verdict}  {result.kind}/{result.case:<44} {detail}  ({result.seconds:.1f} s)"


def _number(value: float) -> float | str:
    """JSON has no NaN and no infinity: they become text."""
    return value if math.isfinite(value) else str(float(value))


def as_json(results: list[CaseResult], unread: list[str]) -> str:
    rows = [
        {
            "kind": r.kind,
            "folder": r.folder,
            "case": r.case,
            "passed": r.passed,
            "seconds": round(r.seconds, 2),
            "failure": r.failure or None,
            "checks": [vars(c) | {"error": _number(c.error), "passed": c.passed} for c in r.checks],
        }
        for r in results
    ]
    passed = bool(rows) and all(r["passed"] for r in rows)
    return json.dumps({"passed": passed, "cases": rows, "arrays_not_read": unread}, indent=1)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--only", metavar="GLOB", help="only the cases whose name matches")
    parser.add_argument(
        "--jobs", type=int, default=min(2, os.cpu_count() or 1), help="processes (default 2)"
    )
    parser.add_argument("--summary", action="store_true", help="print misses and a count only")
    parser.add_argument("--faces", type=Path, help="folder of workspaces (../shared/faces)")
    parser.add_argument("--workspace", help="workspace of frames named without one (workspace_s)")
    args = parser.parse_args(argv)
    for variable, value in ((FACES, args.faces), (WORKSPACE, args.workspace)):
        if value is not None:
            os.environ[variable] = str(value)
    if not args.directory.is_dir():
        parser.error(f"{args.directory} is not a folder")
    _limit_threads()
    wanted = find_cases(args.directory, args.only)
    results: list[CaseResult] = []
    for result in run_all(wanted, args.jobs):
        results.append(result)
        if not args.json and (not args.summary or not result.passed):
            print(show(result), flush=True)
    unread = unread_arrays(results) if args.only is None else []
    missed = [r for r in results if not r.passed]
    if args.json:
        print(as_json(results, unread))
    if not results:
        matching = f" that matches {args.only}" if args.only else ""
        print(f"no golden case{matching} found in {args.directory}", file=sys.stderr)
    elif not args.json:
        for array in unread:
            print(f"not compared: {array}")
        checks = sum(len(r.checks) for r in results)
        passed = len(results) - len(missed)
        print(f"{args.directory}: {passed} of {len(results)} cases pass ({checks} checks)")
    return 1 if missed or not results else 0


if __name__ == "__main__":
    sys.exit(main())
