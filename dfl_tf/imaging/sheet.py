"""Grids of images with captions, to look at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar, cast

import cv2
import numpy as np
import numpy.typing as npt

from dfl_tf.disk.text import drawable
from dfl_tf.imaging.files import to_bgr, to_uint8

_Scalar = TypeVar("_Scalar", bound=np.generic)

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_CAPTION_HEIGHT = 18
_SCALE, _SMALLEST = 0.45, 0.25


def sheet(
    rows: Sequence[Sequence[npt.NDArray[np.uint8] | npt.NDArray[np.floating] | None]],
    *,
    captions: Sequence[Sequence[str]] | None = None,
    cell: int | None = None,
    gap: int = 4,
    background: int = 32,
) -> npt.NDArray[np.uint8]:
    """Lay images out in rows.

    Parameters
    ----------
    rows : sequence of sequences of ndarray or None
        Images (h, w), (h, w, 1), (h, w, 3) or (h, w, 4): uint8, or float in [0, 1] (clipped,
        truncated). None leaves a place empty. Rows may differ in length.
    captions : sequence of sequences of str, optional
        Written above the images, made smaller and cut to fit their width.
    cell : int, optional
        Width that every image is scaled to; by default the width of the widest one.
    gap : int
        Pixels between images and around them.
    background : int
        Gray level, 0 … 255.

    Returns
    -------
    ndarray, shape (h, w, 3), uint8, BGR
    """
    images = [[None if p is None else _displayed(p) for p in row] for row in rows]
    present = [p for row in images for p in row if p is not None]
    if not present:
        raise ValueError("a sheet needs at least one image")
    width = cell or max(p.shape[1] for p in present)
    images = [[None if p is None else _scaled(p, width) for p in row] for row in images]
    header = _CAPTION_HEIGHT if captions is not None else 0
    heights = [max((p.shape[0] for p in row if p is not None), default=0) for row in images]
    columns = max(len(row) for row in images)
    total = sum(heights) + len(images) * (header + gap) + gap
    canvas = np.full((total, columns * (width + gap) + gap, 3), background, dtype=np.uint8)
    top = gap
    for number, row in enumerate(images):
        for place, image in enumerate(row):
            left = gap + place * (width + gap)
            if captions is not None and place < len(captions[number]):
                _write(canvas[top : top + header, left : left + width], captions[number][place])
            if image is not None:
                bottom = top + header + image.shape[0]
                canvas[top + header : bottom, left : left + width] = image
        top += header + heights[number] + gap
    return canvas


def tiled(rows: Sequence[Sequence[npt.NDArray[_Scalar]]]) -> npt.NDArray[_Scalar]:
    """Put images edge to edge.

    Parameters
    ----------
    rows : sequence of sequences of ndarray, shape (h, w, c), any dtype
        The images of a row are equally high, the rows equally wide.

    Returns
    -------
    ndarray, shape (h, w, c), dtype of the images
        As high as all rows, as wide as one.
    """
    return np.concatenate([np.concatenate(row, axis=1) for row in rows])


def side_by_side(columns: Sequence[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
    """Put batches of images side by side, one row for each sample.

    Parameters
    ----------
    columns : sequence of k ndarrays, shape (n, h, w, 3) or (n, h, w, 1), float32

    Returns
    -------
    ndarray, shape (n * h, k * w, 3), float32
    """
    wide = [np.broadcast_to(column, (*column.shape[:3], 3)) for column in columns]
    return np.asarray(tiled(list(zip(*wide, strict=True))), np.float32)


def _displayed(image: npt.NDArray[np.uint8] | npt.NDArray[np.floating]) -> npt.NDArray[np.uint8]:
    if image.dtype == np.uint8:
        return to_bgr(image.astype(np.uint8, copy=False))
    if not np.issubdtype(image.dtype, np.floating):
        raise ValueError(f"an image of a sheet is uint8 or float; received {image.dtype}")
    return to_bgr(to_uint8(cast("npt.NDArray[np.floating]", image)))


def _scaled(image: npt.NDArray[np.uint8], width: int) -> npt.NDArray[np.uint8]:
    if image.shape[1] == width:
        return image
    height = max(1, round(image.shape[0] * width / image.shape[1]))
    shrinks = width < image.shape[1]
    kind = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, (width, height), interpolation=kind), dtype=np.uint8)


def _write(strip: npt.NDArray[np.uint8], text: str) -> None:
    """Write a caption into a strip of the canvas, smaller and then shorter until it fits."""
    plain, room = drawable(text), strip.shape[1]
    width = cv2.getTextSize(plain, _FONT, _SCALE, 1)[0][0]
    scale = max(_SMALLEST, _SCALE * min(1.0, room / max(width, 1)))
    while plain and cv2.getTextSize(plain, _FONT, scale, 1)[0][0] > room:
        plain = plain[:-1]
    cv2.putText(strip, plain, (0, 13), _FONT, scale, (230, 230, 230), 1, cv2.LINE_AA)
