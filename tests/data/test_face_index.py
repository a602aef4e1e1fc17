"""Large facesets: what is learned of their faces is remembered, and only while it is true."""

from __future__ import annotations

import os
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from dfl_tf.data import BatchStream, Faceset, OutputSpec, SampleSpec, segmented_samples
from dfl_tf.data import faceset as room
from dfl_tf.data.face_index import FaceFacts
from dfl_tf.face import FaceType
from dfl_tf.formats.faces.faceset_pak import write_pak

from .conftest import SRC, face_jpeg

TRIANGLE = [(1, np.float32([[1, 1], [9, 1], [9, 9]]))]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "dfl_tf" / "facesets"


@pytest.fixture
def reads(monkeypatch):
    """Names of the files whose metadata was read."""
    names = []
    original = room._sample_from_file
    monkeypatch.setattr(
        room, "_sample_from_file", lambda path: names.append(path.name) or original(path)
    )
    return names


def test_facts_are_those_of_the_samples_and_read_once(make_faces, reads):
    folder = make_faces(2)
    (folder / "drawn.jpg").write_bytes(face_jpeg(9, seg_ie_polys=TRIANGLE))
    (folder / "plain.jpg").write_bytes(b"junk")
    eager = Faceset.open(folder)
    expected = [
        (
            i,
            FaceFacts(
                s.pitch_yaw_roll()[1],
                bool(s.polygons),
                face_type=int(s.face_type),
                source=s.source_filename,
            ),
        )
        for i, s in enumerate(eager)
    ]
    assert expected[2][1][1]
    reads.clear()
    first = Faceset.open(folder, eager=0)
    assert list(first.facts()) == expected
    assert reads == ["00000_0.jpg", "00001_0.jpg", "drawn.jpg"]
    reads.clear()
    again = Faceset.open(folder, eager=0)
    assert list(again.facts()) == expected
    assert reads == []
    assert [name for name, _ in again.skipped] == ["plain.jpg"]


def test_a_changed_file_is_read_again_and_a_lost_one_forgotten(make_faces, reads, cache):
    folder = make_faces(3)
    list(Faceset.open(folder, eager=0).facts())
    reads.clear()
    (folder / "00000_0.jpg").unlink()
    (folder / "00001_0.jpg").write_bytes(face_jpeg(50, size=64))
    list(Faceset.open(folder, eager=0).facts())
    assert reads == ["00001_0.jpg"]
    (file,) = cache.iterdir()
    assert b"00000_0" not in file.read_bytes()


def test_a_damaged_face_is_named_once_and_then_known(make_faces, caplog):
    folder = make_faces(2)
    broken = folder / "00001_0.jpg"
    data = broken.read_bytes()
    place = data.index(b"\xff\xef") + 4
    broken.write_bytes(data[:place] + b"junk!" + data[place + 5 :])
    for _ in range(2):
        caplog.clear()
        faceset = Faceset.open(folder, eager=0)
        assert [index for index, _ in faceset.facts()] == [0]
        assert [name for name, _ in faceset.skipped] == ["00001_0.jpg"]
        assert "00001_0.jpg" in caplog.text


@pytest.mark.parametrize("harm", ["byte", "cut", "text", "folder"])
def test_a_harmed_index_is_as_good_as_none(make_faces, reads, cache, harm):
    folder = make_faces(2)
    expected = list(Faceset.open(folder, eager=0).facts())
    (file,) = cache.iterdir()
    data = file.read_bytes()
    if harm == "folder":
        file.unlink()
        file.mkdir()
    else:
        harmed = {"byte": data.replace(b"false", b"true ", 1), "cut": data[:-9], "text": b"[]"}
        assert harmed[harm] != data
        file.write_bytes(harmed[harm])
    reads.clear()
    assert list(Faceset.open(folder, eager=0).facts()) == expected
    assert len(reads) == 2


def test_a_pak_is_remembered_by_place(make_faces, monkeypatch):
    folder = make_faces(2)
    metadata = [room.read_metadata(path) for path in sorted(folder.iterdir())]
    pak = folder / "faceset.pak"
    write_pak(pak, [("same.jpg", str(i), m, face_jpeg(i)) for i, m in enumerate(metadata)])
    expected = list(Faceset.open(pak, eager=0).facts())
    assert [index for index, _ in expected] == [0, 1]
    monkeypatch.setattr(room, "estimate_pitch_yaw_roll", None)  # would fail
    assert list(Faceset.open(pak, eager=0).facts()) == expected


def test_uniform_yaw_draws_alike_from_a_remembered_faceset():
    spec = SampleSpec(resolution=64, face_type=FaceType.FULL, outputs={"image": OutputSpec()})
    drawn = []
    for eager in (4000, 0, 0):
        with BatchStream(
            Faceset.open(SRC, eager=eager), spec, 4, seed=1, uniform_yaw=True
        ) as stream:
            drawn.append(np.concatenate([next(stream)["image"] for _ in range(2)]))
    np.testing.assert_array_equal(drawn[1], drawn[0])
    np.testing.assert_array_equal(drawn[2], drawn[0])


def test_xseg_reads_only_the_faces_that_it_takes(make_faces, reads):
    folder = make_faces(3)
    (folder / "drawn.jpg").write_bytes(face_jpeg(9, seg_ie_polys=TRIANGLE))
    list(Faceset.open(folder, eager=0).facts())
    reads.clear()
    assert [s.name for s in segmented_samples([Faceset.open(folder, eager=0)])] == ["drawn.jpg"]
    assert reads == ["drawn.jpg"]


@pytest.mark.slow
def test_sixty_thousand_faces(make_faces, monkeypatch):
    folder = make_faces(1)
    original = folder / "00000_0.jpg"
    sample = room._sample_from_file(original)
    for number in range(1, 60_000):
        os.link(original, folder / f"{number:05d}_0.jpg")
    reads = []
    monkeypatch.setattr(
        room, "_sample_from_file", lambda path: reads.append(path) or replace(sample)
    )
    monkeypatch.setattr(room, "estimate_pitch_yaw_roll", lambda *_: (0.0, len(reads) / 1e5, 0.0))
    expected = list(Faceset.open(folder).facts())
    assert len(reads) == len(expected) == 60_000
    tracemalloc.start()
    faceset = Faceset.open(folder)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert list(faceset.facts()) == expected
    assert len(reads) == 60_000
    assert faceset.name(59_999) == "59999_0.jpg"
    assert held < 60_000 * 1000
