"""Face types: how much of the head a crop shows, and whether it is turned upright."""

from __future__ import annotations

from enum import IntEnum


class FaceType(IntEnum):
    """Crop of an aligned face; the values are those stored in packed facesets.

    References
    ----------
    data.md 7.1; `MVE_CUSTOM` (a crop of unknown geometry that is never re-aligned) data.md 8.
    """

    HALF = 0
    MID_FULL = 1
    FULL = 2
    FULL_NO_ALIGN = 3
    WHOLE_FACE = 4
    MVE_CUSTOM = 5
    HEAD = 10
    HEAD_NO_ALIGN = 20
    MARK_ONLY = 100

    @property
    def legacy(self) -> str:
        """Name stored in face files: "whole_face"."""
        return _LEGACY_NAMES[self]

    @property
    def option(self) -> str:
        """Short name used by the model options ("wf"); the legacy name where there is none."""
        return _OPTION_NAMES.get(self, self.legacy)

    @property
    def padding(self) -> float:
        """Margin around the reference square, in parts of its diagonal's half."""
        if self not in _PADDING:
            raise ValueError(f"face type {self.legacy} has no crop geometry")
        return _PADDING[self]

    @property
    def croppable(self) -> bool:
        """Whether an align matrix is defined for the type."""
        return self in _PADDING

    @property
    def upright(self) -> bool:
        """Whether the crop follows the roll of the head."""
        return self not in (FaceType.FULL_NO_ALIGN, FaceType.HEAD_NO_ALIGN)

    @classmethod
    def from_name(cls, name: str) -> FaceType:
        """Return the type of a stored name or an option name, in any letter case."""
        key = name.lower()
        for member in cls:
            if key in (member.legacy, _OPTION_NAMES.get(member)):
                return member
        allowed = ", ".join(m.legacy for m in cls)
        raise ValueError(f"unknown face type {name!r}; known are {allowed}")


_LEGACY_NAMES = {
    FaceType.HALF: "half_face",
    FaceType.MID_FULL: "midfull_face",
    FaceType.FULL: "full_face",
    FaceType.FULL_NO_ALIGN: "full_face_no_align",
    FaceType.WHOLE_FACE: "whole_face",
    FaceType.MVE_CUSTOM: "mve_custom",
    FaceType.HEAD: "head",
    FaceType.HEAD_NO_ALIGN: "head_no_align",
    FaceType.MARK_ONLY: "mark_only",
}
_OPTION_NAMES = {
    FaceType.HALF: "h",
    FaceType.MID_FULL: "mf",
    FaceType.FULL: "f",
    FaceType.WHOLE_FACE: "wf",
    FaceType.HEAD: "head",
}
_PADDING = {
    FaceType.HALF: 0.0,
    FaceType.MID_FULL: 0.0675,
    FaceType.FULL: 0.2109375,
    FaceType.FULL_NO_ALIGN: 0.2109375,
    FaceType.WHOLE_FACE: 0.40,
    FaceType.HEAD: 0.70,
    FaceType.HEAD_NO_ALIGN: 0.70,
}
