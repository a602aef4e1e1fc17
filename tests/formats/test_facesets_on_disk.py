"""Folders of faces: pack, unpack, look through, keep and restore metadata."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from dfl_tf.disk import durable
from dfl_tf.errors import FacesetError, WorkspaceError
from dfl_tf.formats import read_metadata, read_pak, write_pak
from dfl_tf.formats.faces import faceset_files, metadata_file
from tests.formats.samples import GOLDEN_DATA, assert_same_metadata, make_face, make_jpeg


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three faces and one other image."""
    for index in range(3):
        (tmp_path / f"0000{index}_0.jpg").write_bytes(make_face(index))
    (tmp_path / "other.jpg").write_bytes(make_jpeg())
    return tmp_path


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_pack_and_unpack_give_every_byte_back(folder: Path) -> None:
    before = _contents(folder)
    report, originals = faceset_files.pack_folder(folder)
    assert len(report.done) == 3
    assert report.skipped == [("other.jpg", "not a DFL image")]
    for path in originals:
        path.unlink()
    assert faceset_files.examine(folder, verify=True).errors == []
    assert len(faceset_files.unpack_folder(folder).done) == 3
    (folder / "faceset.pak").unlink()
    assert _contents(folder) == before


def test_folders_of_persons_are_packed_by_name_and_unpacked_into_folders(tmp_path: Path) -> None:
    for person, count in (("zoe", 1), ("adam", 2)):
        (tmp_path / person).mkdir()
        for index in range(count):
            (tmp_path / person / f"{index}.jpg").write_bytes(make_face(index))
    before = _contents(tmp_path)
    report, originals = faceset_files.pack_folder(tmp_path)
    assert report.done == ["adam/0.jpg", "adam/1.jpg", "zoe/0.jpg"]
    assert faceset_files.examine(tmp_path).persons == {"adam": 2, "zoe": 1}
    for path in originals:
        path.unlink()
    faceset_files.unpack_folder(tmp_path)
    (tmp_path / "faceset.pak").unlink()
    assert _contents(tmp_path) == before


def test_unpack_overwrites_nothing(folder: Path) -> None:
    faceset_files.pack_folder(folder)
    (folder / "00001_0.jpg").write_bytes(b"something else")
    with pytest.raises(FacesetError, match=r"in the way.*00001_0\.jpg"):
        faceset_files.unpack_folder(folder)
    assert (folder / "00001_0.jpg").read_bytes() == b"something else"


PAKS = Path(__file__).parent / "paks"


def test_faces_named_like_temporary_files_are_all_unpacked(tmp_path: Path) -> None:
    shutil.copy(PAKS / "temporary_name.pak", tmp_path / "faceset.pak")
    held = {e.filename for e in read_pak(tmp_path / "faceset.pak").entries}
    report = faceset_files.unpack_folder(tmp_path, keep_pak=False)
    assert set(report.done) == held == {"a.jpg", "a.jpg.new"} == set(_contents(tmp_path))


def test_nothing_is_unpacked_through_a_link_and_only_images_are(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "p").symlink_to(outside)
    shutil.copy(PAKS / "person.pak", folder / "faceset.pak")
    with pytest.raises(FacesetError, match=r"1 of 1 entries are not JPEG images.*authorized_keys"):
        faceset_files.unpack_folder(folder, keep_pak=False)
    metadata = read_pak(folder / "faceset.pak").entries[0].metadata
    write_pak(folder / "faceset.pak", [("a.jpg", "p", metadata, make_face(1))])
    with pytest.raises(WorkspaceError, match=r"folder/p: is a link to another folder"):
        faceset_files.unpack_folder(folder, keep_pak=False)
    assert list(outside.iterdir()) == []
    assert (folder / "faceset.pak").is_file()


def test_a_link_with_the_name_of_a_face_is_in_the_way(folder: Path) -> None:
    faceset_files.pack_folder(folder)
    path = folder / "00001_0.jpg"
    path.rename(folder.parent / "elsewhere.jpg")
    path.symlink_to(folder.parent / "elsewhere.jpg")
    with pytest.raises(FacesetError, match=r"in the way.*00001_0\.jpg"):
        faceset_files.unpack_folder(folder, keep_pak=False)
    assert (folder / "faceset.pak").is_file()


