"""One image to choose settings by: frames, modes and mask modes side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dfl_tf.disk.durable import make_folder_for, write_file
from dfl_tf.errors import UsageError, WorkspaceError
from dfl_tf.face import FaceType
from dfl_tf.imaging import encode_image, sheet, to_bgr
from dfl_tf.merge.colors import frame_draws
from dfl_tf.merge.frame import FrameCrops, merge_frame
from dfl_tf.merge.networks import MergeNetworks
from dfl_tf.merge.pixels import Bytes, Stored, read_frame
from dfl_tf.merge.plan import MergeTask
from dfl_tf.merge.provenance import embed
from dfl_tf.options.merge import MASK_MODES, MODES

_SUFFIXES = (".jpg", ".jpeg", ".png")
_GAP = 2


@dataclass(frozen=True)
class SheetRequest:
    """What a sheet shows.

    Attributes
    ----------
    file : Path
        .jpg or .png.
    modes, masks : tuple of str
        Modes and mask modes.
    count : int
        Frames, spread over those chosen.

    Raises
    ------
    UsageError
        Something of it cannot be.
    """

    file: Path
    modes: tuple[str, ...]
    masks: tuple[str, ...]
    count: int = 3

    def __post_init__(self) -> None:
        if self.file.suffix.lower() not in _SUFFIXES:
            raise UsageError(f"--sheet {self.file}: give a file name with {', '.join(_SUFFIXES)}")
        wrong = [m for m in self.modes if m not in MODES]
        wrong += [m for m in self.masks if m not in MASK_MODES]
        if wrong or not self.modes or not self.masks:
            raise UsageError(
                f"--sheet-modes/--sheet-masks: {', '.join(wrong) or 'nothing given'}; modes are "
                f"{', '.join(MODES)}, mask modes {', '.join(MASK_MODES)}"
            )


def draw_sheet(
    request: SheetRequest,
    tasks: Sequence[MergeTask],
    networks: MergeNetworks,
    face_type: FaceType,
    *,
    seed: int = 0,
    packet: bytes | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write a `contact_sheet` of some of the frames.

    Parameters
    ----------
    request : SheetRequest
    tasks : sequence of MergeTask
    networks, face_type, seed, progress
        See `contact_sheet`.
    packet : bytes, optional
        Says in the file how it was made (`provenance`).

    Raises
    ------
    WorkspaceError
        No frame has a face, or the file cannot be written.
    """
    with_face = [task for task in tasks if task.faces]
    if not with_face:
        raise WorkspaceError("none of the chosen frames has a face")
    count = min(request.count, len(with_face))
    chosen = [with_face[(2 * i + 1) * len(with_face) // (2 * count)] for i in range(count)]
    drawn = contact_sheet(
        chosen, request.modes, request.masks, networks, face_type, seed=seed, progress=progress
    )
    data = encode_image(drawn, request.file.suffix, quality=85)
    make_folder_for(request.file)
    write_file(request.file, data if packet is None else embed(data, packet))


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
    rows, captions = [], []
    total = len(tasks) * len(modes) * len(mask_modes)
    done = 0
    for task in tasks:
        cut = FrameCrops(
            read_frame(task.path), task.faces[:1], task.settings, face_type, networks.size
        )
        predictions = networks.predictions(np.stack(cut.network_inputs))
        view = _view_of(cut)
        for mask_mode in mask_modes:
            row, names = [cut.frame.bytes[view]], [task.path.name]
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
                row.append(to_8_bits(shown))
                names.append(f"{mode} / {mask_mode}")
                done += 1
                if progress is not None:
                    progress(done, total)
            rows.append(row)
            captions.append(names)
    return sheet(rows, captions=captions, cell=cell, gap=_GAP, background=0)


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
