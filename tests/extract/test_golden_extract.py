"""Extraction equals the legacy program, and our prototype of the open default."""

from __future__ import annotations

from pathlib import Path

import pytest
from golden_kinds import extract, workspaces

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
FOLDER = GOLDEN / "extract"


@pytest.fixture(autouse=True)
def _frames(monkeypatch):
    monkeypatch.setenv(workspaces.FACES, str(GOLDEN / "faces"))
    monkeypatch.setenv(workspaces.WORKSPACE, "workspace_s")


def test_golden_folder_holds_cases_of_each_kind():
    groups = {case.partition(":")[0] for case in extract.cases(FOLDER)}
    assert groups == {
        *("s3fd_decode", "s3fd_nms", "s3fd_call", "fan_second_pass", "stages", "align"),
        *("open_default", "open_default_frame"),
    }


@pytest.mark.golden
@pytest.mark.parametrize("case", extract.cases(FOLDER))
def test_extract_matches_golden(case):
    checks = extract.run(FOLDER, case)
    assert checks
    assert not [check for check in checks if not check.passed]
