"""Training steps equal the legacy ones on the committed golden runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from golden_kinds import training

FOLDER = Path(__file__).resolve().parents[1] / "golden" / "training"


def test_golden_folder_holds_a_double_run_of_each_class():
    cases = training.cases(FOLDER)
    assert {c.split("_")[0].split(".")[0] for c in cases if c.endswith(".f64")} == {
        "saehd",
        "amp",
        "quick96",
        "xseg",
    }


@pytest.mark.golden
@pytest.mark.parametrize("case", training.cases(FOLDER))
def test_run_matches_golden(case):
    missed = [c for c in training.run(FOLDER, case) if not c.passed]
    assert not missed
