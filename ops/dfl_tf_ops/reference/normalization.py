"""Plain NumPy twin of `dfl_tf_ops.normalization`."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating]


def frn_tlu(
    x: Array, weight: Array, bias: Array, eps: Array, tau: Array, upstream: Array
) -> tuple[Array, ...]:
    """Return the result of `normalization.frn_tlu`, and its gradients, in float64.

    Parameters
    ----------
    x, upstream : ndarray, shape (n, h, w, c), any floating dtype
        The images, and the gradient towards the result.
    weight, bias, tau : ndarray, shape (c,), any floating dtype
    eps : ndarray, shape (1,), any floating dtype

    Returns
    -------
    tuple of ndarray, float64, shapes of `x`, `x`, (c,), (c,), (1,) and (c,)
        The result; the gradients towards `x`, `weight`, `bias`, `eps` and `tau`.
    """
    x, weight, bias, eps, tau, upstream = (
        np.asarray(a, np.float64) for a in (x, weight, bias, eps, tau, upstream)
    )
    pixels = x.shape[1] * x.shape[2]
    scale = 1 / np.sqrt(np.square(x).mean(axis=(1, 2), keepdims=True) + np.abs(eps))
    linear = x * scale * weight + bias
    passed = np.where(linear >= tau, upstream, 0.0)
    along = (passed * x).sum(axis=(1, 2), keepdims=True)
    power = -0.5 * weight * along * scale**3
    towards_x = passed * weight * scale + x * 2 * power / pixels
    every = (0, 1, 2)
    return (
        np.maximum(linear, tau),
        towards_x,
        (scale * along).sum(axis=every),
        passed.sum(axis=every),
        np.sign(eps) * power.sum(),
        (upstream - passed).sum(axis=every),
    )
