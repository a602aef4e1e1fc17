"""Many renames as one step, interrupted at every point."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from dfl_tf.disk import moves
from dfl_tf.disk.moves import Move, finish, move_files, undo
from dfl_tf.errors import WorkspaceError

PERMUTATION = [
    Move("a.jpg", "b.jpg"),
    Move("b.jpg", "c.jpg"),
    Move("c.jpg", "a.jpg"),
    Move("d.jpg", "../trash/d.jpg"),
    Move("e.jpg", "f.jpg"),
]
AFTER = {"b.jpg": "a", "c.jpg": "b", "a.jpg": "c", "f.jpg": "e"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    faces = tmp_path / "faces"
    faces.mkdir()
    (tmp_path / "trash").mkdir()
    for name in "abcde":
        (faces / f"{name}.jpg").write_text(name)
    return faces


def contents(folder: Path) -> dict[str, str]:
    return {p.name: p.read_text() for p in folder.iterdir() if not p.name.startswith(".")}


def test_files_change_places_and_the_undo_brings_them_back(folder: Path) -> None:
    move_files(folder, PERMUTATION, why="sort")
    assert contents(folder) == AFTER
    assert contents(folder.parent / "trash") == {"d.jpg": "d"}
    assert undo(folder) == ("sort", [])
    assert contents(folder) == {f"{name}.jpg": name for name in "abcde"}
    assert not list(folder.glob(".dfl_tf*placing*"))
    with pytest.raises(WorkspaceError, match="nothing was moved"):
        undo(undone := folder.parent / "trash") or undone


class Killed(BaseException):
    """Stands for SIGKILL: nothing of ours runs after it."""


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("calls", range(18))
def test_a_kill_at_any_rename_is_completed_by_the_next_call(
    folder: Path, monkeypatch: pytest.MonkeyPatch, calls: int, links: bool
) -> None:
    left = calls

    def counted(function):
        def call(*paths, **settings):
            nonlocal left
            left -= 1
            if left < 0:
                raise Killed
            function(*paths, **settings)

        return call

    def no_links(source, target, **settings):
        raise OSError(errno.ENOTSUP, "Operation not supported", source)

    monkeypatch.setattr(os, "link", counted(os.link) if links else no_links)
    for name in ("rename", "replace", "unlink"):
        monkeypatch.setattr(os, name, counted(getattr(os, name)))
    try:
        move_files(folder, PERMUTATION, why="sort")
    except Killed:
        there = [p for p in folder.parent.rglob("*") if p.suffix in (".jpg", ".moving")]
        assert len({p.stat().st_ino for p in there}) == 5
    monkeypatch.undo()
    finish(folder)
    planned = (folder / moves.DONE).exists()
    assert contents(folder) == (AFTER if planned else {f"{n}.jpg": n for n in "abcde"})
    assert planned == (calls > 0)  # before the plan is on the disk, nothing has happened


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ([Move("x.jpg", "y.jpg")], "x.jpg does not exist"),
        ([Move("a.jpg", "b.jpg")], "b.jpg exists already"),
        ([Move("a.jpg", "z.jpg"), Move("b.jpg", "z.jpg")], "target of 2 files"),
    ],
)
def test_an_impossible_plan_moves_nothing(folder: Path, plan: list[Move], message: str) -> None:
    with pytest.raises(WorkspaceError, match=f"{message}.*Nothing was moved"):
        move_files(folder, plan, why="sort")
    assert contents(folder) == {f"{name}.jpg": name for name in "abcde"}


def test_undo_names_what_is_gone(folder: Path) -> None:
    move_files(folder, PERMUTATION, why="sort")
    (folder / "f.jpg").unlink()
    assert undo(folder) == ("sort", ["f.jpg"])
    assert contents(folder) == {f"{name}.jpg": name for name in "abcd"}


@pytest.mark.parametrize("name", ["/etc/passwd", "a/../../../x", "../../x/../y"])
def test_an_untrusted_plan_reaches_nothing_outside(folder: Path, name: str) -> None:
    text = f'{{"why": "x", "token": "abc", "moves": [["a.jpg", "{name}"]]}}'
    (folder / moves.PLAN).write_text(text)
    with pytest.raises(WorkspaceError, match="not a valid path in a plan"):
        finish(folder)
    assert (folder / "a.jpg").read_text() == "a"
