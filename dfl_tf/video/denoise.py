"""Frames of a video without their noise; the originals are kept and can be brought back."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from dfl_tf_ops.denoise import TemporalDenoiser

from dfl_tf.disk import moves
from dfl_tf.disk.durable import filling_folder, make_folder, rename, sync_folder
from dfl_tf.disk.frame_order import BESIDE_FRAMES, in_frame_order
from dfl_tf.disk.left_out import LeftOut
from dfl_tf.disk.listing import IMAGE_SUFFIXES, list_folder
from dfl_tf.disk.moves import Move
from dfl_tf.errors import UsageError, WorkspaceError
from dfl_tf.imaging import read_image_unchanged, write_image
from dfl_tf.jobs.progress import Progress

ORIGINALS = "_originals"
_TIME = 5.0  # strength from frame to frame: that of the legacy program, whatever its factor is

FrameImage = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]


def denoise(
    folder: Path, factor: float = 7.0, *, output: Path | None = None, progress: Progress | None
) -> tuple[int, Path | None, LeftOut]:
    """Denoise the frames of a folder in the order of the numbers in their names.

    All results are made first; then they change places with the originals, as one step.

    Parameters
    ----------
    folder : Path
    factor : float
        Strength within a frame, in levels of 0 to 255, above 0.
    output : Path, optional
        A new folder for the results; the frames stay as they are.
    progress : callable, optional
        Called with (done, total).

    Returns
    -------
    (int, Path or None, LeftOut)
        Frames, where the originals are now (None with `output`), and what else lies there.

    Raises
    ------
    WorkspaceError
        A frame cannot be read or written; no frame was changed.
    UsageError
        The folder of the results is not empty.
    """
    moves.finish(folder.resolve())
    listing = list_folder(folder, IMAGE_SUFFIXES, what="frames", known=BESIDE_FRAMES)
    if not listing.files:
        raise WorkspaceError(f"{folder}: holds no frames to denoise")
    if output is not None and output.exists() and any(output.iterdir()):
        raise UsageError(f"{output}: is not empty. Name a new folder for the results.")
    originals = folder.resolve().with_name(folder.resolve().name + ORIGINALS)
    if output is None and originals.exists() and any(originals.iterdir()):
        raise WorkspaceError(
            f"{originals}: is not empty; the frames may have been denoised before. Take that back "
            "(dfl-tf video denoise --undo), move this folder away, or give --output."
        )
    frames = in_frame_order(listing.files)
    work = TemporalDenoiser(factor, _TIME)
    parent = folder.resolve().parent if output is None else output.absolute().parent
    make_folder(parent)
    with filling_folder(parent) as results:
        for done, path in enumerate(frames, start=1):
            write_image(
                results / path.name, _denoised(read_image_unchanged(path), work), quality=98
            )
            if progress is not None:
                progress(done, len(frames))
        sync_folder(results)
        if output is not None:
            rename(results, output.absolute())
            return len(frames), None, listing.left_out
        _swap(folder.resolve(), results, originals, [path.name for path in frames])
    return len(frames), originals, listing.left_out


def take_back(folder: Path) -> tuple[str, list[str]]:
    """Bring the originals back; see `moves.undo`."""
    return moves.undo(folder.resolve())


def _denoised(image: FrameImage, work: TemporalDenoiser) -> FrameImage:
    """Luma and both color differences; alpha stays, gray stays gray."""
    largest = np.iinfo(image.dtype).max
    levels = image[..., :3].astype(np.float32) * np.float32(255 / largest)
    color = levels.shape[2] == 3
    if color:
        levels = cv2.cvtColor(levels / 255, cv2.COLOR_BGR2YCrCb) * 255
    levels = work(levels)
    if color:
        levels = cv2.cvtColor(levels / 255, cv2.COLOR_YCrCb2BGR) * 255
    result = image.copy()
    scaled = np.rint(levels * np.float32(largest / 255))
    result[..., :3] = np.clip(scaled, 0, largest).astype(image.dtype)
    return result


def _swap(folder: Path, results: Path, originals: Path, names: list[str]) -> None:
    number, made = 1, folder.with_name(f"{folder.name}_denoised")
    while made.exists():  # a run that was killed just here may have left one
        number += 1
        made = folder.with_name(f"{folder.name}_denoised{number}")
    rename(results, made)
    make_folder(originals)
    steps = [Move(name, f"../{originals.name}/{name}") for name in names]
    steps += [Move(f"../{made.name}/{name}", name) for name in names]
    moves.move_files(folder, steps, why="denoising")
    made.rmdir()
