"""The list of SHA-256 beside a folder."""

from __future__ import annotations

import contextlib
import hashlib
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from dfl_tf.disk import checksums
from dfl_tf.disk.checksums import Rewriting, checksum_path, read_sums, record
from dfl_tf.disk.moves import Move, move_files, undo
from dfl_tf.errors import WorkspaceError


def sha(content: str | bytes) -> str:
    return hashlib.sha256(content if isinstance(content, bytes) else content.encode()).hexdigest()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    faces = tmp_path / "aligned"
    faces.mkdir()
    for name in "abc":
        (faces / name).write_text(name)
    record(faces, "abc")
    return faces


def files(folder: Path) -> dict[str, str]:
    sums = read_sums(folder)
    assert sums is not None
    return sums.files


def is_current(folder: Path) -> bool:
    return files(folder) == {
        p.name: sha(p.read_bytes()) for p in folder.iterdir() if p.name[0] != "."
    }


def test_sha256sum_accepts_any_name_and_all_of_them_come_back(tmp_path: Path) -> None:
    folder = tmp_path / "al igned"
    folder.mkdir()
    names = ["1.jpg", "ü ß.jpg", "back\\slash.jpg", "new\nline.jpg", " blank.jpg", "\udcff.jpg"]
    for name in names:
        (folder / name).write_text(repr(name))
    inside = {"faceset.pak": {"person/x\n.jpg": sha("x")}}
    record(folder, names, inside=inside)
    assert files(folder) == {name: sha(repr(name)) for name in names}
    assert read_sums(folder).inside == inside  # type: ignore[union-attr]
    done = subprocess.run(
        ["sha256sum", "-c", "--strict", "--quiet", "al igned.sha256"], cwd=tmp_path, check=False
    )
    assert done.returncode == 0


def test_no_list_is_none_and_a_damaged_one_an_error(tmp_path: Path) -> None:
    folder = tmp_path / "aligned"
    assert read_sums(folder) is None
    checksum_path(folder).write_text("nothing of the kind\n")
    with pytest.raises(WorkspaceError, match="line 1: is not the SHA-256 of a file in aligned/"):
        read_sums(folder)


def test_a_rewritten_file_has_a_new_line_and_damage_keeps_the_old_one(folder: Path) -> None:
    (folder / "b").write_text("damaged")
    with Rewriting(folder) as sums:
        for name in "ab":
            sums.replace(name, old=(folder / name).read_bytes(), new=b"new")
            (folder / name).write_bytes(b"new")
    assert files(folder) == {"a": sha("new"), "b": sha("b"), "c": sha("c")}
    assert sums.damaged == ["b"]
    assert [p.name for p in folder.parent.iterdir() if ".journal" in p.name] == []


def test_after_a_kill_each_file_fits_its_line_or_its_note(folder: Path) -> None:
    killed = Rewriting(folder)
    killed.replace("a", old=b"a", new=b"new a")
    (folder / "a").write_text("new a")
    killed.replace("b", old=b"b", new=b"new b")  # noted, and not replaced
    killed._journal._file.close()  # type: ignore[union-attr]
    assert is_current(folder)
    with Rewriting(folder) as sums:
        sums.replace("c", old=b"c", new=b"new c")
        (folder / "c").write_text("new c")
    assert is_current(folder)


def test_two_programs_rewrite_files_of_one_folder(folder: Path) -> None:
    def put(sums: Rewriting, name: str, text: str) -> None:
        sums.replace(name, old=(folder / name).read_bytes(), new=text.encode())
        (folder / name).write_text(text)

    with Rewriting(folder) as long:
        put(long, "a", "one")
        with Rewriting(folder) as short:
            put(short, "b", "two")
            put(short, "a", "three")
        put(long, "a", "four")  # the journal was removed under it
        with Rewriting(folder) as short:
            put(short, "c", "five")
            put(long, "b", "six")
            put(long, "c", "seven")  # noted by the other one, and not in the list yet
    assert files(folder) == {"a": sha("four"), "b": sha("six"), "c": sha("seven")}
    assert long.damaged == short.damaged == []
    assert is_current(folder)


def test_lines_go_with_moved_files_and_come_back(folder: Path) -> None:
    (folder.parent / "trash").mkdir()
    steps = [Move("a", "b"), Move("b", "a"), Move("c", "../trash/c")]
    move_files(folder, steps, why="sort")
    assert files(folder) == {"a": sha("b"), "b": sha("a")}
    assert files(folder.parent / "trash") == {"c": sha("c")}
    undo(folder)
    assert files(folder) == {name: sha(name) for name in "abc"}
    assert read_sums(folder.parent / "trash") is None


@pytest.mark.parametrize("killed_at", range(1, 7))
@pytest.mark.parametrize("swapped", [True, False])
def test_lists_are_followed_once_whenever_that_is_interrupted(
    folder: Path, monkeypatch: pytest.MonkeyPatch, killed_at: int, swapped: bool
) -> None:
    trash = folder.parent / "trash"
    trash.mkdir()
    moves = [("a", "b"), ("b", "a"), ("c", "../trash/c")]
    if swapped:  # each list needs a line of the other
        (trash / "d").write_text("d")
        record(trash, "d")
        moves.append(("../trash/d", "c"))
    calls = 0

    def killing(real: Callable[..., None]) -> Callable[..., None]:
        def call(*arguments: object) -> None:
            nonlocal calls
            calls += 1
            if calls == killed_at:
                raise KeyboardInterrupt
            real(*arguments)

        return call

    with monkeypatch.context() as patch:
        for name in ("write_file", "rename", "sync_folder"):
            patch.setattr(checksums, name, killing(getattr(checksums, name)))
        with contextlib.suppress(KeyboardInterrupt):
            checksums.follow(folder, moves, "token")
    for _ in range(2):
        checksums.follow(folder, moves, "token")
    assert files(folder) == {"a": sha("b"), "b": sha("a")} | ({"c": sha("d")} if swapped else {})
    assert files(trash) == {"c": sha("c")}
    assert not list(folder.parent.glob(".*"))


def test_what_a_run_wrote_is_added_unless_others_rewrote_it(folder: Path) -> None:
    (folder / "d").write_text("d")
    (folder / "b").write_text("again")
    written = {"a": sha("of an older run"), "b": sha("again"), "d": sha("d")}
    checksums.add(folder, written)
    assert is_current(folder)
