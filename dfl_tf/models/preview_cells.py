"""What the cells of preview images show, and images that the legacy program has not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath

import numpy as np
import numpy.typing as npt

from dfl_tf.data.batch import Batch
from dfl_tf.imaging import side_by_side
from dfl_tf.models.base import PreviewImage

Array = npt.NDArray[np.float32]


class Names:
    """What the faces of the first samples are called.

    Parameters
    ----------
    src, dst : Batch
    count : int
        Samples that are shown.
    """

    def __init__(self, src: Batch, dst: Batch, count: int) -> None:
        self.src, self.dst = face_names(src, "src", count), face_names(dst, "dst", count)
        self._count = count

    def rows(self, columns: Sequence[str | Sequence[str]]) -> tuple[tuple[str, ...], ...]:
        """Captions of rows whose columns are called alike, or one by one."""
        every = [[c] * self._count if isinstance(c, str) else c for c in columns]
        return tuple(zip(*every, strict=True))


def face_names(batch: Batch, side: str, count: int) -> list[str]:
    """Name the first faces of a batch by side and file; by the side where no stream made it."""
    names = [PurePath(sample.face).name for sample in batch.samples[:count]]
    return [f"{side} {name}".rstrip() for name in names] or [side] * count


def further(name: str, names: Names, columns: Mapping[str, Array]) -> PreviewImage:
    """Draw an image that the legacy program has not.

    Parameters
    ----------
    name : str
    names : Names
    columns : mapping of str to ndarray, shape (n, h, w, 1) or (n, h, w, 3), float32 in [0, 1]
        By caption.
    """
    captions = names.rows(list(columns))
    return PreviewImage(name, side_by_side(list(columns.values())), captions, further=True)


def inputs_shown(name: str, names: Names, src: Batch, dst: Batch) -> list[PreviewImage]:
    """Draw the warped faces that the networks got, where the batches have them."""
    if "image" not in src or "image" not in dst:
        return []
    count = len(names.src)
    images = [np.clip(batch["image"][:count], 0, 1) for batch in (src, dst)]
    captions = names.rows([names.src, names.dst])
    return [PreviewImage(f"{name} inputs", side_by_side(images), captions, further=True)]
