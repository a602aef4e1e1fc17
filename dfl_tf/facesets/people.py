"""The persons of a folder: grouped, written as a table, shown as a sheet, moved to the trash."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dfl_tf.data.identity import Embedder
from dfl_tf.disk.left_out import LeftOut
from dfl_tf.errors import UsageError
from dfl_tf.facesets.grouping import Group, Grouping, group_faces, threshold_of
from dfl_tf.facesets.measure_cache import MeasureCache
from dfl_tf.facesets.measures import identity_measure
from dfl_tf.facesets.measuring import FaceFile, face_files, measure_faces
from dfl_tf.facesets.rearranging import Rearrangement
from dfl_tf.facesets.thumbnails import small_face
from dfl_tf.imaging import sheet
from dfl_tf.jobs.progress import Progress

Image = npt.NDArray[np.uint8]

SHEET_GROUPS = 40
_SHOWN = 12  # faces of a group on the sheet: half of them the most typical, half the least
_CELL = 112


@dataclass(frozen=True)
class People:
    """The faces of a folder by person.

    Attributes
    ----------
    place : Path
        The folder or pak.
    names : sequence of str
        Of all its images.
    grouping : Grouping
    embedder : str
        Name of the network.
    left_out : LeftOut
    """

    place: Path
    names: Sequence[str]
    grouping: Grouping
    embedder: str
    left_out: LeftOut

    def rows(self) -> list[dict[str, str | int | float]]:
        """One row a face: file, group, distance from the group's most typical face."""
        rows: dict[int, dict[str, str | int | float]] = {}
        for group in self.grouping.groups:
            for i, distance in zip(group.members, group.distances, strict=True):
                rows[i] = {
                    "name": self.names[i],
                    "group": group.number,
                    "distance": round(distance, 4),
                }
        return [rows[i] for i in sorted(rows)]

    def as_csv(self) -> str:
        """The rows as CSV."""
        out = io.StringIO()
        writer = csv.DictWriter(out, ["name", "group", "distance"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows())
        return out.getvalue()

    def keeping(self, numbers: Sequence[int]) -> Rearrangement:
        """The plan that moves the faces of all other groups to the trash.

        Raises
        ------
        UsageError
            There is no such group.
        """
        known = {group.number for group in self.grouping.groups}
        wrong = sorted(set(numbers) - known)
        if wrong:
            there = f"1 to {len(known)}" if known else "none"
            raise UsageError(f"--keep {wrong[0]}: there is no such group; groups are {there}.")
        gone = [i for i, n in enumerate(self.grouping.numbers) if n and n not in numbers]
        kept = ", ".join(str(number) for number in sorted(set(numbers)))
        return Rearrangement(self.place, f"keep group {kept}", [], [self.names[i] for i in gone])


def find_people(
    place: Path,
    embedder: Embedder,
    *,
    strictness: float = 0.5,
    cache: MeasureCache,
    progress: Progress | None = None,
) -> People:
    """Group the faces of a folder or pak by person.

    Parameters
    ----------
    place : Path
    embedder : Embedder
    strictness : float
        0 to 1; see `threshold_of`.
    cache : MeasureCache
        Vectors that were computed before are taken from there.
    progress : callable, optional
        Called with (done, total).

    Raises
    ------
    FacesetError
        There is no such folder or pak.
    UsageError
        The network is not installed.
    """
    measure = identity_measure(embedder)
    faces, left_out = measure_faces(place, [measure, "source_box"], cache=cache, progress=progress)
    for name, is_face in zip(faces.names, faces.is_face, strict=True):
        if not is_face:
            left_out.add("images without face metadata, which stay where they are", name)
    grouping = group_faces(
        faces.columns[measure.name],
        threshold=threshold_of(strictness, embedder.scale),
        frames=faces.source_filenames,
        boxes=faces.columns["source_box"],
    )
    return People(place, faces.names, grouping, embedder.name, left_out)


def people_sheet(people: People) -> Image:
    """The groups as rows of faces: the most typical ones, then the least.

    Returns
    -------
    ndarray, shape (h, w, 3), uint8, BGR

    Raises
    ------
    UsageError
        There is no face to show.
    """
    if not people.grouping.groups:
        raise UsageError(f"{people.place}: holds no face that could be shown.")
    files = {file.name: file for file in face_files(people.place)[0]}
    rows, captions = [], []
    for group in people.grouping.groups[:SHEET_GROUPS]:
        chosen = shown(group)
        rows.append([_face(files.get(people.names[group.members[i]])) for i in chosen])
        size = f"group {group.number}: {len(group.members)}"
        distances = [f"{group.distances[i]:.2f}" for i in chosen[1:]]
        captions.append([size, *distances])
    return sheet(rows, captions=captions, cell=_CELL)


def shown(group: Group) -> list[int]:
    """Places of the members that stand for a group: near ones, and far ones to check."""
    count = len(group.members)
    if count <= _SHOWN:
        return list(range(count))
    near = _SHOWN // 2
    return [*range(near), *range(count - (_SHOWN - near), count)]


def _face(file: FaceFile | None) -> Image | None:
    return None if file is None else small_face(file, _CELL)
