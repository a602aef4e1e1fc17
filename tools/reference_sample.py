"""The sample path written straight from data.md 4 and 5: the yardstick of tests and benchmarks.

Every output decodes the image, draws its masks and its random parameters again and transfers
colors by itself, as the legacy program does. It is no slower than that.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from dfl_tf_ops.reference import color_transfer as reference_colors

from dfl_tf.data import FaceSample, OutputSpec, SampleSpec
from dfl_tf.face import align_matrix, hull_mask

Array = np.ndarray
ColorTransfer = Callable[[Array, Array], Array]


def reference_sample(
    sample: FaceSample,
    spec: SampleSpec,
    seed: int,
    color_source: FaceSample | None = None,
    color_rng: np.random.RandomState | None = None,
) -> dict[str, Array]:
    """All outputs of a spec, each made from nothing; `color_rng` draws again for each output."""
    return {
        name: _output(sample, spec, output, seed, color_source, color_rng)
        for name, output in spec.outputs.items()
    }


def _output(
    sample: FaceSample,
    spec: SampleSpec,
    output: OutputSpec,
    seed: int,
    color_source: FaceSample | None,
    color_rng: np.random.RandomState | None,
) -> Array:
    size = spec.resolution
    rng, warp_rng = np.random.RandomState(seed), np.random.RandomState(seed)
    warp = _draw(spec, rng, warp_rng)
    if output.kind == "mask":
        mask = _to_training_crop(sample, spec, _mask(sample, output.mask), cv2.INTER_LINEAR, False)
        mask = _warp(mask, warp, output, cv2.INTER_LINEAR, False)
        if output.mask == "eyes_mouth" and mask.max() != 0:
            mask = mask / mask.max()
        return mask.reshape(size, size, 1).astype(np.float32)
    image = cv2.imdecode(np.frombuffer(sample.bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
    image = image.astype(np.float32) / 255.0
    image = _to_training_crop(sample, spec, image, cv2.INTER_CUBIC, True)
    if output.color_transfer and color_source is not None and spec.ct_mode != "none":
        other = cv2.imdecode(np.frombuffer(color_source.bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
        other = cv2.resize(other.astype(np.float32) / 255.0, (size, size))
        image = _transfer(spec.ct_mode, image, other, color_rng)
    return np.clip(_warp(image, warp, output, cv2.INTER_CUBIC, True), 0, 1).astype(np.float32)


def _transfer(mode: str, image: Array, other: Array, rng: np.random.RandomState | None) -> Array:
    if mode == "idt":
        from dfl_tf_ops.color_transfer import draw_rotations

        assert rng is not None
        return reference_colors.idt(image, other, draw_rotations(rng, 20))
    if mode == "sot":
        assert rng is not None
        directions = rng.normal(size=(10, 5, 3))
        return np.clip(reference_colors.sot(image, other, directions), 0, 1)
    return getattr(reference_colors, mode)(image, other)


def _draw(
    spec: SampleSpec, rng: np.random.RandomState, warp_rng: np.random.RandomState
) -> tuple[Array, Array, Array, bool]:
    w = spec.resolution
    rotation = rng.uniform(*spec.rotation_range)
    scale = rng.uniform(1 / (1 - spec.scale_range[0]), 1 + spec.scale_range[1])
    tx, ty = rng.uniform(*spec.tx_range), rng.uniform(*spec.ty_range)
    flip = spec.random_flip and rng.randint(10) < 4
    cell = [w // 2, w // 4, w // 8][warp_rng.randint(3)]
    count = w // cell + 1
    grid = np.linspace(0, w, count)
    map_x = np.broadcast_to(grid, (count, count)).copy()
    side = count - 2
    noise_x, noise_y = _normals(warp_rng, side), _normals(warp_rng, side)
    map_x[1:-1, 1:-1] += noise_x * (cell * 0.24)
    map_x.T[1:-1, 1:-1] += noise_y * (cell * 0.24)
    half = cell // 2
    maps = []
    for nodes in (map_x, np.ascontiguousarray(map_x.T)):
        dense = cv2.resize(nodes, (w + cell, w + cell))
        maps.append(dense[half:-half, half:-half].astype(np.float32))
    matrix = cv2.getRotationMatrix2D((w // 2, w // 2), rotation, scale)
    matrix[:, 2] += (tx * w, ty * w)
    return maps[0], maps[1], matrix, bool(flip)


def _normals(rng: np.random.RandomState, side: int) -> Array:
    values: list[float] = []
    while len(values) < side * side:
        draws = rng.normal(size=side * side - len(values))
        values.extend(draws[np.abs(draws) <= 2.5] / 2.5)
    return np.array(values, dtype=np.float32).reshape(side, side)


def _warp(
    image: Array, warp: tuple[Array, Array, Array, bool], output: OutputSpec, flags: int, edge: bool
) -> Array:
    map_x, map_y, matrix, flip = warp
    w = image.shape[0]
    if output.warp:
        image = cv2.remap(image, map_x, map_y, flags)
    if output.transform:
        border = cv2.BORDER_REPLICATE if edge else cv2.BORDER_CONSTANT
        image = cv2.warpAffine(image, matrix, (w, w), flags=flags, borderMode=border)
    return image[:, ::-1] if flip else image


def _to_training_crop(
    sample: FaceSample, spec: SampleSpec, image: Array, flags: int, edge: bool
) -> Array:
    size = spec.resolution
    if sample.face_type != spec.face_type:
        matrix = align_matrix(sample.landmarks, size, spec.face_type)
        border = cv2.BORDER_REPLICATE if edge else cv2.BORDER_CONSTANT
        return cv2.warpAffine(image, matrix, (size, size), flags=flags, borderMode=border)
    if image.shape[0] != size:
        return cv2.resize(image, (size, size), interpolation=flags)
    return image


def _mask(sample: FaceSample, kind: str) -> Array:
    if kind == "full":
        return _full(sample)
    mask = _soft(sample, [range(36, 42), range(42, 48)])
    if kind == "eyes_mouth":
        mask = np.clip(mask + _soft(sample, [range(60, 68)]), 0, 1)
        mask = mask * (_full(sample) != 0)
    return mask


def _full(sample: FaceSample) -> Array:
    height, width = sample.shape[:2]
    mask = sample.xseg_mask()
    if mask is None:
        return hull_mask(sample.shape, sample.landmarks, sample.eyebrows_expand_mod)
    if mask.shape[:2] != (height, width):
        mask = cv2.resize(mask, (width, height), interpolation=cv2.INTER_CUBIC)[:, :, None]
    return np.clip(mask, 0, 1)


def _soft(sample: FaceSample, parts: list[range]) -> Array:
    height, width = sample.shape[:2]
    points = sample.landmarks.astype(np.int32)
    mask = np.zeros((height, width, 1), dtype=np.float32)
    for part in parts:
        cv2.fillConvexPoly(mask, cv2.convexHull(points[list(part)]), 1)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (height // 32, height // 32))
    mask = cv2.dilate(mask, kernel, iterations=1)
    blur = height // 16
    blur += 1 - blur % 2
    return cv2.GaussianBlur(mask, (blur, blur), 0)[:, :, None]
