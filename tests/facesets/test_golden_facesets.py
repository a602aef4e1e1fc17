"""The golden cases of the faceset tools that need no other workspace."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT / "tools") not in sys.path:
    sys.path.insert(0, str(ROOT / "tools"))

from golden_kinds import facesets  # noqa: E402
from golden_kinds.workspaces import FACES, WORKSPACE  # noqa: E402

GOLDEN = ROOT / "tests" / "golden" / "facesets"


@pytest.mark.parametrize("case", facesets.cases(GOLDEN))
def test_golden_case(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FACES, str(GOLDEN))
    monkeypatch.setenv(WORKSPACE, "workspace_s")
    checks = facesets.run(GOLDEN, case)
    assert checks
    assert [check for check in checks if not check.passed] == []
