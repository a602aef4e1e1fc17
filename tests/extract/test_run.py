from __future__ import annotations

import hashlib
import os
import shutil
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest

from dfl_tf.disk.checksums import checksum_path, read_sums
from dfl_tf.errors import UsageError
from dfl_tf.extract.journal import FILE, read_journal
from dfl_tf.extract.networks import ExtractNetworks
from dfl_tf.extract.records import GivenFace
from dfl_tf.extract.run import ExtractReport, ExtractRequest, extract_faces
from dfl_tf.extract.sources import FolderFrames, chosen_numbers, numbers_of
from dfl_tf.formats import read_metadata
from dfl_tf.options import ExtractOptions, default

from .squares import FACE, draw_frame

OPTIONS = default(ExtractOptions, image_size=64)


def extract(folder: Path, out: Path, networks: ExtractNetworks, **given: object) -> ExtractReport:
    options = given.pop("options", OPTIONS)
    workers, stop, progress = (
        given.pop(key, value) for key, value in (("workers", 1), ("stop", None), ("progress", None))
    )
    return extract_faces(
        FolderFrames(folder),
        out,
        options,
        networks=networks,
        request=ExtractRequest(**given),
        workers=workers,
        stop=stop,
        progress=progress,
    )


def content(folder: Path) -> dict[str, bytes]:
    sums = checksum_path(folder)
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    return {**files, "sums": sums.read_bytes() if sums.exists() else b""}


def test_faces_of_all_frames_are_stored_with_metadata(frames, tmp_path, networks):
    report = extract(frames, tmp_path / "aligned", networks)
    assert (report.frames, report.faces, report.without_face, report.failed) == (6, 7, 1, [])
    names = sorted(path.name for path in (tmp_path / "aligned").glob("*.jpg"))
    assert names == [
        *("00001_0.jpg", "00002_0.jpg", "00002_1.jpg", "00003_0.jpg", "00003_1.jpg"),
        *("00005_0.jpg", "00006_0.jpg"),
    ]
    metadata = read_metadata(tmp_path / "aligned" / "00002_1.jpg")
    assert metadata.source_filename == "00002.png"
    assert metadata.face_type == "whole_face"
    assert metadata.source_rect == (220, 90, 280, 150)
    np.testing.assert_allclose(metadata.source_landmarks, (220, 90) + FACE * 60, atol=1e-9)
    assert metadata.shape == (64, 64, 3)


def test_the_folder_is_the_same_for_any_number_of_workers(frames, tmp_path, networks):
    extract(frames, tmp_path / "one" / "aligned", networks, workers=1)
    extract(frames, tmp_path / "many" / "aligned", networks, workers=4)
    one, many = content(tmp_path / "one" / "aligned"), content(tmp_path / "many" / "aligned")
    assert one == many


def test_a_stopped_run_goes_on_to_the_folder_of_an_uninterrupted_one(frames, tmp_path, networks):
    extract(frames, tmp_path / "whole" / "aligned", networks)
    out, stop = tmp_path / "stopped" / "aligned", threading.Event()
    report = extract(
        frames, out, networks, stop=stop, progress=lambda done, _: done == 3 and stop.set()
    )
    assert (report.interrupted, report.frames) == (True, 3)
    report = extract(frames, out, networks)
    assert (report.frames, report.done_before) == (3, 3)
    assert content(out) == content(tmp_path / "whole" / "aligned")
    with open(out / FILE, "ab") as file:  # what a kill leaves of a line
        file.write(b'{"frame":{"name":"0000')
    assert extract(frames, out, networks).frames == 0
    assert content(out) == content(tmp_path / "whole" / "aligned")


def test_a_frame_without_its_line_is_extracted_again_to_the_same_bytes(frames, tmp_path, networks):
    out = tmp_path / "aligned"
    extract(frames, out, networks)
    before = content(out)
    lines = (out / FILE).read_bytes().splitlines(keepends=True)
    (out / FILE).write_bytes(b"".join(lines[:-2]))
    (out / "00006_0.jpg").unlink()
    assert extract(frames, out, networks).frames == 2
    assert content(out) == before
    assert not (tmp_path / "aligned_trash").exists()


