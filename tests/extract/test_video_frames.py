"""Extraction from a video gives what `video extract` and then extraction give."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from dfl_tf.cli import extract as extract_command
from dfl_tf.cli.main import run
from dfl_tf.errors import UsageError, WorkspaceError
from dfl_tf.extract.journal import read_journal
from dfl_tf.extract.run import ExtractRequest, extract_faces
from dfl_tf.extract.sources import FolderFrames
from dfl_tf.extract.video_frames import VideoFrames
from dfl_tf.formats import read_metadata
from dfl_tf.options import ExtractOptions, default
from dfl_tf.video.extract import FrameFiles, extract

from .square_clip import make_clip

OPTIONS = default(ExtractOptions, image_size=64)


def faces_of(folder: Path) -> dict[str, np.ndarray]:
    return {path.name: read_metadata(path).source_landmarks for path in folder.glob("*.jpg")}


def both_ways(clip: Path, base: Path, networks) -> tuple[dict, dict]:
    extract_faces(VideoFrames(clip), base / "direct", OPTIONS, networks=networks, workers=2)
    extract(clip, base / "frames", files=FrameFiles())
    source = FolderFrames(base / "frames")
    extract_faces(source, base / "steps", OPTIONS, networks=networks, workers=2)
    return faces_of(base / "direct"), faces_of(base / "steps")


CLIPS = {
    "plain": {},
    "changing rate": {"times": [0, 40, 80, 200, 210, 250, 400, 420, 440, 600, 640, 700]},
    "ten bits": {"bits": 10},
    "turned": {"setup": lambda stream: stream.set_display_rotation(90)},
}


@pytest.mark.parametrize("kind", CLIPS)
def test_a_video_gives_the_faces_of_its_frames(tmp_path, networks, kind):
    direct, steps = both_ways(make_clip(tmp_path / "clip.mp4", **CLIPS[kind]), tmp_path, networks)
    assert sorted(direct) == [f"{i:05d}_0.jpg" for i in range(1, 13) if i != 5]
    assert direct.keys() == steps.keys()
    for name, points in direct.items():
        np.testing.assert_array_equal(points, steps[name])
    same = [
        (tmp_path / "direct" / name).read_bytes() == (tmp_path / "steps" / name).read_bytes()
        for name in direct
    ]
    assert all(same)


def test_frames_that_an_edit_list_hides_are_not_extracted(tmp_path, networks):
    whole, cut = make_clip(tmp_path / "whole.mp4"), tmp_path / "cut.mp4"
    with av.open(str(whole)) as source, av.open(str(cut), "w") as target:
        stream = source.streams.video[0]
        copy = target.add_stream_from_template(stream)
        for packet in source.demux(stream):
            if packet.dts is not None:  # three frames before time 0
                shift = round(Fraction(3, 25) / packet.time_base)
                packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
                packet.stream = copy
                target.mux(packet)
    direct, steps = both_ways(cut, tmp_path, networks)
    assert sorted(direct) == [f"{i:05d}_0.jpg" for i in range(1, 10) if i != 2]
    for name, points in direct.items():
        np.testing.assert_array_equal(points, steps[name])


def test_a_rotation_flag_is_followed_and_told(tmp_path, networks, monkeypatch, capsys):
    clip = make_clip(tmp_path / "clip.mp4", count=2, setup=CLIPS["turned"]["setup"])
    monkeypatch.setattr(extract_command, "load_networks", lambda *args, **keys: networks)
    assert run(["extract", str(clip), str(tmp_path / "out"), "--image-size", "64"]) == 0
    assert "clip.mp4: its frames are turned by" in capsys.readouterr().err
    (record, _) = read_journal(tmp_path / "out").records
    assert (record.height, record.width) == (320, 240)


def test_the_numbers_of_frames_stay_when_some_are_chosen(tmp_path, networks):
    clip = make_clip(tmp_path / "clip.mp4")
    source = VideoFrames(clip)
    request = ExtractRequest(frames="3:11", every=4)
    report = extract_faces(source, tmp_path / "a", OPTIONS, networks=networks, request=request)
    assert sorted(faces_of(tmp_path / "a")) == ["00009_0.jpg"]
    assert [record.number for record in report.records] == [5, 9]
    report = extract_faces(source, tmp_path / "a", OPTIONS, networks=networks)
    assert (report.done_before, report.frames) == (2, 10)
    assert read_metadata(tmp_path / "a" / "00012_0.jpg").source_filename == "00012.png"


def test_a_video_that_grew_is_noticed_and_its_same_frames_stay(tmp_path, networks):
    clip = make_clip(tmp_path / "clip.mp4", count=8)
    extract_faces(VideoFrames(clip), tmp_path / "a", OPTIONS, networks=networks)
    make_clip(clip, count=12)
    with pytest.raises(UsageError, match=r"8 frames .* changed.*--resume"):
        extract_faces(VideoFrames(clip), tmp_path / "a", OPTIONS, networks=networks)
    resume = ExtractRequest(resume=True)
    extract_faces(VideoFrames(clip), tmp_path / "a", OPTIONS, networks=networks, request=resume)
    assert len(faces_of(tmp_path / "a")) == 11
    assert read_journal(tmp_path / "a").last_run["source"]["frames"] == 12
    assert extract_faces(VideoFrames(clip), tmp_path / "a", OPTIONS, networks=networks).frames == 0


def test_frames_and_a_video_are_not_mixed_unnoticed(tmp_path, frames, networks):
    extract_faces(FolderFrames(frames), tmp_path / "a", OPTIONS, networks=networks)
    clip = make_clip(tmp_path / "clip.mp4", count=6)
    with pytest.raises(UsageError, match="from a folder of frames, and a video is given now"):
        extract_faces(VideoFrames(clip), tmp_path / "a", OPTIONS, networks=networks)


def test_hdr_is_refused_with_a_command_or_brought_to_sdr(tmp_path, networks):
    def hdr(stream) -> None:
        stream.codec_context.color_trc = 16
        stream.codec_context.color_primaries = 9
        stream.codec_context.colorspace = 9

    clip = make_clip(tmp_path / "clip.mkv", bits=10, setup=hdr)
    with pytest.raises(WorkspaceError, match="dfl-tf video cut"):
        VideoFrames(clip)
    extract(clip, tmp_path / "frames", files=FrameFiles(tone_map=True))
    (frame,) = VideoFrames(clip, tone_map=True).frames({3})
    first = cv2.imread(str(tmp_path / "frames" / "00003.png"))
    np.testing.assert_array_equal(frame.decode().image, first)
