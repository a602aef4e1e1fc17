#!/usr/bin/env python3
"""Build sdist and wheel, install the wheel where nothing can be written, and use it there.

    python tools/check_package.py [--python PYTHON] [--json]

The wheel goes into a folder of its own, which is mounted read-only (`unshare`, without root too);
HOME is a folder that cannot be written. There `doctor`, `demo` and a `merge` of its model are run,
by a Python that has the dependencies (this one, or --python; nothing is downloaded).
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
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
READ_ONLY = """
set -e
for place in "$1" "$2"; do mount --bind "$place" "$place"; mount -o remount,bind,ro "$place"; done
for place in "$1" "$2"; do
  if touch "$place/x" 2>/dev/null; then echo "$place can be written" >&2; exit 9; fi
done
shift 2
exec "$@"
"""
IN_SDIST = (
    "docs/index.md",
    "tests/conftest.py",
    "tools/test.sh",
    "ops/cc/library.cc",
    "SECURITY.md",
)
IN_WHEEL = ("dfl_tf/cli/main.py", "dfl_tf/py.typed", "dfl_tf_ops/cc/library.cc",
            "dfl_tf/demo_data/CREDITS.txt", "dfl_tf/options/recipes/saehd.yaml",
            "dfl_tf/web/static/vendor/uPlot.LICENSE.txt")  # fmt: skip


def run(
    words: Sequence[object], *, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> str:
    """Run a command and return what it printed; its messages are shown where it fails."""
    done = subprocess.run(
        [*map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env=env,
    )
    if done.returncode:
        raise SystemExit(f"{words}: ended with {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def build(python: str, folder: Path) -> tuple[Path, Path]:
    """An sdist and a wheel without the C++ library, from a copy of what git knows."""
    tree = folder / "tree"
    tree.mkdir()
    names = run(["git", "ls-files", "-z"], cwd=ROOT).split("\0")
    for name in filter(None, names):
        target = tree / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target)
    code = (
        "import sys, setuptools.build_meta as b; to = sys.argv[1];"  # which they change
        "b.build_sdist(to); b.build_wheel(to)"
    )
    environ = {**os.environ, "DFL_TF_NATIVE": "off"}
    run([python, "-c", code, folder / "dist"], cwd=tree, env=environ)
    (sdist,), (wheel,) = ((folder / "dist").glob(kind) for kind in ("*.tar.gz", "*.whl"))
    return sdist, wheel


def check_content(sdist: Path, wheel: Path) -> None:
    """What must be in the files, and what must not."""
    with tarfile.open(sdist) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    with zipfile.ZipFile(wheel) as zipped:
        packed = set(zipped.namelist())
    missing = [name for name in IN_SDIST if name not in inside]
    missing += [name for name in IN_WHEEL if name not in packed]
    compiled = [name for name in inside | packed if name.endswith((".so", ".pyc"))]
    assert not missing, f"not there: {missing}"
    assert not compiled, f"compiled files: {compiled}"
    assert wheel.name.endswith("-py3-none-any.whl"), wheel.name


def make_frames(folder: Path) -> None:
    """Two frames with a face each, and the faces."""
    import bench_merge
    import cv2
    import numpy as np

    from dfl_tf.formats.faces.dfljpg import write_metadata
    from dfl_tf.formats.faces.face_metadata import FaceMetadata

    (folder / "aligned").mkdir(parents=True)
    for task in bench_merge.make_frames(folder, 320, 240, 2):
        path = folder / "aligned" / f"{task.path.stem}_0.jpg"
        cv2.imwrite(str(path), np.zeros((64, 64, 3), np.uint8))
        face = FaceMetadata(
            face_type="full_face",
            landmarks=np.zeros((68, 2)),
            source_filename=task.path.name,
            source_landmarks=task.faces[0],
            shape=(64, 64, 3),
        )
        write_metadata(path, face)


def used_read_only(python: str, wheel: Path) -> dict[str, Any]:
    """Use a wheel where nothing can be written; figures."""
    with tempfile.TemporaryDirectory(prefix="dfl-tf-package-") as name:
        folder = Path(name)
        site, home, work = folder / "site-packages", folder / "home", folder / "work"
        pip = [python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
        run([*pip, "--no-compile", "--target", site, wheel])
        for place in (home, work / "tmp"):
            place.mkdir(parents=True)
        make_frames(work / "frames")
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("XDG_", "DFL_TF_"))}
        environ = {**kept, "PYTHONPATH": str(site), "HOME": str(home), "TMPDIR": str(work / "tmp")}
        closed = ["unshare", "-rm", "sh", "-c", READ_ONLY, "sh", site, home]
        program = [*closed, python, "-m", "dfl_tf"]
        here = {"cwd": work, "env": environ}
        facts = json.loads(run([*program, "doctor", "--json"], **here))
        demo = json.loads(
            run([*program, "demo", "--seconds", "1", "--output", "demo", "--json"], **here)
        )
        merge = [*program, "merge", "--frames-dir", "frames", "--model-dir", "demo/model", "--json"]
        merged = json.loads(run(merge, **here))
        assert demo["iteration"] >= 1
        assert merged["merged"] == 2
        return {
            "python": facts["python"],
            "wheel": wheel.name,
            "commands": 3,
            "iterations": demo["iteration"],
            "merged": merged["merged"],
        }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--python", default=sys.executable, help="with the dependencies")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="dfl-tf-package-") as name:
        sdist, wheel = build(given.python, Path(name))
        check_content(sdist, wheel)
        figures = used_read_only(given.python, wheel)
    print(json.dumps(figures) if given.json else figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
