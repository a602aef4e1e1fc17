"""Masks drawn from landmarks: the face hull, the eyes, the mouth."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.float32]
IntPoints = npt.NDArray[np.int64]

# Sets of landmarks whose filled convex hulls make up the face (data.md 7.4).
_HULL_PARTS: tuple[tuple[int, ...], ...] = (
    (*range(9), 17),
    (*range(8, 17), 26),
    (17, 18, 19, 8),
    (24, 25, 26, 8),
    (*range(19, 25), 8),
    (*range(17, 22), 27, *range(31, 36), 8),
    (*range(22, 27), 27, *range(31, 36), 8),
    tuple(range(27, 36)),
)
_EYES = (range(36, 42), range(42, 48))
_INNER_LIPS = (range(60, 68),)

# OpenCV walks through every row between a point and the image: damaged files must not stop it.
FARTHEST = 1 << 20


def expand_eyebrows(landmarks: npt.ArrayLike, amount: float = 1.0) -> IntPoints:
    """Move the eyebrows away from the eyes, so that the hull reaches up the forehead.

    Parameters
    ----------
    landmarks : array_like, shape (68, 2)
        Pixels; truncated toward zero first.
    amount : float
        `eyebrows_expand_mod` of the face file; 1 moves by half of the distance to the eye.

    Returns
    -------
    ndarray, shape (68, 2), int64

    References
    ----------
    data.md 7.4.
    """
    p = _whole_pixels(landmarks)
    middle_left, middle_right = (p[36] + p[0]) // 2, (p[16] + p[45]) // 2
    quarter_left, quarter_right = (p[36] + middle_left) // 2, (p[45] + middle_right) // 2
    base_left = np.array([quarter_left, p[36], p[37], p[38], p[39]])
    base_right = np.array([p[42], p[43], p[44], p[45], quarter_right])
    left, right = p[17:22].copy(), p[22:27].copy()
    p[17:22] = _whole_pixels(left + amount * 0.5 * (left - base_left))
    p[22:27] = _whole_pixels(right + amount * 0.5 * (right - base_right))
    return p


def hull_mask(
    shape: Sequence[int], landmarks: npt.ArrayLike, eyebrows_expand_mod: float = 1.0
) -> Mask:
    """Draw the face as the union of convex hulls of landmark groups.

    Parameters
    ----------
    shape : sequence of int
        (height, width, …) of the image.
    landmarks : array_like, shape (68, 2)
        Pixels; may lie outside of the image.
    eyebrows_expand_mod : float
        See `expand_eyebrows`.

    Returns
    -------
    ndarray, shape (height, width, 1), float32, 0 or 1

    References
    ----------
    data.md 7.4.
    """
    points = expand_eyebrows(landmarks, eyebrows_expand_mod).astype(np.int32)
    mask = np.zeros((shape[0], shape[1]), dtype=np.uint8)
    for part in _HULL_PARTS:
        cv2.fillConvexPoly(mask, cv2.convexHull(points[list(part)]), 1)
    return mask.astype(np.float32)[:, :, None]


def eyes_mask(shape: Sequence[int], landmarks: npt.ArrayLike) -> Mask:
    """Draw both eyes, grown and softened; shape (height, width, 1), float32 (data.md 7.5)."""
    return _pasted(shape, [_soft_hulls(shape, landmarks, _EYES)])


def eyes_mouth_mask(shape: Sequence[int], landmarks: npt.ArrayLike, face: Mask) -> Mask:
    """Draw eyes and mouth where `face` is not 0; shape (height, width, 1), float32, [0, 1].

    References
    ----------
    data.md 4.2, step 1.
    """
    patches = [_soft_hulls(shape, landmarks, parts) for parts in (_EYES, _INNER_LIPS)]
    mask = _pasted(shape, patches)
    for rows, columns, _ in patches:
        part = mask[rows, columns]
        np.minimum(part, 1, out=part)
        part[face[rows, columns] == 0] = 0
    return mask


def face_masks(
    shape: Sequence[int],
    landmarks: npt.ArrayLike,
    eyebrows_expand_mod: float = 1.0,
    *,
    face: Mask | None = None,
    eyes_mouth: bool = True,
    pixels: npt.NDArray[np.uint8] | None = None,
    image: npt.NDArray[np.float32] | None = None,
    rooms: tuple[Mask, Mask] | None = None,
) -> tuple[Mask, Mask | None]:
    """Draw `hull_mask` and `eyes_mouth_mask` in one call that gives the interpreter's lock away.

    Parameters
    ----------
    shape, landmarks, eyebrows_expand_mod
        As for `hull_mask`.
    face : ndarray, shape (height, width, 1), float32, optional
        Taken instead of the hull.
    eyes_mouth : bool
        Whether the mask of eyes and mouth is wanted.
    pixels : ndarray, shape (height, width, 3), uint8, optional
        C-contiguous.
    image : ndarray, shape (height, width, 3), float32, optional
        Becomes `pixels` / 255 in the same call; C-contiguous.
    rooms : tuple of two ndarrays, shape (height, width, 1), float32, optional
        What is drawn is drawn here.

    Returns
    -------
    tuple of ndarray, shape (height, width, 1), float32
        The face, eyes and mouth; None if the second one is not wanted.
    """
    from dfl_tf_ops.face_masks import draw_face  # loads numba

    height, width = shape[0], shape[1]
    if rooms is None:
        rooms = np.empty((height, width, 1), np.float32), np.empty((height, width, 1), np.float32)
    full = rooms[0] if face is None else np.ascontiguousarray(face)
    soft = rooms[1] if eyes_mouth else None
    grow, blur = _softness(height)
    done = draw_face(
        np.asarray(landmarks, np.float64),
        eyebrows_expand_mod,
        *_parts(),
        full=full[:, :, 0],
        eyes_mouth=None if soft is None else soft[:, :, 0],
        drawn=face is not None,
        grow=grow,
        blur=blur,
        pixels=pixels,
        image=image,
    )
    if soft is not None and not done:
        soft = eyes_mouth_mask(shape, landmarks, full)
    return full, soft


@lru_cache(1)
def _parts() -> tuple[IntPoints, tuple[int, int]]:
    from dfl_tf_ops.face_masks import parts

    hull, eyes = len(_HULL_PARTS), len(_EYES)
    return parts([*_HULL_PARTS, *_EYES, *_INNER_LIPS]), (hull, hull + eyes)


def _softness(height: int) -> tuple[int, int]:
    """Pixels that eyes and mouth grow by, and of the Gaussian."""
    blur = height // 16
    return max(1, height // 32), max(1, blur + 1 - blur % 2)  # legacy leaves h < 32 undefined


def _whole_pixels(landmarks: npt.ArrayLike) -> IntPoints:
    return np.clip(landmarks, -FARTHEST, FARTHEST).astype(np.int64)


# Where a patch belongs in the image (rows, columns), and the patch.
_Patch = tuple[slice, slice, Mask]


def _pasted(shape: Sequence[int], patches: Sequence[_Patch]) -> Mask:
    mask = np.zeros((shape[0], shape[1], 1), dtype=np.float32)
    for rows, columns, patch in patches:
        mask[rows, columns, 0] += patch
    return mask


def _soft_hulls(shape: Sequence[int], landmarks: npt.ArrayLike, parts: Sequence[range]) -> _Patch:
    """Fill hulls, dilate by an ellipse of h/32, blur by a Gaussian of h/16.

    Only the neighborhood of the drawn part is filtered: everything farther away than the reach of
    both kernels is zero, and a patch edge that is not an image edge has only zeros to mirror.
    """
    height, width = shape[0], shape[1]
    points = _whole_pixels(landmarks).astype(np.int32)
    grow, blur = _softness(height)
    drawn = np.concatenate([points[list(part)] for part in parts])
    reach = grow // 2 + blur // 2 + 2
    left, top = np.maximum(drawn.min(axis=0) - reach, 0)
    right, bottom = np.minimum(drawn.max(axis=0) + reach + 1, (width, height))
    if left >= right or top >= bottom:
        return slice(0, 0), slice(0, 0), np.zeros((0, 0), dtype=np.float32)
    patch = np.zeros((bottom - top, right - left), dtype=np.uint8)
    for part in parts:
        cv2.fillConvexPoly(patch, cv2.convexHull(points[list(part)] - (left, top)), 1)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (grow, grow))
    grown = cv2.dilate(patch, kernel, iterations=1).astype(np.float32)
    return slice(top, bottom), slice(left, right), cv2.GaussianBlur(grown, (blur, blur), 0)
