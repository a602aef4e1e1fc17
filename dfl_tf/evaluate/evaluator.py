"""From faces, and what a model made of them, to numbers: arrays in, scores out.

Faces come one after the other, so that their number costs no memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from dfl_tf.data.identity import Embedder
from dfl_tf.evaluate import metrics
from dfl_tf.evaluate.samples import MeasuredSample
from dfl_tf.options.metrics import HIGHER_IS_BETTER

Side = Literal["src", "dst"]
Image = npt.NDArray[np.float32]
Vector = npt.NDArray[np.float64]

CUT = 0.1
"""Two dst faces that differ more on average, over their masks, are of two shots: no jitter."""

FACE_METRICS = ("ssim", "l1", "psnr", "iou")


@dataclass(frozen=True)
class Prediction:
    """What a model made of a face; None where its class does not say.

    Attributes
    ----------
    image, mask : ndarray or None
        The face reproduced; shape (r, r, 3) and (r, r, 1), float32 in [0, 1], BGR.
    swap, swap_mask : ndarray or None
        The src face on this dst face; shapes as above.
    """

    image: Image | None = None
    mask: Image | None = None
    swap: Image | None = None
    swap_mask: Image | None = None


@dataclass(frozen=True)
class FaceScore:
    """The numbers of one face.

    Attributes
    ----------
    side : {"src", "dst"}
    name, digest : str
        See `MeasuredSample`.
    values : mapping
        Of `FACE_METRICS` to float; empty where the face was not reproduced.
    """

    side: Side
    name: str
    digest: str
    values: Mapping[str, float]


@dataclass(frozen=True)
class Scores:
    """All numbers of one model.

    Attributes
    ----------
    metrics : dict
        Means over the faces: ``src_ssim``, ``dst_l1`` and so on, ``ssim`` (the mean of both
        sides), ``identity_src``, ``identity_dst`` and ``jitter``. What could not be measured is
        not in it.
    faces : tuple of FaceScore
    pairs, cuts : int
        Consecutive dst faces that jitter was measured on, and those between which a shot ends.
    """

    metrics: dict[str, float]
    faces: tuple[FaceScore, ...]
    pairs: int = 0
    cuts: int = 0


@dataclass
class Evaluator:
    """Scores the faces of src and dst, given in the order of their frames.

    Parameters
    ----------
    embedder : Embedder, optional
        What tells persons apart; without it there is no identity.
    known : dict, optional
        Vectors of faces, shape (k,), float64, by side, name and digest: what was computed before
        is taken from there.
    """

    embedder: Embedder | None = None
    known: dict[tuple[str, str, str], Vector] = field(default_factory=dict)
    _faces: list[FaceScore] = field(default_factory=list, init=False)
    _persons: dict[Side, list[Vector]] = field(
        default_factory=lambda: {"src": [], "dst": []}, init=False
    )
    _swaps: list[Vector] = field(default_factory=list, init=False)
    _jitter: list[float] = field(default_factory=list, init=False)
    _cuts: int = field(default=0, init=False)
    _last: tuple[MeasuredSample, Prediction] | None = field(default=None, init=False)

    def add(
        self,
        side: Side,
        sample: MeasuredSample,
        made: Prediction,
        values: Mapping[str, float] | None = None,
    ) -> None:
        """Measure one face; `values` is what `score_face` says of it, if that is known already."""
        if values is None:
            values = score_face(sample, made)
        self._faces.append(FaceScore(side, sample.name, sample.digest, values))
        if self.embedder is not None and sample.embedded:
            self._embed(side, sample, made)
        if side == "dst" and made.swap is not None:
            if sample.follows and self._last is not None:
                self._pair(*self._last, sample, made)
            self._last = sample, made

    def _pair(
        self,
        before: MeasuredSample,
        made_before: Prediction,
        sample: MeasuredSample,
        made: Prediction,
    ) -> None:
        mask = before.mask * sample.mask
        if not mask.any():
            return
        if metrics.l1(sample.image, before.image, mask) > CUT:
            self._cuts += 1
            return
        assert made_before.swap is not None
        assert made.swap is not None
        faces = before.image, sample.image
        self._jitter.append(metrics.jitter((made_before.swap, made.swap), faces, mask))

    def _embed(self, side: Side, sample: MeasuredSample, made: Prediction) -> None:
        key = side, sample.name, sample.digest
        if key not in self.known:
            self.known[key] = self._vector(sample.image, sample)
        self._persons[side].append(self.known[key])
        if side == "dst" and made.swap is not None and made.swap_mask is not None:
            share = made.swap_mask * (sample.mask if made.mask is None else made.mask)
            merged = made.swap * share + sample.image * (1 - share)
            self._swaps.append(self._vector(merged, sample))

    def _vector(self, image: Image, sample: MeasuredSample) -> Vector:
        assert self.embedder is not None
        if not np.isfinite(image).all():
            return np.full(self.embedder.length, np.nan)
        levels = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
        return self.embedder.vector(_Face(levels, sample.landmarks))

    def scores(self) -> Scores:
        """The numbers of all faces that were added."""
        found: dict[str, float] = {}
        for side in ("src", "dst"):
            for metric in FACE_METRICS:
                values = [
                    face.values[metric]
                    for face in self._faces
                    if face.side == side and metric in face.values
                ]
                if values:
                    found[f"{side}_{metric}"] = float(np.mean(values))
        if "src_ssim" in found and "dst_ssim" in found:
            found["ssim"] = (found["src_ssim"] + found["dst_ssim"]) / 2
        for side, person in self._persons.items():
            if self._swaps and person:
                distances = [metrics.identity_distance(v, person) for v in self._swaps]
                found[f"identity_{side}"] = float(np.mean(distances))
        if self._jitter:
            found["jitter"] = float(np.mean(self._jitter))
        return Scores(found, tuple(self._faces), len(self._jitter), self._cuts)


@dataclass(frozen=True)
class _Face:
    """What an embedder takes; arrays as in `AlignedFace`."""

    image: npt.NDArray[np.uint8]
    landmarks: Vector


def score_face(sample: MeasuredSample, made: Prediction) -> dict[str, float]:
    """The numbers of one reproduced face, within its mask.

    Returns
    -------
    dict
        Of `FACE_METRICS` to float, as far as there is something to measure.
    """
    values = {}
    if made.image is not None and sample.mask.any():
        values = {
            "ssim": metrics.masked_ssim(made.image, sample.image, sample.mask),
            "l1": metrics.l1(made.image, sample.image, sample.mask),
            "psnr": metrics.psnr(made.image, sample.image, sample.mask),
        }
    if made.mask is not None:
        values["iou"] = metrics.iou(made.mask, sample.mask)
    return values


def worst_first(faces: Iterable[FaceScore], metric: str = "ssim") -> list[FaceScore]:
    """Faces that have a metric, the worst first; those whose number is none come before all."""
    better = HIGHER_IS_BETTER[metric]

    def key(face: FaceScore) -> tuple[bool, float]:
        value = face.values[metric]
        return not np.isnan(value), value if better else -value

    return sorted((face for face in faces if metric in face.values), key=key)
