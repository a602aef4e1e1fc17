import logging
import os
from pathlib import Path

import numpy as np
import pytest

from dfl_tf.data import Faceset
from dfl_tf.errors import DflTfError, FacesetError
from dfl_tf.face import FaceType
from dfl_tf.formats.faces.dfljpg import read_metadata
from dfl_tf.formats.faces.faceset_pak import write_pak

from .conftest import face_jpeg


def test_folder_order_is_that_of_sorted_paths(make_faces):
    folder = make_faces(3)
    (folder / "00000_1.JPG").write_bytes(face_jpeg(7))
    (folder / "B.jpeg").write_bytes(face_jpeg(8))
    names = [sample.name for sample in Faceset.open(folder)]
    assert names == ["00000_0.jpg", "00000_1.JPG", "00001_0.jpg", "00002_0.jpg", "B.jpeg"]


def test_sample_has_what_the_file_says(make_faces):
    sample = Faceset.open(make_faces(1, size=64, eyebrows_expand_mod=1.25))[0]
    assert sample.face_type is FaceType.WHOLE_FACE
    assert sample.shape == (64, 64, 3)
    assert sample.eyebrows_expand_mod == 1.25
    assert sample.source_filename == "00000.png"
    assert sample.xseg_mask() is None
    image = sample.image()
    assert image.dtype == np.float32
    assert image.shape == (64, 64, 3)
    assert 0 <= image.min() < image.max() <= 1
    assert sample.bytes() == face_jpeg(0, size=64, eyebrows_expand_mod=1.25)


@pytest.mark.parametrize("eager", [4000, 0])
def test_files_without_metadata_are_named_and_skipped(make_faces, caplog, eager):
    folder = make_faces(2)
    data = face_jpeg(0)
    (folder / "plain.jpg").write_bytes(data[:2] + data[data.index(b"\xff\xdb") :])
    (folder / "image.png").write_bytes(b"\x89PNG")
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "notes.txt").write_text("no image")
    with caplog.at_level(logging.WARNING):
        faceset = Faceset.open(folder, eager=eager)
    assert len(faceset) == 2
    assert [name for name, _ in faceset.skipped] == ["empty.jpg", "image.png", "plain.jpg"]
    assert "image.png" in caplog.text


def test_a_face_of_an_unknown_type_is_skipped(make_faces):
    folder = make_faces(2)
    (folder / "odd.jpg").write_bytes(face_jpeg(0, face_type="octopus"))
    (skipped,) = Faceset.open(folder).skipped
    assert skipped[0] == "odd.jpg"
    assert skipped[1].startswith("unknown face type 'octopus'")


def test_a_cut_off_image_is_named_and_skipped(make_faces):
    folder = make_faces(2)
    cut = folder / "00001_0.jpg"
    cut.write_bytes(cut.read_bytes()[:-300])
    faceset = Faceset.open(folder)
    assert [sample.name for sample in faceset] == ["00000_0.jpg"]
    assert faceset.skipped[0][0] == "00001_0.jpg"
    assert "cut off" in faceset.skipped[0][1]


def test_folders_without_faces_are_errors(tmp_path, make_faces):
    with pytest.raises(FacesetError, match=r"missing.*no such folder"):
        Faceset.open(tmp_path / "missing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FacesetError, match="no aligned face found"):
        Faceset.open(tmp_path / "empty")
    (tmp_path / "empty" / "x.jpg").write_bytes(b"junk")
    with pytest.raises(FacesetError, match=r"1 images skipped.*\n.*x\.jpg"):
        Faceset.open(tmp_path / "empty")


def test_large_folders_read_metadata_at_first_use(make_faces, monkeypatch):
    folder = make_faces(4)
    broken = folder / "00002_0.jpg"
    data = broken.read_bytes()
    place = data.index(b"\xff\xef") + 4
    broken.write_bytes(data[:place] + b"junk!" + data[place + 5 :])
    read = []
    monkeypatch.setattr(
        "dfl_tf.data.faceset.read_metadata",
        lambda data, what: read.append(Path(what).name) or read_metadata(data, what=what),
    )
    faceset = Faceset.open(folder, eager=3)
    assert len(faceset) == 4
    assert read == []
    assert faceset[1] is faceset[1]
    assert read == ["00001_0.jpg"]
    with pytest.raises(DflTfError, match="00002_0"):
        faceset[2]
    assert [index for index, _ in faceset.facts()] == [0, 1, 3]
    assert [name for name, _ in faceset.skipped] == ["00002_0.jpg"]


def test_pak_hides_loose_images_and_reads_lazily(make_faces):
    folder = make_faces(3)
    faces = []
    for path in sorted(folder.iterdir()):
        data = path.read_bytes()
        faces.append((path.name, "alice", read_metadata(data), data))
    write_pak(folder / "faceset.pak", faces[:2])
    for opened in (Faceset.open(folder), Faceset.open(folder / "faceset.pak")):
        assert [(s.name, s.person_name) for s in opened] == [
            ("00000_0.jpg", "alice"),
            ("00001_0.jpg", "alice"),
        ]
        assert opened[1].bytes() == faces[1][3]
        np.testing.assert_array_equal(opened[0].landmarks, faces[0][2].landmarks)
    os.truncate(folder / "faceset.pak", (folder / "faceset.pak").stat().st_size - 10)
    with pytest.raises(FacesetError):
        opened[1].bytes()