def test_other_options_are_refused_and_name_both_ways(frames, tmp_path, networks):
    out = tmp_path / "aligned"
    extract(frames, out, networks, frames="1:3")
    other = default(ExtractOptions, image_size=96)
    with pytest.raises(UsageError, match=r"image_size was 64 and is 96.*--resume.*--overwrite"):
        extract(frames, out, networks, options=other)
    assert extract(frames, out, networks, options=other, resume=True).frames == 3
    assert read_metadata(out / "00001_0.jpg").shape[0] == 64
    assert read_metadata(out / "00005_0.jpg").shape[0] == 96
    runs = {record.number: record.run for record in read_journal(out).records}
    assert (runs[1], runs[5]) == (0, 1)
    report = extract(frames, out, networks, options=other, overwrite=True)
    assert report.frames == 6
    assert read_metadata(out / "00001_0.jpg").shape[0] == 96


def test_another_detector_is_refused(frames, tmp_path, networks):
    out = tmp_path / "aligned"
    extract(frames, out, networks)
    networks.detector.version = "2"
    with pytest.raises(UsageError, match="detector_version was 1 and is 2"):
        extract(frames, out, networks)


def test_images_without_a_journal_are_refused_or_count_by_the_frame_they_name(
    frames, tmp_path, networks
):
    out = tmp_path / "aligned"
    extract(frames, out, networks, frames="1:2")
    (out / FILE).unlink()
    with pytest.raises(UsageError, match=r"holds 3 images and no journal.*--resume.*--overwrite"):
        extract(frames, out, networks)
    report = extract(frames, out, networks, resume=True)
    assert (report.done_before, report.frames) == (2, 4)
    assert any("2 frames count as done" in note for note in report.notes)
    assert extract(frames, out, networks).frames == 0


def test_changed_and_renamed_frames_are_noticed(frames, tmp_path, networks):
    out = tmp_path / "aligned"
    extract(frames, out, networks)
    for path in frames.iterdir():  # a copy of the frames is not a change
        os.utime(path, (1, 1))
    assert extract(frames, out, networks).done_before == 6
    cv2.imwrite(str(frames / "00005.png"), draw_frame((90, 50, 100)))
    with pytest.raises(UsageError, match=r"1 frame \(00005.png\) changed.*--resume"):
        extract(frames, out, networks)
    report = extract(frames, out, networks, resume=True)
    assert (report.frames, report.replaced) == (1, 1)
    assert read_metadata(out / "00005_0.jpg").source_rect == (90, 50, 190, 150)
    assert (tmp_path / "aligned_trash" / "00005_0.jpg").exists()
    (frames / "00006.png").rename(frames / "00009.png")
    with pytest.raises(UsageError, match=r"00006.png\) vanished and others are new .*00009.png"):
        extract(frames, out, networks)
    (frames / "00009.png").unlink()
    report = extract(frames, out, networks)
    assert report.notes == [
        "1 frame (00006.png) vanished since they were extracted; their faces stay"
    ]


def test_new_frames_are_added(frames, tmp_path, networks):
    out = tmp_path / "aligned"
    extract(frames, out, networks)
    cv2.imwrite(str(frames / "00007.png"), draw_frame((90, 50, 100)))
    report = extract(frames, out, networks)
    assert (report.frames, report.done_before, report.notes) == (1, 6, [])


