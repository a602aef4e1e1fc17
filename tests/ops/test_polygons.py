import cv2
import numpy as np
from dfl_tf_ops.polygons import fill_hull


def test_filled_hulls_are_opencvs_to_the_pixel():
    rng = np.random.RandomState(3)
    for number in range(1000):
        height, width = rng.randint(8, 120, 2)
        spread = 1 << 18 if number % 100 == 0 else rng.choice([2, 10, 60, 300])
        points = rng.normal(rng.randint(-20, 130, 2), spread, (rng.randint(1, 17), 2))
        points = np.clip(points, -(1 << 20), 1 << 20).astype(np.int32)
        wanted, drawn = np.zeros((2, height, width), np.uint8)
        cv2.fillConvexPoly(wanted, cv2.convexHull(points), 1)
        fill_hull(points.astype(np.int64), drawn)
        assert np.array_equal(drawn, wanted), (number, points.tolist())
