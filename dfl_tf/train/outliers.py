"""Faces whose loss stands out against their own history.

The loss of a sample is taken relative to what all samples have at that time, so that a change of
phase or a slow fall of the losses does not count. Eight such values of a face give its limit:
their median, and above it a factor of 4 or eight deviations (1.4826 times the median absolute
deviation), whichever is more; the next eight give it again. A single bad value moves neither.

References
----------
docs/recipes.md, "Faces that stand out". B. Iglewicz and D. C. Hoaglin, How to Detect and Handle
Outliers, 1993.
"""

from __future__ import annotations

import base64
import binascii
import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dfl_tf.data import Batch, Faceset

STORED_AS: Final = "face_losses"
"""Key of the histories in `ModelState.run`; they are stored where faces are left out."""
VISITS = 8
"""Times that a face was seen which give its limit."""
MOST_FACES = 20_000
"""Faces of all sides whose losses are followed; those after them are not."""
_LEVEL_OVER, _LEVEL_EVERY = 50, 10
_FACTOR, _DEVIATIONS, _NORMAL = 4.0, 8.0, 1.4826


@dataclass(frozen=True)
class Outlier:
    """A sample whose loss stands out.

    Attributes
    ----------
    side : str
        Of its faceset.
    face : str
        Name of the face in that.
    file : str
        `FaceSample.key`.
    loss : float
    times : float
        How many times its usual loss that is; infinity if the loss is not finite.
    """

    side: str
    face: str
    file: str
    loss: float
    times: float

    def text(self) -> str:
        """What stands out, for people."""
        usual = "not finite" if np.isinf(self.times) else f"{self.times:.1f} times its usual one"
        return f"the loss of {self.side} face {self.face}, {self.loss:.4g}, is {usual}"


