from __future__ import annotations

import cv2
import numpy as np
import pytest
from dfl_tf_ops.canny import canny
from skimage.feature import canny as reference


def _images() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    images = [np.full((70, 40), 9, np.uint8), np.zeros((2, 2), np.uint8)]
    for sigma in (0.0, 0.7, 1.5, 4.0):
        for shape in ((64, 64), (97, 31), (5, 80)):
            image = rng.integers(0, 256, shape).astype(np.uint8)
            images.append(cv2.GaussianBlur(image, (0, 0), sigma) if sigma else image)
    half = images[2].copy()
    half[:, 30:] = 0  # as a masked face: black up to a border
    return [*images, half, half // 100]


@pytest.mark.parametrize("number", range(len(_images())))
def test_edges_are_those_of_scikit_image(number: int) -> None:
    image = _images()[number]
    np.testing.assert_array_equal(canny(image), reference(image.astype(np.float64)))


def test_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"Received: \(64, 64, 3\)"):
        canny(np.zeros((64, 64, 3), np.uint8))
