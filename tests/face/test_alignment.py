import numpy as np
import pytest
from face_geometry import mirror_landmarks

from dfl_tf.face import (
    FaceType,
    align_matrix,
    average_yaw,
    polygon_area,
    transform_points,
    umeyama,
)
from dfl_tf.face.reference_tables import ALIGN_INDICES, REFERENCE_2D, REFERENCE_3D


@pytest.fixture
def landmarks():
    """A frontal face of 100 px around (200, 150), slightly turned in the plane."""
    angle = np.radians(12)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return REFERENCE_3D[:, :2].astype(np.float64) @ turn.T + (200, 150)


def test_umeyama_recovers_a_known_similarity():
    rng = np.random.RandomState(0)
    points = rng.normal(size=(20, 2))
    rotation = np.array([[0.6, -0.8], [0.8, 0.6]])
    target = 2.5 * points @ rotation.T + (3, -7)
    matrix = umeyama(points, target)
    np.testing.assert_allclose(matrix[:2, :2], 2.5 * rotation, atol=1e-12)
    np.testing.assert_allclose(matrix[:2, 2], (3, -7), atol=1e-12)


def test_umeyama_never_mirrors():
    points = np.random.RandomState(1).normal(size=(10, 2))
    assert np.linalg.det(umeyama(points, points * (-1, 1))[:2, :2]) > 0


def test_umeyama_of_a_single_point_is_nan():
    assert np.isnan(umeyama(np.ones((5, 2)), np.zeros((5, 2)))).all()


def test_umeyama_of_points_on_a_line_keeps_their_distances():
    line = np.stack([np.arange(6.0), 2 * np.arange(6.0)], axis=1)
    matrix = umeyama(line, line + 1)
    np.testing.assert_allclose(line @ matrix[:2, :2].T + matrix[:2, 2], line + 1, atol=1e-9)


@pytest.mark.parametrize("face_type", [t for t in FaceType if t.croppable and t.upright])
def test_upright_crops_show_the_face_unturned(landmarks, face_type):
    matrix = align_matrix(landmarks, 256, face_type)
    left, right = transform_points(landmarks[[36, 45]], matrix)
    assert left[0] < right[0]
    assert abs(left[1] - right[1]) < 6


def test_no_align_crop_is_not_turned(landmarks):
    matrix = align_matrix(landmarks, 256, FaceType.FULL_NO_ALIGN)
    np.testing.assert_allclose([matrix[0, 1], matrix[1, 0]], 0, atol=1e-6)


def test_wider_types_show_the_face_smaller(landmarks):
    order = [FaceType.HALF, FaceType.MID_FULL, FaceType.FULL, FaceType.WHOLE_FACE, FaceType.HEAD]
    scales = [np.linalg.norm(align_matrix(landmarks, 256, t)[0, :2]) for t in order]
    assert scales == sorted(scales, reverse=True)


def test_size_scales_the_matrix(landmarks):
    small = align_matrix(landmarks, 128, FaceType.WHOLE_FACE)
    np.testing.assert_allclose(
        align_matrix(landmarks, 256, FaceType.WHOLE_FACE), 2 * small, atol=1e-9
    )


def test_landmarks_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"\(68, 2\).*received \(51, 2\)"):
        align_matrix(np.zeros((51, 2)), 256, FaceType.FULL)


def test_mark_only_cannot_be_cropped(landmarks):
    with pytest.raises(ValueError, match="mark_only"):
        align_matrix(landmarks, 256, FaceType.MARK_ONLY)


def test_transform_points_inverts_and_keeps_the_dtype(landmarks):
    matrix = align_matrix(landmarks, 256, FaceType.FULL)
    for dtype, accuracy in ((np.float32, 1e-3), (np.float64, 1e-10)):
        points = landmarks.astype(dtype)
        there = transform_points(points, matrix)
        assert there.dtype == dtype
        back = transform_points(there, matrix, invert=True)
        np.testing.assert_allclose(back, points, atol=accuracy)


def test_mirroring_twice_gives_the_landmarks_back(landmarks):
    mirrored = mirror_landmarks(landmarks, 512)
    assert mirrored[36, 0] == 512 - landmarks[45, 0] - 1
    np.testing.assert_allclose(mirror_landmarks(mirrored, 512), landmarks)
    assert average_yaw(mirrored) == pytest.approx(-average_yaw(landmarks))


def test_polygon_area_of_a_triangle():
    assert polygon_area([(0, 0), (4, 0), (0, 3)]) == 6


def test_face_type_names_and_numbers():
    assert FaceType.from_name("Whole_Face") is FaceType.from_name("wf") is FaceType.WHOLE_FACE
    assert FaceType(10).option == "head"
    assert FaceType.HEAD_NO_ALIGN.option == "head_no_align"
    with pytest.raises(ValueError, match="unknown face type 'ff'"):
        FaceType.from_name("ff")


def test_reference_tables_are_float32():
    assert REFERENCE_2D.dtype == REFERENCE_3D.dtype == np.float32
    assert REFERENCE_2D.shape == (33, 2) == (len(ALIGN_INDICES), 2)
