"""Color transfer the straight way, in the legacy order of float32 and float64 (data.md 6.1, 6.2).

`source` is the image to change, `target` the one that supplies the colors: both (h, w, 3) float32,
BGR, nominally in [0, 1]. `dfl_tf_ops.color_transfer` documents the parameters; it is faster and
right to 1e-6. That is enough for training, but not for merging, which takes `rct`, `lct` and `mkl`
from here: the histogram matching that may follow ranks equal colors, so a difference in the last
bit becomes one of 1e-4.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

FloatImage = npt.NDArray[np.float32]
Matrix = npt.NDArray[np.float64]

_LAB_RANGES = ((0, 100), (-127, 127), (-127, 127))


def rct(
    source: FloatImage,
    target: FloatImage,
    source_mask: npt.NDArray[np.number] | None = None,
    target_mask: npt.NDArray[np.number] | None = None,
) -> FloatImage:
    """Match mean and deviation of each Lab channel; not clipped, see `color_transfer_rct`."""
    lab = cv2.cvtColor(source, cv2.COLOR_BGR2LAB)
    seen, wanted = lab.copy(), cv2.cvtColor(target, cv2.COLOR_BGR2LAB)
    if source_mask is not None:
        seen[source_mask[..., 0] < 0.5] = 0
    if target_mask is not None:
        wanted[target_mask[..., 0] < 0.5] = 0
    for c, (low, high) in enumerate(_LAB_RANGES):
        deviation = seen[..., c].std()
        centered = lab[..., c] - seen[..., c].mean()
        if deviation >= 1e-6:
            centered = centered * wanted[..., c].std() / deviation
        lab[..., c] = np.clip(centered + wanted[..., c].mean(), low, high)
    return cv2.cvtColor(lab, cv2.COLOR_LAB2BGR)


def lct(source: FloatImage, target: FloatImage, variant: str = "pca") -> FloatImage:
    """Match mean and covariance by a linear map; see `color_transfer_lct`."""
    source_mean, target_mean = source.mean(0).mean(0), target.mean(0).mean(0)
    centered = _columns(source - source_mean)
    wanted = _regularized_covariance(_columns(target - target_mean))
    moved = lct_matrix(_regularized_covariance(centered), wanted, variant) @ centered
    return np.clip(moved.T.reshape(source.shape) + target_mean, 0, 1).astype(np.float32)


def lct_matrix(source_cov: Matrix, target_cov: Matrix, variant: str) -> Matrix:
    """Linear map between two covariances.

    Parameters
    ----------
    source_cov, target_cov : ndarray, shape (c, c), float64
        Positive definite.
    variant : {"pca", "chol", "sym"}

    Returns
    -------
    ndarray, shape (c, c), float64
    """
    if variant == "chol":
        inverse: Matrix = np.linalg.inv(np.linalg.cholesky(source_cov))
        return np.linalg.cholesky(target_cov) @ inverse
    if variant == "pca":
        return symmetric_root(target_cov) @ np.linalg.inv(symmetric_root(source_cov))
    if variant == "sym":
        return mkl_matrix(source_cov, target_cov)
    raise ValueError(f"Unknown lct variant {variant!r}; known are pca, chol, sym.")


def _columns(image: FloatImage) -> FloatImage:
    """One column a pixel: shape (c, n)."""
    return image.reshape(-1, image.shape[-1]).T


def _regularized_covariance(centered: FloatImage) -> Matrix:
    return centered @ centered.T / centered.shape[1] + 1e-5 * np.eye(len(centered))


def symmetric_root(matrix: Matrix) -> Matrix:
    """Square root of a symmetric positive matrix; eigenvalues are clipped below at 2.22e-16.

    Parameters
    ----------
    matrix : ndarray, shape (k, k), float64

    Returns
    -------
    ndarray, shape (k, k), float64
    """
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(np.maximum(values, np.finfo(np.float64).eps))) @ vectors.T


def mkl_matrix(a: Matrix, b: Matrix) -> Matrix:
    """A^-1/2 (A^1/2 B A^1/2)^1/2 A^-1/2 of two covariances; all of shape (3, 3), float64."""
    root = symmetric_root(a)
    inverse = np.linalg.inv(root)
    return inverse @ symmetric_root(root @ b @ root) @ inverse


def mkl(source: FloatImage, target: FloatImage) -> FloatImage:
    """Match mean and covariance by the Monge-Kantorovitch linear map; see `color_transfer_mkl`."""
    a, b = source.reshape(-1, 3), target.reshape(-1, 3)
    matrix = mkl_matrix(np.cov(a, rowvar=False), np.cov(b, rowvar=False))
    moved = (a - a.mean(axis=0)) @ matrix + b.mean(axis=0)
    return np.clip(moved.reshape(source.shape), 0, 1).astype(np.float32)


def idt(
    source: FloatImage, target: FloatImage, rotations: npt.NDArray[np.floating], bins: int = 256
) -> FloatImage:
    """Match histograms along the axes of one rotation after the other; see `color_transfer_idt`.

    Parameters
    ----------
    source, target : ndarray, shape (h, w, 3), float32, BGR
    rotations : ndarray, shape (steps, 3, 3), any floating dtype
        Used as float32.
    bins : int
        Of the histograms.

    Returns
    -------
    ndarray, shape of `source`, float32 in [0, 1]
    """
    d0: FloatImage = source.reshape(-1, 3).T
    d1: FloatImage = target.reshape(-1, 3).T
    relaxation = 1 / len(rotations)
    for rotation in rotations.astype(np.float32):
        a, b = rotation @ d0, rotation @ d1
        moved = np.empty_like(a)
        for j in range(3):
            span = (min(a[j].min(), b[j].min()), max(a[j].max(), b[j].max()))
            count_a, edges = np.histogram(a[j], bins=bins, range=span)
            count_b, _ = np.histogram(b[j], bins=bins, range=span)
            share_a = count_a.cumsum().astype(np.float32)
            share_b = count_b.cumsum().astype(np.float32)
            share_a /= share_a[-1]
            share_b /= share_b[-1]
            f = np.interp(share_a, share_b, edges[1:])
            moved[j] = np.interp(a[j], edges[1:], f, left=0, right=bins)
        change = np.linalg.solve(rotation, moved - a).astype(np.float32, copy=False)
        d0 = np.float32(relaxation) * change + d0
    return np.clip(d0.T.reshape(source.shape), 0, 1).astype(np.float32)


def sot(
    source: FloatImage,
    target: FloatImage,
    directions: npt.NDArray[np.floating],
    *,
    sigma_space: float = 16.0,
    sigma_color: float = 5.0,
) -> FloatImage:
    """Sliced optimal transport, then the change smoothed by a bilateral filter. Not clipped.

    Parameters
    ----------
    source, target : ndarray, shape (h, w, 3), float32, BGR
        Same shape; any range.
    directions : ndarray, shape (steps, batch, 3), any floating dtype
        Not all zero; normalized in float32.
    sigma_space, sigma_color : float
        Of the filter, in pixels and in units of the colors; `sigma_space` 0 leaves it out.

    Returns
    -------
    ndarray, shape of `source`, float32
    """
    new: FloatImage = source.reshape(-1, 3).copy()
    wanted = target.reshape(-1, 3)
    for batch in directions:
        advection = np.zeros_like(new)
        for direction in batch:
            direction = direction.astype(np.float32)
            direction /= np.sqrt(np.sum(direction**2))
            from_source = np.sum(new * direction, axis=-1)
            from_target = np.sum(wanted * direction, axis=-1)
            order_source, order_target = np.argsort(from_source), np.argsort(from_target)
            step = from_target[order_target] - from_source[order_source]
            for c in range(3):
                advection[order_source, c] += step * direction[c]
        new += advection / len(batch)
    new = new.reshape(source.shape)
    if sigma_space > 0:
        new = source + cv2.bilateralFilter(new - source, 0, sigma_color, sigma_space)
    return new


def hist_match(source: FloatImage, target: FloatImage, threshold: float = 255) -> FloatImage:
    """Match the histogram of each channel; see `dfl_tf_ops.color_transfer.hist_match`."""
    out = np.empty_like(source)
    for c in range(source.shape[-1]):
        _, place, counts = np.unique(source[..., c], return_inverse=True, return_counts=True)
        values, target_counts = np.unique(target[..., c], return_counts=True)
        quantiles = threshold * counts.cumsum() / counts.sum()
        target_quantiles = 255 * target_counts.cumsum() / target_counts.sum()
        mapped = np.interp(quantiles, target_quantiles, values)
        out[..., c] = mapped[place.reshape(-1)].reshape(source.shape[:2])
    return out


def mix(
    source: FloatImage,
    target: FloatImage,
    directions: npt.NDArray[np.floating],
    *,
    sot: Callable[..., FloatImage] = sot,
) -> FloatImage:
    """Lightness by `lct`, the two color axes by `sot`, on 8-bit Lab; see `color_transfer_mix`.

    `directions`, shape (steps, batch, 3) and any floating dtype, and `sot` say how colors move.
    """
    source_8bit, target_8bit = to_uint8(source * 255), to_uint8(target * 255)
    source_lab = cv2.cvtColor(source_8bit, cv2.COLOR_BGR2LAB)
    target_lab = cv2.cvtColor(target_8bit, cv2.COLOR_BGR2LAB)
    lightness = lct(source_lab[..., :1] / np.float32(255), target_lab[..., :1] / np.float32(255))
    source_lab[..., 0] = target_lab[..., 0] = 100
    moved = sot(
        cv2.cvtColor(source_lab, cv2.COLOR_LAB2BGR).astype(np.float32),
        cv2.cvtColor(target_lab, cv2.COLOR_LAB2BGR).astype(np.float32),
        directions=directions,
    )
    lab = cv2.cvtColor(to_uint8(moved), cv2.COLOR_BGR2LAB)
    lab[..., 0] = to_uint8(lightness * 255)[..., 0]
    return cv2.cvtColor(lab, cv2.COLOR_LAB2BGR).astype(np.float32) / 255


def to_uint8(image: FloatImage) -> npt.NDArray[np.uint8]:
    """Clip an array of any shape to 0 ... 255 and truncate it to uint8; values are not scaled."""
    return np.clip(image, 0, 255).astype(np.uint8)
