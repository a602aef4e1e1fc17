"""Faces that are put into frames by hand: stored as found ones, kept, removed, brought back."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from dfl_tf.data import Faceset, OutputSpec, SampleSpec, make_sample
from dfl_tf.disk.checksums import digest, read_sums
from dfl_tf.disk.lock_file import locked_file
from dfl_tf.errors import UsageError, WorkspaceError
from dfl_tf.extract.coverage import measure_coverage
from dfl_tf.extract.frame_work import Folders
from dfl_tf.extract.journal import FILE, LOCK, read_journal
from dfl_tf.extract.placing import FacePlacing, FrameChangedError
from dfl_tf.extract.records import GivenFace
from dfl_tf.extract.run import ExtractReport, ExtractRequest, extract_faces
from dfl_tf.extract.sources import FolderFrames
from dfl_tf.face import FaceType
from dfl_tf.formats import read_metadata
from dfl_tf.options import ExtractOptions, default

from .squares import FACE, draw_frame

OPTIONS = default(ExtractOptions, image_size=64)
POINTS = (60, 70) + FACE * 90
EMPTY = "00004.png"


def extract(frames, out, networks, **given) -> ExtractReport:
    options = given.pop("options", OPTIONS)
    request = ExtractRequest(**given)
    return extract_faces(
        FolderFrames(frames), out, options, networks=networks, request=request, workers=1
    )


@pytest.fixture
def out(frames, tmp_path, networks):
    extract(frames, tmp_path / "aligned", networks)
    return tmp_path / "aligned"


@pytest.fixture
def placing(frames, out):
    source = FolderFrames(frames)

    def decode(record):
        (frame,) = source.frames({record.number})
        return frame.decode()

    return FacePlacing(Folders(out), decode)


def place(placing, name=EMPTY, points=POINTS, box=None, **more):
    more.setdefault("based_on", placing.frame(name).digest)
    return placing.place(name, GivenFace(box, points), **more)


def test_a_face_by_hand_is_stored_and_noted_as_a_found_one(
    placing, out, frames, tmp_path, networks
):
    made = place(placing, box=(60.0, 70.0, 150.0, 160.0))
    assert sorted(path.name for path in out.glob("00004*")) == ["00004_0.jpg"]
    data = (out / "00004_0.jpg").read_bytes()
    metadata = read_metadata(out / "00004_0.jpg")
    assert (metadata.source_filename, metadata.face_type) == (EMPTY, "whole_face")
    assert metadata.source_rect == (60, 70, 150, 160)
    np.testing.assert_allclose(metadata.source_landmarks, POINTS, atol=5e-4)
    (face,) = read_journal(out).frames[EMPTY].faces
    assert (face.by_hand, face.file, face.sha256) == (True, "00004_0.jpg", digest(data))
    assert read_sums(out).files["00004_0.jpg"] == digest(data)
    assert placing.frame(EMPTY).digest == made.digest
    (sample,) = [face for face in Faceset.open(out) if face.name == "00004_0.jpg"]
    outputs = {"image": OutputSpec(warp=True), "mask": OutputSpec(kind="mask", mask="full")}
    spec = SampleSpec(resolution=32, face_type=FaceType.WHOLE_FACE, outputs=outputs)
    arrays = make_sample(sample, spec, 7)
    assert [array.shape for array in arrays.values()] == [(32, 32, 3), (32, 32, 1)]
    assert 0.2 < arrays["mask"].mean() < 0.9
    given = {EMPTY: [GivenFace((60.0, 70.0, 150.0, 160.0), np.round(POINTS, 3))]}
    extract(frames, tmp_path / "given", networks, given=given)  # as the extraction stores it
    assert (tmp_path / "given" / "00004_0.jpg").read_bytes() == data


def test_a_later_extraction_keeps_it(placing, out, frames, networks):
    place(placing)
    data = (out / "00004_0.jpg").read_bytes()
    line = (out / FILE).read_bytes().splitlines()[-1]
    report = extract(frames, out, networks)
    assert (report.frames, report.done_before) == (0, 6)
    assert (out / "00004_0.jpg").read_bytes() == data
    assert b'"by_hand":true' in line
    again = read_journal(out).frames[EMPTY]
    assert (again.faces[0].by_hand, again.faces[0].file) == (True, "00004_0.jpg")
    assert "no face" not in measure_coverage(report.records, weak_below=2.0).found
    assert 3 not in measure_coverage(report.records, weak_below=2.0).found["weak scores"]


def test_it_stays_when_its_frame_is_extracted_again(placing, out, frames, networks):
    two = place(placing, "00002.png")  # beside two faces that are found; overlaps the first
    assert [face.by_hand for face in two.record.faces] == [False, False, True]
    third = (200, 150) + FACE * 60
    place(placing, "00005.png", third)
    (out / "00005_1.jpg").write_bytes((out / "00005_1.jpg").read_bytes() + b"labels drawn on it")
    kept = {name: (out / name).read_bytes() for name in ("00002_2.jpg", "00005_1.jpg")}
    report = extract(frames, out, networks, redo=[2, 5])
    assert report.frames == 2
    for name, data in kept.items():
        assert (out / name).read_bytes() == data
    record = read_journal(out).frames["00005.png"]
    assert [(face.file, face.by_hand) for face in record.faces] == [
        ("00005_0.jpg", False), ("00005_1.jpg", True),
    ]  # fmt: skip
    record = read_journal(out).frames["00002.png"]
    assert [(face.file, face.by_hand) for face in record.faces] == [
        ("00002_0.jpg", False), ("00002_1.jpg", False), ("00002_2.jpg", True),
    ]  # fmt: skip


def test_what_is_found_in_its_place_is_the_same_face(placing, out, frames, networks):
    box = (115.0, 60.0, 195.0, 140.0)  # the square of the frame
    place(placing, "00005.png", (115, 60) + FACE * 80, box, instead=0)
    assert sorted(path.name for path in out.glob("00005*")) == ["00005_0.jpg"]
    assert [path.name for path in Folders(out).trash.iterdir()] == ["00005_0.jpg"]
    extract(frames, out, networks, redo=[5])
    (face,) = read_journal(out).frames["00005.png"].faces
    assert (face.by_hand, face.file) == (True, "00005_0.jpg")


def test_starting_over_moves_it_to_the_trash(placing, out, frames, networks):
    place(placing)
    data = (out / "00004_0.jpg").read_bytes()
    extract(frames, out, networks, overwrite=True)
    assert not (out / "00004_0.jpg").exists()
    (kept,) = Folders(out).trash.iterdir()
    assert (kept.name, kept.read_bytes()) == ("00004_0.jpg", data)


def test_a_removed_face_comes_back_with_what_was_drawn_on_it(placing, out, frames, networks):
    place(placing)
    path = out / "00004_0.jpg"
    path.write_bytes(path.read_bytes() + b"labels")
    kept = path.read_bytes()
    gone = placing.remove(EMPTY, 0, based_on=placing.frame(EMPTY).digest)
    assert (gone.record.faces, [face.file for face in gone.record.removed]) == ((), ["00004_0.jpg"])
    assert not path.exists()
    assert "00004_0.jpg" not in read_sums(out).files
    report = extract(frames, out, networks)  # knows nothing of it
    assert report.frames == 0
    back = placing.restore(EMPTY, 0, based_on=placing.frame(EMPTY).digest)
    assert (back.record.removed, back.record.faces[0].by_hand) == ((), True)
    assert path.read_bytes() == kept
    assert read_sums(out).files["00004_0.jpg"] == digest(kept)
    placing.remove(EMPTY, 0, based_on=placing.frame(EMPTY).digest)
    shutil.rmtree(Folders(out).trash)  # emptied: the face is cut out again
    placing.restore(EMPTY, 0, based_on=placing.frame(EMPTY).digest)
    assert path.read_bytes() == kept.removesuffix(b"labels")


def test_a_found_face_is_removed_also_after_it_was_renamed(placing, out):
    (out / "00003_1.jpg").rename(out / "00000.jpg")  # as sorting does
    (out / "00003_0.jpg").rename(out / "00003_1.jpg")
    record = placing.frame("00003.png")
    placing.remove("00003.png", 1, based_on=record.digest)
    assert not (out / "00000.jpg").exists()
    assert (out / "00003_1.jpg").exists()


def test_who_has_not_seen_the_frame_as_it_is_changes_nothing(placing, out, frames):
    before = placing.frame(EMPTY).digest
    place(placing)
    kept = {path.name: path.read_bytes() for path in out.iterdir()}
    for change in (
        lambda: place(placing, based_on=before),
        lambda: placing.remove(EMPTY, 0, based_on=before),
        lambda: placing.restore(EMPTY, 0, based_on=before),
    ):
        with pytest.raises(FrameChangedError, match="changed meanwhile"):
            change()
    with (
        locked_file(out / LOCK, doing="extracts faces"),
        pytest.raises(UsageError, match="another process"),
    ):
        place(placing)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == kept


@pytest.mark.parametrize(
    ("points", "box", "text"),
    [
        (None, (0.0, 0.0, 9.0, 9.0), "missing"),
        (POINTS * 0, None, "in one place"),
        (POINTS * np.nan, None, "not finite"),
        (POINTS[:67], None, "shape"),
        (POINTS, (60.0, 70.0, 60.0, 90.0), "no size"),
    ],
)
def test_what_is_no_face_is_refused(placing, out, points, box, text):
    kept = sorted(path.name for path in out.iterdir())
    with pytest.raises(UsageError, match=text):
        place(placing, points=points, box=box)
    assert sorted(path.name for path in out.iterdir()) == kept


def test_other_frames_and_folders_are_refused(placing, out, frames):
    import cv2

    with pytest.raises(WorkspaceError, match="was not extracted"):
        place(placing, "00009.png", based_on="")
    cv2.imwrite(str(frames / EMPTY), draw_frame((10, 10, 60)))
    with pytest.raises(WorkspaceError, match="was changed since"):
        place(placing)
    (out / "faceset.pak").touch()
    with pytest.raises(UsageError, match="packed"):
        place(placing)


def test_a_change_that_was_killed_is_made_by_the_next_try(placing, out, monkeypatch):
    class Killed(BaseException):
        pass

    def kill(*_):
        raise Killed

    first = placing.frame("00005.png").digest
    (out / "00005_0.jpg").write_bytes((out / "00005_0.jpg").read_bytes() + b"labels")
    kept = (out / "00005_0.jpg").read_bytes()
    points = (200, 150) + FACE * 60
    third = placing.frame("00003.png").digest
    changes = (
        lambda: place(placing, points=POINTS),
        lambda: place(placing, "00005.png", points, based_on=first, instead=0),
        lambda: placing.remove("00003.png", 0, based_on=third),
    )
    for change in changes:
        with monkeypatch.context() as patch:
            patch.setattr("dfl_tf.extract.placing.append_record", kill)
            with pytest.raises(Killed):
                change()
        change()
    assert [path.name for path in out.glob("00004*")] == ["00004_0.jpg"]
    record = read_journal(out).frames["00005.png"]
    assert [path.name for path in out.glob("00005*")] == [record.faces[0].file]
    (old,) = record.removed
    assert (Folders(out).trash / old.file).read_bytes() == kept
    (gone,) = read_journal(out).frames["00003.png"].removed
    assert (Folders(out).trash / gone.file).exists()


def test_a_line_that_a_kill_cut_off_is_cut_away(placing, out):
    with open(out / FILE, "ab") as journal:
        journal.write(b'{"frame": {"name": "0000')
    place(placing)
    content = read_journal(out)
    assert len(content.frames) == 6
    assert content.frames[EMPTY].faces[0].by_hand
    assert (out / FILE).read_bytes().count(b'"0000{') == 0
