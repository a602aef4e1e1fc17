import cv2
import numpy as np
import pytest
from face_geometry import mouth_mask

from dfl_tf.face import (
    estimate_pitch_yaw_roll,
    expand_eyebrows,
    eyes_mask,
    eyes_mouth_mask,
    face_masks,
    hull_mask,
    ordered_polygons,
    polygon_mask,
    yaw_bins,
)
from dfl_tf.face.reference_tables import REFERENCE_3D


def face(size: int, center=(0.5, 0.55)) -> np.ndarray:
    return REFERENCE_3D[:, :2].astype(np.float64) * (size / 256) + np.array(center) * size


def plain_soft_mask(size: int, landmarks: np.ndarray, parts: list[range]) -> np.ndarray:
    """The definition of data.md 7.5 on the whole image."""
    points = landmarks.astype(np.int32)
    mask = np.zeros((size, size), dtype=np.float32)
    for part in parts:
        cv2.fillConvexPoly(mask, cv2.convexHull(points[list(part)]), 1)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size // 32, size // 32))
    blur = size // 16
    blur += 1 - blur % 2
    return cv2.GaussianBlur(cv2.dilate(mask, kernel), (blur, blur), 0)[:, :, None]


@pytest.mark.parametrize("size", [64, 96, 255, 256, 512])
@pytest.mark.parametrize("center", [(0.5, 0.55), (0.05, 0.1), (0.97, 0.9), (0.5, -0.02)])
def test_small_windows_give_the_same_soft_masks(size, center):
    landmarks = face(size, center)
    for draw, parts in (
        (eyes_mask, [range(36, 42), range(42, 48)]),
        (mouth_mask, [range(60, 68)]),
    ):
        np.testing.assert_allclose(
            draw((size, size), landmarks), plain_soft_mask(size, landmarks, parts), atol=1e-6
        )


def test_face_outside_of_the_image_gives_empty_masks():
    landmarks = face(128) + 1000
    assert not eyes_mask((128, 128), landmarks).any()
    assert not hull_mask((128, 128), landmarks).any()


def test_tiny_images_have_eye_masks():
    assert eyes_mask((20, 20), face(20)).max() > 0


def test_eyes_and_mouth_are_limited_to_the_face():
    size = 128
    landmarks = face(size)
    whole = np.ones((size, size, 1), dtype=np.float32)
    both = np.clip(eyes_mask((size, size), landmarks) + mouth_mask((size, size), landmarks), 0, 1)
    np.testing.assert_allclose(eyes_mouth_mask((size, size), landmarks, whole), both, atol=1e-7)
    half = whole.copy()
    half[:, : size // 2] = 0
    cut = eyes_mouth_mask((size, size), landmarks, half)
    assert not cut[:, : size // 2].any()
    np.testing.assert_allclose(cut[:, size // 2 :], both[:, size // 2 :], atol=1e-7)


def test_hull_grows_with_the_eyebrows():
    landmarks = face(256)
    areas = [hull_mask((256, 256), landmarks, e).sum() for e in (0, 0.5, 1, 1.5)]
    assert areas == sorted(areas)
    assert areas[0] < areas[-1]
    mask = hull_mask((256, 256), landmarks)
    assert mask.shape == (256, 256, 1)
    assert set(np.unique(mask)) == {0, 1}


def test_only_eyebrows_move():
    landmarks = face(256)
    moved = expand_eyebrows(landmarks)
    same = np.r_[0:17, 27:68]
    np.testing.assert_array_equal(moved[same], landmarks[same].astype(int))
    assert (moved[17:27, 1] < landmarks[17:27, 1].astype(int)).all()


def test_polygons_include_first_then_exclude():
    square = np.array([(2, 2), (12, 2), (12, 12), (2, 12)])
    hole = np.array([(5, 5), (9, 5), (9, 9), (5, 9)])
    mask = polygon_mask((16, 16), [(0, hole), (1, square), (1, np.zeros((0, 2)))])
    assert mask[3, 3, 0] == 1
    assert mask[7, 7, 0] == 0
    assert mask.sum() == 11 * 11 - 5 * 5
    assert [kind for kind, _ in ordered_polygons([(0, hole), (1, square)])] == [1, 0]


def test_pose_of_the_reference_head_turned():
    def yaw_of(degrees: float) -> float:
        angle = np.radians(degrees)
        turn = np.array(
            [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
        )
        points = REFERENCE_3D.astype(np.float64) @ turn.T
        points[:, 2] += 1000
        projected = points[:, :2] / points[:, 2:] * 256 + 128
        return estimate_pitch_yaw_roll(projected, 256)[1]

    left, front, right = (yaw_of(d) for d in (-20, 0, 20))
    assert front == pytest.approx(0, abs=0.01)
    assert abs(left) == pytest.approx(np.radians(20), abs=0.02)
    assert left == pytest.approx(-right, abs=0.01)


def test_yaw_bins_keep_the_ends():
    bins = yaw_bins([5.0, -5.0, 0.0, 0.001])
    assert bins[0] == [0]
    assert bins[127] == [1]
    assert list(bins) == sorted(bins)
    assert sum(len(members) for members in bins.values()) == 4


@pytest.mark.parametrize("far", [1e7, 1e11, 1e30])
def test_points_absurdly_far_away_cut_the_image_and_take_no_time(far):
    """OpenCV counts rows in 32 bits, one by one: such a file held a whole training up."""
    triangle = np.array([(0, 0), (far, 0), (0, far)])
    assert polygon_mask((16, 16), [(1, triangle)]).all()
    landmarks = face(128)
    landmarks[8, 1] = far
    assert hull_mask((128, 128), landmarks)[-1, 60:68].all()
    for direction in (far, -far):
        everywhere = face(128) * direction
        assert hull_mask((128, 128), everywhere).shape == (128, 128, 1)
        assert not eyes_mask((128, 128), everywhere).any()


@pytest.mark.parametrize("size", [64, 200, 256, 333])
def test_masks_in_one_call_are_those_of_the_single_steps(size):
    rng = np.random.RandomState(size)
    pixels = rng.randint(0, 256, (size, size + 3, 3)).astype(np.uint8)
    image = np.empty(pixels.shape, np.float32)
    for spread in (0, 0.1, 3, 1000):
        landmarks = face(size) + rng.normal(0, spread, 2) * size
        full, soft = face_masks(pixels.shape, landmarks, 1.3, pixels=pixels, image=image)
        hull = hull_mask(pixels.shape, landmarks, 1.3)
        np.testing.assert_array_equal(full, hull)
        np.testing.assert_array_equal(soft, eyes_mouth_mask(pixels.shape, landmarks, hull))
        given = rng.randint(0, 2, hull.shape).astype(np.float32)
        same, soft = face_masks(pixels.shape, landmarks, face=given)
        np.testing.assert_array_equal(soft, eyes_mouth_mask(pixels.shape, landmarks, given))
        assert same is given
    np.testing.assert_array_equal(image, pixels / np.float32(255))