class LossHistories:
    """The losses of each face, in a fixed amount of memory.

    Parameters
    ----------
    facesets : mapping of str to Faceset
        By side.
    """

    def __init__(self, facesets: Mapping[str, Faceset]) -> None:
        self._rows: dict[str, int] = {}
        self._names: list[tuple[str, str]] = []
        for side, faceset in facesets.items():
            for index in range(min(len(faceset), MOST_FACES - len(self._names))):
                self._rows.setdefault(faceset.key(index), len(self._names))
                self._names.append((side, faceset.identity(index)))
        count = len(self._names)
        self._ring = np.zeros((count, VISITS), np.float16)
        self._visits = np.zeros(count, np.uint8)
        self._usual = np.zeros(count, np.float16)
        self._limit = np.full(count, np.inf, np.float16)
        self._levels: tuple[int, NDArray[np.float64]] = (-1, np.empty(0))

    def look(
        self,
        iteration: int,
        batches: Mapping[str, Batch],
        losses: Mapping[str, NDArray[np.floating]],
        history: NDArray[np.float64],
    ) -> list[Outlier]:
        """Note the losses of a step and find those that stand out.

        Parameters
        ----------
        iteration : int
            Finished iterations before this step.
        batches : mapping of str to Batch
            By name, as `FaceModel.sample_specs`.
        losses : mapping of str to ndarray, shape (n,), float32 or float64
            Of each sample; of the batch of that name, or of the only one.
        history : ndarray, shape (iterations, losses), float64
            The mean losses before this step.
        """
        found: list[Outlier] = []
        if not self._names:
            return found
        levels = self._level(iteration, history)
        for column, (name, values) in enumerate(losses.items()):
            batch = batches.get(name) if len(losses) > 1 else next(iter(batches.values()), None)
            if batch is None or len(batch.samples) != len(values):
                continue
            level = float(levels[column]) if column < len(levels) else 0.0
            found += self._side(batch, np.asarray(values, np.float64), level)
        return found

    def _level(self, iteration: int, history: NDArray[np.float64]) -> NDArray[np.float64]:
        """The usual loss of all faces: a function of the history and the iteration."""
        end = min(iteration, len(history)) // _LEVEL_EVERY * _LEVEL_EVERY
        if self._levels[0] != end:
            recent = history[max(0, end - _LEVEL_OVER) : end]
            self._levels = end, np.median(recent, axis=0) if len(recent) else np.empty(0)
        return self._levels[1]

    def _side(self, batch: Batch, values: NDArray[np.float64], level: float) -> list[Outlier]:
        finite = np.isfinite(values)
        if not finite.all():
            bad = np.flatnonzero(~finite).tolist()
            others = float(np.median(values[finite])) if finite.any() else math.inf
            # Where the others are as always, it is the face; else it is the model.
            alone = 2 * len(bad) <= len(values) and others <= _FACTOR * (level or math.inf)
            return [self._outlier(batch, place, values[place]) for place in bad if alone]
        if not level > 0:
            return []
        rows = np.array([self._rows.get(sample.face, -1) for sample in batch.samples])
        usual = np.maximum(level, _of_others(values))
        ratios = np.log(np.maximum(values, 1e-8) / usual).astype(np.float16)
        found = []
        if (ratios > self._limit[rows]).any():
            found = [
                self._outlier(batch, place, values[place], float(ratios[place] - self._usual[row]))
                for place, row in enumerate(rows.tolist())
                if row >= 0 and ratios[place] > self._limit[row]
            ]
        if rows.min() < 0:
            ratios, rows = ratios[rows >= 0], rows[rows >= 0]
        self._note(rows, ratios)
        return found

    def _note(self, rows: NDArray[np.intp], ratios: NDArray[np.float16]) -> None:
        visits = self._visits[rows]
        self._ring[rows, visits] = ratios
        self._visits[rows] = visits + 1
        for row in rows[visits == VISITS - 1].tolist():
            seen = self._ring[row].astype(np.float64)
            usual = _median(seen)
            deviation = _NORMAL * _median(np.abs(seen - usual))
            self._usual[row] = usual
            self._limit[row] = usual + max(math.log(_FACTOR), _DEVIATIONS * deviation)
            self._visits[row] = 0

    def _outlier(self, batch: Batch, place: int, loss: float, above: float = np.inf) -> Outlier:
        file = batch.samples[place].face
        row = self._rows.get(file, -1)
        side, face = self._names[row] if row >= 0 else ("", file)
        return Outlier(side, face, file, float(loss), float(np.exp(above)))

    def without(self, facesets: Mapping[str, Faceset]) -> LossHistories:
        """The same for fewer faces."""
        fewer = LossHistories(facesets)
        rows = [self._rows[key] for key in fewer._rows if key in self._rows]
        if len(rows) == len(fewer._names):
            for of_fewer, of_all in zip(fewer._arrays(), self._arrays(), strict=True):
                of_fewer[...] = of_all[rows]
        return fewer

    def tree(self) -> dict[str, object]:
        """What is stored with the model, as JSON values."""
        data = zlib.compress(b"".join(array.tobytes() for array in self._arrays()), 1)
        return {"faces": self._digest(), "data": base64.b64encode(data).decode()}

    def restore(self, tree: object) -> bool:
        """Go on with what was stored, if it is of these faces; says whether it is."""
        if not isinstance(tree, dict) or tree.get("faces") != self._digest():
            return False
        arrays = self._arrays()
        size = sum(array.nbytes for array in arrays)
        try:
            packed = base64.b64decode(str(tree.get("data")), validate=True)
            data = zlib.decompressobj().decompress(packed, size + 1)
        except (binascii.Error, ValueError, zlib.error):
            return False
        if len(data) != size:
            return False
        for array in arrays:
            array[...] = np.frombuffer(data[: array.nbytes], array.dtype).reshape(array.shape)
            data = data[array.nbytes :]
        self._visits %= VISITS
        return True

    def _arrays(self) -> list[NDArray[np.float16 | np.uint8]]:
        return [self._ring, self._visits, self._usual, self._limit]

    def _digest(self) -> str:
        names = "\n".join(f"{side}\t{face}" for side, face in self._names)
        return f"{len(self._names)}-{zlib.crc32(names.encode('utf-8', 'surrogatepass')):08x}"


def _of_others(values: NDArray[np.float64]) -> NDArray[np.float64] | float:
    """What the other samples of a batch have: one that stands out does not move their median."""
    if len(values) < 3:
        return values[::-1] if len(values) == 2 else 0.0
    return _median(values)


def _median(values: NDArray[np.float64]) -> float:
    """The median of a few numbers; NumPy's takes ten times as long for them."""
    ordered = sorted(values.tolist())
    half = len(ordered) // 2
    return float(ordered[half] + ordered[-half - 1]) / 2
