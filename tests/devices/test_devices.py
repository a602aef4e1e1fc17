"""What TensorFlow is told before it computes anything."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_gradients_are_added_in_a_fixed_order():
    """Additions to a temporary variable come in any order: equal runs would drift apart."""
    child = subprocess.run(
        [sys.executable, "-m", "tests.train.support.graph_child"],
        cwd=ROOT,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert child.returncode == 0, child.stderr[-3000:]
    operations = json.loads(child.stdout)
    assert operations.get("AddN", 0) >= 16
    assert "TemporaryVariable" not in operations
