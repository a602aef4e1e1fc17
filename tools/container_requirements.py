#!/usr/bin/env python3
"""Print what the container installs before the package itself: `cpu` or `gpu`, one line each.

    python tools/container_requirements.py cpu > requirements.txt

All extras that commands use are there; TensorFlow is `tensorflow-cpu`, or the one with CUDA.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EXTRAS = ("tensorboard", "export", "video", "extract", "web")
FLAVORS = {"cpu": "tensorflow-cpu", "gpu": "tensorflow[and-cuda]"}


def requirements(flavor: str) -> list[str]:
    """Requirements, with the TensorFlow of a flavor in place of the plain one."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    lines = ["setuptools>=77", "wheel", *project["dependencies"]]
    for extra in EXTRAS:
        lines += project["optional-dependencies"][extra]
    return [line.replace("tensorflow>", f"{FLAVORS[flavor]}>", 1) for line in lines]


def main(arguments: list[str]) -> int:
    if len(arguments) != 1 or arguments[0] not in FLAVORS:
        print(f"give one of {', '.join(FLAVORS)}", file=sys.stderr)
        return 2
    print("\n".join(requirements(arguments[0])))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
