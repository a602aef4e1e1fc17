"""The number of `Any` in annotations has a limit that may only fall."""

from __future__ import annotations

import count_any
import pytest

SOURCE = '''
from typing import Any, cast
Alias = dict[str, Any]
def f(a: Any, b: "list[Any]", c: int = 0) -> Any:
    """Any text."""
    x: Any = "Any"
    return cast(Any, x)
'''


def test_every_use_counts_and_no_text_does():
    assert sorted(count_any.places(SOURCE)) == [3, 4, 4, 4, 6, 7]


def test_the_packages_are_within_the_limit():
    total = sum(map(len, count_any.count().values()))
    limit = count_any.limit((count_any.ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert total <= limit <= 120


def test_the_limit_only_falls():
    text = "[tool.count_any]\nlimit = 9\n"
    assert count_any.limit(count_any.lowered(text, 8)) == 8
    with pytest.raises(ValueError, match="may only fall"):
        count_any.lowered(text, 9)
