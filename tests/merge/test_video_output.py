"""`merge --video`: frames straight into a video, parts, what a killed run leaves, the sound."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from dfl_tf.cli import merge as merge_cli
from dfl_tf.cli.main import run
from dfl_tf.errors import WorkspaceError
from dfl_tf.face import FaceType
from dfl_tf.merge import video_output
from dfl_tf.merge.networks import MergeNetworks
from dfl_tf.merge.opening import MergeModel

from .conftest import segment, swap

av = pytest.importorskip("av")
from dfl_tf.video.color import to_bgr  # noqa: E402
from dfl_tf.video.frames import shown_frames  # noqa: E402
from dfl_tf.video.info import read_info  # noqa: E402
from tests.video import clips  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]


def opened(*_, **__):
    return MergeModel(
        "new", "SAEHD", 5, FaceType.WHOLE_FACE, MergeNetworks(swap, 32, segment), "weights"
    )


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(merge_cli, "open_model", opened)
    monkeypatch.setattr(video_output, "PART", 2)


def merge(workspace, *args):
    return run(["merge", str(workspace), "--workers", "2", *args])


def video_of(workspace, name="result.mp4"):
    return workspace / name


def frames_of(path):
    return [to_bgr(frame) for frame in shown_frames(path)]


def images_of(workspace, folder):
    paths = sorted((workspace / "data_dst" / folder).iterdir())
    return [cv2.imread(str(path)) for path in paths]


def test_video_holds_the_pixels_of_the_images_and_no_image_is_made(workspace, capsys):
    target = video_of(workspace)
    assert merge(workspace, "--video", str(target), "--lossless", "--fps", "24", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["merged"], report["output"]) == (5, None)
    assert report["video"] == {
        "path": str(target), "masks": str(workspace / "result_mask.mp4"), "frames": 6,
        "rate": "24", "audio": False,
    }  # fmt: skip
    assert not (workspace / "data_dst" / "merged").exists()
    assert not (workspace / "result.mp4.parts").exists()
    assert merge(workspace) == 0
    for path, folder in ((target, "merged"), (workspace / "result_mask.mp4", "merged_mask")):
        assert read_info(path).rate == 24
        for made, image in zip(frames_of(path), images_of(workspace, folder), strict=True):
            assert np.array_equal(made, image)
    with av.open(str(target)) as container:
        assert "new (SAEHD)" in container.metadata["comment"]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov", ".avi", ".ts"])
def test_times_and_sound_of_the_reference_are_taken(workspace, suffix):
    clips.make(workspace / "data_dst.mp4", frames=6)
    target = video_of(workspace, f"result{suffix}")
    assert merge(workspace, "--video", str(target)) == 0
    made, reference = read_info(target), read_info(workspace / "data_dst.mp4")
    assert (made.frames, made.rate) == (6, reference.rate)
    assert made.audio
    for frame, image in zip(frames_of(target), images_of_video(workspace), strict=True):
        assert np.abs(frame.astype(int) - image).mean() < 6


def images_of_video(workspace):
    assert merge(workspace, "--overwrite") == 0
    return images_of(workspace, "merged")


def test_uneven_times_and_chosen_frames(workspace):
    uneven = [Fraction(n, 50) for n in (0, 1, 5, 6, 20, 21)]
    clips.make(workspace / "data_dst.mp4", frames=6, times=uneven, sound=None)
    target = video_of(workspace)
    assert merge(workspace, "--video", str(target), "--frames", "2:6") == 0
    times = read_info(target).times
    assert [round(float(time), 3) for time in times] == [0, 0.08, 0.1, 0.38, 0.4]
    assert merge(workspace, "--video", str(target), "--overwrite", "--no-audio") == 0
    assert [float(t) for t in read_info(target).times] == pytest.approx([float(t) for t in uneven])


def test_bitrate_and_silence(workspace):
    clips.make(workspace / "data_dst.mp4", frames=6)
    rich, poor = video_of(workspace), video_of(workspace, "poor.mp4")
    assert merge(workspace, "--video", str(rich)) == 0
    assert merge(workspace, "--video", str(poor), "--bitrate", "0.2", "--no-audio") == 0
    assert poor.stat().st_size < rich.stat().st_size / 2
    assert read_info(rich).audio
    assert not read_info(poor).audio


CHILD = """
import sys, time
from pathlib import Path
from tests.merge import test_video_output as test
from dfl_tf.cli import merge as merge_cli
from dfl_tf.cli.main import run
from dfl_tf.merge import video_output

workspace = Path(sys.argv[1])
journal = workspace / "result.mp4.parts" / "journal"

def slow(images):
    time.sleep(0.4)
    while journal.exists() and journal.read_text() and not (workspace / "told").exists():
        time.sleep(0.02)  # it cannot end before it is stopped, however late that is
    return test.swap(images)

