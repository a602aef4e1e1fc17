"""Denoising frames: less noise, sharp edges, originals kept and brought back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dfl_tf_ops.denoise import TemporalDenoiser

from dfl_tf.errors import UsageError, WorkspaceError
from dfl_tf.imaging import read_image_unchanged, write_image
from dfl_tf.video.denoise import denoise, take_back


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    """Six noisy frames of a still image with an edge, and what else lies in such a folder."""
    rng = np.random.default_rng(0)
    still = np.full((32, 48, 3), 60.0)
    still[:, 24:] = 200
    folder = tmp_path / "data_dst"
    (folder / "aligned").mkdir(parents=True)
    for number in range(1, 7):
        noisy = np.clip(still + rng.normal(0, 3, still.shape), 0, 255)
        write_image(folder / f"{number}.png", noisy.astype(np.uint8))
    return folder


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.png")}


def test_noise_falls_and_edges_stay(frames: Path) -> None:
    before = read_image_unchanged(frames / "6.png").astype(float)
    assert denoise(frames, 7, progress=None)[0] == 6
    after = read_image_unchanged(frames / "6.png").astype(float)
    for half in (np.s_[8:, 4:22], np.s_[8:, 28:]):
        assert after[half].std(axis=(0, 1)).mean() < 0.6 * before[half].std(axis=(0, 1)).mean()
        assert abs(after[half].mean() - before[half].mean()) < 1.5
    step = after[8:, 25].mean() - after[8:, 22].mean()
    assert step > 120


def test_a_value_follows_the_one_before_by_the_written_share() -> None:
    frame = np.array([[[100.0], [107.0]]], np.float32)
    work = TemporalDenoiser(7, 5)
    first = work(frame)
    assert first[0, 0, 0] == 100
    assert first[0, 1, 0] == pytest.approx(107 - 7 / 4, abs=1e-3)  # strength: a quarter of it
    second = work(np.array([[[105.0], [105.0]]], np.float32))
    assert second[0, 0, 0] == pytest.approx(105 - 5 / 4, abs=1e-3)


def test_the_originals_are_kept_and_come_back(frames: Path) -> None:
    before = content(frames)
    _, originals, left_out = denoise(frames, progress=None)
    assert originals == frames.with_name("data_dst_originals")
    assert content(originals) == before
    assert content(frames).keys() == before.keys()
    assert not left_out.lines()
    assert sorted(path.name for path in frames.parent.iterdir()) == [
        "data_dst", "data_dst_originals"
    ]  # fmt: skip
    with pytest.raises(WorkspaceError, match="denoised before"):
        denoise(frames, progress=None)
    take_back(frames)
    assert content(frames) == before


def test_a_new_folder_leaves_the_frames_alone_and_16_bits_and_alpha_stay(frames: Path) -> None:
    deep = np.full((8, 8, 4), 40000, np.uint16)
    deep[..., 3] = 12345
    write_image(frames / "7.png", deep)
    before = content(frames)
    denoise(frames, output=frames.with_name("clean"), progress=None)
    assert content(frames) == before
    found = read_image_unchanged(frames.with_name("clean") / "7.png")
    assert found.dtype == np.uint16
    assert (found[..., 3] == 12345).all()
    assert np.abs(found[..., :3].astype(int) - 40000).max() <= 1
    with pytest.raises(UsageError, match="not empty"):
        denoise(frames, output=frames.with_name("clean"), progress=None)


def test_a_frame_that_cannot_be_read_changes_nothing(frames: Path) -> None:
    (frames / "3.png").write_bytes(b"no image")
    before = content(frames)
    with pytest.raises(WorkspaceError, match=r"3\.png"):
        denoise(frames, progress=None)
    assert content(frames) == before
    assert [path.name for path in frames.parent.iterdir()] == ["data_dst"]
