from __future__ import annotations

from pathlib import Path

import cv2
import pytest

from dfl_tf.extract.networks import ExtractNetworks

from .squares import SquareDetector, SquareLandmarker, draw_frame


@pytest.fixture
def networks() -> ExtractNetworks:
    return ExtractNetworks(SquareDetector(), SquareLandmarker())


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    """Six frames: with one face, two faces, none."""
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in range(1, 7):
        squares = [(100 + 3 * number, 60, 80)] if number != 4 else []
        if number in (2, 3):
            squares.append((220, 90, 60))
        cv2.imwrite(str(folder / f"{number:05d}.png"), draw_frame(*squares))
    return folder
