from __future__ import annotations

import os
from pathlib import Path

import pytest

from dfl_tf.disk.journal import Journal, Line, read_lines
from dfl_tf.errors import WorkspaceError


@pytest.mark.parametrize("kind", ["link", "dangling", "pipe"])
def test_a_journal_is_a_plain_file(tmp_path: Path, kind: str) -> None:
    path, outside = tmp_path / "x.journal", tmp_path / "outside"
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(outside)
    if kind == "link":
        outside.write_bytes(b"mine")
    with pytest.raises(WorkspaceError, match=r"x\.journal: is a link or a special file.*Remove it"):
        Journal(path)
    assert not outside.exists() or outside.read_bytes() == b"mine"


def test_held_lines_are_written_after_what_they_speak_of(tmp_path: Path) -> None:
    events: list[str] = []
    path = tmp_path / "x.journal"

    def before() -> None:
        events.append(path.read_text())

    lines = Journal(path, before_sync=before, hold=True, seconds=3600)
    lines.append(b"one\n")
    lines.append(b"two\n")
    assert path.read_bytes() == b""
    lines.close()
    assert events == [""]
    assert path.read_bytes() == b"one\ntwo\n"


def test_lines_are_read_up_to_what_a_killed_run_left(tmp_path: Path) -> None:
    path = tmp_path / "x.journal"
    assert list(read_lines(path, kind="a journal")) == []
    path.write_bytes(b"one\n\0\0\0\nthree\nfou")
    assert list(read_lines(path, kind="a journal")) == [
        Line(1, b"one", 4, True),
        Line(2, b"", 8, True),
        Line(3, b"three", 14, True),
        Line(4, b"fou", 17, False),
    ]
    path.write_bytes(b"\0" * 5)
    assert list(read_lines(path, kind="a journal")) == [Line(1, b"", 5, False)]


def test_a_longer_line_than_is_read_counts_as_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "x.journal"
    path.write_bytes(b"one\n" + b"2" * 20 + b"\n")
    lines = list(read_lines(path, kind="a journal", longest=8))
    assert [line.whole for line in lines[:2]] == [True, False]


def test_a_journal_goes_on_behind_the_lines_that_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "x.journal"
    path.write_bytes(b"one\ntwo\nhal")
    kept = [line.end for line in read_lines(path, kind="a journal") if line.whole][-1]
    lines = Journal(path, keep=kept)
    lines.append(b"three\n")
    lines.close()
    assert path.read_bytes() == b"one\ntwo\nthree\n"


def test_a_journal_that_is_no_file_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match=r"cannot be read as a journal .*Remove it"):
        list(read_lines(tmp_path, kind="a journal", advice="Remove it."))
