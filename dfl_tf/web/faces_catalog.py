"""What faces can be sorted and filtered by on the page, in words.

A test holds it to `facesets.measures` and `facesets.sorting`, which are not imported here: they
bring numba and SciPy, and the server stays small. The process that measures has them.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True)
class Column:
    """A number of each face.

    Attributes
    ----------
    name : str
        As `dfl-tf faceset filter` has it.
    title : str
    unit : str
    measure : str
        The measure behind it.
    """

    name: str
    title: str
    unit: str = ""
    measure: str = ""

    @property
    def measured_by(self) -> str:
        """Name of the measure."""
        return self.measure or self.name


@dataclass(frozen=True)
class Arrangement:
    """An order that is made of all faces together.

    Attributes
    ----------
    name : str
        As `dfl-tf faceset sort` has it.
    title : str
    rejects : bool
        Whether it rejects some.
    """

    name: str
    title: str
    rejects: bool = False


SIZE, YAW, PITCH, PERSON = "size", "yaw", "pitch", "person"

COLUMNS = (
    Column("blur", "Sharpness", "0 to 1"),
    Column("motion_blur", "Contrast of edges (motion blur)"),
    Column("gray_sharpness", "Sharpness in gray", "0 to 1"),
    Column(SIZE, "Size in the frame", "pixels", "source_rect_size"),
    Column(YAW, "Yaw", "degrees"),
    Column(PITCH, "Pitch", "degrees"),
    Column("brightness", "Brightness", "0 to 255"),
    Column("hue", "Hue", "0 to 179"),
    Column("black", "Black (cut off)", "values"),
)
"""What is measured of each face by itself."""

LABELED, PIXELS = "labeled", "pixels"
FREE = (
    Column(PIXELS, "Size of the image", "pixels"),
    Column(LABELED, "Has polygons", "0 or 1"),
)
"""What comes with any of them."""

ARRANGEMENTS = (
    Arrangement("hist", "Similar colors side by side"),
    Arrangement("hist-dissim", "Least like all others first"),
    Arrangement("absdiff", "Similar images side by side"),
    Arrangement("origname", "Name of the frame"),
    Arrangement("track", "Track after track"),
    Arrangement("oneface", "Frames with one face only", rejects=True),
    Arrangement("final", "The best faces", rejects=True),
    Arrangement("final-fast", "The best faces by size", rejects=True),
)

DISTANCE, TRACK = "person_distance", "track"
GROUPS = (
    Column(PERSON, "Person"),
    Column(DISTANCE, "Distance from the typical face"),
)
TRACKS = (Column(TRACK, "Track"),)
"""What comes with the arrangement of that name."""
PERSONS = "persons"
"""What tells persons apart, where a way to sort can be named."""


def rank_of(method: str) -> str:
    """The column with the place of a face in an arrangement; faces that it rejects have none."""
    return f"rank {method}"


def rejected_by(method: str) -> str:
    """The column that is 1 for faces that an arrangement rejects, and 0 for all others."""
    return f"rejected {method}"


def all_columns() -> dict[str, Column]:
    """Every column that can be filtered by."""
    made = [
        column
        for each in ARRANGEMENTS
        for column in (
            Column(rank_of(each.name), each.title),
            *([Column(rejected_by(each.name), f"Rejected: {each.title}")] if each.rejects else ()),
        )
    ]
    return {column.name: column for column in (*COLUMNS, *FREE, *GROUPS, *TRACKS, *made)}


def task_for(names: Collection[str]) -> dict[str, object] | None:
    """What is measured so that some columns are known of all faces; None if that is nothing.

    Numbers of single faces come first; what takes all faces together is one task each.
    """
    columns = [each.name for each in (*COLUMNS, *FREE) if each.name in names]
    if columns:
        return {"columns": columns, "method": ""}
    made = {
        **{rank_of(each.name): each.name for each in ARRANGEMENTS},
        **{rejected_by(each.name): each.name for each in ARRANGEMENTS},
        **{each.name: TRACK for each in TRACKS},
        **{each.name: PERSONS for each in GROUPS},
    }
    method = next((method for name, method in made.items() if name in names), None)
    return None if method is None else {"columns": [], "method": method}


def choices() -> dict[str, object]:
    """What faces can be sorted and filtered by, for the page."""
    titles = {
        name: f"{each.title} ({each.unit})" if each.unit else each.title
        for name, each in all_columns().items()
    }
    rejected = [rejected_by(each.name) for each in ARRANGEMENTS if each.rejects]
    numbers = [each.name for each in (*COLUMNS, *FREE)]
    groups = [each.name for each in GROUPS]
    return {
        "titles": titles,
        "sorts": [
            ["Measures", numbers],
            ["Persons", groups],
            ["All together", [rank_of(each.name) for each in ARRANGEMENTS]],
        ],
        "filters": [*numbers, *groups, *(each.name for each in TRACKS), *rejected],
    }
