"""The merger equals the legacy program on the committed golden cases."""

from __future__ import annotations

from pathlib import Path

import pytest
from golden_kinds import merge

FOLDER = Path(__file__).resolve().parents[1] / "golden" / "merge"


def test_golden_folder_holds_cases():
    assert len(merge.cases(FOLDER)) >= 6


@pytest.mark.golden
@pytest.mark.parametrize("case", merge.cases(FOLDER))
def test_merge_matches_golden(case):
    checks = merge.run(FOLDER, case)
    assert checks
    missed = [c for c in checks if not c.passed]
    assert not missed
