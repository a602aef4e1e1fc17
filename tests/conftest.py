"""What holds for all tests."""

from __future__ import annotations

import os

import pytest


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Leave tests of the C++ library out where it is; else its lack is a failure."""
    if item.get_closest_marker("native") and os.environ.get("DFL_TF_NATIVE") == "off":
        pytest.skip("DFL_TF_NATIVE=off")
