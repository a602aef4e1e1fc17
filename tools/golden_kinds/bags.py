"""The index servers of DeepFaceLab; training here uses orders that can be resumed at any place."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


class Bag:
    """The legacy index server: refill and shuffle when empty, take from the end.

    Parameters
    ----------
    indices : sequence of int
    rng : numpy.random.RandomState
        One `shuffle` a refill.

    References
    ----------
    data.md 3.2.
    """

    def __init__(self, indices: Sequence[int], rng: np.random.RandomState) -> None:
        self._indices = list(indices)
        self._rng = rng
        self._bag: list[int] = []

    def take(self) -> int:
        """Return the next index."""
        if not self._bag:
            self._bag = self._indices.copy()
            self._rng.shuffle(self._bag)
        return self._bag.pop()


class TwoLevelBag:
    """The legacy uniform-yaw server: a bag of bins, and a bag for each bin.

    Training uses `UniformYawOrder`, which can be resumed at any place (data.md 3.2).
    """

    def __init__(self, bins: Sequence[Sequence[int]], rng: np.random.RandomState) -> None:
        self._bins = Bag(range(len(bins)), rng)
        self._faces = [Bag(members, rng) for members in bins]

    def take(self) -> int:
        """Return the next index."""
        return self._faces[self._bins.take()].take()
