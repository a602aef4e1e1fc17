"""Merging whatever is in the folders: depth and channels kept, bad items left out alone."""

from __future__ import annotations

import os

import cv2
import numpy as np
import pytest

from dfl_tf.cli import merge as merge_cli
from dfl_tf.cli.main import run
from dfl_tf.face import FaceType
from dfl_tf.merge.networks import MergeNetworks
from dfl_tf.merge.opening import MergeModel
from dfl_tf.merge.pixels import FramePixels
from dfl_tf.merge.run import merge_frames

from .conftest import add_face, segment, swap
from .test_run import run_of, tasks_of


def deepened(path, alpha=False):
    """Rewrite a frame with 16 bits that no 8-bit image has, and an alpha channel if wanted."""
    image = cv2.imread(str(path)).astype(np.uint16) * 257
    image += np.arange(image.shape[1], dtype=np.uint16)[None, :, None] % 100
    if alpha:
        image = np.dstack(
            (image, np.arange(image.shape[0])[:, None] + np.zeros_like(image[..., 0]))
        )
    cv2.imwrite(str(path), image.astype(np.uint16))
    return image.astype(np.uint16)


def read(workspace, folder, name="00001.png"):
    return cv2.imread(str(workspace / folder / name), cv2.IMREAD_UNCHANGED)


@pytest.mark.parametrize("mode", ["overlay", "hist-match", "seamless"])
def test_16_bits_and_alpha_reach_the_merged_frame_and_its_mask(workspace, mode):
    plain = tasks_of(workspace, mode=mode)
    merge_frames(plain, run_of(workspace, "eight"))
    deep = deepened(workspace / "data_dst" / "00001.png", alpha=True)
    faceless = deepened(workspace / "data_dst" / "00004.png")
    report = merge_frames(tasks_of(workspace, mode=mode), run_of(workspace))
    assert (report.deep, report.alpha) == (2, 1)
    image, mask = read(workspace, "merged"), read(workspace, "merged_mask")
    assert image.dtype == mask.dtype == np.uint16
    assert np.array_equal(image[..., 3], deep[..., 3])
    outside = mask == 0
    assert outside.any()
    assert not outside.all()
    assert np.array_equal(image[outside][:, :3], deep[outside][:, :3])
    near = read(workspace, "eight").astype(int)
    assert np.abs(image[..., :3] / 257.0 - near).mean() < 1.5
    assert np.abs(mask / 257.0 - read(workspace, "eight_mask")).mean() < 1.5
    assert np.array_equal(read(workspace, "merged", "00004.png"), faceless)
    kinds = list(report.left_out.by_kind())
    if mode == "seamless":
        assert kinds == ["16 bits of the face, which seamless cloning computes in 8 bits"]
    else:
        assert kinds == []
        face = image[mask > 60000][:, :3]
        assert (face % 257 != 0).mean() > 0.9  # no 8-bit values in disguise


def test_8_bit_frames_with_alpha_have_the_pixels_of_those_without(workspace):
    merge_frames(tasks_of(workspace), run_of(workspace, "plain"))
    path = workspace / "data_dst" / "00001.png"
    image = cv2.imread(str(path))
    alpha = np.full(image.shape[:2], 77, np.uint8)
    cv2.imwrite(str(path), np.dstack((image, alpha)))
    merge_frames(tasks_of(workspace), run_of(workspace))
    merged = read(workspace, "merged")
    assert np.array_equal(merged[..., :3], read(workspace, "plain"))
    assert (merged[..., 3] == 77).all()


def test_raw_predict_says_that_alpha_is_not_in_the_result(workspace):
    deepened(workspace / "data_dst" / "00002.png", alpha=True)
    report = merge_frames(tasks_of(workspace, mode="raw-predict"), run_of(workspace))
    assert [(o.kind, o.name) for o in report.left_out] == [
        ("alpha of the frame, since raw-predict writes the face alone", "00002.png")
    ]
    assert read(workspace, "merged", "00002.png").dtype == np.uint16


def test_every_16_bit_value_survives_the_way_to_float_and_back():
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    frame = FramePixels(np.dstack([values] * 3))
    from dfl_tf.merge.warping import whole_frame

    assert np.array_equal(frame.quantized(frame.floats(whole_frame(frame.shape)))[..., 0], values)


@pytest.mark.parametrize(
    "points",
    [
        np.zeros((68, 2)),
        np.arange(136, dtype=np.float64).reshape(68, 2),
        np.full((68, 2), 1e300) * np.linspace(0.5, 1, 136).reshape(68, 2),
    ],
    ids=["one place", "one line", "far away"],
)
@pytest.mark.parametrize("options", [{"motion_blur_power": 50}, {"mode": "seamless"}])
def test_a_face_with_unusable_landmarks_alone_is_left_out(workspace, points, options, caplog):
    before = [len(task.faces) for task in tasks_of(workspace)]
    add_face(workspace / "data_dst" / "aligned" / "00002_9.jpg", "00002.png", points)
    tasks = tasks_of(workspace, **options)
    assert [len(task.faces) for task in tasks] == before
    assert merge_frames(tasks, run_of(workspace)).merged == 5
    assert "00002_9.jpg: unusable source_landmarks" in caplog.text


@pytest.fixture
def fake_model(monkeypatch):
    def opened(*_, **__):
        networks = MergeNetworks(swap, 32, segment)
        return MergeModel("new", "SAEHD", 5, FaceType.WHOLE_FACE, networks, "weights")

    monkeypatch.setattr(merge_cli, "open_model", opened)


@pytest.mark.usefixtures("fake_model")
def test_faces_without_their_frame_are_said_and_all_of_them_are_an_error(workspace, capsys):
    folder = workspace / "data_dst"
    (folder / "00006.png").unlink()
    assert run(["merge", str(workspace)]) == 0
    said = capsys.readouterr()
    assert (
        "faces that name frames which are not there: 2 left out "
        "(for example 00006_0.jpg: its frame is 00006)" in said.err
    )
    assert "4 frames merged" in said.out
    for path in folder.glob("0*.png"):
        path.rename(folder / f"x{path.name}")
    assert run(["merge", str(workspace), "--overwrite"]) == 1
    said = capsys.readouterr()
    assert "nothing to merge" in said.err
    assert "6 left out (for example 00001_0.jpg: its frame is 00001)" in said.err
    assert len(list((folder / "merged").iterdir())) == 5  # nothing was touched


@pytest.mark.usefixtures("fake_model")
def test_a_frame_that_cannot_be_read_does_not_stop_the_others(workspace, capsys):
    folder = workspace / "data_dst"
    (folder / "00002.png").write_bytes(b"broken")
    os.mkfifo(folder / "00003b.png")
    (folder / "00004b.png").symlink_to(folder / "nothing.png")
    (folder / "._00001.png").write_bytes(b"companion")
    assert run(["merge", str(workspace)]) == 1
    said = capsys.readouterr().err
    assert "00002.png: merging this frame failed" in said
    assert [p.name for p in sorted((folder / "merged").iterdir())] == [
        f"{i:05d}.png" for i in (1, 3, 4, 5, 6)
    ]
