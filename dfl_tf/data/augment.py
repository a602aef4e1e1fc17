"""Random choices of the sample augmentation, drawn in the legacy order, and how they act."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from dfl_tf.data.spec import SampleSpec

Image = npt.NDArray[np.float32]
Range = Sequence[float]

_MIN_WIDTH = 64
_NOISE_LIMIT = 2.5
_NODE_REACH = 0.24


@dataclass(frozen=True)
class WarpParameters:
    """Everything random about one warp; positions in pixels of a `width` wide square.

    Attributes
    ----------
    width : int
        Side that the parameters are for: the resolution, but at least 64.
    resolution : int
        Side of the images to be warped.
    matrix : ndarray, shape (2, 3), float64
        Rotation, scale and shift.
    flip : bool
        Whether the image is mirrored at the end.
    cell : int
        Distance of the warp's nodes.
    noise_x, noise_y : ndarray, shape (n, n), float32, in [-1, 1]
        Displacements of the interior nodes.
    """

    width: int
    resolution: int
    rotation: float
    scale: float
    shift_x: float
    shift_y: float
    flip: bool
    cell_index: int
    cell: int
    noise_x: Image
    noise_y: Image

    @cached_property
    def matrix(self) -> npt.NDArray[np.float64]:
        """Affine matrix of rotation about the center, scale and shift; shape (2, 3), float64."""
        return np.array(self._rows)

    @cached_property
    def inverse(self) -> Image:
        """The matrix of the way back, shape (2, 3), float32: as OpenCV inverts it."""
        (a, b, x), (c, d, y) = self._rows
        determinant = a * d - b * c
        scale = 1 / determinant if determinant != 0 else 0.0
        a, b, c, d = d * scale, -b * scale, -c * scale, a * scale
        return np.array([[a, b, -a * x - b * y], [c, d, -c * x - d * y]], np.float32)

    @cached_property
    def _rows(self) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
        """`matrix`, the bits of OpenCV's without a call that gives the interpreter's lock away."""
        w, center = self.width, float(self.width // 2)
        angle = self.rotation * (math.pi / 180)
        cosine, sine = math.cos(angle) * self.scale, math.sin(angle) * self.scale
        x = (1 - cosine) * center - sine * center
        y = sine * center + (1 - cosine) * center
        return (cosine, sine, x + self.shift_x * w), (-sine, cosine, y + self.shift_y * w)

    def maps(self) -> tuple[Image, Image]:
        """Return the dense maps of the elastic warp, for `cv2.remap`.

        Returns
        -------
        tuple of two ndarrays, shape (s, s), float32
            Positions along x and y in pixels; s is `width`, and one more if `cell` is odd.

        Notes
        -----
        Kept for compatibility: node positions run from 0 to `width` (one past the last pixel), and
        both axes share one displacement field, transposed (data.md 5).
        """
        # numba loads slowly; a preview without a warp needs none of it.
        from dfl_tf_ops.warp import dense_grid

        return dense_grid(self.nodes(), self.width, self.cell)

    def nodes(self) -> npt.NDArray[np.float64]:
        """Return where the nodes of the elastic warp lie along x; shape (n + 2, n + 2), float64."""
        nodes = _even_nodes(self.width, self.width // self.cell + 1).copy()
        reach = np.float32(_NODE_REACH * self.cell)
        inner = nodes[1:-1, 1:-1]
        inner += self.noise_x * reach
        inner += self.noise_y.T * reach
        return nodes


@lru_cache(16)
def _even_nodes(width: int, count: int) -> npt.NDArray[np.float64]:
    """Nodes without displacements; to be copied."""
    return np.tile(np.linspace(0, width, count), (count, 1))


def draw_warp(
    resolution: int,
    *,
    flip: bool,
    rng: np.random.RandomState,
    warp_rng: np.random.RandomState,
    rotation_range: Range = (-10.0, 10.0),
    scale_range: Range = (-0.05, 0.05),
    tx_range: Range = (-0.05, 0.05),
    ty_range: Range = (-0.05, 0.05),
) -> WarpParameters:
    """Draw the parameters of a warp.

    Parameters
    ----------
    resolution : int
        Side of the images to be warped.
    flip : bool
        Whether mirroring may happen (4 of 10).
    rng : numpy.random.RandomState
        Draws rotation, scale, shift x, shift y (uniform), then, if `flip`, `randint(10)`.
    warp_rng : numpy.random.RandomState
        Draws the cell index `randint(3)`, then the displacements along x and along y (normal,
        redrawn beyond 2.5). May be the same object as `rng`: its draws come second.
    rotation_range, scale_range, tx_range, ty_range : sequence of float
        Degrees, parts of 1, parts of the resolution.

    Returns
    -------
    WarpParameters

    References
    ----------
    data.md 5.
    """
    width = max(resolution, _MIN_WIDTH)
    rotation = rng.uniform(rotation_range[0], rotation_range[1])
    scale = rng.uniform(1 / (1 - scale_range[0]), 1 + scale_range[1])
    shift_x = rng.uniform(tx_range[0], tx_range[1])
    shift_y = rng.uniform(ty_range[0], ty_range[1])
    flipped = flip and rng.randint(10) < 4
    cell_index = int(warp_rng.randint(3))
    cell = width // (2, 4, 8)[cell_index]
    side = width // cell - 1
    noise = truncated_normal(warp_rng, 2 * side * side).reshape(2, side, side)
    return WarpParameters(
        width=width,
        resolution=resolution,
        rotation=rotation,
        scale=scale,
        shift_x=shift_x,
        shift_y=shift_y,
        flip=bool(flipped),
        cell_index=cell_index,
        cell=cell,
        noise_x=noise[0],
        noise_y=noise[1],
    )


def draw_sample_warp(
    spec: SampleSpec, rng: np.random.RandomState, warp_rng: np.random.RandomState
) -> WarpParameters:
    """Draw the warp of one training sample with the ranges of its spec."""
    return draw_warp(
        spec.resolution,
        flip=spec.random_flip,
        rng=rng,
        warp_rng=warp_rng,
        rotation_range=spec.rotation_range,
        scale_range=spec.scale_range,
        tx_range=spec.tx_range,
        ty_range=spec.ty_range,
    )


def truncated_normal(rng: np.random.RandomState, count: int) -> Image:
    """Draw normals within 2.5 and divide by 2.5, consuming draws as one by one.

    Returns
    -------
    ndarray, shape (count,), float32 in [-1, 1]
    """
    accepted = rng.normal(size=count)
    accepted = accepted[np.abs(accepted) <= _NOISE_LIMIT]
    while len(accepted) < count:
        more = rng.normal(size=count - len(accepted))
        accepted = np.concatenate([accepted, more[np.abs(more) <= _NOISE_LIMIT]])
    return (accepted / _NOISE_LIMIT).astype(np.float32)


def apply_warp(
    image: Image,
    parameters: WarpParameters,
    *,
    maps: tuple[Image, Image] | None,
    transform: bool,
    flip: bool,
    replicate: bool,
    interpolation: int,
    clip: bool = False,
) -> Image:
    """Warp an image by drawn parameters.

    Parameters
    ----------
    image : ndarray, shape (r, r, c), float32
        `r` is the resolution of the parameters.
    parameters : WarpParameters
    maps : tuple of two ndarrays, shape (s, s), float32, or None
        `parameters.maps()` for an elastic warp, None for no warp.
    transform, flip : bool
        Whether rotation, scale and shift act; whether a drawn flip does.
    replicate : bool
        Whether the image continues beyond its border in the transform; else 0.
    interpolation : int
        OpenCV flag.
    clip : bool
        Whether the result is limited to [0, 1]; cubic interpolation overshoots.

    Returns
    -------
    ndarray, shape (r, r, c), float32
        Can be the input itself or a view of it.

    Notes
    -----
    Kept for compatibility: the elastic warp fills with 0, and its maps reach one pixel beyond the
    image, so a dark rim at the right and bottom is usual.

    References
    ----------
    data.md 5.
    """
    size, width = parameters.resolution, parameters.width
    flip = flip and parameters.flip
    moved = maps is not None or transform
    matrix = parameters.matrix if transform else None
    if moved and width == size and interpolation == cv2.INTER_CUBIC and image.shape[2] == 3:
        # numba loads slowly; images that do not move need none of it.
        from dfl_tf_ops.cubic_warp import warp

        return warp(
            image,
            maps=maps,
            matrix=matrix,
            size=size,
            replicate=replicate,
            flip=flip,
            clip=clip,
        )
    rescale = width != size and moved
    result = image
    if rescale:
        result = cv2.resize(result, (width, width), interpolation=interpolation)
    if maps is not None:
        result = cv2.remap(result, maps[0], maps[1], interpolation, borderMode=cv2.BORDER_CONSTANT)
    if matrix is not None:
        border = cv2.BORDER_REPLICATE if replicate else cv2.BORDER_CONSTANT
        result = cv2.warpAffine(
            result, matrix, (width, width), flags=interpolation, borderMode=border
        )
    # Cells of odd width give maps of one pixel more (resolutions that are not multiples of 16).
    result = result[:width, :width]
    if rescale:
        result = cv2.resize(result, (size, size), interpolation=interpolation)
    if flip:
        result = cv2.flip(result, 1)
    result = result if result.ndim == 3 else result[:, :, None]
    return np.clip(result, 0, 1) if clip else result


def draw_hsv_shift(rng: np.random.RandomState, amount: float) -> tuple[int, float, float]:
    """Draw hue (degrees), saturation and value shifts: `randint`, `random`, `random`."""
    degrees = max(1, int(360 * amount * 0.5))
    hue = int(rng.randint(-degrees, degrees + 1))
    saturation = (rng.random_sample() - 0.5) * amount
    value = (rng.random_sample() - 0.5) * amount
    return hue, saturation, value
