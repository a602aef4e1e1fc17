"""Words that were replaced do not come back: the field's own are used instead."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("dfl_tf", "ops", "tests", "tools", "docs")
SUFFIXES = (".py", ".md", ".cc", ".h")
FOREIGN = ("docs/spec", "tests/golden", "tests/tools/test_words.py")

REPLACED = {
    "picture": (r"(?<!group of )picture", "image"),
    "fault": (r"(?<![a-z])fault", "error, problem, damage"),
    "feed": (r"\b(open_)?feed(s_|_and|_state|\b(?=[.,)=]))", "batch source"),
    "keeper": (r"keeper", "checkpointer"),
    "place": (r"model_?place", "checkpoint location"),
    "team": (r"\bteam\b", "worker group"),
    "take": (r"\b_?take_up|\btakes? up (?!to|more|less|\d)|take_seed", "restore"),
    "enlist": (r"\benlist", "join_cluster"),
    "own_copy": (r"own_copy", "local replica"),
    "straight": (r"straight_?(sample|frame|face|way)", "reference"),
    "chance": (r"\bchance\b", "percent, probability, random numbers"),
    "_products": (r"(minimal|fewer|by)_products", "Winograd"),
    "_matrices": (r"filters?_(as|by)_matrices", "matmul"),
    "filter_gradients": (r"filter_gradients", "weight gradients"),
    "as_defined": (r"as_defined", "nominal"),
    "dear": (r"\bdear(est|er)?\b", "most expensive, slowest"),
    "anew": (r"\banew\b", "again, over"),
    "stranger": (r"stranger", "untrusted"),
    "undisturbed": (r"undisturbed", "uninterrupted"),
    "put aside": (r"put aside", "moved aside"),
}
"""What is not said any more: a part of it, a pattern, and what is said instead."""

ALLOWED = (
    # names in files and documents
    ("tools/golden_kinds/facesets_tools.py", "picture"),
    ("", '"faults"'),
    ("tools/full.py", '"fault"'),
    ("tools/write_proof.py", "{faults}"),
    # names of libraries
    ("", "faulthandler"),
    ("tests/facesets/test_report.py", "Tags().feed(text)"),
)
"""File (empty: any) and text of a line in which such a word is right."""


@pytest.fixture(scope="module")
def texts() -> dict[str, str]:
    """All that is written here, in lower case, by file."""
    files = [path for room in ROOMS for path in (ROOT / room).rglob("*.*")]
    return {
        name: path.read_text(encoding="utf-8").lower()
        for path in sorted([*files, *ROOT.glob("*.md")])
        if path.suffix in SUFFIXES
        and not (name := path.relative_to(ROOT).as_posix()).startswith(FOREIGN)
    }


@pytest.mark.parametrize("part", REPLACED)
def test_word_is_not_used_any_more(texts: dict[str, str], part: str) -> None:
    pattern, instead = re.compile(REPLACED[part][0]), REPLACED[part][1]
    found = [
        f"{name}: {line.strip()}"
        for name, text in texts.items()
        if part in text and pattern.search(text)
        for line in text.splitlines()
        if pattern.search(line)
        and not any(file in ("", name) and right in line for file, right in ALLOWED)
    ]
    assert not found, f"say {instead}"


def test_words_are_looked_for_where_they_are(texts: dict[str, str]) -> None:
    assert len(texts) > 600
    for part, (pattern, _) in REPLACED.items():
        example = {"place": "modelplace", "take": "take_up", "straight": "straight_way"}.get(part)
        assert example is None or re.search(pattern, example)
