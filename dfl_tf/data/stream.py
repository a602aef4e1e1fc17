"""Endless batches of training samples, made in threads, the same for any number of them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple, Self

import cv2
import numpy as np

from dfl_tf.data.batch import Batch, SampleId, empty_array
from dfl_tf.data.cache import ArrayCache
from dfl_tf.data.choose import ShuffledOrder, UniformYawOrder, derive_seed
from dfl_tf.data.faceset import Faceset
from dfl_tf.data.prefetch import Prefetch, auto_workers
from dfl_tf.data.sample import make_sample
from dfl_tf.data.spec import SampleSpec
from dfl_tf.errors import DflTfError, FacesetError
from dfl_tf.face import yaw_bins

_log = logging.getLogger(__name__)

# Names of the independent random sequences of one stream.
_ORDER, _COLOR_ORDER, _SAMPLE, _REPLACEMENT = range(4)
_ATTEMPTS = 32

SampleArrays = Mapping[str, np.ndarray]
Rooms = Mapping[str, np.ndarray]  # of a batch, where a sample may be written


class Made(NamedTuple):
    """One sample: the face's name and key, and its arrays, or why there are none."""

    name: str
    key: str = ""
    arrays: SampleArrays | None = None
    reason: str = ""


class SampleStream:
    """Batches of samples that are functions of (seed, position); base of the two streams.

    A sample that cannot be made (its file is damaged or gone) is logged, counted and replaced by
    another one, chosen by (seed, position, attempt): the same in every run.

    Attributes
    ----------
    batch_size : int
    failures : dict
        Name of each face that could not be used → reason.
    replaced : int
        Number of samples that were replaced.
    """

    def __init__(
        self,
        make: Callable[[int, int, Rooms], Made],
        shapes: Mapping[str, tuple[int, ...]],
        batch_size: int,
        *,
        workers: int,
        prefetch: int,
        position: int,
        offsets: Sequence[int] | None = None,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1; received {batch_size}")
        # Threads work on different batches; OpenCV's own would fight over the same cores.
        cv2.setNumThreads(1)
        self.batch_size = batch_size
        self.failures: dict[str, str] = {}
        self.replaced = 0
        self._make_one, self._shapes = make, dict(shapes)
        self._offsets = range(batch_size) if offsets is None else tuple(offsets)
        self._start = position
        self._position = position
        self._lock = threading.Lock()
        self._prefetch = Prefetch(
            self._make_batch, workers=workers or auto_workers(), ahead=prefetch
        )

    @property
    def position(self) -> int:
        """Samples consumed since the beginning of the run; pass it to resume."""
        return self._position

    @property
    def wait_seconds(self) -> float:
        """Time that the consumer spent waiting for batches."""
        return self._prefetch.wait_seconds

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        batch = self._prefetch.take()
        self._position += self.batch_size
        return batch

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop the threads."""
        self._prefetch.close()

    def _make_batch(self, number: int) -> Batch:
        first = self._start + number * self.batch_size
        count = len(self._offsets)
        arrays = {name: empty_array(count, *shape) for name, shape in self._shapes.items()}
        ids = []
        for place, offset in enumerate(self._offsets):
            rooms = {name: array[place] for name, array in arrays.items()}
            made, sample = self._make_position(first + offset, rooms)
            for name, room in rooms.items():
                if made[name] is not room:
                    room[...] = made[name]
            ids.append(sample)
        return Batch(arrays, tuple(ids))

    def _make_position(self, position: int, rooms: Rooms) -> tuple[SampleArrays, SampleId]:
        for attempt in range(_ATTEMPTS):
            name, key, arrays, reason = self._make_one(position, attempt, rooms)
            if arrays is not None:
                return arrays, SampleId(position, key)
            with self._lock:
                self.replaced += 1
                if name not in self.failures:
                    self.failures[name] = reason
                    _log.warning("Skipping %s and drawing another face instead: %s", name, reason)
        names = ", ".join(list(self.failures)[:5])
        raise FacesetError(
            f"{_ATTEMPTS} faces in a row cannot be read ({names}, …); "
            "check that the folder of aligned faces is still whole"
        )


class BatchStream(SampleStream):
    """Batches for one side of a model.

    Parameters
    ----------
    faceset : Faceset
    spec : SampleSpec
    batch_size : int
    seed : int
        Two streams of the same seed draw alike: give src and dst different ones.
    color_faceset : Faceset, optional
        Where the colors of `spec.ct_mode` come from: a face of an own order for each sample.
    uniform_yaw : bool
        Whether yaw bins, not faces, are visited evenly.
    workers : int
        Threads; 0 takes half of the cores, at most 8.
    prefetch : int
        Batches made ahead.
    position : int
        Samples to skip: where an earlier run stopped.
    cache_mb : float
        Budget for aligned images and masks, in MiB (2**20 bytes).
    cache : ArrayCache, optional
        Shared with another stream; without one the stream has its own.
    offsets : sequence of int, optional
        Which samples of each batch are made here, by their place in it; the other ones are another
        process's. Default: all. Positions count whole batches.

    Raises
    ------
    FacesetError
        From `next`, if 32 faces in a row cannot be read.

    References
    ----------
    data.md 3; decision 8.
    """

    def __init__(
        self,
        faceset: Faceset,
        spec: SampleSpec,
        batch_size: int,
        *,
        seed: int,
        color_faceset: Faceset | None = None,
        uniform_yaw: bool = False,
        workers: int = 0,
        prefetch: int = 3,
        position: int = 0,
        cache_mb: float = 256,
        cache: ArrayCache | None = None,
        offsets: Sequence[int] | None = None,
    ) -> None:
        self._faceset, self._spec, self._seed = faceset, spec, seed
        self._colors = color_faceset if spec.ct_mode != "none" else None
        self._cache = ArrayCache(int(cache_mb * 2**20)) if cache is None else cache
        self._order: Callable[[int], int]
        if uniform_yaw:
            self._order = UniformYawOrder(_yaw_bins(faceset), seed, _ORDER)
        else:
            self._order = ShuffledOrder(len(faceset), seed, _ORDER)
        if self._colors is not None:
            self._color_order = ShuffledOrder(len(self._colors), seed, _COLOR_ORDER)
        super().__init__(
            self._make,
            spec.shapes,
            batch_size,
            workers=workers,
            prefetch=prefetch,
            position=position,
            offsets=offsets,
        )

    def _make(self, position: int, attempt: int, rooms: Rooms) -> Made:
        index = self._index(position, attempt)
        name = self._faceset.name(index)
        color_source = None
        seed = derive_seed(self._seed, _SAMPLE, position, attempt)
        try:
            if self._colors is not None:
                color_source = self._colors[self._color_index(position, attempt)]
            face = self._faceset[index]
            arrays = make_sample(
                face,
                self._spec,
                seed,
                color_source=color_source,
                cache=self._cache,
                rooms=rooms,
            )
        except (DflTfError, OSError, cv2.error) as error:
            return Made(name, reason=str(error))
        return Made(name, face.key, arrays)

    def _index(self, position: int, attempt: int) -> int:
        if attempt == 0:
            return self._order(position)
        return derive_seed(self._seed, _REPLACEMENT, position, attempt) % len(self._faceset)

    def _color_index(self, position: int, attempt: int) -> int:
        assert self._colors is not None
        if attempt == 0:
            return self._color_order(position)
        return derive_seed(self._seed, _COLOR_ORDER, position, attempt) % len(self._colors)


def _yaw_bins(faceset: Faceset) -> dict[int, list[int]]:
    usable = [(index, facts.yaw) for index, facts in faceset.facts()]
    if not usable:
        raise FacesetError(f"{faceset.path}: none of the {len(faceset)} faces can be read")
    bins = yaw_bins([yaw for _, yaw in usable])
    return {key: [usable[place][0] for place in places] for key, places in bins.items()}