def test_redo_keeps_older_faces_in_the_trash_folder(frames, tmp_path, networks):
    out = tmp_path / "aligned"
    extract(frames, out, networks)
    edited = (out / "00002_0.jpg").read_bytes() + b"edited"
    (out / "00002_0.jpg").write_bytes(edited)
    larger = default(ExtractOptions, image_size=96, max_faces=1)
    report = extract(frames, out, networks, options=larger, redo=[2])
    assert (report.frames, report.faces, report.replaced) == (1, 1, 2)
    assert (tmp_path / "aligned_trash" / "00002_0.jpg").read_bytes() == edited
    assert (tmp_path / "aligned_trash" / "00002_1.jpg").exists()
    assert not (out / "00002_1.jpg").exists()
    assert read_metadata(out / "00002_0.jpg").shape[0] == 96
    sums = read_sums(out).files
    assert sums["00002_0.jpg"] == hashlib.sha256((out / "00002_0.jpg").read_bytes()).hexdigest()
    assert sorted(sums) == sorted(path.name for path in out.glob("*.jpg"))


def test_given_faces_are_taken_and_extracted_again_when_they_change(frames, tmp_path, networks):
    out = tmp_path / "aligned"
    extract(frames, out, networks)
    points = (30.0, 20.0) + FACE * 90
    given = {"00004.png": [GivenFace(landmarks=points)], "00001.png": []}
    report = extract(frames, out, networks, given=given)
    assert (report.frames, report.faces, report.without_face) == (2, 1, 1)
    np.testing.assert_allclose(read_metadata(out / "00004_0.jpg").source_landmarks, points)
    assert not (out / "00001_0.jpg").exists()
    assert extract(frames, out, networks, given=given).frames == 0
    assert extract(frames, out, networks).frames == 0


def test_dropped_faces_are_told(frames, tmp_path, networks):
    options = default(ExtractOptions, image_size=64, min_size=70)
    report = extract(frames, tmp_path / "aligned", networks, options=options)
    assert report.faces == 5
    (line,) = report.left_out.lines()
    assert line.startswith("faces that were found and not stored: 2 left out (for example 00002")
    (face,) = [f for f in read_journal(tmp_path / "aligned").records[1].faces if f.dropped]
    assert face.dropped == "60x60 pixels are less than min_size"


