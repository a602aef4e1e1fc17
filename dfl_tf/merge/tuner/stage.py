"""One frame of a merge, composed now: the pixels that `dfl-tf merge` writes for these settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path

import numpy as np

from dfl_tf.disk.plain_file import lies_in
from dfl_tf.errors import UsageError
from dfl_tf.merge.batched import ask
from dfl_tf.merge.frame import FrameCrops, MergedFrame
from dfl_tf.merge.networks import MergeNetworks
from dfl_tf.merge.opening import MergeModels
from dfl_tf.merge.pixels import Bytes, FramePixels, read_frame
from dfl_tf.merge.plan import MergeTask
from dfl_tf.merge.run import merge_task
from dfl_tf.merge.sheet import to_8_bits
from dfl_tf.merge.tuner.messages import View
from dfl_tf.merge.tuner.remembered import Recent, remembering
from dfl_tf.merge.warping import Floats
from dfl_tf.options import MergeOptions

_MEGABYTES = 1 << 20


def nothing() -> None:
    """Do nothing when a network is asked."""


class Stage:
    """The frames of a merge, and what the networks have answered of them.

    Parameters
    ----------
    tasks : sequence of MergeTask
        All frames; their settings are not looked at.
    models : MergeModels
        Loaded when a frame first needs them.
    seed, batch : int
        As in `MergeRequest`: with other ones a merge gives other pixels.
    folders : sequence of Path
        If there are some, only frames that really are in one of them are read.
    memory : int
        Bytes of answers that are kept. Frames and merged frames get half of it each.
    """

    def __init__(
        self,
        tasks: Sequence[MergeTask],
        models: MergeModels,
        *,
        seed: int = 0,
        batch: int = 4,
        folders: Sequence[Path] = (),
        memory: int = 256 * _MEGABYTES,
    ):
        self.tasks, self.models = tasks, models
        self._seed, self._batch, self._folders = seed, batch, tuple(folders)
        self._answers: Recent[tuple[Floats, ...]] = Recent(memory)
        self._frames: Recent[FramePixels] = Recent(memory // 2)
        self._merged: Recent[MergedFrame] = Recent(memory // 2)
        self._places = _places(tasks, batch)

    def frame(self, index: int) -> FramePixels:
        """Return a frame as it is on disk, decoded once.

        Raises
        ------
        UsageError, WorkspaceError
            There is no such frame, or it cannot be read.
        """
        if not 0 <= index < len(self.tasks):
            raise UsageError(f"frame {index + 1}: there are {len(self.tasks)} frames")
        path = self.tasks[index].path
        if self._folders and path.exists() and lies_in(path, self._folders) is None:
            raise UsageError(f"{path.name}: is a link that leads out of the workspace")
        key = self._version(index)
        found = self._frames.get(key)
        if found is None:
            found = read_frame(path)
            self._frames.put(key, found, _bytes_of(found))
        return found

    def merged(
        self, index: int, settings: MergeOptions, asking: Callable[[], object] = nothing
    ) -> MergedFrame:
        """Return a frame with its faces swapped.

        Parameters
        ----------
        index : int
            Counts the frames from 0.
        settings : MergeOptions
        asking : callable
            Called before a network computes something, or is loaded.

        Raises
        ------
        UsageError, ModelFileError, WorkspaceError
            The frame cannot be read, or a network that it needs is missing.
        """
        key = self._version(index), settings
        found = self._merged.get(key)
        if found is None:
            found = self._merge(index, settings, asking)
            self._merged.put(key, found, found.image.nbytes + found.mask.nbytes)
        return found

    def _merge(
        self, index: int, settings: MergeOptions, asking: Callable[[], object]
    ) -> MergedFrame:
        task, frame = self.tasks[index], self.frame(index)
        networks = self._networks(settings, asking)
        cut = FrameCrops(frame, task.faces, settings, self.models.face_type, networks.size)
        crops = [*[None] * self._places[index], *cut.crops]
        answers = [given for given in ask(crops, networks, self._batch) if given is not None]
        return merge_task(task, cut, answers, networks, self._seed)

    def _networks(self, settings: MergeOptions, asking: Callable[[], object]) -> MergeNetworks:
        xseg = "XSeg" in settings.mask_mode
        if xseg:
            self.models.require_xseg([settings.mask_mode])
        if not self.models.loaded(xseg=xseg):
            asking()
        enhance = settings.super_resolution_power != 0
        found = self.models.networks(morph=settings.morph, xseg=xseg, enhance=enhance)
        return remembering(found, self._answers, about=f"morph {settings.morph}", asking=asking)

    def _version(self, index: int) -> tuple[int, int, int]:
        """Which frame, and which state of its file."""
        try:
            status = self.tasks[index].path.stat()
        except OSError:
            return index, 0, 0
        return index, status.st_size, status.st_mtime_ns

    def view(
        self,
        index: int,
        settings: MergeOptions,
        view: View,
        asking: Callable[[], object] = nothing,
    ) -> Bytes:
        """Draw a frame.

        Parameters
        ----------
        index, settings, asking
            As in `merged`.
        view : {"before", "after", "mask", "triptych"}

        Returns
        -------
        ndarray, shape (h, w, 3), uint8, BGR
            Of a merged frame with an alpha channel the colors.
        """
        before = self.frame(index).bytes
        if view == "before":
            return before
        merged = self.merged(index, settings, asking)
        after, mask = to_8_bits(merged.image), to_8_bits(merged.mask)
        if view == "after":
            return after
        if view == "mask":
            return mask
        return np.hstack([before, _on_frame(after, before), _on_frame(mask, before)])


def _places(tasks: Sequence[MergeTask], batch: int) -> list[int]:
    """Where the first face of each frame is in its group of frames (`MergeRun.batch`)."""
    places = []
    for _, group in groupby(tasks, key=lambda task: task.index // batch):
        taken = 0
        for task in group:
            places.append(taken)
            taken += len(task.faces)
    return places


def _bytes_of(frame: FramePixels) -> int:
    height, width = frame.shape
    return height * width * 3 * (3 if frame.deep else 1)


def _on_frame(image: Bytes, frame: Bytes) -> Bytes:
    """Put an image of another size, as raw-predict makes it, on black of the frame's size."""
    if image.shape == frame.shape:
        return image
    canvas = np.zeros_like(frame)
    height, width = (min(a, b) for a, b in zip(image.shape[:2], frame.shape[:2], strict=True))
    canvas[:height, :width] = image[:height, :width]
    return canvas
