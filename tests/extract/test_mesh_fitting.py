"""Where the mesh is looked for next, at which orientation it is right, and when it is no face."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from dfl_tf.errors import ModelFileError
from dfl_tf.extract.mesh.fitting import FrameViews, MeshFitter, MeshRegion
from dfl_tf.extract.mesh.table import OUTER_EYE_CORNERS


def upright_mesh(side: float = 100.0) -> np.ndarray:
    """468 points that fill a square around (128, 128), the outer eye corners level."""
    points = np.random.default_rng(0).uniform(-side / 2, side / 2, (468, 2))
    points[:4] = [
        (-side / 2, -side / 2),
        (side / 2, -side / 2),
        (side / 2, side / 2),
        (0, side / 2),
    ]
    left, right = OUTER_EYE_CORNERS
    points[left], points[right] = (-side / 3, -side / 6), (side / 3, -side / 6)
    return points + 128


class HalfBrightGraph:
    """A face is a disk whose upper half is bright; its mesh fills two thirds of the crop."""

    side = 256

    def __init__(self, right: float = 20.0, wrong: float = 12.0) -> None:
        self.right, self.wrong, self.runs = right, wrong, 0

    def run(self, image: np.ndarray) -> list[np.ndarray]:
        self.runs += 1
        upper, lower = image[64:128, 64:192].mean(), image[128:192, 64:192].mean()
        logit = self.right if upper > lower + 0.3 else self.wrong
        points = np.zeros((468, 3), np.float32)
        points[:, :2] = upright_mesh(256 / 1.5)
        return [points.reshape(1, 1, 1, -1), np.full((1, 1, 1, 1), logit, np.float32)]


def frame(turn: float = 0.0) -> np.ndarray:
    """A disk at (150, 120) of radius 60 in 300x240 pixels, turned clockwise by degrees."""
    image = np.zeros((240, 300, 3), np.uint8)
    cv2.ellipse(image, (150, 120), (60, 60), turn, 180, 360, (255, 255, 255), -1)
    return image


REGION = MeshRegion(np.array((150.0, 120.0)), 120.0, 0.0)


@pytest.mark.parametrize("angle", [0.0, 0.3, -2.0, math.pi / 2])
def test_the_next_region_is_turned_as_the_mesh_and_has_its_margin(angle):
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    mesh = (upright_mesh() - 128) @ turn.T + (40, 70)
    region = MeshRegion.of_mesh(mesh)
    assert region.angle == pytest.approx(angle)
    assert region.side == pytest.approx(150, abs=1)
    np.testing.assert_allclose(region.center, (40, 70), atol=1)


def test_a_crop_shows_the_region_upright_and_the_matrix_leads_there():
    region = MeshRegion(np.array((150.0, 120.0)), 128.0, math.pi / 2)
    image, matrix = FrameViews(frame(90)).crop(region, 64)
    assert image[:30, 20:44].mean() > 200
    assert image[34:, 20:44].mean() < 50
    np.testing.assert_allclose(matrix @ (150, 120, 1), (32, 32), atol=1e-9)


def test_large_regions_are_cut_from_smaller_copies_at_the_same_place():
    image = np.zeros((1200, 1600, 3), np.uint8)
    image[400:800, 600:1000] = 255
    crop, _ = FrameViews(image).crop(MeshRegion(np.array((800.0, 600.0)), 800.0, 0.0), 64)
    bright = np.argwhere(crop[:, :, 0] > 127)
    np.testing.assert_allclose(bright.min(axis=0), (16, 16), atol=1)
    np.testing.assert_allclose(bright.max(axis=0), (47, 47), atol=1)


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_the_right_way_round_is_found_by_the_logit(turn):
    fitter = MeshFitter(HalfBrightGraph())
    mesh = fitter.fit(FrameViews(frame(turn)), REGION)
    assert mesh.logit == 20
    dx, dy = mesh.points[OUTER_EYE_CORNERS[1]] - mesh.points[OUTER_EYE_CORNERS[0]]
    assert math.degrees(math.atan2(dy, dx)) % 360 == pytest.approx(turn, abs=1)


def test_a_sure_face_is_not_turned_and_a_doubtful_one_is():
    sure, doubtful = HalfBrightGraph(right=20), HalfBrightGraph(right=16)
    for graph in (sure, doubtful):
        MeshFitter(graph).fit(FrameViews(frame()), REGION)
    assert (sure.runs, doubtful.runs) == (2, 8)


def test_what_no_orientation_accepts_is_no_face():
    views = FrameViews(frame())
    assert MeshFitter(HalfBrightGraph(right=9.9, wrong=5)).fit(views, REGION) is None
    assert MeshFitter(HalfBrightGraph(right=10, wrong=5)).fit(views, REGION).logit == 10


def test_a_region_without_pixels_is_no_face():
    graph = HalfBrightGraph()
    for region in (MeshRegion(np.array((np.nan, 0)), 50, 0), MeshRegion(np.zeros(2), 0.5, 0)):
        assert MeshFitter(graph).fit(FrameViews(frame()), region) is None
    assert graph.runs == 0


def test_a_network_without_a_mesh_is_an_error():
    class Other:
        side = 256

        def run(self, image: np.ndarray) -> list[np.ndarray]:
            return [np.zeros((1, 10), np.float32)]

    with pytest.raises(ModelFileError, match="no mesh of 468 points"):
        MeshFitter(Other()).run(FrameViews(frame()), REGION)
