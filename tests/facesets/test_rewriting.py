"""Faces made again, images made of faces, and names recovered."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from dfl_tf.disk.checksums import read_sums, record
from dfl_tf.errors import FacesetError, UsageError, WorkspaceError
from dfl_tf.face import FaceType
from dfl_tf.facesets import derived_images
from dfl_tf.facesets.rearranging import rearrange, take_back
from dfl_tf.facesets.recover_names import plan_names
from dfl_tf.facesets.resize import resize_face
from dfl_tf.facesets.rewriting import rewrite_faces
from dfl_tf.formats import FaceMetadata, read_metadata, read_pak
from dfl_tf.formats.faces.dfljpg import embed_metadata
from dfl_tf.formats.faces.faceset_files import pack_folder
from dfl_tf.formats.faces.faceset_sums import compare
from tests.formats.samples import make_face, make_jpeg, make_metadata


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    faces = tmp_path / "aligned"
    faces.mkdir()
    for index in range(3):
        (faces / f"{index}.jpg").write_bytes(make_face(index))
    return faces


def contents(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir() if not p.name.startswith(".")}


def doubled(jpeg: bytes, metadata: FaceMetadata) -> bytes:
    return resize_face(jpeg, metadata, 96, None)


def resized(folder: Path, **options: object):  # type: ignore[no-untyped-def]
    return rewrite_faces(folder, doubled, why="resize", ending="_resized", workers=1, **options)  # type: ignore[arg-type]


def test_results_take_the_places_and_the_originals_come_back(folder: Path) -> None:
    (folder / "0.jpg").write_bytes(b"\xff\xd8\xff damaged")
    before = contents(folder)
    record(folder, before)
    report = resized(folder)
    assert report.done == ["1.jpg", "2.jpg"]
    assert report.left_out.skipped[0][0] == "0.jpg"
    assert read_metadata(folder / "1.jpg").shape == (96, 96, 3)  # type: ignore[union-attr]
    assert (folder / "0.jpg").read_bytes() == before["0.jpg"]
    assert report.originals == folder.parent / "aligned_originals"
    assert contents(report.originals) == {n: before[n] for n in report.done}
    assert not (folder.parent / "aligned_resized").exists()
    assert not compare(folder)
    take_back(folder)
    assert contents(folder) == before
    assert not compare(folder)


def test_damage_is_not_made_good_by_writing_again(folder: Path) -> None:
    record(folder, ["0.jpg", "1.jpg", "2.jpg"])
    data = bytearray((folder / "1.jpg").read_bytes())
    data[-30] ^= 1
    (folder / "1.jpg").write_bytes(data)
    resized(folder)
    assert sorted(read_sums(folder).files) == ["0.jpg", "2.jpg"]  # type: ignore[union-attr]
    assert compare(folder).new == ["1.jpg"]  # type: ignore[union-attr]


def test_a_pak_is_made_again_and_comes_back(folder: Path) -> None:
    pack_folder(folder)
    pak = folder / "faceset.pak"
    before = pak.read_bytes()
    resized(folder)
    assert {entry.metadata.shape for entry in read_pak(pak).entries} == {(96, 96, 3)}
    assert not compare(folder)
    take_back(folder)
    assert pak.read_bytes() == before


def test_copies_leave_the_faceset_alone(folder: Path, tmp_path: Path) -> None:
    before = contents(folder)
    report = resized(folder, copy_to=tmp_path / "small")
    assert contents(folder) == before
    assert report.originals is None
    assert sorted(contents(tmp_path / "small")) == sorted(before)
    with pytest.raises(UsageError, match="is not empty"):
        resized(folder, copy_to=tmp_path / "small")


def test_when_no_face_can_be_made_nothing_changes(folder: Path) -> None:
    before = contents(folder)

    def fails(jpeg: bytes, metadata: FaceMetadata) -> bytes:
        raise FacesetError("cannot be made")

    with pytest.raises(FacesetError, match=r"no face could be made(.|\n)*cannot be made"):
        rewrite_faces(folder, fails, why="fail", ending="_failed")
    assert contents(folder) == before
    assert [path.name for path in folder.parent.iterdir()] == ["aligned"]


def test_only_square_images_with_a_crop_are_resized() -> None:
    jpeg, metadata = make_face(1), make_metadata(1)
    wide = cv2.imencode(".jpg", np.zeros((48, 50, 3), np.uint8))[1].tobytes()
    with pytest.raises(FacesetError, match="50x48"):
        resize_face(wide, metadata, 96, None)
    marked = replace(metadata, face_type="mark_only")
    with pytest.raises(FacesetError, match="no crop"):
        resize_face(jpeg, marked, 96, FaceType.FULL)


def test_masks_are_named_after_their_faces_and_come_from_polygons_too(folder: Path) -> None:
    metadata = replace(make_metadata(9), xseg_mask_bytes=None)
    square = np.array([(8, 8), (40, 8), (40, 40), (8, 40)], np.float32)
    labeled = replace(metadata, seg_ie_polys=[(1, square)])
    (folder / "labels.jpg").write_bytes(embed_metadata(make_jpeg(9), labeled))
    (folder / "none.jpg").write_bytes(
        embed_metadata(make_jpeg(9), replace(metadata, seg_ie_polys=[]))
    )
    report = derived_images.export_masks(folder)
    assert report.done == ["0_mask.jpg", "1_mask.jpg", "2_mask.jpg", "labels_mask.jpg"]
    assert "faces without a mask" in report.left_out.by_kind()
    mask = cv2.imread(str(folder / "labels_mask.jpg"), cv2.IMREAD_GRAYSCALE)
    assert mask.shape == (48, 48)
    assert (mask[20, 20], mask[2, 2]) == (255, 0)
    again = derived_images.export_masks(folder)
    assert again.done == report.done


def test_landmark_images_lie_beside_the_folder_and_remove_spares_faces(folder: Path) -> None:
    report = derived_images.landmark_images(folder)
    assert report.done == ["0_debug.jpg", "1_debug.jpg", "2_debug.jpg"]
    assert len(contents(folder)) == 3
    derived_images.landmark_images(folder, folder)
    (folder / "9_debug.jpg").write_bytes(make_jpeg())  # no face beside it
    (folder / "2_debug.jpg").write_bytes(make_face(5))  # a face of the user
    removed = derived_images.remove_landmark_images(folder)
    assert removed.done == ["0_debug.jpg", "1_debug.jpg"]
    assert sorted(contents(folder)) == ["0.jpg", "1.jpg", "2.jpg", "2_debug.jpg", "9_debug.jpg"]


def named(frame: str) -> bytes:
    return embed_metadata(make_jpeg(1), replace(make_metadata(1), source_filename=frame))


def test_names_come_from_frames_and_one_stem_has_one_count(tmp_path: Path) -> None:
    frames = {
        "a.jpg": "7.png",
        "b.jpeg": "7.jpg",
        "c.jpg": "7.png",
        "d.jpg": "C:\\frames\\8.png",
        "e.jpg": "",
        "f.jpg": "bad\0name.png",
    }
    for name, frame in frames.items():
        (tmp_path / name).write_bytes(named(frame))
    (tmp_path / "8_0.jpg").write_bytes(make_jpeg())
    plan, left_out = plan_names(tmp_path)
    assert dict(plan.kept) == {
        "a.jpg": "7_0.jpg",
        "c.jpg": "7_1.jpg",
        "b.jpeg": "7_2.jpeg",
        "d.jpg": "8_1.jpg",
    }
    assert len(left_out) == 3
    rearrange(plan)
    assert read_metadata(tmp_path / "7_2.jpeg").source_filename == "7.jpg"  # type: ignore[union-attr]
    take_back(tmp_path)
    assert set(contents(tmp_path)) == {*frames, "8_0.jpg"}
    with pytest.raises(WorkspaceError, match="nothing was moved"):
        take_back(tmp_path)


def labeled(path: Path) -> None:
    """Draw a label on a face, as another program does."""
    metadata = read_metadata(path)
    assert metadata is not None
    polygon = (1, np.array([(1, 1), (9, 1), (5, 9)], np.float32))
    path.write_bytes(embed_metadata(path.read_bytes(), replace(metadata, seg_ie_polys=[polygon])))


def test_a_label_that_is_drawn_meanwhile_is_kept(folder: Path) -> None:
    before = contents(folder)
    record(folder, before)

    def work(jpeg: bytes, metadata: FaceMetadata) -> bytes:
        if jpeg == before["2.jpg"]:
            labeled(folder / "1.jpg")
        return doubled(jpeg, metadata)

    report = rewrite_faces(folder, work, why="resize", ending="_resized", workers=1)
    assert report.done == ["0.jpg", "2.jpg"]
    (left,) = report.left_out
    assert (left.kind, left.name) == (
        "faces that were changed meanwhile; start again for them",
        "1.jpg",
    )
    kept = read_metadata(folder / "1.jpg")
    assert kept is not None
    assert (len(kept.seg_ie_polys), kept.shape) == (1, (48, 48, 3))
    assert contents(report.originals) == {n: before[n] for n in report.done}  # type: ignore[arg-type]
    assert not (folder.parent / "aligned_resized").exists()


def test_when_all_were_changed_meanwhile_all_stay(folder: Path) -> None:
    before = {**contents(folder)}

    def work(jpeg: bytes, metadata: FaceMetadata) -> bytes:
        labeled(folder / next(name for name, data in before.items() if data == jpeg))
        return doubled(jpeg, metadata)

    report = rewrite_faces(folder, work, why="resize", ending="_resized", workers=1)
    assert (report.done, report.originals) == ([], None)
    assert [path.name for path in folder.parent.iterdir()] == ["aligned"]


def test_a_pak_that_is_changed_meanwhile_stays(folder: Path) -> None:
    pack_folder(folder)
    pak = folder / "faceset.pak"
    other = pak.read_bytes()

    def work(jpeg: bytes, metadata: FaceMetadata) -> bytes:
        pak.unlink()
        pak.write_bytes(other)
        return doubled(jpeg, metadata)

    with pytest.raises(FacesetError, match="was changed by another program meanwhile"):
        rewrite_faces(folder, work, why="resize to 96", ending="_resized", workers=1)
    assert pak.read_bytes() == other
    assert contents(folder.parent / "aligned_originals") == {}
