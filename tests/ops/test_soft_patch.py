import cv2
import numpy as np
import pytest
from dfl_tf_ops import soft_patch


@pytest.mark.parametrize(("grow", "blur"), [(4, 7), (8, 17), (16, 33), (21, 43)])
def test_a_grown_and_softened_patch_is_opencvs_to_the_bit(grow, blur):
    if not soft_patch.agrees():  # OpenCV rounds in another way here and makes masks itself
        assert not soft_patch.supports(blur)
        return
    rng = np.random.RandomState(grow)
    for _ in range(20):
        patch = (rng.random_sample(rng.randint(blur, blur + 60, 2)) > 0.98).astype(np.uint8)
        grown = cv2.dilate(patch, soft_patch.ellipse(grow)).astype(np.float32)
        result = np.empty_like(grown)
        soft_patch.soften(patch, soft_patch.spans(grow), soft_patch.gauss(blur), result)
        np.testing.assert_array_equal(result, cv2.GaussianBlur(grown, (blur, blur), 0))


def test_small_gaussians_are_left_to_opencv():
    assert not soft_patch.supports(5)
