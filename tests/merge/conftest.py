"""Frames with known landmarks, and networks that need no TensorFlow."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from dfl_tf.face import FaceType
from dfl_tf.formats.faces.dfljpg import write_metadata
from dfl_tf.formats.faces.face_metadata import FaceMetadata
from dfl_tf.merge.colors import frame_draws
from dfl_tf.merge.frame import FrameCrops, merge_frame
from dfl_tf.merge.networks import MergeNetworks
from dfl_tf.merge.pixels import read_frame
from dfl_tf.options import MergeOptions, default

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "merge"


def swap(images: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A network that mirrors colors and gives round masks; depends on its input only."""
    n, size = images.shape[:2]
    y, x = np.mgrid[:size, :size] / (size - 1) - 0.5
    round_mask = np.clip(1.6 - 4 * np.hypot(x, y), 0, 1).astype(np.float32)
    faces = np.clip(0.9 - 0.7 * images[..., ::-1], 0, 1)
    return faces, np.stack([round_mask] * n), np.stack([round_mask**2] * n)[..., None]


def segment(image: np.ndarray) -> np.ndarray:
    """An XSeg that sees bright pixels."""
    return (image.mean(axis=2) > 0.3).astype(np.float32)


def enhance(image: np.ndarray) -> np.ndarray:
    return cv2.resize(image, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)


@pytest.fixture
def networks() -> MergeNetworks:
    return MergeNetworks(swap, 32, segment, enhance)


@pytest.fixture(scope="session")
def landmarks() -> dict[str, np.ndarray]:
    with np.load(GOLDEN / "inputs.npz") as inputs:
        return {name: inputs[f"landmarks_{name}"] for name in "AB"}


@pytest.fixture
def frames():
    return {name: read_frame(GOLDEN / f"frame_{name}.png") for name in "AB"}


@pytest.fixture
def merged(networks):
    """Merge faces of a frame with some options, whole face."""

    def merge(frame, faces, nets=networks, motion=None, seed=0, **options):
        settings = default(MergeOptions, **options)
        cut = FrameCrops(frame, faces, settings, FaceType.WHOLE_FACE, nets.size)
        inputs = cut.network_inputs
        predictions = nets.predictions(np.stack(inputs)) if inputs else []
        more = {} if motion is None else {"motion": motion}
        return merge_frame(cut, predictions, nets, draws=frame_draws(seed, 0), **more)

    return merge


@pytest.fixture
def workspace(tmp_path, landmarks):
    """Six small frames; the fourth has no face, the sixth two."""
    return make_workspace(tmp_path / "workspace", landmarks)


def make_workspace(root: Path, landmarks: dict[str, np.ndarray]) -> Path:
    folder = root / "data_dst"
    (folder / "aligned").mkdir(parents=True)
    (root / "model").mkdir()
    image = cv2.imread(str(GOLDEN / "frame_A.png"))
    half = cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    for i in range(6):
        moved = np.roll(half, (i, 2 * i), axis=(0, 1))
        cv2.imwrite(str(folder / f"{i + 1:05d}.png"), moved)
        for k in range((1, 1, 1, 0, 1, 2)[i]):
            points = landmarks["A"] / 2 + (2 * i - 20 * k, i)
            add_face(folder / "aligned" / f"{i + 1:05d}_{k}.jpg", f"{i + 1:05d}.png", points)
    return root


def add_face(path: Path, frame: str, points: np.ndarray | None) -> None:
    cv2.imwrite(str(path), np.zeros((16, 16, 3), np.uint8))
    metadata = FaceMetadata(
        face_type="whole_face",
        landmarks=np.zeros((68, 2)),
        source_filename=frame,
        source_landmarks=points,
        shape=(16, 16, 3),
    )
    write_metadata(path, metadata)
