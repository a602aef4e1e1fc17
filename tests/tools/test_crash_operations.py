"""Interrupted operations; `tools/crash_operations.py` tries every call and many kills."""

from __future__ import annotations

import logging

import crash_operations
import pytest


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("faceset unpack", marks=pytest.mark.slow),
        pytest.param("merge again", marks=pytest.mark.slow),
        "backup, legacy",
    ],
)
def test_an_interrupted_operation_leaves_the_old_or_the_new(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    row = crash_operations.run([name], kills=3, every=7)[name]
    assert row.losses == []
    assert row.tried >= 8
    assert row.kills == 3
    assert row.old > 0
