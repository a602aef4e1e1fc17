"""One image to choose settings by: frames, modes and mask modes side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import cv2
import numpy as np

from dfl_tf.disk.text import drawable
from dfl_tf.face import FaceType
from dfl_tf.imaging import to_bgr
from dfl_tf.merge.colors import frame_draws
from dfl_tf.merge.compose import MergeNetworks
from dfl_tf.merge.frame import FrameCrops, merge_frame
from dfl_tf.merge.pixels import Bytes, Stored, read_frame
from dfl_tf.merge.plan import MergeTask

_CAPTION = 16
_GAP = 2
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def contact_sheet(
    tasks: Sequence[MergeTask],
    modes: Sequence[str],
    mask_modes: Sequence[str],
    networks: MergeNetworks,
    face_type: FaceType,
    *,
    cell: int = 160,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Bytes:
    """Merge a few frames in many ways.

    Parameters
    ----------
    tasks : sequence of MergeTask
        Frames with a face; each keeps its own other settings.
    modes, mask_modes : sequence of str
        The columns; every frame is one row a mask mode.
    networks, face_type
        As in `Run`. Every frame is shown to the network once.
    cell : int
        Width of an image in pixels; the surroundings of the face are shown.
    seed : int
        Of the random color transfers.
    progress : callable, optional
        Called with (images done, images to do).

    Returns
    -------
    ndarray, shape (height, width, 3), uint8, BGR
        First column the frame, then one column a mode; a caption over every image.
    """
    rows = []
    total = len(tasks) * len(modes) * len(mask_modes)
    done = 0
    for task in tasks:
        cut = FrameCrops(
            read_frame(task.path), task.faces[:1], task.settings, face_type, networks.size
        )
        predictions = networks.predictions(np.stack(cut.network_inputs))
        view = _view_of(cut)
        for mask_mode in mask_modes:
            row = [_tile(cut.frame.bytes[view], task.path.name, cell)]
            for mode in modes:
                merged = merge_frame(
                    cut,
                    predictions,
                    networks,
                    settings=replace(task.settings, mode=mode, mask_mode=mask_mode),
                    motion=task.motion,
                    draws=frame_draws(seed, task.index),
                )
                shown = merged.image if mode == "raw-predict" else merged.image[view]
                row.append(_tile(to_8_bits(shown), f"{mode} / {mask_mode}", cell))
                done += 1
                if progress is not None:
                    progress(done, total)
            rows.append(_beside(row))
    width = max(row.shape[1] for row in rows)
    padded = [np.pad(r, ((0, _GAP), (0, width - r.shape[1]), (0, 0))) for r in rows]
    return np.concatenate(padded)


def to_8_bits(image: Stored) -> Bytes:
    """Give an image three channels of 8 bits.

    Parameters
    ----------
    image : ndarray, shape (h, w) or (h, w, c), uint8 or uint16
        Gray, BGR or BGRA. 16 bits lose the lower eight.

    Returns
    -------
    ndarray, shape (h, w, 3), uint8, BGR
    """
    shown = to_bgr(image)
    return (shown >> 8 if shown.dtype == np.uint16 else shown).astype(np.uint8)


def _view_of(cut: FrameCrops) -> tuple[slice, slice]:
    """Return the square around the face, twice as large as its landmarks, as far as it is there."""
    points = cut.crops[0].landmarks
    low, high = points.min(axis=0), points.max(axis=0)
    center, half = (low + high) / 2, float((high - low).max())
    left, top = np.clip(center - half, 0, None).astype(int)
    right, bottom = np.ceil(center + half).astype(int)
    height, width = cut.frame.shape
    return slice(top, min(bottom, height)), slice(left, min(right, width))


def _tile(image: Bytes, caption: str, cell: int) -> Bytes:
    caption = drawable(caption)
    height = max(1, round(image.shape[0] * cell / image.shape[1]))
    small = cv2.resize(image, (cell, height), interpolation=cv2.INTER_AREA)
    tile = np.zeros((height + _CAPTION, cell, 3), np.uint8)
    tile[_CAPTION:] = small
    scale = 0.36
    width = cv2.getTextSize(caption, _FONT, scale, 1)[0][0]
    scale = min(scale, scale * (cell - 4) / max(width, 1))
    cv2.putText(tile, caption, (2, 11), _FONT, scale, (255, 255, 255), 1, cv2.LINE_AA)
    return tile


def _beside(tiles: Sequence[Bytes]) -> Bytes:
    height = max(tile.shape[0] for tile in tiles)
    padded = [np.pad(t, ((0, height - t.shape[0]), (0, _GAP), (0, 0))) for t in tiles]
    return np.concatenate(padded, axis=1)
