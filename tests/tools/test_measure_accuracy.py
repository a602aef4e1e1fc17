"""The gate of the open models as a command: errors in sizes of the face, limits, exit code."""

from __future__ import annotations

import json
from pathlib import Path

import measure_accuracy as tool
import numpy as np
import pytest

from tests.extract.squares import FACE


def test_the_error_is_that_of_the_inner_landmarks_in_sizes_of_the_face():
    known = FACE * 200
    size = np.sqrt(np.ptp(known, axis=0).prod())
    moved = np.add(known, (0.03 * size, 0.0))
    assert tool.error_of(moved, known) == pytest.approx(0.03)
    moved[:17] += 50  # the jaw does not count
    assert tool.error_of(moved, known) == pytest.approx(0.03)


@pytest.mark.parametrize(
    ("row", "passed"),
    [
        (tool.Row("workspace_s", 0, 120, 120, 0.019, 0.034), True),
        (tool.Row("workspace_s", 90, 120, 119, 0.019, 0.034), False),
        (tool.Row("workspace_s", 0, 120, 120, 0.025, 0.03), False),
        (tool.Row("workspace_s", 0, 120, 120, 0.019, 0.035), False),
        (tool.Row("workspace_a", 0, 135, 135, 0.011, 0.2), True),
        (tool.Row("workspace_a", 0, 135, 0, float("nan"), float("nan")), False),
    ],
)
def test_limits(row, passed):
    assert row.passed is passed


def test_the_command_prints_a_row_a_turn_and_fails_with_a_missed_limit(
    monkeypatch, capsys, tmp_path: Path
):
    rows = {0: 0.02, 90: 0.03}
    monkeypatch.setattr(tool.MeshModels, "load", classmethod(lambda cls, folder: None))
    monkeypatch.setattr(tool, "rendered", lambda faces: iter([]))
    monkeypatch.setattr(
        tool, "measure", lambda name, known, turn, models: tool.Row(name, turn, 1, 1, rows[turn], 0)
    )
    monkeypatch.setattr("sys.argv", ["tool", str(tmp_path), "--turned", "0,90", "--json"])
    assert tool.main() == 1
    _, first, second, last = capsys.readouterr().out.splitlines()
    assert "MISSED" not in first
    assert second.endswith("MISSED")
    assert [row["passed"] for row in json.loads(last)["rows"]] == [True, False]
