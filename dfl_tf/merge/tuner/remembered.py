"""Networks that remember what they have answered."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

import numpy as np

from dfl_tf.merge.networks import MergeNetworks
from dfl_tf.merge.warping import Floats

V = TypeVar("V")
Kept = tuple[Floats, ...]
OneAnswer = Callable[[Floats], Floats]


class Recent(Generic[V]):
    """Values by key, up to a number of bytes; what was not used for longest goes first.

    Parameters
    ----------
    limit : int
        Bytes. One value is always kept, however large it is.
    """

    def __init__(self, limit: int):
        self._limit, self._used = limit, 0
        self._values: OrderedDict[object, tuple[V, int]] = OrderedDict()

    def get(self, key: object) -> V | None:
        """Return the value of a key, or None."""
        if key not in self._values:
            return None
        self._values.move_to_end(key)
        return self._values[key][0]

    def put(self, key: object, value: V, size: int) -> V:
        """Keep and return a value of so many bytes."""
        _, before = self._values.pop(key, (None, 0))
        self._values[key] = value, size
        self._used += size - before
        while self._used > self._limit and len(self._values) > 1:
            _, (_, freed) = self._values.popitem(last=False)
            self._used -= freed
        return value


def remembering(
    networks: MergeNetworks,
    answers: Recent[Kept],
    *,
    about: str = "",
    asking: Callable[[], object],
) -> MergeNetworks:
    """Return networks that compute nothing that they have computed before.

    They take and give what `networks` do: arrays of shape (n, h, w, c) and the like, float32.

    An answer is kept under a checksum of all that the network was shown, so it is the answer,
    whatever has changed between: which settings need a network is written down nowhere.

    Parameters
    ----------
    networks : MergeNetworks
    answers : Recent
        Where answers are kept, arrays of shape (n, h, w, c) and the like, float32; several
        networks may share it.
    about : str
        What the answers depend on beside the image, such as the morph factor.
    asking : callable
        Called before a network computes.
    """

    def kept(name: str, network: Callable[[Floats], object]) -> Callable[[Floats], Kept]:
        def answer(images: Floats) -> Kept:
            shown = np.ascontiguousarray(images)
            digest = hashlib.blake2b(shown.data, digest_size=16).digest()
            key = about, name, shown.shape, str(shown.dtype), digest
            found = answers.get(key)
            if found is None:
                asking()
                given = network(images)
                arrays = given if isinstance(given, tuple) else (given,)
                found = tuple(np.array(array, np.float32) for array in arrays)
                for array in found:
                    array.flags.writeable = False
                answers.put(key, found, sum(array.nbytes for array in found))
            return found

        return answer

    def single(name: str, network: Callable[[Floats], Floats] | None) -> OneAnswer | None:
        if network is None:
            return None
        remembered = kept(name, network)
        return lambda images: remembered(images)[0]

    predict = kept("predict", networks.predict)

    def three(images: Floats) -> tuple[Floats, Floats, Floats]:
        face, mask, target_mask = predict(images)
        return face, mask, target_mask

    return MergeNetworks(
        three,
        networks.size,
        single("segment", networks.segment),
        single("enhance", networks.enhance),
        single("segment_batch", networks.segment_batch),
        single("enhance_batch", networks.enhance_batch),
    )
