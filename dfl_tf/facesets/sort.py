"""Sorting a faceset: what a method would do, and doing it.

References
----------
facesets.md 1; design decision 40.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
from dfl_tf_ops.process import cores, user_cache

from dfl_tf.disk.left_out import LeftOut
from dfl_tf.disk.write_errors import check_space
from dfl_tf.errors import FacesetError, UsageError
from dfl_tf.facesets.face_tracks import track_numbers
from dfl_tf.facesets.measure_cache import MeasureCache
from dfl_tf.facesets.measuring import FaceFile, face_files, measure_faces
from dfl_tf.facesets.rearranging import Rearrangement, numbered
from dfl_tf.facesets.sorting import ALIASES, METHODS, MeasuredFaces, Method, Order
from dfl_tf.imaging import decode_image, to_bgr
from dfl_tf.imaging.files import to_bytes
from dfl_tf.jobs.pool import ordered
from dfl_tf.jobs.progress import Progress

Image = npt.NDArray[np.uint8]

TARGETED = ("final", "final-fast")
"""Methods that choose about so many faces as they are told."""

_NAMED = 5


@dataclass(frozen=True)
class SortPlan:
    """What a sort would do.

    Attributes
    ----------
    place : Path
        Folder or pak.
    method : str
        A key of `METHODS`.
    faces : MeasuredFaces
    order : Order
        Positions in `faces`.
    unreadable : list of str
        Images that could not be read; they go to the trash as well.
    left_out : LeftOut
    """

    place: Path
    method: str
    faces: MeasuredFaces
    order: Order
    unreadable: list[str]
    left_out: LeftOut

    @property
    def rearrangement(self) -> Rearrangement:
        """The renames; empty if the method found nothing to do."""
        names = self.faces.names
        if not self.order.kept and not self.order.trash:
            return Rearrangement(self.place, f"sort by {self.method}", [])
        return Rearrangement(
            self.place,
            f"sort by {self.method}",
            numbered([names[i] for i in self.order.kept]),
            [names[i] for i in self.order.trash] + self.unreadable,
        )

    def rows(self) -> list[dict[str, object]]:
        """One row a face: its new name (None in the trash), the old one and all its numbers."""
        plan = self.rearrangement
        places = {name: i for i, name in enumerate(self.faces.names)}
        scalars = [name for name, column in self.faces.columns.items() if column.ndim == 1]
        rows = []
        for name, new in [*plan.kept, *((name, None) for name in plan.trash)]:
            i = places.get(name)
            row: dict[str, object] = {"new_name": new, "name": name}
            row["value"] = None if i is None else self.order.values.get(i)
            for measure in scalars:
                number = np.nan if i is None else self.faces.columns[measure][i]
                row[measure] = None if np.isnan(number) else float(number)
            rows.append(row)
        return rows


def find_method(name: str) -> tuple[str, Method]:
    """A way to sort by its name or alias.

    Raises
    ------
    UsageError
        There is no such method.
    """
    known = ALIASES.get(name, name)
    if known not in METHODS:
        raise UsageError(f"there is no method {name!r} to sort by. Choose of {', '.join(METHODS)}.")
    return known, METHODS[known]


def plan_sort(
    place: Path,
    method: str,
    *,
    cache: MeasureCache,
    target: int = 2000,
    similar: bool = True,
    tracks_of: Callable[[MeasuredFaces], Sequence[int | None]] | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> SortPlan:
    """Find out what sorting a folder or pak would do; nothing is changed.

    Parameters
    ----------
    place : Path
    method : str
        A key of `METHODS` or `ALIASES`.
    cache : MeasureCache
    target : int
        For `final` and `final-fast`: about how many faces are kept.
    similar : bool
        For `absdiff`: whether similar images stand side by side.
    tracks_of : callable, optional
        For `track`, which needs it: the track of each measured face, None where it is not known.
    workers : int, optional
        Threads; by default the cores of this process.
    progress : callable, optional
        Called with (done, total) while faces are measured.

    Raises
    ------
    UsageError, FacesetError
        No such method; no image is there; images of several sizes for `absdiff`.
    """
    name, how = find_method(method)
    files, _ = face_files(place)
    faces, left_out = measure_faces(
        place, how.measures, cache=cache, workers=workers, progress=progress
    )
    if not faces.names:
        raise FacesetError(f"{place}: contains no readable image; there is nothing to sort.")
    if how.needs_images:
        known = set(faces.names)
        images = _images_on_disk([file for file in files if file.name in known], workers)
        faces = replace(faces, images=images)
    if how.needs_tracks:
        if tracks_of is None:
            raise ValueError(f"sorting by {name} needs tracks_of")
        faces = replace(faces, tracks=track_numbers(tracks_of(faces)))
    order = how.arrange(faces, target=target, similar=similar)
    measured = set(faces.names)
    unreadable = [file.name for file in files if file.name not in measured]
    return SortPlan(place, name, faces, order, unreadable, left_out)


def _images_on_disk(files: Sequence[FaceFile], workers: int | None) -> Sequence[Image]:
    """All images, decoded, in a file without a name: they need not fit into memory.

    Raises
    ------
    FacesetError
        They are not all of one size.
    """

    def decoded(file: FaceFile) -> Image:
        return to_bytes(to_bgr(decode_image(file.read(), what=file.name)))

    folder = user_cache()
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    images: npt.NDArray[np.uint8] | None = None
    others: list[str] = []
    for number, outcome in enumerate(ordered(decoded, files, workers=workers or cores())):
        image = outcome.get()
        if images is None:
            check_space(folder or Path(tempfile.gettempdir()), len(files) * image.nbytes)
            with tempfile.TemporaryFile(dir=folder) as file:
                shape = (len(files), *image.shape)
                images = np.memmap(file, np.uint8, "w+", shape=shape)
        if image.shape == images.shape[1:]:
            images[number] = image
        else:
            others.append(f"{outcome.item.name} ({image.shape[1]}x{image.shape[0]})")
    assert images is not None
    if others:
        more = f" and {len(others) - _NAMED} more" if len(others) > _NAMED else ""
        raise FacesetError(
            f"absdiff compares images of one size only. {files[0].name} has "
            f"{images.shape[2]}x{images.shape[1]} pixels; others: {', '.join(others[:_NAMED])}"
            f"{more}. Make them alike first (dfl-tf faceset resize), or sort by another method."
        )
    return cast("Sequence[Image]", images)
