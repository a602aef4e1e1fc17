"""Faces that show less of the head than a model is trained on.

What such an image does not show is filled by repeating its border, and learned as if it were the
face.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dfl_tf.face.face_type import FaceType


@dataclass(frozen=True)
class SmallerFaces:
    """How many faces of a set have a smaller type than a model.

    Attributes
    ----------
    number, total : int
        Faces with a smaller type; all faces.
    example : FaceType or None
        The smaller type that most of them have.
    wanted : FaceType
        Of the model.
    """

    number: int
    total: int
    example: FaceType | None
    wanted: FaceType

    @classmethod
    def count(cls, types: Mapping[FaceType, int], wanted: FaceType) -> SmallerFaces:
        """Count by face type; types without a crop geometry are never smaller."""
        smaller = {kind: number for kind, number in types.items() if is_smaller(kind, wanted)}
        most = max(smaller, key=lambda kind: smaller[kind], default=None)
        return cls(sum(smaller.values()), sum(types.values()), most, wanted)

    @property
    def all_of_them(self) -> bool:
        """Whether no face is large enough."""
        return 0 < self.total == self.number

    def text(self, model: str = "the model") -> str:
        """One line for people."""
        kind = "none" if self.example is None else self.example.legacy
        return (
            f"{self.number} of {self.total} faces have a smaller face type ({kind}) than "
            f"{model or 'the model'} ({self.wanted.legacy}): what they do not show is filled by "
            "repeating their border"
        )


def is_smaller(face_type: FaceType, wanted: FaceType) -> bool:
    """Whether a crop shows less than another one does."""
    if not face_type.croppable or not wanted.croppable:
        return False
    return face_type.padding < wanted.padding
