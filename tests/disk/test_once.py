"""What exists once: whoever opens, writes, walks or starts threads elsewhere says so here."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import dfl_tf

ROOT = Path(dfl_tf.__file__).parent

ONCE = {
    "files are read by disk.plain_file and disk.guarded": (
        r"\.read_(bytes|text)\(",
        {"cli/demo.py"},  # data of this package
    ),
    "files are written by disk.durable": (
        r"\.write_(bytes|text)\(|cv2\.imwrite\(|np\.savez?\(",
        {
            "facesets/xseg_store.py",  # pieces of a pak, which becomes durable as a whole
            "cli/speaking.py",  # onto a help page
        },
    ),
    "journals are read and appended to by disk.journal": (r"O_APPEND", {
        "disk/journal.py", "train/sinks/json_lines.py",  # a log is not a record of work
    }),
    "a folder of faces or frames is walked by disk.listing": (
        r"\.glob\(|\.rglob\(|os\.walk\(|os\.scandir\(",
        {
            "disk/listing.py", "disk/durable.py",
            # folders of our own
            "bench/parts.py", "bench/profile.py", "options/recipe_file.py",
            "formats/models/snapshots.py", "formats/models/restore.py",
            "formats/scan.py",  # a whole tree, whatever lies in it
            "formats/faces/faceset_sums.py", "merge/shards.py",
            "formats/weights/open_models.py",  # a folder of pip's
        },
    ),
    "threads that work on items are those of jobs.pool": (
        r"ThreadPoolExecutor\(",
        {"jobs/pool.py", "merge/run.py", "models/base.py", "train/start.py"},
    ),
    "the system is asked by dfl_tf_ops.process": (r"[\"'/]proc/|/sys/fs", set()),
    "a progress line is drawn by jobs.progress": (r"from rich|click\.progressbar", {
        "jobs/progress.py",
    }),
}  # fmt: skip


@pytest.mark.parametrize("claim", ONCE)
def test_there_is_no_second_one(claim: str) -> None:
    pattern, known = ONCE[claim]
    found = set()
    for path in ROOT.rglob("*.py"):
        code = re.sub(r'"""(?s:.*?)"""|#[^\n]*', "", path.read_text(encoding="utf-8"))
        if re.search(pattern, code):
            found.add(path.relative_to(ROOT).as_posix())
    assert found <= known, claim
    assert known <= found, "remove what is not an exception any more"
