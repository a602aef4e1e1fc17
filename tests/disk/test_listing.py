"""The one walk over a folder: what is content, and how the rest is said."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from dfl_tf.disk.left_out import LeftOut, Omission
from dfl_tf.disk.listing import (
    ARCHIVES,
    BROKEN_LINKS,
    FACE_SUFFIXES,
    FOLDERS,
    HIDDEN,
    OTHER,
    SPECIAL,
    is_hidden,
    list_folder,
)
from dfl_tf.errors import FacesetError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with two faces and one of everything that is none."""
    folder = tmp_path / "faces"
    (folder / "old").mkdir(parents=True)
    (folder / "@eaDir").mkdir()
    for name in ("b.JPG", "a.jpeg", "._a.jpeg", ".DS_Store", "Thumbs.db", "desktop.ini", "x.zip"):
        (folder / name).write_bytes(b"content")
    (folder / "notes.txt").write_bytes(b"content")
    (folder / "link.jpg").symlink_to(folder / "b.JPG")
    (folder / "broken.jpg").symlink_to(folder / "nothing")
    (folder / "circle.jpg").symlink_to(folder / "circle.jpg")
    os.mkfifo(folder / "pipe.jpg")
    (folder / "pipe_link.jpg").symlink_to(folder / "pipe.jpg")
    (folder / "null.jpg").symlink_to("/dev/null")
    with socket.socket(socket.AF_UNIX) as bound:
        before = os.getcwd()
        os.chdir(folder)  # the path of a socket has a short limit
        try:
            bound.bind("socket.jpg")
        finally:
            os.chdir(before)
    return folder


def test_only_regular_files_that_are_not_hidden_are_content(folder: Path):
    listing = list_folder(folder, FACE_SUFFIXES)
    assert [path.name for path in listing.files] == ["a.jpeg", "b.JPG", "link.jpg"]
    assert [path.name for path in listing.folders] == ["old"]
    names = {kind: {o.name for o in found} for kind, found in listing.left_out.by_kind().items()}
    assert names == {
        HIDDEN: {"._a.jpeg", ".DS_Store", "Thumbs.db", "desktop.ini", "@eaDir"},
        FOLDERS: {"old"},
        ARCHIVES: {"x.zip"},
        OTHER: {"notes.txt"},
        BROKEN_LINKS: {"broken.jpg", "circle.jpg"},
        SPECIAL: {"pipe.jpg", "pipe_link.jpg", "null.jpg", "socket.jpg"},
    }


def test_known_names_are_not_counted(folder: Path):
    listing = list_folder(folder, FACE_SUFFIXES, known=("old", "notes.txt"))
    assert {FOLDERS, OTHER}.isdisjoint(listing.left_out.by_kind())
    assert [path.name for path in listing.folders] == ["old"]


def test_files_come_in_the_order_of_their_paths(tmp_path: Path):
    names = ["10.jpg", "9.jpg", "B.jpg", "a.jpg", "\u00e4.jpg", "a b.jpg", "a.b.jpg"]
    for name in names:
        (tmp_path / name).touch()
    (tmp_path / os.fsdecode(b"\xff.jpg")).touch()
    files = list_folder(tmp_path, FACE_SUFFIXES).files
    assert files == sorted(tmp_path.iterdir(), key=str)
    assert len(files) == 8


def test_a_missing_folder_is_named_with_what_is_expected(tmp_path: Path):
    with pytest.raises(FacesetError, match=r"nowhere: .*no such folder; aligned faces are"):
        list_folder(tmp_path / "nowhere", (), what="aligned faces", error=FacesetError)
    (tmp_path / "file").touch()
    with pytest.raises(FacesetError, match=r"file: .*no such folder"):
        list_folder(tmp_path / "file", (), error=FacesetError)


@pytest.mark.parametrize("name", [".x.jpg", "._x.jpg", "THUMBS.DB", "Desktop.ini", "__MACOSX"])
def test_hidden_names(name: str):
    assert is_hidden(name)
    assert not is_hidden("x" + name)


def test_one_line_a_kind_with_one_example_and_the_way_to_see_all():
    left_out = LeftOut([Omission("broken links", "a.jpg")])
    assert left_out.lines(see="ls") == ["broken links: 1 left out (a.jpg)"]
    left_out.add("damaged faces", "b.jpg", "cut off")
    left_out.add("damaged faces", "c.jpg", "empty")
    assert left_out.lines(see="ls") == [
        "broken links: 1 left out (a.jpg)",
        "damaged faces: 2 left out (for example b.jpg: cut off)",
        "to list all that was left out: ls",
    ]
    assert left_out.lines(all_of_them=True)[1:] == [
        "  a.jpg",
        "damaged faces: 2 left out",
        "  b.jpg: cut off",
        "  c.jpg: empty",
    ]
    assert left_out.as_dict()["damaged faces"][1] == {"name": "c.jpg", "reason": "empty"}
