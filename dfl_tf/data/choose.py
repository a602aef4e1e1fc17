"""Which face comes next: shuffled bags, as functions of a position and as the legacy servers."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

_KEPT_EPOCHS = 4


def derive_seed(*parts: int) -> int:
    """Mix integers into a seed of 0 … 2**31 - 1; the same on every machine."""
    state = np.random.SeedSequence([part & 0xFFFFFFFF for part in parts]).generate_state(1)
    return int(state[0] & 0x7FFFFFFF)


class ShuffledOrder:
    """Every index once an epoch, in an order that is a function of (seed, epoch).

    It has the statistics of the legacy bag (shuffle, take from the end, refill), but any position
    can be asked for at any time, so a run resumes by its position alone.

    Parameters
    ----------
    count : int
        Number of indices, at least 1.
    seed : sequence of int
        Names the order.

    References
    ----------
    data.md 3.2; decision 8.
    """

    def __init__(self, count: int, *seed: int) -> None:
        if count < 1:
            raise ValueError("an order needs at least one index")
        self.count = count
        self._seed = seed
        self._epochs: OrderedDict[int, npt.NDArray[np.int64]] = OrderedDict()

    def __call__(self, position: int) -> int:
        """Return the index at a position of the endless sequence, 0-based."""
        epoch, place = divmod(position, self.count)
        return int(self._shuffled(epoch)[-1 - place])

    def _shuffled(self, epoch: int) -> npt.NDArray[np.int64]:
        order = self._epochs.get(epoch)
        if order is None:
            order = np.arange(self.count)
            np.random.RandomState(derive_seed(*self._seed, epoch)).shuffle(order)
            self._epochs[epoch] = order
            # Threads may work on both sides of an epoch's border.
            while len(self._epochs) > _KEPT_EPOCHS:
                self._epochs.popitem(last=False)
        return order


class UniformYawOrder:
    """Draw a yaw bin evenly, then a face of that bin: a two-level bag.

    Parameters
    ----------
    bins : mapping of int to sequence of int
        `face.yaw_bins`; empty bins are not allowed.
    seed : sequence of int

    References
    ----------
    data.md 3.2; decision 8.
    """

    def __init__(self, bins: Mapping[int, Sequence[int]], *seed: int) -> None:
        self._members = [list(bins[key]) for key in sorted(bins)]
        self._bins = ShuffledOrder(len(self._members), *seed, 0)
        self._faces = [
            ShuffledOrder(len(members), *seed, 1, number)
            for number, members in enumerate(self._members)
        ]

    def __call__(self, position: int) -> int:
        """Return the face index at a position of the endless sequence, 0-based."""
        chosen = self._bins(position)
        # An epoch of the first level visits each bin once: its number counts the bin's draws.
        draw = position // len(self._members)
        return self._members[chosen][self._faces[chosen](draw)]
