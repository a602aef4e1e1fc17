"""Whole files and folders: never through a link, no file of the user taken for one of ours."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dfl_tf.disk import durable
from dfl_tf.disk.temporary_names import is_temporary, temporary_name
from dfl_tf.errors import WorkspaceError


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_link_is_replaced_and_its_target_is_not_touched(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(b"mine")
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in ("data", "data.new", "data.tmp"):
        (folder / name).symlink_to(outside)
    durable.write_file(folder / "data", b"new")
    assert outside.read_bytes() == b"mine"
    assert (folder / "data").read_bytes() == b"new"
    assert not (folder / "data").is_symlink()
    assert (folder / "data.new").is_symlink()


def test_files_of_the_user_with_names_that_look_temporary_stay(tmp_path: Path) -> None:
    for name in ("data.new", "data.tmp", ".data.tmp", "result.new.mp4", ".dfl_tf-notes.tmp"):
        (tmp_path / name).write_text(name)
    durable.write_file(tmp_path / "data", b"x")
    with durable.replacing(tmp_path / "result.mp4", suffix=".mp4") as file:
        file.write(b"y")
    for name in ("data.new", "data.tmp", ".data.tmp", "result.new.mp4", ".dfl_tf-notes.tmp"):
        assert (tmp_path / name).read_text() == name
    assert len(names(tmp_path)) == 7


def test_a_writer_that_opens_the_name_itself_is_fsynced_and_put_in_place(tmp_path: Path) -> None:
    with durable.replacing(tmp_path / "a.mp4", suffix=".mp4") as file:
        name = Path(file.name).name
        assert name.endswith(".mp4")
        assert is_temporary(name)
        Path(file.name).write_bytes(b"video")
    assert (tmp_path / "a.mp4").read_bytes() == b"video"
    assert names(tmp_path) == ["a.mp4"]


def test_a_failure_leaves_nothing_and_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(TypeError), durable.replacing(tmp_path / "a") as file:
        file.writelines([b"half", "no bytes"])  # type: ignore[list-item]
    assert (tmp_path / "a").read_bytes() == b"old"
    assert names(tmp_path) == ["a"]


def test_leftovers_of_a_killed_run_are_removed_but_not_what_is_being_written(
    tmp_path: Path,
) -> None:
    (tmp_path / temporary_name()).write_bytes(b"left")
    left = tmp_path / temporary_name()
    (left / "inner").mkdir(parents=True)
    (left / "inner" / "file").write_bytes(b"left")
    code = "import sys; from dfl_tf.disk import durable; from pathlib import Path; " \
        "durable.write_file(Path(sys.argv[1]) / 'b', b'b')"  # fmt: skip
    with durable.replacing(tmp_path / "a") as file:
        file.write(b"a")
        # another program writes into the folder meanwhile
        subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
        assert sorted(n for n in names(tmp_path) if not is_temporary(n)) == ["b"]
        assert len(names(tmp_path)) == 2
    assert names(tmp_path) == ["a", "b"]


def test_a_folder_named_by_a_file_may_not_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "p").symlink_to(tmp_path / "real")
    durable.make_folder(tmp_path / "p")
    with pytest.raises(WorkspaceError, match=r"p: is a link to another folder"):
        durable.make_folder(tmp_path / "p", follow=False)
    durable.make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(WorkspaceError, match=r"file/b: cannot be written, since .*file failed"):
        durable.make_folder(tmp_path / "file" / "b")


@pytest.mark.parametrize(
    ("number", "says"),
    [(errno.ENOSPC, "disk is full"), (errno.EACCES, "Permission denied"), (errno.EIO, "disk rep")],
)
def test_errors_name_the_path_the_remedy_and_what_is_safe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, says: str
) -> None:
    (tmp_path / "data.dat").write_bytes(b"old")

    def fail(*args: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(durable.os, "fsync", fail)
    with pytest.raises(
        WorkspaceError, match=rf"data\.dat: cannot .*{says}.*What was there is unch"
    ):
        durable.write_file(tmp_path / "data.dat", b"new")
    assert (tmp_path / "data.dat").read_bytes() == b"old"
    assert names(tmp_path) == ["data.dat"]


def test_the_error_of_another_file_names_that_one(tmp_path: Path) -> None:
    source = tmp_path / "source.jpg"
    with (
        pytest.raises(WorkspaceError, match=r"x\.pak: cannot be written, since .*source\.jpg fail"),
        durable.replacing(tmp_path / "x.pak"),
    ):
        source.read_bytes()
    assert names(tmp_path) == []


@pytest.mark.skipif(sys.platform != "linux", reason="clones are made by Linux here")
def test_a_copy_is_a_clone_where_the_file_system_has_them(tmp_path, monkeypatch):
    source = tmp_path / "a"
    source.write_bytes(b"content")

    def clone(target: int, request: int, origin: int) -> int:
        assert request == 0x40049409
        os.write(target, b"cloned " + os.read(origin, 100))
        return 0

    durable.copy_file(source, tmp_path / "copy")
    with monkeypatch.context() as patch:
        patch.setattr(durable.fcntl, "ioctl", clone)
        durable.copy_file(source, tmp_path / "clone")
    assert (tmp_path / "clone").read_bytes() == b"cloned content"
    assert (tmp_path / "copy").read_bytes() == b"content"
    assert (tmp_path / "copy").stat().st_mtime_ns == source.stat().st_mtime_ns
    assert source.stat().st_nlink == 1
