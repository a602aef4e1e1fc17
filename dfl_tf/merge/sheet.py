"""One image to choose settings by: frames, merged in many ways, side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from dfl_tf.disk.durable import make_folder_for, write_file
from dfl_tf.errors import UsageError, WorkspaceError
from dfl_tf.face import FaceType
from dfl_tf.imaging import encode_image, sheet, to_bgr
from dfl_tf.merge.colors import frame_draws
from dfl_tf.merge.frame import FrameCrops, merge_frame
from dfl_tf.merge.networks import MergeNetworks, Prediction
from dfl_tf.merge.pixels import Bytes, Stored, read_frame
from dfl_tf.merge.plan import MergeTask
from dfl_tf.merge.provenance import embed
from dfl_tf.merge.sweep import Sweep
from dfl_tf.options.merge import MergeOptions
from dfl_tf.options.schema import Value

_SUFFIXES = (".jpg", ".jpeg", ".png")
_GAP = 2
_OF_CROPS = ("output_face_scale", "super_resolution_power")
"""Options that change what is cut out of a frame, or how large a prediction is."""


@dataclass(frozen=True)
class SheetRequest:
    """What a sheet shows.

    Attributes
    ----------
    file : Path
        .jpg or .png.
    columns, rows : Sweep
        What changes from column to column, and from row to row of each frame.
    count : int
        Frames, spread over those chosen.
    cell : int
        Width of an image in pixels.

    Raises
    ------
    UsageError
        Something of it cannot be.
    """

    file: Path
    columns: Sweep
    rows: Sweep | None
    count: int = 3
    cell: int = 160

    def __post_init__(self) -> None:
        if self.file.suffix.lower() not in _SUFFIXES:
            raise UsageError(f"--sheet {self.file}: give a file name with {', '.join(_SUFFIXES)}")
        if self.rows is not None and self.rows.key == self.columns.key:
            raise UsageError(f"--sweep: {self.rows.key} is given twice; two options can be swept")

    def settings(self, tasks: Sequence[MergeTask]) -> set[MergeOptions]:
        """Return all settings that the frames are merged by."""
        variants = [given for row in self.variants() for _, given in row]
        own = {task.settings for task in tasks}
        return {changed(settings, given) for settings in own for given in variants}

    def variants(self) -> list[list[tuple[str, dict[str, Value]]]]:
        """Settings and captions of the images of a frame, row by row."""
        rows = [("", {})] if self.rows is None else _each(self.rows)
        return [
            [
                (" / ".join(filter(None, (caption, below))), settings | more)
                for caption, settings in _each(self.columns)
            ]
            for below, more in rows
        ]


def changed(settings: MergeOptions, given: Mapping[str, Value]) -> MergeOptions:
    """Return settings with other values, which `parse_sweep` has checked."""
    values: dict[str, Any] = dict(given)
    return replace(settings, **values)


def _each(sweep: Sweep) -> list[tuple[str, dict[str, Value]]]:
    return [(sweep.caption(value), {sweep.key: value}) for value in sweep.values]


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
    drawn = contact_sheet(chosen, request, networks, face_type, seed=seed, progress=progress)
    data = encode_image(drawn, request.file.suffix, quality=85)
    make_folder_for(request.file)
    write_file(request.file, data if packet is None else embed(data, packet))


def contact_sheet(
    tasks: Sequence[MergeTask],
    request: SheetRequest,
    networks: MergeNetworks,
    face_type: FaceType,
    *,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Bytes:
    """Merge a few frames in many ways.

    Parameters
    ----------
    tasks : sequence of MergeTask
        Frames with a face; each keeps its own other settings.
    request : SheetRequest
    networks, face_type
        As in `Run`. Every frame is shown to the network once for each scale and super resolution.
    seed : int
        Of the random color transfers.
    progress : callable, optional
        Called with (images done, images to do).

    Returns
    -------
    ndarray, shape (height, width, 3), uint8, BGR
        First column the frame, then one column a variant; a caption over every image.
    """
    variants = request.variants()
    images, captions = [], []
    total, done = len(tasks) * sum(map(len, variants)), 0
    for task in tasks:
        frame = _ShownFrame(task, networks, face_type)
        for row in variants:
            images.append([frame.original])
            captions.append([task.path.name, *(caption for caption, _ in row)])
            for _, settings in row:
                images[-1].append(frame.merged(settings, seed))
                done += 1
                if progress is not None:
                    progress(done, total)
    return sheet(images, captions=captions, cell=request.cell, gap=_GAP, background=0)


class _ShownFrame:
    """A frame and what the network gave for it, by what is cut out of it."""

    def __init__(self, task: MergeTask, networks: MergeNetworks, face_type: FaceType) -> None:
        self._task, self._networks, self._face_type = task, networks, face_type
        self._pixels = read_frame(task.path)
        self._known: dict[tuple[Value, ...], tuple[FrameCrops, Sequence[Prediction]]] = {}
        self._view = _view_of(self._asked(task.settings)[0])

    def _asked(self, settings: MergeOptions) -> tuple[FrameCrops, Sequence[Prediction]]:
        key = tuple(getattr(settings, name) for name in _OF_CROPS)
        if key not in self._known:
            cut = FrameCrops(
                self._pixels, self._task.faces[:1], settings, self._face_type, self._networks.size
            )
            self._known[key] = cut, self._networks.predictions(np.stack(cut.network_inputs))
        return self._known[key]

    @property
    def original(self) -> Bytes:
        """The surroundings of the face, uint8, shape (h, w, 3)."""
        return self._pixels.bytes[self._view]

    def merged(self, given: Mapping[str, Value], seed: int) -> Bytes:
        """Merge it by other settings: uint8, shape (h, w, 3)."""
        settings = changed(self._task.settings, given)
        cut, predictions = self._asked(settings)
        merged = merge_frame(
            cut,
            predictions,
            self._networks,
            settings=settings,
            motion=self._task.motion,
            draws=frame_draws(seed, self._task.index),
        )
        whole = settings.mode == "raw-predict"
        return to_8_bits(merged.image if whole else merged.image[self._view])


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
