"""Training steps equal the legacy ones on the committed golden runs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from golden_kinds import training

TERMS = (
    "adabelief",
    "bg_style_power",
    "blur_out_mask",
    "clipgrad",
    "eyes_mouth_prio",
    "face_style_power",
    "gan_power",
    "masked_training",
    "pretrain",
    "random_warp",
    "true_face_power",
)
FOLDER = Path(__file__).resolve().parents[1] / "golden" / "training"
LONG = ("quick96.f64", "xseg.f64", "xseg_pretrain", "saehd_res256.f64", "lr_dropout_stats")
"""Cases that take ten seconds and more: for the second tier, and for `tools/compare_golden.py`."""


def test_golden_folder_holds_a_double_run_of_each_class():
    cases = training.cases(FOLDER)
    assert {c.split("_")[0].split(".")[0] for c in cases if c.endswith(".f64")} == {
        "saehd",
        "amp",
        "quick96",
        "xseg",
    }


@pytest.mark.golden
@pytest.mark.parametrize(
    "case",
    [pytest.param(c, marks=pytest.mark.slow if c in LONG else ()) for c in training.cases(FOLDER)],
)
def test_run_matches_golden(case):
    checks = training.run(FOLDER, case)
    assert checks
    missed = [c for c in checks if not c.passed]
    assert not missed


def test_golden_folder_holds_every_term_of_the_loss():
    """Decision 33: each option that adds a term or changes the step is on in some double run."""
    found = set()
    for path in FOLDER.glob("saehd_*.f64.npz"):
        with np.load(path) as golden:
            options = json.loads(str(golden["meta_json"]))["options"]
        found |= {(key, bool(options[key])) for key in TERMS}
        found.add(("resolution", options["resolution"] >= 256))
    assert found == {(key, on) for key in (*TERMS, "resolution") for on in (False, True)}
