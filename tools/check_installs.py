#!/usr/bin/env python3
"""Install as new users do, on each Python, and train the demo: a table of what came of it.

    python tools/check_installs.py [--pythons PYTHON,PYTHON] [--seconds 3] [--json]

For each Python a fresh environment gets the dependencies from the package index (TensorFlow as its
CPU wheel); then wheel and sdist are installed as `pip install FILE` does, and `doctor` and `demo`
run, each time with an empty home:

    wheel         the library is built at its first use
    no compiler   the same with nothing but this environment on the PATH
    C locale      the same with LC_ALL=C and without Python's UTF-8 mode
    sdist         built by pip in isolation
    read-only     `tools/check_package.py`: no place of it can be written

and, by the first Python, some tests out of the sdist itself. Without --pythons, the versions
3.11, 3.12 and 3.13 that are found on the PATH or below ~/.pyenv are taken.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

import check_package
from check_package import ROOT, run

VERSIONS = ("3.11", "3.12", "3.13")
PLAIN = {"LC_ALL": "C.UTF-8"}
C_LOCALE = {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
TESTS = ("tests/options", "tests/disk", "tests/formats/test_limits.py")


def pythons() -> list[str]:
    """One Python of each version that is found."""
    found = []
    for version in VERSIONS:
        places = sorted((Path.home() / ".pyenv/versions").glob(f"{version}.*/bin/python"))
        path = str(places[-1]) if places else shutil.which(f"python{version}")
        if path:
            found.append(path)
    return found


def requirements() -> list[str]:
    """The project's dependencies, with TensorFlow's CPU wheel."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [line.replace("tensorflow>", "tensorflow-cpu>", 1) for line in project["dependencies"]]


def environment(
    place: Path, home: Path, more: Mapping[str, str], *, compiler: bool
) -> dict[str, str]:
    """Surroundings of a new user."""
    dropped = ("XDG_", "DFL_TF_", "PYTHON", "LC_", "LANG", "VIRTUAL_ENV", "CXX", "CC")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(dropped)}
    path = f"{place / 'bin'}:/usr/local/bin:/usr/bin:/bin" if compiler else str(place / "bin")
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir()
    return {**kept, "HOME": str(home), "PATH": path, **more}


def case(
    place: Path, folder: Path, seconds: int, how: Mapping[str, str], *, compiler: bool
) -> dict[str, object]:
    """Train the demo and ask the doctor."""
    env, work = environment(place, folder / "home", how, compiler=compiler), folder / "work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    program = [str(place / "bin" / "dfl-tf")]
    begin = time.monotonic()
    words = [*program, "demo", "--seconds", str(seconds), "--output", "demo", "--json"]
    done = subprocess.run(words, cwd=work, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{words}: ended with {done.returncode}\n{done.stdout}{done.stderr}")
    demo = json.loads(done.stdout)
    facts = json.loads(run([*program, "doctor", "--json"], cwd=work, env=env))
    assert demo["iteration"] >= 1
    assert list((work / "demo" / "model").glob("*SAEHD*")), "no model"
    return {
        "iterations": demo["iteration"],
        "library": facts["native_ops"].split(" ")[0],
        "seconds": round(time.monotonic() - begin),
        "said": [line for line in done.stderr.splitlines() if "C++" in line],
    }


def cases(
    python: str, sdist: Path, wheel: Path, folder: Path, seconds: int
) -> list[dict[str, object]]:
    """All ways by one Python."""
    place = folder / "venv"
    run([python, "-m", "venv", place])
    pip = [place / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "install", "-qq"]
    run([*pip, *requirements()])
    version = run([place / "bin" / "python", "--version"]).split()[1]
    rows = []

    def note(name: str, found: dict[str, object]) -> None:
        rows.append({"python": version, "case": name, **found})
        print(json.dumps(rows[-1]), file=sys.stderr, flush=True)

    again = ["--no-deps", "--force-reinstall"]
    for name, how, compiler in (
        ("no compiler", PLAIN, False),
        ("wheel", PLAIN, True),
        ("C locale", C_LOCALE, True),
    ):
        run([*pip, *again, wheel])
        note(name, case(place, folder, seconds, how, compiler=compiler))
    run([*pip, *again, sdist])
    note("sdist", case(place, folder, seconds, PLAIN, compiler=True))
    run([place / "bin" / "python", "-m", "pip", "uninstall", "-qq", "-y", "dfl-tf"])
    begin = time.monotonic()
    done = check_package.used_read_only(str(place / "bin" / "python"), wheel)
    figures = {"iterations": done["iterations"], "library": "-", "said": []}
    note("read-only", {**figures, "seconds": round(time.monotonic() - begin)})
    shutil.rmtree(place)
    return rows


def tests_of_sdist(sdist: Path, folder: Path) -> str:
    """What some tests say that run out of the sdist, by this Python."""
    with tarfile.open(sdist) as archive:
        archive.extractall(folder / "unpacked", filter="data")
    (tree,) = (folder / "unpacked").iterdir()
    env = {**os.environ, "PYTHONPATH": ".:ops", "DFL_TF_NATIVE": "off"}
    words = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-m",
        "not slow",
        *TESTS,
    ]
    return run(words, cwd=tree, env=env).splitlines()[-1]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pythons", help="by commas; default: what is found")
    parser.add_argument("--seconds", type=int, default=3, help="that each demo trains")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    given = parser.parse_args(arguments)
    chosen = given.pythons.split(",") if given.pythons else pythons()
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory(prefix="dfl-tf-installs-") as name:
        folder = Path(name)
        sdist, wheel = check_package.build(sys.executable, folder)
        check_package.check_content(sdist, wheel)
        for number, python in enumerate(chosen):
            own = folder / str(number)
            own.mkdir()
            rows += cases(python, sdist, wheel, own, given.seconds)
        tested = tests_of_sdist(sdist, folder)
    if given.json:
        print(json.dumps({"rows": rows, "sdist_tests": tested}))
        return 0
    print(f"{'Python':8} {'case':12} {'iterations':>10} {'library':9} {'seconds':>7}  said")
    for row in rows:
        said = row["said"]
        assert isinstance(said, list)
        print(
            f"{row['python']:8} {row['case']:12} {row['iterations']:>10} {row['library']:9} "
            f"{row['seconds']:>7}  {' / '.join(said)[:160]}"
        )
    print(f"tests out of the sdist: {tested}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