@pytest.mark.parametrize("what", ["torn", "gone", "one file"])
def test_the_pak_stays_unless_every_face_is_read_back(
    folder: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    _, originals = faceset_files.pack_folder(folder)
    for path in originals:
        path.unlink()
    written = durable.write_file

    def broken(path: Path, data: bytes) -> None:
        if path.name != "00001_0.jpg":
            written(path, data)
        elif what == "torn":
            written(path, data[:-1])
        elif what == "one file":  # a disk that does not tell two names apart
            written(folder / "00000_0.jpg", data)

    monkeypatch.setattr(durable, "write_file", broken)
    with pytest.raises(FacesetError, match=r"of its 3 faces only [12] could be read back"):
        faceset_files.unpack_folder(folder, keep_pak=False)
    assert (folder / "faceset.pak").is_file()


def test_originals_are_deleted_only_if_the_pak_holds_each_of_them(folder: Path) -> None:
    _, originals = faceset_files.pack_folder(folder)
    originals[1].write_bytes(make_face(7))  # changed meanwhile
    with pytest.raises(FacesetError, match=r"00001_0\.jpg. Nothing was deleted"):
        faceset_files.remove_packed(folder, originals)
    assert all(path.is_file() for path in originals)


def test_verify_finds_what_status_does_not(folder: Path) -> None:
    path = folder / "00001_0.jpg"
    data = bytearray(path.read_bytes())
    metadata = read_metadata(bytes(data))
    assert metadata is not None
    mask = metadata.xseg_mask_bytes or b""
    place = data.find(mask)
    data[place + 40 : place + 60] = b"\0" * 20
    path.write_bytes(bytes(data))
    assert faceset_files.examine(folder).errors == []
    (error,) = faceset_files.examine(folder, verify=True).errors
    assert error[0] == "00001_0.jpg"
    assert "mask" in error[1]


def test_empty_folder_cannot_be_packed(tmp_path: Path) -> None:
    with pytest.raises(FacesetError, match="no face with metadata"):
        faceset_files.pack_folder(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.golden
def test_restore_from_a_genuine_meta_file_equals_the_old_program(tmp_path: Path) -> None:
    genuine = GOLDEN_DATA / "meta"
    shutil.copyfile(genuine / "meta.dat", tmp_path / "meta.dat")
    names = [path.name.removesuffix("_edited.jpg") for path in genuine.glob("*_edited.jpg")]
    for name in names:
        shutil.copyfile(genuine / f"{name}_edited.jpg", tmp_path / f"{name}.jpg")
    report = metadata_file.restore_metadata(tmp_path)
    assert sorted(report.done) == sorted(f"{name}.jpg" for name in names)
    assert not (tmp_path / "meta.dat").exists()
    for name in names:
        found = read_metadata(tmp_path / f"{name}.jpg")
        wanted = read_metadata(genuine / f"{name}_restored.jpg")
        assert found is not None
        assert wanted is not None
        assert_same_metadata(found, wanted)
        pixels = cv2.imread(str(tmp_path / f"{name}.jpg")).astype(int)
        expected = cv2.imread(str(genuine / f"{name}_restored.jpg")).astype(int)
        assert np.abs(pixels - expected).max() <= 3  # README of the golden


def test_metadata_survives_an_editor(folder: Path) -> None:
    saved = {path.name: read_metadata(path) for path in metadata_file.face_files(folder)}
    metadata_file.save_metadata(folder)
    path = folder / "00000_0.jpg"
    cv2.imwrite(str(path), cv2.resize(cv2.imread(str(path)), (96, 96)))
    assert read_metadata(path) is None
    report = metadata_file.restore_metadata(folder)
    assert report.skipped == [("other.jpg", "not in meta.dat")]
    for name, metadata in saved.items():
        found = read_metadata(folder / name)
        if metadata is not None:
            assert found is not None
            assert_same_metadata(found, metadata)


def test_a_face_that_fails_keeps_the_meta_file(folder: Path) -> None:
    metadata_file.save_metadata(folder)
    (folder / "00002_0.jpg").write_bytes(b"no image")
    report = metadata_file.restore_metadata(folder)
    assert len(report.done) == 2
    assert (folder / "meta.dat").exists()