def test_what_cannot_be_used_is_named_and_stops_nothing(tmp_path, networks):
    folder = tmp_path / "frames"
    folder.mkdir()
    good = draw_frame((100, 60, 80))
    names = ["Ü ber.png", "two\nlines.png", "gray.png", "alpha.png", "deep.png", "odd.png"]
    for name in names:
        image = {
            "gray.png": cv2.cvtColor(good, cv2.COLOR_BGR2GRAY),
            "alpha.png": cv2.cvtColor(good, cv2.COLOR_BGR2BGRA),
            "deep.png": good.astype(np.uint16) * 257,
            "odd.png": good[:-1, :-1],
        }.get(name, good)
        (folder / name).write_bytes(cv2.imencode(".png", image)[1].tobytes())
    whole = cv2.imencode(".jpg", good)[1].tobytes()
    (folder / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.jpg").write_bytes(b"")
    huge = cv2.imencode(".png", np.zeros((1, 1, 3), np.uint8))[1].tobytes()
    (folder / "pixel.png").write_bytes(huge)
    (folder / "huge.png").write_bytes(huge[:16] + b"\0\0\x4e\x20\0\0\x4e\x20" + huge[24:])
    (folder / "odd.jpg").write_bytes(whole)
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    turned = whole[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + whole[2:]
    (folder / "turned.jpg").write_bytes(turned)
    report = extract(folder, tmp_path / "aligned", networks, workers=2)
    assert sorted(name for name, _ in report.failed) == ["cut.jpg", "empty.jpg", "huge.png"]
    reasons = dict(report.failed)
    assert "20000x20000 pixels" in reasons["huge.png"]
    assert report.faces == 7
    kinds = {kind: found[0].name for kind, found in report.left_out.by_kind().items()}
    assert kinds == {
        "frames of the same name as another but for the suffix": "odd.png",
        "alpha channels": "alpha.png",
        "bits beyond 8 of a color": "deep.png",
        "frames with a side below 128 pixels": "pixel.png",
        "EXIF orientations": "turned.jpg",
    }
    box = read_metadata(tmp_path / "aligned" / "deep_0.jpg").source_rect
    assert box == read_metadata(tmp_path / "aligned" / "Ü ber_0.jpg").source_rect
    assert read_metadata(tmp_path / "aligned" / "two\nlines_0.jpg").source_filename == names[1]
    assert (
        extract(folder, tmp_path / "aligned", networks).frames == 0
    )  # tried again, 3 times failed


def test_thirty_faces_of_one_frame(tmp_path, networks):
    folder = tmp_path / "frames"
    folder.mkdir()
    squares = [(10 + 60 * (i % 6), 10 + 60 * (i // 6), 41 + i % 5) for i in range(30)]
    cv2.imwrite(str(folder / "1.png"), draw_frame(*squares, height=320, width=400))
    report = extract(folder, tmp_path / "aligned", networks)
    assert report.faces == 30
    assert (tmp_path / "aligned" / "1_29.jpg").exists()


def test_debug_images_and_redo_of_those_deleted(frames, tmp_path, networks):
    out = tmp_path / "aligned"
    options = default(ExtractOptions, image_size=64, debug_images=True)
    extract(frames, out, networks, options=options)
    debug = tmp_path / "aligned_debug"
    assert len(list(debug.iterdir())) == 6
    drawn = cv2.imread(str(debug / "00001.jpg")).astype(int)
    assert np.abs(drawn - cv2.imread(str(frames / "00001.png"))).max() > 150
    shutil.rmtree(debug)
    assert extract(frames, out, networks).frames == 0


def test_frames_are_chosen_by_their_place_in_the_whole():
    names = [f"{i:05d}.png" for i in range(1, 11)]
    assert chosen_numbers(names, "", 1) == list(range(1, 11))
    assert chosen_numbers(names, "3:8", 3) == [4, 7]
    assert chosen_numbers(names, ":2", 1) == [1, 2]
    assert chosen_numbers(names, "9:", 1) == [9, 10]
    assert chosen_numbers(names, "5", 1) == [5]
    for wrong in ("x", "11", "0:0"):
        with pytest.raises(UsageError, match=r"--frames|is not a range"):
            chosen_numbers(names, wrong, 1)
    assert numbers_of(names, ["00003", "00001.png", "7", "9:10"]) == [1, 3, 7, 9, 10]
    with pytest.raises(UsageError, match="there is no frame 'x'"):
        numbers_of(names, ["x"])


def test_frames_and_numbers_follow_the_numbers_in_names(tmp_path, networks):
    folder = tmp_path / "frames"
    folder.mkdir()
    for name in ("99999.png", "100000.png"):
        cv2.imwrite(str(folder / name), draw_frame((100, 60, 80)))
    assert list(FolderFrames(folder).names) == ["99999.png", "100000.png"]


def smooth_content(frames: Path, out: Path, networks: ExtractNetworks, **given: object) -> dict:
    options = default(ExtractOptions, image_size=64, smooth=True)
    extract(frames, out, networks, options=options, **given)
    return content(out)


def test_smoothed_faces_do_not_depend_on_workers_or_interruptions(frames, tmp_path, networks):
    whole = smooth_content(frames, tmp_path / "whole" / "aligned", networks)
    assert whole == smooth_content(frames, tmp_path / "many" / "aligned", networks, workers=4)
    for at in (3, 8):  # while looking, while storing
        out, stop = tmp_path / str(at) / "aligned", threading.Event()
        smooth_content(
            frames,
            out,
            networks,
            stop=stop,
            progress=lambda done, _, at=at, stop=stop: done == at and stop.set(),
        )
        assert content(out) != whole
        assert smooth_content(frames, out, networks) == whole


def test_tracks_and_what_to_look_at_are_in_the_journal_and_the_report(frames, tmp_path, networks):
    report = extract(frames, tmp_path / "aligned", networks)
    tracks = [[face.track for face in record.faces] for record in report.records]
    assert tracks == [[0], [0, 1], [0, 1], [], [2], [2]]
    kept = read_journal(tmp_path / "aligned").records
    assert [[face.track for face in record.faces] for record in kept] == tracks
    assert report.coverage.as_dict()["findings"][0]["frames"] == ["00004.png"]
