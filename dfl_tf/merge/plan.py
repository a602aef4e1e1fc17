"""What is to be done: every frame with its faces, its motion and its settings."""

from __future__ import annotations

import hashlib
import json
import logging
import shlex
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass
from pathlib import Path

from dfl_tf.disk.frame_order import BESIDE_FRAMES, in_frame_order
from dfl_tf.disk.listing import IMAGE_SUFFIXES, list_folder
from dfl_tf.errors import UsageError, WorkspaceError
from dfl_tf.merge.landmarks import FacesByFrame, Landmarks
from dfl_tf.merge.motion import Motion, motion_vectors
from dfl_tf.options import MergeOptions

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class MergeTask:
    """One frame of a run.

    Attributes
    ----------
    index : int
        Counts all frames of the folder from 0.
    path : Path
    faces : tuple of ndarray, shape (68, 2), float64
        Landmarks of each face in frame pixels.
    motion : Motion
    settings : MergeOptions
    """

    index: int
    path: Path
    faces: tuple[Landmarks, ...]
    motion: Motion
    settings: MergeOptions

    def key(self, run_identity: str) -> str:
        """Return a checksum of all that the result depends on.

        Parameters
        ----------
        run_identity : str
            Says model weights, seed and what else is the same for all frames.
        """
        status = self.path.stat()
        content = {
            "run": run_identity,
            "index": self.index,
            "input": [self.path.name, status.st_size, status.st_mtime_ns],
            "faces": [face.tolist() for face in self.faces],
            "settings": asdict(self.settings),
        }
        if self.settings.motion_blur_power:
            content["motion"] = asdict(self.motion)
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def list_frames(folder: Path, known: Collection[str] = ()) -> list[Path]:
    """Return the frames of a folder by the numbers in their names; what else is there is said.

    Parameters
    ----------
    folder : Path
    known : collection of str
        Names that belong in the folder beside frames, besides the usual ones.

    Raises
    ------
    WorkspaceError
        If the folder is missing or empty, or two frames would be written to one file.

    References
    ----------
    merge.md 1.
    """
    listing = list_folder(folder, IMAGE_SUFFIXES, what="frames", known=BESIDE_FRAMES.union(known))
    for line in listing.left_out.lines(see=f"ls -A {shlex.quote(str(folder))}"):
        log.warning("%s: %s", folder, line)
    frames = in_frame_order(listing.files)
    if not frames:
        kinds = " ".join(sorted(IMAGE_SUFFIXES))
        raise WorkspaceError(f"{folder}: holds no frames ({kinds}); extract the video first")
    by_stem: dict[str, list[str]] = {}
    for path in frames:
        by_stem.setdefault(path.stem, []).append(path.name)
    double = [" and ".join(names) for names in by_stem.values() if len(names) > 1]
    if double:
        raise WorkspaceError(
            f"{folder}: frames of the same name would be merged into one file: "
            f"{', '.join(double[:5])}; remove one of each"
        )
    return frames


def plan_frames(
    frames: list[Path], faces: FacesByFrame, settings_of: Callable[[int, Path], MergeOptions]
) -> list[MergeTask]:
    """Join frames, faces, motion and settings."""
    found = [faces.of(path) for path in frames]
    motions = motion_vectors(found)
    return [
        MergeTask(i, path, tuple(found[i]), motions[i], settings_of(i, path))
        for i, path in enumerate(frames)
    ]


def select(tasks: list[MergeTask], wanted: str) -> list[MergeTask]:
    """Pick frames `A:B`, counted from 1, both included; `A:` and `:B` are open, `A` is one frame.

    Raises
    ------
    UsageError
        If the text is no such range or picks nothing.
    """
    first, colon, last = wanted.partition(":")
    try:
        start = int(first) if first.strip() else 1
        stop = (int(last) if last.strip() else len(tasks)) if colon else start
    except ValueError:
        raise UsageError(
            f"frames {wanted!r} is not a range; give A:B, counted from 1, both included (1:100)"
        ) from None
    picked = tasks[max(start, 1) - 1 : max(stop, 0)]
    if not picked:
        raise UsageError(
            f"frames {wanted!r} picks none of the {len(tasks)} frames (1:{len(tasks)})"
        )
    return picked
