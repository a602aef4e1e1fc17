"""Checksums of facesets: every flipped bit is found, and our own writing keeps them true."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dfl_tf.disk import checksums
from dfl_tf.disk.checksums import checksum_path, read_sums
from dfl_tf.errors import FacesetError
from dfl_tf.formats.faces.faceset_files import pack_folder, remove_packed, unpack_folder
from dfl_tf.formats.faces.faceset_sums import compare, make_list
from dfl_tf.formats.faces.metadata_file import restore_metadata, save_metadata
from tests.formats.samples import make_face, make_jpeg


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    faces = tmp_path / "aligned"
    faces.mkdir()
    for index in range(3):
        (faces / f"{index}.jpg").write_bytes(make_face(index))
    return faces


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1 << (place % 8)
    path.write_bytes(data)


def test_any_flipped_bit_is_noticed(folder: Path) -> None:
    make_list(folder)
    path = folder / "1.jpg"
    good = path.read_bytes()
    for place in np.random.default_rng(0).integers(0, len(good), 40):
        flip(path, int(place))
        assert compare(folder).changed == ["1.jpg"]  # type: ignore[union-attr]
        path.write_bytes(good)
    assert not compare(folder)


def test_changed_missing_and_new_faces_are_told_apart(folder: Path) -> None:
    assert compare(folder) is None
    make_list(folder)
    flip(folder / "0.jpg", -5)
    (folder / "1.jpg").rename(folder / "new.jpg")
    report = compare(folder)
    assert report is not None
    assert (report.changed, report.missing, report.new) == (["0.jpg"], ["1.jpg"], ["new.jpg"])
    listed = checksum_path(folder).read_bytes()
    with pytest.raises(FacesetError, match=r"1 files have changed.*1 are missing \(0.jpg, 1.jpg\)"):
        make_list(folder)
    assert checksum_path(folder).read_bytes() == listed
    make_list(folder, accept_changes=True)
    report = compare(folder)
    assert not report
    assert report.new == []  # type: ignore[union-attr]


def test_a_flipped_bit_in_a_pak_names_the_face(folder: Path) -> None:
    pack_folder(folder)
    assert not compare(folder)
    pak = folder / "faceset.pak"
    place = pak.read_bytes().find(make_face(1)) + len(make_face(1)) - 9
    flip(pak, place)
    assert compare(folder).changed == ["faceset.pak", "faceset.pak/1.jpg"]  # type: ignore[union-attr]
    flip(pak, place)
    flip(pak, 40)
    assert "faceset.pak" in compare(pak).changed  # type: ignore[union-attr]


def test_a_face_damaged_before_it_was_packed_shows_in_the_pak_and_after_unpacking(
    folder: Path,
) -> None:
    make_list(folder)
    flip(folder / "1.jpg", -9)
    _, originals = pack_folder(folder)
    remove_packed(folder, originals)
    assert sorted(read_sums(folder).files) == ["faceset.pak"]  # type: ignore[union-attr]
    unpack_folder(folder, keep_pak=False)
    report = compare(folder)
    assert report is not None
    assert (report.changed, report.missing, report.new) == (["1.jpg"], [], [])


def test_restored_metadata_keeps_the_list_true_and_an_absent_face_keeps_the_metadata(
    folder: Path,
) -> None:
    save_metadata(folder)
    for index in range(3):
        (folder / f"{index}.jpg").write_bytes(make_jpeg(index))
    (folder / "2.jpg").rename(folder.parent / "2.jpg")
    make_list(folder)
    report = restore_metadata(folder)
    assert report.done == ["0.jpg", "1.jpg"]
    assert not compare(folder)
    assert (folder / "meta.dat").exists()
    (folder.parent / "2.jpg").rename(folder / "2.jpg")
    restore_metadata(folder)
    assert not (folder / "meta.dat").exists()


@pytest.mark.parametrize("removed", [False, True])
def test_an_unpacking_that_ends_at_the_removal_of_the_pak_leaves_true_lines(
    folder: Path, monkeypatch: pytest.MonkeyPatch, removed: bool
) -> None:
    make_list(folder)
    flip(folder / "2.jpg", -40)  # was damaged before: its line must outlive all of this
    before = read_sums(folder).files  # type: ignore[union-attr]
    remove_packed(folder, pack_folder(folder)[1])
    real = Path.unlink

    def killed(path: Path) -> None:
        if removed:
            real(path)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", killed)
        with pytest.raises(KeyboardInterrupt):
            unpack_folder(folder, keep_pak=False)
    assert compare(folder).missing == []  # type: ignore[union-attr]
    if not removed:
        unpack_folder(folder, keep_pak=False)
    found = read_sums(folder)
    assert found is not None
    assert (found.files, found.inside) == (before, {})
    assert compare(folder).changed == ["2.jpg"]  # type: ignore[union-attr]


def test_a_face_that_is_changed_while_it_is_packed_stays(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, originals = pack_folder(folder)
    real = checksums.forget

    def forget(*given: object) -> None:  # after the pak was read back
        originals[1].write_bytes(make_face(7))
        real(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(checksums, "forget", forget)
    with pytest.raises(FacesetError, match="1 faces were changed while they were packed"):
        remove_packed(folder, originals)
    assert [path.exists() for path in originals] == [path == originals[1] for path in originals]
    assert originals[1].read_bytes() == make_face(7)
