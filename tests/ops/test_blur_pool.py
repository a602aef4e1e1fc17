"""The blur that halves images, held against matrices."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from dfl_tf_ops.blur_pool import ROWS, blur_pool
from dfl_tf_ops.reference import blur_pool as reference

TOLERANCE = {"float64": 1e-14, "float32": 1e-6, "bfloat16": 2e-2}


@pytest.mark.parametrize("size", list(ROWS))
@pytest.mark.parametrize(("height", "width"), [(8, 8), (9, 7), (1, 2), (3, 40)])
@pytest.mark.parametrize("dtype", list(TOLERANCE))
def test_result_and_gradient_are_those_of_the_matrices(backend, size, height, width, dtype):
    rng = np.random.default_rng(size)
    x = tf.cast(rng.normal(size=(2, height, width, 5)), dtype)
    with tf.GradientTape() as tape:
        tape.watch(x)
        half = blur_pool(x, size)
    upstream = tf.cast(rng.normal(size=half.shape), dtype)
    gradient = tape.gradient(half, x, upstream)
    wide = [tf.cast(t, tf.float64).numpy() for t in (x, upstream)]
    expected = reference.blur_pool(wide[0], ROWS[size], wide[1])
    for a, b in zip((half, gradient), expected, strict=True):
        assert a.shape == b.shape
        assert a.dtype == dtype
        np.testing.assert_allclose(tf.cast(a, tf.float64), b, rtol=0, atol=TOLERANCE[dtype])


@pytest.mark.native
def test_gradients_of_another_image_are_refused():
    from dfl_tf_ops import native

    with pytest.raises(tf.errors.InvalidArgumentError, match="half an image"):
        native.library().dfl_tf_blur_pool_grad(
            upstream=tf.zeros((1, 4, 4, 2)), size=3, height=9, width=8
        )
    with pytest.raises(tf.errors.InvalidArgumentError, match="size must be"):
        native.library().dfl_tf_blur_pool(x=tf.zeros((1, 4, 4, 2)), size=5)
