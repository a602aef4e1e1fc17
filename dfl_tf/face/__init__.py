"""Geometry of one face: types, alignment, masks, pose. No files."""

from dfl_tf.face.alignment import (
    align_matrix,
    average_yaw,
    polygon_area,
    transform_points,
    umeyama,
)
from dfl_tf.face.face_type import FaceType
from dfl_tf.face.landmarks import landmarks_error
from dfl_tf.face.masks import (
    expand_eyebrows,
    eyes_mask,
    eyes_mouth_mask,
    face_masks,
    hull_mask,
)
from dfl_tf.face.polygons import ordered_polygons, polygon_mask
from dfl_tf.face.pose import estimate_pitch_yaw_roll, yaw_bins

__all__ = [
    "FaceType",
    "align_matrix",
    "average_yaw",
    "estimate_pitch_yaw_roll",
    "expand_eyebrows",
    "eyes_mask",
    "eyes_mouth_mask",
    "face_masks",
    "hull_mask",
    "landmarks_error",
    "ordered_polygons",
    "polygon_area",
    "polygon_mask",
    "transform_points",
    "umeyama",
    "yaw_bins",
]
