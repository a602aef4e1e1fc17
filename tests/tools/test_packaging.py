"""What pyproject.toml, setup.py, MANIFEST.in and the notices promise."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from dfl_tf.extras import EXTRAS, install_command

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_extras_are_those_of_the_project():
    declared = PROJECT["optional-dependencies"]
    assert {name: tuple(declared[name]) for name in EXTRAS} == EXTRAS
    assert install_command("export") == 'pip install "onnx>=1.19,<2" "onnxruntime>=1.22"'


def test_only_the_gpu_extra_asks_for_a_tensorflow():
    asking = [
        name
        for name, packages in PROJECT["optional-dependencies"].items()
        if any(each.startswith("tensorflow") for each in packages)
    ]
    assert asking == ["gpu"]


def test_no_message_advises_a_second_tensorflow():
    """The one exception is told with the removal of tensorflow-cpu before it."""
    found = []
    for path in (ROOT / "dfl_tf").rglob("*.py"):
        for line in path.read_text(encoding="utf-8").splitlines():
            if re.search(r"pip install [\"']?dfl-tf\[", line) and "uninstall" not in line:
                found.append(f"{path.name}: {line.strip()}")
    assert [line for line in found if not line.startswith("extras.py")] == []


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_each_python_is_named(version):
    assert f"Programming Language :: Python :: {version}" in PROJECT["classifiers"]


def test_all_that_the_sdist_promises_is_there():
    lines = (ROOT / "MANIFEST.in").read_text(encoding="utf-8").splitlines()
    for line in lines:
        verb, *names = line.split()
        if verb in ("include", "graft"):
            assert [name for name in names if not (ROOT / name).exists()] == [], line
    for name in PROJECT["license-files"]:
        assert (ROOT / name).is_file()


def test_notices_name_what_is_shipped_and_what_is_fetched():
    text = (ROOT / "THIRD_PARTY_NOTICES.md").read_text(encoding="utf-8")
    for name in ("uPlot", "ICT-FaceKit", "MediaPipe", "dlib", "CC0", "MIT", "Apache-2.0"):
        assert name in text
    for path in (ROOT / "dfl_tf").rglob("*LICENSE*"):
        assert path.name.partition(".")[0] in text, path
