"""docs/proof.md names a commit of this history, and no page claims a figure without a command."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import full
import pytest
import write_proof

ROOT = Path(full.ROOT)
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
CLAIM = re.compile(
    r"\b\d[\d,]* of \d[\d,]*\b"  # 30 of 30
    r"|\b\d+(?:\.\d+)?\s?[x×](?![\w\d])"  # 1.3x; not 1920x1080
    r"|\b\d[\d,]* (?:\w+ )?(?:kills|mutants|mutated inputs|states|frames/s|samples/s)\b"
)
COMMAND = re.compile(r"tools/\w+\.(?:py|sh)|dfl-tf bench")


def unproved(page: str, proof: str) -> list[str]:
    """Claims of a page that neither the proof repeats nor their section gives a command for.

    A claim is `N of N`, a ratio such as `1.3x`, or a number of kills, mutants, mutated inputs,
    states, frames or samples a second. A section reaches from a heading to the next.
    """
    found = []
    for section in re.split(r"^#+ ", page, flags=re.MULTILINE):
        if not COMMAND.search(section):
            found += [claim for claim in CLAIM.findall(section) if claim not in proof]
    return found


def git(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_page_names_commits_of_this_history() -> None:
    """Without a history (an unpacked sdist) or with a part of one, the form is all there is."""
    if not write_proof.PAGE.exists():
        # Before the first whole run there is nothing to prove, and no page may lean on it.
        assert all("proof.md" not in page.read_text(encoding="utf-8") for page in PAGES)
        return
    text = write_proof.PAGE.read_text(encoding="utf-8")
    commits = re.findall(r"^Commit: ([0-9a-f]{40})$", text, re.MULTILINE)
    assert len(commits) == len(re.findall(r"^## ", text, re.MULTILINE)) >= len(write_proof.REQUIRED)
    assert re.search(r"^- Date: \d{4}-\d\d-\d\d$", text, re.MULTILINE)
    assert all(f"## {part}" in text for part in write_proof.REQUIRED)
    inside = git("rev-parse", "--show-toplevel")
    if inside.returncode or Path(inside.stdout.strip()) != ROOT:
        return
    shallow = git("rev-parse", "--is-shallow-repository").stdout.strip() == "true"
    for commit in set(commits):
        known = git("cat-file", "-e", f"{commit}^{{commit}}").returncode == 0
        if not known and shallow:
            continue
        assert known, commit
        assert git("merge-base", "--is-ancestor", commit, "HEAD").returncode == 0, commit


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_every_claim_has_its_proof(page: Path) -> None:
    path = write_proof.PAGE
    proof = path.read_text(encoding="utf-8") if path.exists() else ""
    assert unproved(page.read_text(encoding="utf-8"), proof) == []


def test_claims_are_seen() -> None:
    text = "# A\n30 of 30 mutants caught, 1.3x faster, 200 kills\n# B\n2.0× by `tools/bench_ops.py`"
    assert unproved(text, "") == ["30 of 30", "1.3x", "200 kills"]
    assert unproved(text, "30 of 30 mutants; 200 kills") == ["1.3x"]
    assert unproved("videos of 1920x1080, 64 px, 4 times", "") == []


def test_the_page_is_made_of_all_parts_each_with_its_commit() -> None:
    figures = {
        "slow": {"passed": 3},
        "mutate": {"mutants": 30, "caught": 30, "survived": [], "errors": []},
        "fuzz": {"inputs": 100_000, "readers": 20, "faults": 0},
        "kills": {"kills": 400, "losses": 0, "tried": 9, "in_a_save": 5},
        "power": {"operations": 12, "states": 6000, "losses": 0},
        "quality": {
            "iterations": "100, 1,000",
            "ssim": "0.500, 0.600",
            "weights_ssim": "0.4",
            "without_warp_ssim": "0.5, 0.7",
        },
        "jax": {"cases": 9, "passed": 9, "variables": 800},
        "gpu_check": {"parts": 11},
        "notebook": {"cells": 6},
        "package": {"commands": 3, "merged": 2},
        "endurance": {"iterations": 9, "memory_mb_growth": 1.0, "milliseconds_growth": 1.0},
        "bench": {"tools": 4},
    }
    parts = {
        name: full.Result(
            name, "a" * 40, False, "2026-01-02", 1.0, True, full.PARTS[name].commands, figures[name]
        )
        for name in full.PARTS
    }
    text = write_proof.page(parts)
    for words in ("30 of 30 mutants caught", "100,000 mutated inputs", "6,000 states", "a" * 40):
        assert words in text
    assert "after 100, 1,000 iterations: 0.500, 0.600 with averaged weights, 0.4 with" in text
    assert all(command in text for part in full.PARTS.values() for command in part.commands)
    other = full.Result(**{**vars(parts["slow"]), "commit": "b" * 40})
    assert f"Commit: {'b' * 40}" in write_proof.page({**parts, "slow": other})
    changed = full.Result(**{**vars(other), "modified": True})
    with pytest.raises(ValueError, match="uncommitted"):
        write_proof.page({**parts, "slow": changed})
    before = text
    del parts["slow"]
    assert write_proof.page(parts, before) == before
    assert "Not run for this page: slow." in write_proof.page(parts)
    del parts["fuzz"]
    with pytest.raises(ValueError, match="not passed yet: fuzz"):
        write_proof.page(parts)
    assert write_proof.page(parts, before) == before
    failing = {"fuzz": full.Result(**{**vars(parts["mutate"]), "passed": False})}
    with pytest.raises(ValueError, match="not passed yet: fuzz"):
        write_proof.page(parts | failing, before)


def test_the_last_line_of_json_is_a_commands_result() -> None:
    outputs = ['table\n{"states": 2, "losses": 0, "operations": 1}\n'] * 2
    assert full.PARTS["power"].figures(outputs) == {"operations": 2, "states": 4, "losses": 0}
