"""Color transfer by mean and spread, equal to the legacy merger to the last bit.

`dfl_tf_ops.color_transfer` has the same methods, faster and right to 1e-6. That is enough for
training, but not here: the histogram matching that may follow ranks equal colors, so a difference
in the last bit becomes one of 1e-4. These work in the legacy order of float32 and float64.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
from dfl_tf_ops.reference.color_transfer import mkl_matrix, symmetric_root

from dfl_tf.merge.warping import Floats

_FLAT = 1e-6
_REGULAR = 1e-5


def rct(face: Floats, target: Floats, mask: Floats) -> Floats:
    """Match mean and deviation of each CIELAB channel.

    Parameters
    ----------
    face, target : ndarray, shape (h, w, 3), float32 BGR
    mask : ndarray, shape (h, w, 1), float32
        Pixels below 0.5 count as Lab (0, 0, 0) in the statistics (kept for compatibility).

    Returns
    -------
    ndarray, shape (h, w, 3), float32, not clipped

    References
    ----------
    data.md 6.1 (rct).
    """
    lab, wanted = (cv2.cvtColor(image, cv2.COLOR_BGR2LAB) for image in (face, target))
    seen = lab.copy()
    hidden = mask[:, :, 0] < 0.5
    seen[hidden] = 0
    wanted[hidden] = 0
    for c, (low, high) in enumerate(((0, 100), (-127, 127), (-127, 127))):
        spread = seen[..., c].std()
        centered = lab[..., c] - seen[..., c].mean()
        if spread >= _FLAT:
            centered = centered * wanted[..., c].std() / spread
        lab[..., c] = np.clip(centered + wanted[..., c].mean(), low, high)
    return cv2.cvtColor(lab, cv2.COLOR_LAB2BGR)


def lct(face: Floats, target: Floats) -> Floats:
    """Match mean and covariance by symmetric roots of the covariances.

    Returns
    -------
    ndarray, shape (h, w, 3), float32 in [0, 1]

    References
    ----------
    data.md 6.1 (lct).
    """
    face_mean, target_mean = (image.mean(axis=0).mean(axis=0) for image in (face, target))
    centered = (face - face_mean).reshape(-1, 3).T
    root = symmetric_root(_covariance(centered))
    wanted = symmetric_root(_covariance((target - target_mean).reshape(-1, 3).T))
    moved = (wanted @ np.linalg.inv(root)) @ centered
    return np.clip(moved.T.reshape(face.shape) + target_mean, 0, 1).astype(np.float32)


def _covariance(centered: Floats) -> npt.NDArray[np.float64]:
    return centered @ centered.T / centered.shape[1] + _REGULAR * np.eye(3)


def mkl(face: Floats, target: Floats) -> Floats:
    """Match mean and covariance by the Monge-Kantorovitch linear map.

    Returns
    -------
    ndarray, shape (h, w, 3), float32 in [0, 1]

    References
    ----------
    data.md 6.1 (mkl).
    """
    a, b = face.reshape(-1, 3), target.reshape(-1, 3)
    matrix = mkl_matrix(np.cov(a, rowvar=False), np.cov(b, rowvar=False))
    moved = (a - a.mean(axis=0)) @ matrix + b.mean(axis=0)
    return np.clip(moved.reshape(face.shape), 0, 1).astype(np.float32)
