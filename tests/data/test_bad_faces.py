"""One bad face, image or file never stops its neighbors: it is named, counted and left out."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from dfl_tf.data import BatchStream, Faceset, OutputSpec, SampleSpec, segmented_samples
from dfl_tf.data.xseg import load_segmented
from dfl_tf.errors import FacesetError
from dfl_tf.face import FaceType
from dfl_tf.face.smaller import SmallerFaces, is_smaller
from dfl_tf.facesets.xseg_store import open_store
from dfl_tf.facesets.xseg_tools import count
from dfl_tf.formats.faces.dfljpg import read_metadata
from dfl_tf.formats.faces.faceset_files import examine
from dfl_tf.formats.faces.faceset_pak import write_pak
from dfl_tf.formats.faces.stored_mask import encode_mask
from dfl_tf.train.batch_source import Facesets

from .conftest import face_jpeg

CASES = Path(__file__).parent / "cases"
TRIANGLE = [(1, np.array([(10, 10), (60, 20), (30, 70)], np.float32))]
HOLLOW = {
    "one point": [(1, np.array([(200, 200)], np.float32))],
    "no points": [(1, np.zeros((0, 2), np.float32))],
    "outside": [(1, np.array([(200, 200), (300, 200), (250, 300)], np.float32))],
    "taken away": [TRIANGLE[0], (0, np.array([(0, 0), (96, 0), (96, 96), (0, 96)], np.float32))],
    "exclude only": [(0, TRIANGLE[0][1])],
}
SPEC = SampleSpec(resolution=32, face_type=FaceType.WHOLE_FACE, outputs={"image": OutputSpec()})


@pytest.fixture
def folder(make_faces):
    """Three good faces and one of everything that is none."""
    folder = make_faces(3)
    for name in ("landmarks_1e300.jpg", "bomb_20000x20000.jpg"):
        shutil.copyfile(CASES / name, folder / name)
    line = np.stack([np.arange(68.0), np.arange(68.0)], axis=1)
    (folder / "line.jpg").write_bytes(face_jpeg(5, landmarks=line))
    (folder / "place.jpg").write_bytes(face_jpeg(6, landmarks=np.full((68, 2), 20.0)))
    (folder / "._00000_0.jpg").write_bytes(face_jpeg(7))
    (folder / "dangling.jpg").symlink_to(folder / "nothing")
    (folder / "spare.zip").write_bytes(b"PK")
    (folder / "more").mkdir()
    os.mkfifo(folder / "pipe.jpg")
    return folder


BAD = {
    "hidden and companion files": ["._00000_0.jpg"],
    "links that lead nowhere": ["dangling.jpg"],
    "pipes, sockets and devices": ["pipe.jpg"],
    "paks and archives": ["spare.zip"],
    "sub-folders": ["more"],
    "faces with too many pixels or none": ["bomb_20000x20000.jpg"],
    "faces with unusable landmarks": ["landmarks_1e300.jpg", "line.jpg", "place.jpg"],
}


def names(left_out):
    return {kind: sorted(o.name for o in found) for kind, found in left_out.by_kind().items()}


def test_the_faceset_is_the_good_faces_and_says_the_rest(folder, caplog):
    faceset = Faceset.open(folder)
    assert [sample.name for sample in faceset] == ["00000_0.jpg", "00001_0.jpg", "00002_0.jpg"]
    assert names(faceset.left_out) == BAD
    assert (
        "faces with unusable landmarks: 3 left out (for example landmarks_1e300.jpg" in caplog.text
    )
    assert f"dfl-tf faceset status --all {folder}" in caplog.text


@pytest.mark.parametrize("eager", [4000, 0])
@pytest.mark.parametrize("uniform_yaw", [False, True])
def test_training_goes_on_with_the_good_faces(folder, monkeypatch, tmp_path, eager, uniform_yaw):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    faceset = Faceset.open(folder, eager=eager)
    with BatchStream(faceset, SPEC, 4, seed=1, uniform_yaw=uniform_yaw, workers=1) as stream:
        for _ in range(3):
            assert np.isfinite(next(stream)["image"]).all()
    if uniform_yaw:
        assert names(faceset.left_out) == BAD
        again = Faceset.open(folder, eager=eager)  # a large faceset remembers its bad faces
        assert names(again.left_out) == BAD


def test_status_says_the_same(folder):
    report = examine(folder)
    assert report.faces == 3
    assert names(report.left_out) == BAD


def test_one_damaged_face_of_a_pak_is_left_out_alone(make_faces, tmp_path, monkeypatch):
    folder = make_faces(3)
    faces = [(p.name, None, read_metadata(p), p) for p in sorted(folder.iterdir())]
    faces[1][2].eyebrows_expand_mod = float("nan")
    write_pak(tmp_path / "faceset.pak", faces)
    faceset = Faceset.open(tmp_path / "faceset.pak")
    assert [sample.name for sample in faceset] == ["00000_0.jpg", "00002_0.jpg"]
    assert faceset[1].bytes() == faces[2][3].read_bytes()
    assert names(faceset.left_out) == {"damaged or unusable faces": ["00001_0.jpg"]}
    store = open_store(tmp_path / "faceset.pak")
    with pytest.raises(FacesetError, match="1 of its faces are damaged and would be lost"):
        store.change(0, polygons=[])


def test_a_pak_beside_loose_faces_is_used_and_said(make_faces, caplog):
    folder = make_faces(2)
    faces = [(p.name, None, read_metadata(p), p) for p in sorted(folder.iterdir())]
    write_pak(folder / "faceset.pak", faces[:1])
    assert len(Faceset.open(folder)) == 1
    line = "loose images beside faceset.pak, which is used: 2 left out (for example 00000_0.jpg)"
    assert line in caplog.text
    assert line in examine(folder).left_out.lines()


def test_an_image_that_is_not_of_the_size_in_the_pak_is_named(make_faces, tmp_path):
    face = face_jpeg(1)
    metadata = read_metadata(face)
    metadata.shape = (6000, 6000, 3)
    write_pak(tmp_path / "faceset.pak", [("a.jpg", None, metadata, face)])
    with pytest.raises(FacesetError, match="has 96x96 pixels, its metadata 6000x6000"):
        Faceset.open(tmp_path / "faceset.pak")[0].image()


@pytest.mark.parametrize("label", HOLLOW)
def test_labels_that_enclose_nothing_teach_nothing_and_are_said(make_faces, caplog, label):
    folder = make_faces(1)
    (folder / "drawn.jpg").write_bytes(face_jpeg(8, seg_ie_polys=TRIANGLE))
    (folder / "hollow.jpg").write_bytes(face_jpeg(9, seg_ie_polys=HOLLOW[label]))
    assert [s.name for s in segmented_samples([Faceset.open(folder)])] == ["drawn.jpg"]
    line = "labels that enclose nothing: 1 left out (hollow.jpg)"
    assert line in caplog.text
    assert line in examine(folder).left_out.lines()
    counted = count(open_store(folder))
    assert counted["labels"] == 1
    assert line in counted["left_out"].lines()


def test_an_applied_mask_counts_where_the_label_encloses_nothing(make_faces):
    folder = make_faces(1)
    applied = encode_mask(np.ones((64, 64), np.float32))
    face = face_jpeg(9, seg_ie_polys=HOLLOW["outside"], xseg_mask_bytes=applied)
    (folder / "hollow.jpg").write_bytes(face)
    (sample,) = segmented_samples([Faceset.open(folder)])
    mask = load_segmented(sample, 32, FaceType.WHOLE_FACE)[1]
    np.testing.assert_allclose(mask, 1, atol=1e-5)


def test_smaller_face_types_are_counted_and_all_of_a_side_are_an_error(make_faces, tmp_path):
    src = make_faces(1, "src")
    shutil.copyfile(CASES / "half_face.jpg", src / "half.jpg")
    dst = make_faces(1, "dst")
    sides = Facesets(Faceset.open(src), Faceset.open(dst))
    wanted = FaceType.WHOLE_FACE
    lines = sides.check_face_types(wanted, allow_smaller=False)
    assert len(lines) == 1
    assert lines[0].startswith(
        "src: 1 of 2 faces have a smaller face type (half_face) than the model"
    )
    assert sides.check_face_types(FaceType.HALF, allow_smaller=False) == []
    (src / "00000_0.jpg").unlink()
    only = Facesets(Faceset.open(src), Faceset.open(dst))
    with pytest.raises(FacesetError, match=r"src.*1 of 1 faces.*--allow-smaller-faces"):
        only.check_face_types(wanted, allow_smaller=False)
    assert len(only.check_face_types(wanted, allow_smaller=True)) == 1


def test_face_types_of_a_large_faceset_are_remembered(make_faces, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = make_faces(2)
    shutil.copyfile(CASES / "half_face.jpg", folder / "half.jpg")
    expected = Faceset.open(folder).face_types()
    assert expected == {FaceType.WHOLE_FACE: 2, FaceType.HALF: 1}
    assert Faceset.open(folder, eager=0).face_types() == expected
    monkeypatch.setattr(
        "dfl_tf.data.faceset._sample_from_file", lambda _: pytest.fail("read again")
    )
    assert Faceset.open(folder, eager=0).face_types() == expected


def test_types_without_a_crop_are_never_smaller():
    assert is_smaller(FaceType.FULL_NO_ALIGN, FaceType.WHOLE_FACE)
    assert not is_smaller(FaceType.MVE_CUSTOM, FaceType.HEAD)
    assert not is_smaller(FaceType.HEAD, FaceType.HEAD_NO_ALIGN)
    assert SmallerFaces.count({}, FaceType.HEAD).all_of_them is False
