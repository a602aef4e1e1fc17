"""Color transfer: give one image the colors of another (data.md 6.1, 6.2).

`source` is the image to change, `target` the one that supplies the colors. Unless said otherwise
both are (h, w, 3) float32, BGR, nominally in [0, 1]; they are not modified. The random methods take
their directions or rotations as arguments, or draw them from a `RandomState`.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from dfl_tf_ops.bilateral import bilateral_filter
from dfl_tf_ops.color_statistics import apply_affine, match_lab, mean_and_covariance
from dfl_tf_ops.distribution_transfer import transfer
from dfl_tf_ops.reference import color_transfer as reference
from dfl_tf_ops.sliced_transport import MAX_PIXELS, transport

FloatImage = npt.NDArray[np.float32]
Array = npt.NDArray[np.floating]

MODES = ("none", "rct", "lct", "mkl", "idt", "sot")
BY_STATISTICS = ("rct", "lct", "mkl")
"""Modes that need no more of the target than its statistics."""
SOT_STEPS, SOT_BATCH, IDT_STEPS = 10, 5, 20


def color_transfer(
    mode: str,
    source: FloatImage,
    target: FloatImage,
    *,
    rng: np.random.RandomState | None = None,
    directions: Array | None = None,
    rotations: Array | None = None,
) -> FloatImage:
    """Transfer colors by the method that the option `ct_mode` names.

    Parameters
    ----------
    mode : {"none", "rct", "lct", "mkl", "idt", "sot", "mix"}
        "mix" is for the merger only.
    source, target : ndarray, shape (h, w, 3), float32, BGR, nominally in [0, 1]
        The same shape for "sot" and "mix".
    rng : RandomState, optional
        Needed by "idt" (20x4 normals), "sot" and "mix" (10x5x3 normals) without explicit values.
    directions : ndarray, shape (steps, batch, 3), any floating dtype, optional
        For "sot" and "mix".
    rotations : ndarray, shape (steps, 3, 3), any floating dtype, optional
        For "idt".

    Returns
    -------
    ndarray, shape of `source`, float32, clipped to [0, 1]

    Raises
    ------
    ValueError
        If the mode is unknown, shapes or dtypes do not fit, or a random mode has no rng.

    References
    ----------
    data.md 6.1, 6.2.
    """
    if mode == "none":
        return np.clip(source, 0, 1)
    if mode == "rct":
        return color_transfer_rct(source, target)
    if mode == "lct":
        return color_transfer_lct(source, target)
    if mode == "mkl":
        return color_transfer_mkl(source, target)
    if mode == "idt":
        return color_transfer_idt(source, target, rotations=rotations, rng=rng)
    if mode == "sot":
        moved = color_transfer_sot(source, target, directions=directions, rng=rng)
        return np.clip(moved, 0, 1)
    if mode == "mix":
        return color_transfer_mix(source, target, directions=directions, rng=rng)
    raise ValueError(f"Unknown color transfer {mode!r}; known are {', '.join(MODES)}, mix.")


def color_statistics(mode: str, target: FloatImage) -> npt.NDArray[np.float64]:
    """Return what a mode of `BY_STATISTICS` needs to know of an image.

    Parameters
    ----------
    mode : str
    target : ndarray, shape (h, w, 3), float32, BGR

    Returns
    -------
    ndarray, shape (4, 3), float64
        The mean, and the covariance: of CIELAB for "rct", of the sample for "mkl".
    """
    image = _converted(target, cv2.COLOR_BGR2LAB) if mode == "rct" else target
    mean, covariance = mean_and_covariance(image)
    return np.vstack([mean, covariance * _bessel(target) if mode == "mkl" else covariance])


def transfer_statistics(
    mode: str, source: FloatImage, statistics: npt.NDArray[np.float64]
) -> FloatImage:
    """Transfer colors by a mode of `BY_STATISTICS`, towards what is known of an image.

    Parameters
    ----------
    mode : str
    source : ndarray, shape (h, w, 3), float32, BGR
    statistics : ndarray, shape (4, 3), float64
        See `color_statistics`.

    Returns
    -------
    ndarray, shape of `source`, float32 in [0, 1]
    """
    if mode == "lct":
        return _by_lct(source, statistics, "pca")
    # Copies: what a cache keeps may not be written to, for which a kernel is compiled again.
    wanted_mean, wanted = statistics[0].copy(), statistics[1:].copy()
    if mode == "mkl":
        mean, covariance = mean_and_covariance(source)
        matrix = reference.mkl_matrix(covariance * _bessel(source), wanted)
        return apply_affine(source, matrix, mean, wanted_mean)
    lab = _converted(source, cv2.COLOR_BGR2LAB)
    match_lab(lab, wanted_mean, wanted)
    out = _converted(lab, cv2.COLOR_LAB2BGR)
    return np.clip(out, 0, 1, out=out)


def _by_lct(source: FloatImage, statistics: npt.NDArray[np.float64], variant: str) -> FloatImage:
    mean, covariance = mean_and_covariance(source)
    ridge = 1e-5 * np.eye(3)
    matrix = reference.lct_matrix(covariance + ridge, statistics[1:] + ridge, variant)
    return apply_affine(source, matrix, mean, statistics[0])


def _converted(image: FloatImage, code: int) -> FloatImage:
    """Convert colors, (h, w, 3) float32; given its room, OpenCV gives the lock away once."""
    room = np.empty(image.shape, np.float32)
    cv2.cvtColor(image, code, dst=room)
    return room


def color_transfer_rct(
    source: FloatImage,
    target: FloatImage,
    *,
    source_mask: npt.NDArray[np.number] | None = None,
    target_mask: npt.NDArray[np.number] | None = None,
) -> FloatImage:
    """Match mean and deviation of each CIELAB channel: (x - mean_s) std_t / std_s + mean_t.

    Parameters
    ----------
    source, target : ndarray, shape (h, w, 3), float32, BGR
    source_mask, target_mask : ndarray, shape (h, w, 1), any dtype, optional
        Where below 0.5, the pixel counts as Lab (0, 0, 0) in the statistics.

    Returns
    -------
    ndarray, shape of `source`, float32 in [0, 1]

    Notes
    -----
    Kept for compatibility: masked pixels count as black, they are not left out. A channel without
    spread keeps its values around the new mean (the legacy program made NaN of it).

    References
    ----------
    E. Reinhard et al., "Color Transfer between Images", IEEE Computer Graphics and Applications
    21(5), 2001; data.md 6.1 (rct).
    """
    _check(source, target)
    if source_mask is not None or target_mask is not None:
        return np.clip(reference.rct(source, target, source_mask, target_mask), 0, 1)
    return transfer_statistics("rct", source, color_statistics("rct", target))


def color_transfer_lct(
    source: FloatImage, target: FloatImage, *, variant: str = "pca"
) -> FloatImage:
    """Match mean and covariance by Q_t Q_s^-1, Q = symmetric root of the covariance + 1e-5 I.

    Parameters
    ----------
    source, target : ndarray, shape (h, w, c), float32
        c is 3 (BGR) or 1.
    variant : {"pca", "chol", "sym"}
        "chol" takes Cholesky factors, "sym" the symmetric optimal map; the program uses "pca".

    Returns
    -------
    ndarray, shape of `source`, float32 in [0, 1]

    References
    ----------
    A. Hertzmann, "Algorithms for Rendering in Artistic Styles", PhD thesis, New York University,
    2001; data.md 6.1 (lct).
    """
    if source.shape[2] != 3:
        return reference.lct(source, target, variant)
    return _by_lct(source, color_statistics("lct", target), variant)


def color_transfer_mkl(source: FloatImage, target: FloatImage) -> FloatImage:
    """Match mean and covariance by A^-1/2 (A^1/2 B A^1/2)^1/2 A^-1/2, A and B the covariances.

    Returns
    -------
    ndarray, shape of `source`, float32 in [0, 1]

    References
    ----------
    data.md 6.1 (mkl); Pitié and Kokaram, The linear Monge-Kantorovitch colour mapping (2007).
    """
    _check(source, target)
    return transfer_statistics("mkl", source, color_statistics("mkl", target))


def color_transfer_idt(
    source: FloatImage,
    target: FloatImage,
    *,
    rotations: Array | None = None,
    rng: np.random.RandomState | None = None,
) -> FloatImage:
    """Match 256-bin histograms along the axes of one rotation after the other.

    Parameters
    ----------
    source, target : ndarray, shape (h, w, 3), float32, BGR
    rotations : ndarray, shape (steps, 3, 3), any floating dtype, optional
        Proper rotations; the relaxation is 1 / steps.
    rng : RandomState, optional
        Without `rotations`: draws 20 of them by `draw_rotations`.

    Returns
    -------
    ndarray, shape of `source`, float32 in [0, 1]

    Notes
    -----
    Kept for compatibility: values in the first bin of an axis move to 0, not to the lowest color.

    References
    ----------
    data.md 6.1 (idt); Pitié et al., N-dimensional probability density function transfer (2005).
    """
    _check(source, target)
    if rotations is None:
        rotations = draw_rotations(_needed(rng, "rotations"), IDT_STEPS)
    if rotations.ndim != 3 or rotations.shape[1:] != (3, 3):
        raise ValueError(f"rotations must have shape (steps, 3, 3), not {rotations.shape}.")
    moved = transfer(_planes(source), _planes(target), rotations.astype(np.float32))
    return np.clip(_image(moved, source), 0, 1)


def color_transfer_sot(
    source: FloatImage,
    target: FloatImage,
    *,
    directions: Array | None = None,
    rng: np.random.RandomState | None = None,
    steps: int = SOT_STEPS,
    batch_size: int = SOT_BATCH,
    sigma_space: float = 16.0,
    sigma_color: float = 5.0,
) -> FloatImage:
    """Match colors by sliced optimal transport, then smooth the change by a bilateral filter.

    Parameters
    ----------
    source, target : ndarray, shape (h, w, 3), float32, BGR
        Same shape. Any range: `sigma_color` is in its units.
    directions : ndarray, shape (steps, batch_size, 3), any floating dtype, optional
        Not all zero; normalized in float32.
    rng : RandomState, optional
        Without `directions`: draws steps * batch_size directions of 3 normals, in that order.
    steps, batch_size : int
        Transport steps, and directions averaged in each.
    sigma_space, sigma_color : float
        Of the filter; `sigma_space` 0 leaves it out.

    Returns
    -------
    ndarray, shape of `source`, float32, not clipped

    References
    ----------
    J. Rabin et al., "Wasserstein Barycenter and its Application to Texture Mixing", SSVM 2011;
    data.md 6.1 (sot).
    """
    _check(source, target)
    if source.shape != target.shape:
        raise ValueError(f"sot needs images of one shape, got {source.shape} and {target.shape}.")
    if directions is None:
        directions = _needed(rng, "directions").normal(size=(steps, batch_size, 3))
    if directions.ndim != 3 or directions.shape[2] != 3:
        raise ValueError(f"directions must have shape (steps, batch, 3), not {directions.shape}.")
    if source[..., 0].size > MAX_PIXELS:
        return reference.sot(
            source, target, directions, sigma_space=sigma_space, sigma_color=sigma_color
        )
    planes = _planes(source)
    moved = transport(planes, _planes(target), _unit(directions))
    if sigma_space > 0:
        change = (moved - planes).reshape(3, *source.shape[:2])
        moved = planes + bilateral_filter(change, sigma_color, sigma_space).reshape(3, -1)
    return _image(moved, source)


def color_transfer_mix(
    source: FloatImage,
    target: FloatImage,
    *,
    directions: Array | None = None,
    rng: np.random.RandomState | None = None,
) -> FloatImage:
    """Lightness by `lct`, the color axes by `sot`, on 8-bit Lab (merger only).

    Parameters are those of `color_transfer_sot`.

    Returns
    -------
    ndarray, shape of `source`, float32 in [0, 1], multiples of 1/255

    References
    ----------
    data.md 6.2 (mix).
    """
    _check(source, target)
    if directions is None:
        directions = _needed(rng, "directions").normal(size=(SOT_STEPS, SOT_BATCH, 3))
    return reference.mix(source, target, directions, sot=color_transfer_sot)


def hist_match(source: FloatImage, target: FloatImage, threshold: float = 255) -> FloatImage:
    """Match the histogram of each channel (merger only).

    Parameters
    ----------
    source, target : ndarray, shape (h, w, c), float32, 0 ... 255
    threshold : float
        Upper end of the source's quantiles, 0 ... 255.

    Returns
    -------
    ndarray, shape of `source`, float32, values of the range of `target`

    References
    ----------
    data.md 6.2 (hist match).
    """
    return reference.hist_match(source, target, threshold)


def draw_rotations(rng: np.random.RandomState, count: int) -> npt.NDArray[np.float64]:
    """Draw uniformly distributed rotations.

    Parameters
    ----------
    rng : RandomState
        Draws count * 4 normals (a unit quaternion each), in that order.

    Returns
    -------
    ndarray, shape (count, 3, 3), float64
    """
    quaternions = rng.normal(size=(count, 4))
    quaternions /= np.linalg.norm(quaternions, axis=1, keepdims=True)
    w, x, y, z = quaternions.T
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.array(rows).transpose(2, 0, 1)


def _unit(directions: Array) -> npt.NDArray[np.float32]:
    """Normalize in float32; what is normal already keeps its bits."""
    directions = directions.astype(np.float32)
    norm = np.sqrt(np.sum(directions**2, axis=2, keepdims=True))
    norm[np.abs(norm - 1) < 1e-6] = 1
    return directions / norm


def _planes(image: FloatImage) -> FloatImage:
    """Split into (3, n) planes."""
    return np.ascontiguousarray(image.reshape(-1, 3).T)


def _image(planes: FloatImage, like: FloatImage) -> FloatImage:
    return np.ascontiguousarray(planes.T).reshape(like.shape)


def _bessel(image: FloatImage) -> float:
    """Factor from population to sample covariance; a single pixel has none of either."""
    count = image.shape[0] * image.shape[1]
    return count / max(count - 1, 1)


def _needed(rng: np.random.RandomState | None, what: str) -> np.random.RandomState:
    if rng is None:
        raise ValueError(f"Give {what} or an rng to draw them from.")
    return rng


def _check(source: FloatImage, target: FloatImage) -> None:
    for name, image in (("source", source), ("target", target)):
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.float32 or not image.size:
            raise ValueError(
                f"{name} must be a float32 image of shape (h, w, 3), "
                f"got {image.dtype} of shape {image.shape}."
            )