def opened(*_, **__):
    return test.MergeModel("new", "SAEHD", 5, test.FaceType.WHOLE_FACE,
                           test.MergeNetworks(slow, 32), "weights")

merge_cli.open_model = opened
video_output.PART = 2
run(["merge", *sys.argv[1:], "--workers", "1", "--batch", "1"])
"""


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT])
def test_a_stopped_run_goes_on_behind_its_last_part(workspace, sent, capsys):
    target = video_of(workspace)
    words = [str(workspace), "--video", str(target), "--lossless", "--fps", "24"]
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, *words],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "ops")])},
        stderr=subprocess.DEVNULL,
    )
    journal = workspace / "result.mp4.parts" / "journal"
    lines = 1 if sent == signal.SIGKILL else 0  # an interrupted run ends its part
    while not (journal.exists() and journal.read_text().count("\n") >= lines):
        assert child.poll() is None, "the run ended before it could be stopped"
        time.sleep(0.02)
    child.send_signal(sent)
    (workspace / "told").touch()
    child.wait()
    assert not target.exists()
    done = sum(json.loads(line)["count"] for line in journal.read_text().splitlines())
    assert merge(workspace, *words[1:], "--batch", "1") == 2
    assert "use --resume to continue" in capsys.readouterr().err
    assert merge(workspace, *words[1:], "--batch", "1", "--resume") == 0
    assert f"{done} were finished" in capsys.readouterr().out
    resumed = frames_of(target)
    assert merge(workspace, *words[1:], "--batch", "1", "--resume") == 0
    assert "6 were finished" in capsys.readouterr().out
    assert merge(workspace, *words[1:], "--batch", "1", "--overwrite") == 0
    assert all(np.array_equal(*pair) for pair in zip(resumed, frames_of(target), strict=True))


def test_parts_of_other_settings_are_made_again(workspace, monkeypatch, capsys):
    target = video_of(workspace)

    def broken(*_):
        raise WorkspaceError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(video_output, "join", broken)
        assert merge(workspace, "--video", str(target), "--fps", "24") == 1
    assert merge(workspace, "--video", str(target), "--fps", "24", "--resume", "--erode=9") == 0
    assert "5 frames merged, 1 without a face, 0 were finished" in capsys.readouterr().out
    assert merge(workspace, "--video", str(target), "--fps", "24", "--resume") == 2
    assert "made of other things" in capsys.readouterr().err
    assert merge(workspace, "--video", str(target), "--fps", "24") == 2
    assert "is there already: --overwrite replaces it" in capsys.readouterr().err


def test_a_frame_that_cannot_be_read_shows_the_one_before(workspace, capsys):
    (workspace / "data_dst" / "00005.png").write_bytes(b"broken")
    target = video_of(workspace)
    words = ["--video", str(target), "--lossless"]
    assert merge(workspace, *words) == 1
    assert "00005.png: merging this frame failed" in capsys.readouterr().err
    assert merge(workspace, *words, "--resume", "--keep-going") == 1
    said = capsys.readouterr()
    assert "failed: 00005.png" in said.err
    made = frames_of(target)
    assert np.array_equal(made[4], made[3])
    assert not np.array_equal(made[5], made[4])


def test_frames_of_another_size_are_named(workspace, capsys):
    path = workspace / "data_dst" / "00004.png"
    cv2.imwrite(str(path), np.zeros((50, 70, 3), np.uint8))
    assert merge(workspace, "--video", str(video_of(workspace))) == 1
    assert "00004.png: is 70x50, the first frame is" in capsys.readouterr().err


def test_what_a_video_cannot_hold_is_said(workspace, capsys):
    path = workspace / "data_dst" / "00001.png"
    image = cv2.imread(str(path)).astype(np.uint16) * 257
    cv2.imwrite(str(path), np.dstack((image, image[..., 0])))
    assert merge(workspace, "--video", str(video_of(workspace))) == 0
    assert "alpha of the frame, which JPEG images and videos do not have" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--lossless", "--bitrate", "3"], "--lossless, --bitrate: only with --video FILE"),
        (["--video", "x.mp4", "--format", "tif"], "--video writes none"),
        (["--video", "x.mp4", "--fps", "fast"], "is not a frame rate"),
    ],
)
def test_options_that_do_not_go_together(workspace, words, message, capsys):
    assert merge(workspace, *words) == 2
    assert message in capsys.readouterr().err


def test_a_name_that_is_no_video_is_refused_before_anything_is_merged(workspace, capsys):
    assert merge(workspace, "--video", str(workspace / "result.txt")) == 1
    assert "result.txt: cannot be written as a video" in capsys.readouterr().err
    assert not (workspace / "result.txt.parts").exists()
