import cv2
import numpy as np
import pytest
from dfl_tf_ops import linear_warp, sample_warp

NONE = np.empty((0, 0), np.float32)


@pytest.mark.parametrize("side", [64, 80, 144])
@pytest.mark.parametrize("parts", ["maps", "matrix", "both"])
def test_a_warped_mask_is_opencvs_to_the_bit(side, parts):
    if not linear_warp.agrees():  # OpenCV rounds in another way here and warps masks itself
        assert not sample_warp.supports(side, masks=True)
        return
    rng = np.random.RandomState(side)
    mask = rng.random_sample((side, side)).astype(np.float32)
    map_x, map_y = (rng.random_sample((2, side, side)) * (side + 12) - 6).astype(np.float32)
    matrix = cv2.getRotationMatrix2D((side // 2, side // 2), 8.5, 1.07)
    wanted = mask
    if parts != "matrix":
        wanted = cv2.remap(wanted, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    if parts != "maps":
        wanted = cv2.warpAffine(wanted, matrix, (side, side), flags=cv2.INTER_LINEAR)
    inverse = cv2.invertAffineTransform(matrix).astype(np.float32)
    rooms = linear_warp.room(side)
    for flip in (False, True, False):
        result = np.empty(side * side, np.float32)
        maps = (NONE, NONE) if parts == "matrix" else (map_x, map_y)
        back = NONE if parts == "maps" else inverse
        linear_warp.warp_mask(mask, *maps, back, rooms, result, flip)
        image = result.reshape(side, side)
        np.testing.assert_array_equal(image[:, ::-1] if flip else image, wanted)
