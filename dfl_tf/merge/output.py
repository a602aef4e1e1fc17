"""The two folders that merging writes: frames and masks."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import cv2

from dfl_tf.disk.durable import make_folder, replacing, sync_folder
from dfl_tf.disk.listing import IMAGE_SUFFIXES, list_folder
from dfl_tf.disk.write_errors import explain_write_errors
from dfl_tf.errors import UsageError, WorkspaceError
from dfl_tf.merge.frame import MergedFrame
from dfl_tf.merge.pixels import Stored
from dfl_tf.merge.provenance import embed, read_provenance

log = logging.getLogger(__name__)

# Small and quick for camera images: half the time of OpenCV's default at the same size.
_PNG = [
    cv2.IMWRITE_PNG_COMPRESSION,
    1,
    cv2.IMWRITE_PNG_STRATEGY,
    cv2.IMWRITE_PNG_STRATEGY_HUFFMAN_ONLY,
    cv2.IMWRITE_PNG_FILTER,
    cv2.IMWRITE_PNG_FILTER_SUB,
]


@dataclass(frozen=True)
class Output:
    """Where merged frames go.

    Attributes
    ----------
    images, masks : Path
        Folders; made when needed.
    packet : bytes or None
        Provenance note for every image.
    """

    images: Path
    masks: Path
    packet: bytes | None = None

    def paths(self, frame: Path) -> tuple[Path, Path]:
        """Return the files of a frame: image and mask."""
        return self.images / f"{frame.stem}.png", self.masks / f"{frame.stem}.png"

    def prepare(
        self,
        *,
        resume: bool,
        overwrite: bool,
        keep: bool = False,
        frames: Collection[Path] = (),
    ) -> None:
        """Make the folders; refuse to mix a new run with older images.

        Parameters
        ----------
        resume : bool
            Images of an earlier run may be there and stay.
        overwrite : bool
            Merged images that are there are removed first; others stay, with a warning.
        keep : bool
            With `overwrite`: replace frame by frame instead of emptying the folders.
        frames : collection of Path
            The frames of the run. What has the name of one, or bears a note that it was merged,
            is a merged image.

        Raises
        ------
        UsageError
            If images are there and neither `resume` nor `overwrite` is given.

        References
        ----------
        merge.md 5.
        """
        names = {f"{frame.stem}.png" for frame in frames}
        for folder in (self.images, self.masks):
            make_folder(folder)
            present = list_folder(folder, IMAGE_SUFFIXES).files
            if not present or resume:
                continue
            if not overwrite:
                raise UsageError(
                    f"{folder} holds {len(present)} images already: use --resume to continue, "
                    "or --overwrite to start over"
                )
            if keep:
                continue
            foreign = {p for p in present if p.name not in names and not _is_merged(p)}
            if foreign:
                log.warning(
                    "%s: %d images that are not merged frames stay there (%s); a video of this "
                    "folder would show them",
                    folder,
                    len(foreign),
                    ", ".join(sorted(p.name for p in foreign)[:3]),
                )
            for path in set(present) - foreign:
                with explain_write_errors(path):
                    path.unlink()

    def write(self, frame: Path, merged: MergedFrame) -> tuple[int, int]:
        """Write both images of a frame; returns their sizes in bytes.

        Their content is on the disk before they have their names. That the folder knows the names
        is made durable for many frames at once (`sync`), before the session counts them.
        """
        image_path, mask_path = self.paths(frame)
        image = self._encode(merged.image, _PNG, image_path)
        mask = self._encode(merged.mask, [], mask_path)
        for path, data in ((mask_path, mask), (image_path, image)):
            with replacing(path, sync=False) as file:
                file.write(data)
        return len(image), len(mask)

    def sync(self) -> None:
        """Make the names of all frames durable that were written so far."""
        for folder in {self.images, self.masks}:
            with explain_write_errors(folder):
                sync_folder(folder)

    def _encode(self, pixels: Stored, how: list[int], path: Path) -> bytes:
        done, encoded = cv2.imencode(".png", pixels, how)
        if not done:
            raise WorkspaceError(f"{path}: the image could not be encoded as PNG")
        data = encoded.tobytes()
        return data if self.packet is None else embed(data, self.packet)


def _is_merged(path: Path) -> bool:
    return path.suffix.lower() == ".png" and read_provenance(path) is not None
