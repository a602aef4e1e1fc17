"""A batch: arrays by name, and which faces they were made of."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, NoReturn

import numpy as np
import numpy.typing as npt


class SampleId(NamedTuple):
    """Which sample of a stream, made of which face.

    Attributes
    ----------
    position : int
        Place in the stream, counted from the beginning of the run; with the stream's seed it
        determines every random draw.
    face : str
        `FaceSample.key` of the face: its file, or its pak and number.
    """

    position: int
    face: str


@dataclass(frozen=True, eq=False)
class Batch:
    """Arrays of the same samples, by the names that the spec of the stream gives them.

    Parameters
    ----------
    arrays : mapping of str to ndarray or tensor
        Each of shape (n, …); of faces (n, h, w, c) float32 in [0, 1], images BGR.
    samples : tuple of SampleId
        Of each sample where it comes from; empty for batches that no stream has made.

    Examples
    --------
    >>> import numpy as np
    >>> batch = Batch({"image": np.zeros((2, 64, 64, 3), np.float32)})
    >>> batch["image"].shape, batch.size, batch.names
    ((2, 64, 64, 3), 2, ('image',))
    """

    arrays: Mapping[str, Any]
    samples: tuple[SampleId, ...] = ()

    def __getitem__(self, name: str) -> Any:
        try:
            return self.arrays[name]
        except KeyError:
            raise KeyError(f"a batch without {name!r}; it has {', '.join(self.arrays)}") from None

    def __contains__(self, name: object) -> bool:
        return name in self.arrays

    def __iter__(self) -> NoReturn:
        raise TypeError("a batch is read by name: batch['image']; `names` lists them")

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the arrays, in the order of the spec."""
        return tuple(self.arrays)

    @property
    def size(self) -> int:
        """Number of samples."""
        return int(next(iter(self.arrays.values())).shape[0])

    def with_arrays(self, **arrays: object) -> Batch:
        """Return the batch with other arrays under some names."""
        return replace(self, arrays={**self.arrays, **arrays})

    def rolled(self, shift: int) -> Batch:
        """Return the batch with its samples moved by `shift` places, the last ones to the front."""
        places = np.roll(np.arange(self.size), shift)
        return Batch(
            {name: array[places] for name, array in self.arrays.items()},
            tuple(self.samples[place] for place in places) if self.samples else (),
        )


def empty_array(*shape: int) -> npt.NDArray[np.float32]:
    """Return an array, not set, with one value behind it that may be overwritten.

    It is of any shape, float32. Kernels write whole vectors; samples are written into the array
    of their batch one by one.
    """
    size = math.prod(shape)
    return np.empty(size + 1, dtype=np.float32)[:size].reshape(shape)
