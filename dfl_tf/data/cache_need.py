"""How much memory the faces of a training need in its cache, and how many of them will be there."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dfl_tf.data.faceset import FaceSample
from dfl_tf.data.spec import SampleSpec, XSegSpec
from dfl_tf.face import FaceType


@dataclass(frozen=True)
class CacheNeed:
    """What a cache is asked to hold.

    Attributes
    ----------
    faces : int
        Each one once, also if two streams draw it.
    size : int
        Bytes of all of them, estimated by the first face of each faceset.
    """

    faces: int
    size: int

    @classmethod
    def of(
        cls,
        drawn: Mapping[str, tuple[Sequence[FaceSample], SampleSpec | XSegSpec]],
        colors: Sequence[FaceSample] | None = None,
    ) -> CacheNeed:
        """Estimate the need of streams.

        Parameters
        ----------
        drawn : mapping of str to tuple
            The faces of each stream, and what it makes of them.
        colors : sequence of FaceSample, optional
            Where colors are taken from.
        """
        sizes = {
            id(faces): (len(faces), bytes_of_face(spec, faces[0])) for faces, spec in drawn.values()
        }
        size = sum(count * each for count, each in sizes.values())
        if colors is not None:
            side = next(iter(drawn.values()))[1].resolution
            size += len(colors) * _image_bytes(side, as_stored=colors[0].shape[:2] == (side, side))
        return cls(sum(count for count, _ in sizes.values()), size)

    def hit_rate(self, budget: int) -> float:
        """The share of the faces that a cache of so many bytes finds once all were seen, 0..1."""
        return min(1.0, budget / max(1, self.size))

    def text(self, budget: int, *, by_default: bool, disk: int = 0) -> str:
        """Say in one line how many faces fit in budgets of bytes, and whose choice that is."""
        rate = self.hit_rate(budget)
        share = "a quarter of the free memory" if by_default else "cache_mb"
        on_disk = ""
        if disk:
            on_disk = f"; the disk cache holds {100 * self.hit_rate(disk):.0f} % of all"
        elif rate < 1:
            on_disk = f"; --cache-disk-gb {math.ceil(self.size / 2**30)} would hold all on the disk"
        return (
            f"the cache holds {int(rate * self.faces):,} of {self.faces:,} faces "
            f"({100 * rate:.0f} %): they need {self.size / 2**20:,.0f} MiB, it may take "
            f"{budget / 2**20:,.0f} MiB ({share}){on_disk}"
        )


def bytes_of_face(spec: SampleSpec | XSegSpec, face: FaceSample) -> int:
    """Estimate what is kept of a face: exact for images, of masks what they usually take."""
    side = spec.resolution
    free = FaceType.MVE_CUSTOM in (spec.face_type, face.face_type)
    same = free or spec.face_type == face.face_type
    as_stored = same and face.shape[:2] == (side, side)
    if isinstance(spec, XSegSpec):
        return _image_bytes(side, as_stored=as_stored) + _mask_bytes(side, "full")
    images = len(spec.borders) * _image_bytes(side, as_stored=as_stored)
    return images + sum(_mask_bytes(side, kind) for kind in spec.drawn_masks - {"none"})


def _image_bytes(side: int, *, as_stored: bool) -> int:
    """Three channels of float32; of bytes where the pixels are those of the file."""
    return side * side * (3 if as_stored else 12)


def _mask_bytes(side: int, kind: str) -> int:
    """Runs: a few values and lengths in each row; of soft parts an eighth of all values."""
    return 40 * side + (0 if kind == "full" else side * side // 2)
