"""The 68 landmarks of iBUG 300-W as points of MediaPipe's face mesh."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_VERTICES = (
    (127, 162),
    (234,),
    (93, 137),
    (132, 215),
    (58, 172),
    (136,),
    (149, 150),
    (148, 176),
    (152,),
    (377, 400),
    (378, 379),
    (365,),
    (288, 397),
    (361, 435),
    (323, 366),
    (454,),
    (356, 389),
    (70,),
    (63, 105),
    (66, 105),
    (66, 107),
    (55, 107),
    (285, 336),
    (296, 336),
    (296, 334),
    (293, 334),
    (300,),
    (168,),
    (197,),
    (195,),
    (4,),
    (75,),
    (20, 97),
    (2,),
    (250, 326),
    (305,),
    (33,),
    (159, 160),
    (158,),
    (133,),
    (153,),
    (144,),
    (362,),
    (385,),
    (386, 387),
    (263,),
    (373,),
    (380,),
    (61,),
    (39, 40),
    (37,),
    (0, 11),
    (267,),
    (269, 270),
    (291,),
    (320, 405),
    (314, 315),
    (16, 17),
    (84, 85),
    (90, 181),
    (78,),
    (38, 82),
    (13,),
    (268, 312),
    (308,),
    (317,),
    (14,),
    (87,),
)
"""Each landmark is the mean of one or two vertices; fitted for this project."""

_PAIRS = np.array([(v[0], v[-1]) for v in _VERTICES])

OUTER_EYE_CORNERS = (33, 263)


def landmarks_of(mesh: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Take the 68 landmarks from a face mesh.

    Parameters
    ----------
    mesh : array_like, shape (n, 2) with n of at least 468
        Points in pixels.

    Returns
    -------
    ndarray, shape (68, 2), float64
    """
    points = np.asarray(mesh, dtype=np.float64)
    return (points[_PAIRS[:, 0]] + points[_PAIRS[:, 1]]) / 2
