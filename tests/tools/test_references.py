"""What docstrings and comments cite is in docs/."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SPEC = ROOT / "docs" / "spec"
PAGE = re.compile(r"\b([a-z-]+)\.md((?:,? (?:and )?\d+(?:\.\d+)*)*)")
DECISION = re.compile(r"\b[Dd]ecisions? (\d+(?:(?:, | and | to |-)\d+)*)")


def citing_files() -> Iterator[Path]:
    for folder in ("dfl_tf", "ops", "tools", "tests"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in (".py", ".cc", ".h", ".sh", ".toml") and path != Path(__file__):
                yield path


def sections(page: Path) -> set[str]:
    """Numbers of headings, and of paragraphs that begin with one in bold."""
    text = page.read_text()
    return set(re.findall(r"^(?:#+ |\*\*)(\d+(?:\.\d+)*)", text, re.MULTILINE))


def missing(text: str, known: dict[str, set[str]], decisions: set[str]) -> list[str]:
    """Everything that `text` cites and that is not there."""
    wrong = []
    for page, numbers in PAGE.findall(text):
        if page not in known:
            continue
        cited = re.findall(r"\d+(?:\.\d+)*", numbers)
        wrong += [f"{page}.md {number}" for number in cited if number not in known[page]]
    for numbers in DECISION.findall(text):
        cited = re.findall(r"\d+", numbers)
        wrong += [f"decision {number}" for number in cited if number not in decisions]
    return wrong


@pytest.fixture(scope="module")
def known() -> dict[str, set[str]]:
    return {page.stem: sections(page) for page in SPEC.glob("*.md")}


@pytest.fixture(scope="module")
def decisions() -> set[str]:
    return set(re.findall(r"^(\d+)\. ", (ROOT / "docs" / "decisions.md").read_text(), re.MULTILINE))


def test_every_cited_section_and_decision_is_in_docs(known, decisions) -> None:
    wrong = {}
    for path in citing_files():
        if found := missing(path.read_text(), known, decisions):
            wrong[str(path.relative_to(ROOT))] = found
    assert wrong == {}


def test_what_is_not_there_is_noticed(known, decisions) -> None:
    text = "data.md 6.1, 99; design decisions 42 and 99."
    assert missing(text, known, decisions) == ["data.md 99", "decision 99"]


def test_every_cited_page_is_in_docs() -> None:
    pages = {path.name for path in (ROOT / "docs").rglob("*.md")}
    pages |= {path.name for path in ROOT.glob("*.md")} | {"README.md"}
    pages.add("proof.md")  # written by tools/full.sh
    cited = re.compile(r"(?<![\w/<{*-])([a-z][a-z-]+\.md)\b")
    gone = {}
    for path in citing_files():
        if path.is_relative_to(ROOT / "tests"):
            continue  # tests write pages of their own
        if found := sorted(set(cited.findall(path.read_text())) - pages):
            gone[str(path.relative_to(ROOT))] = found
    assert gone == {}
