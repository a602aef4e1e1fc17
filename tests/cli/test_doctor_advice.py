"""What `dfl-tf doctor` says to do: a row for each thing that can be wrong."""

from __future__ import annotations

from typing import Any

import pytest

from dfl_tf.cli.doctor_advice import RULES, advice

WELL: dict[str, Any] = {
    "rivals": {"opencv-python-headless": "5.0", "tensorflow": "2.21.0"},
    "gpu": "RTX 9090 (20.0 of 24.0 GiB free)",
    "native_ops": "native (/x/_native.so)",
    "compiler": "/usr/bin/g++",
    "writable": {"cache": "/home/a/.cache", "data": "/home/a/.local", "temporary": "/tmp"},
    "open_models": {"faces": "in /home/a/models", "identity": "in /home/a/models"},
    "process": {"available_gib": 20.0},
    "disk_free_gib": {"/work": 300.0},
}
ILL: dict[str, tuple[dict[str, Any], str]] = {
    "two OpenCVs": (
        {"rivals": {"opencv-python": "5.0", "opencv-python-headless": "5.0"}},
        "pip uninstall opencv-python opencv-python-headless, then pip install opencv-python-head",
    ),
    "two TensorFlows": (
        {"rivals": {"tensorflow": "2.21.0", "tensorflow-cpu": "2.21.0"}},
        "pip uninstall tensorflow tensorflow-cpu, then pip install the one that you want",
    ),
    "a GPU that is not used": (
        {"gpu": "RTX 9090 (20.0 of 24.0 GiB free): not used, libcudnn.so.9 is missing (pip …)"},
        "TensorFlow does not use it: libcudnn.so.9 is missing",
    ),
    "no library": ({"native_ops": "fallback (not built)"}, "dfl-tf doctor --build-ops"),
    "no compiler": (
        {"native_ops": "fallback (not built)", "compiler": None},
        "there is no compiler: install g++",
    ),
    "no cache": (
        {"writable": {"cache": "no (/home/a/.cache: Read-only file system)"}},
        "the cache folder cannot be written (/home/a/.cache: Read-only file system): set XDG_CACHE",
    ),
    "no temporary folder": (
        {"writable": {"temporary": "no (there is no home folder)"}},
        "set TMPDIR",
    ),
    "models that are not there": (
        {"open_models": {"identity": "not there (dfl-tf …)"}},
        "the models of identity are not there: dfl-tf extract --get-models identity",
    ),
    "damaged models": (
        {"open_models": {"faces": "damaged (x.tflite: …)"}},
        "the models of faces are damaged: dfl-tf extract --get-models",
    ),
    "little memory": ({"process": {"available_gib": 1.5}}, "1.5 GiB of memory are free"),
    "little disk": ({"disk_free_gib": {"/work": 2.0}}, "2 GiB are free at /work"),
}


def test_where_all_is_well_there_is_nothing_to_do():
    assert advice(WELL) == []
    assert advice({**WELL, "native_ops": "fallback (DFL_TF_NATIVE=off)"}) == []
    assert advice({**WELL, "gpu": "no NVIDIA driver", "process": {"available_gib": None}}) == []


@pytest.mark.parametrize("what", ILL)
def test_each_thing_has_one_line_that_says_what_to_do(what):
    found, text = ILL[what]
    (line,) = advice({**WELL, **found})
    assert text in line


def test_every_rule_has_a_row():
    spoken = {rule for rule in RULES for found, _ in ILL.values() if list(rule({**WELL, **found}))}
    assert spoken == set(RULES)
