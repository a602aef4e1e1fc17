"""The two folders that merging writes: frames and masks."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

import cv2

from dfl_tf.disk.durable import make_folder, replacing, sync_folder
from dfl_tf.disk.listing import IMAGE_SUFFIXES, list_folder
from dfl_tf.disk.write_errors import explain_write_errors
from dfl_tf.errors import UsageError, WorkspaceError
from dfl_tf.merge.frame import MergedFrame
from dfl_tf.merge.image_format import ImageFormat
from dfl_tf.merge.pixels import Stored
from dfl_tf.merge.provenance import embed, read_provenance

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Output:
    """Where merged frames go.

    Attributes
    ----------
    images, masks : Path
        Folders; made when needed.
    packet : bytes or None
        Provenance note for every image.
    form : ImageFormat
    """

    images: Path
    masks: Path
    packet: bytes | None = None
    form: ImageFormat = field(default_factory=ImageFormat)

    @property
    def depth(self) -> int:
        """Bits that frames are merged for; 0: as each has them."""
        return self.form.depth

    @property
    def holds_alpha(self) -> bool:
        """Whether an image can have an alpha channel."""
        return self.form.holds_alpha

    @property
    def needs_all(self) -> bool:
        """Whether no frame can be left out."""
        return False

    def paths(self, frame: Path) -> tuple[Path, Path]:
        """Return the files of a frame: image and mask."""
        return (
            self.images / f"{frame.stem}{self.form.suffix}",
            self.masks / f"{frame.stem}{self.form.mask_suffix}",
        )

    def prepare(
        self,
        *,
        resume: bool,
        overwrite: bool,
        keep: bool = False,
        frames: Collection[Path] = (),
        apart: bool = False,
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
        apart : bool
            Images of other frames are those of other shards, and no matter.

        Raises
        ------
        UsageError
            If images are there and neither `resume` nor `overwrite` is given, or if images of
            these frames of another kind of file would stay beside the new ones.

        References
        ----------
        merge.md 5.
        """
        stems = {frame.stem for frame in frames}
        suffixes = (self.form.suffix, self.form.mask_suffix)
        for folder, suffix in zip((self.images, self.masks), suffixes, strict=True):
            make_folder(folder)
            present = list_folder(folder, IMAGE_SUFFIXES).files
            if apart:
                present = [path for path in present if path.stem in stems]
            if present and (resume or (overwrite and keep)):
                _refuse_others(folder, [p for p in present if p.stem in stems], suffix)
            if not present or resume:
                continue
            if not overwrite:
                raise UsageError(
                    f"{folder} holds {len(present)} images already: use --resume to continue, "
                    "or --overwrite to start over"
                )
            if keep:
                continue
            foreign = {p for p in present if p.stem not in stems and not _is_merged(p)}
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

    def make(self, frame: Path, merged: MergedFrame) -> tuple[int, int]:
        """Write both images of a frame; returns their sizes in bytes.

        Their content is on the disk before they have their names. That the folder knows the names
        is made durable for many frames at once (`sync`), before the session counts them.
        """
        image_path, mask_path = self.paths(frame)
        pixels = merged.image
        if not self.holds_alpha and pixels.ndim == 3:
            pixels = pixels[:, :, :3]
        image = self._encode(pixels, self.form.image_flags, image_path)
        mask = self._encode(merged.mask, self.form.mask_flags, mask_path)
        for path, data in ((mask_path, mask), (image_path, image)):
            with replacing(path, sync=False) as file:
                file.write(data)
        return len(image), len(mask)

    def take(self, frame: Path, made: object) -> None:
        """Do nothing: the images of a frame need no order."""

    def sync(self) -> None:
        """Make the names of all frames durable that were written so far."""
        for folder in {self.images, self.masks}:
            with explain_write_errors(folder):
                sync_folder(folder)

    def _encode(self, pixels: Stored, how: list[int], path: Path) -> bytes:
        done, encoded = cv2.imencode(path.suffix, pixels, how)
        if not done:
            raise WorkspaceError(f"{path}: the image could not be encoded")
        data = encoded.tobytes()
        return data if self.packet is None else embed(data, self.packet)


def _refuse_others(folder: Path, present: list[Path], suffix: str) -> None:
    """Refuse to leave two images of one frame, of which a video would show both."""
    others = sorted(p.name for p in present if p.suffix != suffix)
    if others:
        raise UsageError(
            f"{folder} holds {len(others)} merged images of another kind ({others[0]}); this run "
            f"would put {suffix} files beside them. Give --format "
            f"{Path(others[0]).suffix.lower().lstrip('.')}, or --overwrite without --frames to "
            "start over."
        )


def _is_merged(path: Path) -> bool:
    return read_provenance(path) is not None
