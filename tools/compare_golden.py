#!/usr/bin/env python3
"""Run a golden folder against the code: case, worst error, tolerance, verdict.

    python tools/compare_golden.py DIR [--json] [--only GLOB] [--jobs N] [--summary]

DIR is a folder of one kind (`models`, `training`, `data`, `merge`: told by the files in it, not by
its name) or a folder of such folders. Nothing about the cases is known beforehand. Exit code 0:
every check within its tolerance; 1: a miss, a case that could not be run, or no case at all;
2: wrong usage.
"""

from __future__ import annotations

import argparse
import fnmatch
import importlib
import json
import os
import sys
import time
import traceback
import zipfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
for entry in (ROOT / "tools", ROOT / "ops", ROOT):
    if str(entry) not in sys.path:
        sys.path.insert(0, str(entry))

from golden_kinds.check import Check  # noqa: E402

KINDS = ("models", "training", "data", "merge")


@dataclass
class CaseResult:
    """All checks of one case, or the reason why it could not be run."""

    kind: str
    folder: str
    case: str
    seconds: float = 0.0
    checks: list[Check] = field(default_factory=list)
    failure: str = ""

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


def kind_of(folder: Path) -> str | None:
    """Tell the kind of a golden folder by the files in it."""
    if (folder / "weight_keys").is_dir() or (folder / "layers.npz").exists():
        return "models"
    if (folder / "inputs64.npz").exists() or any(folder.glob("unit_optimizers.npz")):
        return "training"
    data_files = ("sample_processor.json", "warp.json", "landmark_tables.json", "geometry.npz")
    if any((folder / name).exists() for name in data_files):
        return "data"
    if (folder / "inputs.npz").exists() and any(folder.glob("frame_*.png")):
        return "merge"
    named = folder.resolve().name
    if named in KINDS:
        return named
    if (folder / "meta.json").exists() or (folder / "legacy").is_dir():
        return "models"
    for path in folder.glob("*.npz"):
        with zipfile.ZipFile(path) as archive:
            if "meta_json.npy" in archive.namelist():
                return "training"
    return None


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
    try:
        module = importlib.import_module(f"golden_kinds.{kind}")
        result.checks = list(module.run(Path(folder), case))
        if not result.checks:
            result.failure = "nothing was compared"
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(last.filename).name}:{last.lineno}"
        result.failure = f"{type(error).__name__}: {error} ({where})"
    result.seconds = time.perf_counter() - start
    return result


def find_cases(folder: Path, only: str | None) -> list[tuple[str, str, str]]:
    """All (kind, folder, case) of a folder or of the golden folders right inside it."""
    kind = kind_of(folder)
    folders = (
        [(folder, kind)]
        if kind
        else [(d, kind_of(d)) for d in sorted(folder.iterdir()) if d.is_dir()]
    )
    found = []
    for place, its_kind in folders:
        if its_kind is None:
            continue
        try:
            names = importlib.import_module(f"golden_kinds.{its_kind}").cases(place)
        except ImportError:
            names = [f"(no comparer of the kind {its_kind})"]
        for case in names:
            if only is None or fnmatch.fnmatch(case, only):
                found.append((its_kind, str(place), case))
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


def as_json(results: list[CaseResult]) -> str:
    rows = [
        {
            "kind": r.kind,
            "folder": r.folder,
            "case": r.case,
            "passed": r.passed,
            "seconds": round(r.seconds, 2),
            "failure": r.failure or None,
            "checks": [vars(c) | {"passed": c.passed} for c in r.checks],
        }
        for r in results
    ]
    return json.dumps(
        {"passed": bool(rows) and all(r["passed"] for r in rows), "cases": rows}, indent=1
    )


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--only", metavar="GLOB", help="only the cases whose name matches")
    parser.add_argument(
        "--jobs", type=int, default=min(2, os.cpu_count() or 1), help="processes (default 2)"
    )
    parser.add_argument("--summary", action="store_true", help="print misses and a count only")
    args = parser.parse_args(argv)
    if not args.directory.is_dir():
        parser.error(f"{args.directory} is not a folder")
    _limit_threads()
    wanted = find_cases(args.directory, args.only)
    results: list[CaseResult] = []

    def note(result: CaseResult) -> None:
        results.append(result)
        if not args.json and (not args.summary or not result.passed):
            print(show(result), flush=True)

    if args.jobs > 1 and len(wanted) > 1:
        with ProcessPoolExecutor(args.jobs, mp_context=get_context("spawn")) as pool:
            for future in [pool.submit(run_case, *job) for job in wanted]:
                note(future.result())
    else:
        for job in wanted:
            note(run_case(*job))
    missed = [r for r in results if not r.passed]
    if args.json:
        print(as_json(results))
    elif not results:
        print(f"no golden case found in {args.directory}", file=sys.stderr)
    else:
        checks = sum(len(r.checks) for r in results)
        passed = len(results) - len(missed)
        print(f"{args.directory}: {passed} of {len(results)} cases pass ({checks} checks)")
    return 1 if missed or not results else 0


if __name__ == "__main__":
    sys.exit(main())
