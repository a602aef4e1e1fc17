"""A model asked about faces, and its answers scored."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt
from dfl_tf_ops.process import cores

from dfl_tf.data import Faceset
from dfl_tf.data.identity import Embedder
from dfl_tf.disk.left_out import LeftOut
from dfl_tf.evaluate.evaluator import Evaluator, Prediction, Scores, Side, score_face
from dfl_tf.evaluate.samples import Choice, MeasuredSample, choose, load
from dfl_tf.face import FaceType
from dfl_tf.jobs.pool import ordered

if TYPE_CHECKING:
    from dfl_tf.models.swap import DstOutput
    from dfl_tf.options import TrainingOptions

Images = npt.NDArray[np.float32]

_BATCH = 8  # faces that the networks see at once


class Swapper(Protocol):
    """What is needed of a `dfl_tf.models.swap.SwapModel`."""

    @property
    def options(self) -> TrainingOptions:
        """Its `resolution` and `face_type`."""

    def src_to_src(self, face: Images) -> Sequence[npt.NDArray[np.float32]] | None:
        """Image and mask of src faces, shape (n, r, r, 3) and (n, r, r, 1), float32."""

    def dst_to_all(self, face: Images) -> DstOutput:
        """Swap, its mask, dst and its mask of dst faces; see `src_to_src`."""


@dataclass
class EvaluationFaces:
    """The faces of both people that models are measured on.

    Attributes
    ----------
    src, dst : Faceset
    chosen : dict
        Side to `Choice`.
    left_out : LeftOut
        What could not be read.
    known : dict
        Vectors of the faces themselves; see `Evaluator`.
    """

    src: Faceset
    dst: Faceset
    chosen: dict[Side, Choice]
    left_out: LeftOut = field(default_factory=LeftOut)
    known: dict[tuple[str, str, str], npt.NDArray[np.float64]] = field(default_factory=dict)

    @classmethod
    def choose(
        cls, src: Faceset, dst: Faceset, *, most: int = 0, embedded: int = 0
    ) -> EvaluationFaces:
        """Choose faces of each side; see `samples.choose`."""
        return cls(
            src,
            dst,
            {"src": choose(src, most, embedded), "dst": choose(dst, most, embedded)},
        )

    def samples(self, side: Side, resolution: int, face_type: FaceType) -> Iterator[MeasuredSample]:
        """Load the faces of a side."""
        faceset = self.src if side == "src" else self.dst
        return load(faceset, self.chosen[side], resolution, face_type, left_out=self.left_out)


def measure(model: Swapper, faces: EvaluationFaces, embedder: Embedder | None = None) -> Scores:
    """Measure a model on faces.

    Parameters
    ----------
    model : SwapModel
        Nothing of it changes.
    faces : EvaluationFaces
    embedder : Embedder, optional
        What tells persons apart; without it identity is not measured.
    """
    evaluator = Evaluator(embedder, faces.known)
    # The networks are asked in this thread, the answers are scored in others meanwhile.
    for scored in ordered(
        lambda item: score_face(item[1], item[2]), predictions(model, faces), workers=cores()
    ):
        evaluator.add(*scored.item, scored.get())
    return evaluator.scores()


def predictions(
    model: Swapper, faces: EvaluationFaces, only: Sequence[Side] = ("src", "dst")
) -> Iterator[tuple[Side, MeasuredSample, Prediction]]:
    """Ask the model about each face, in the order of the frames, src first."""
    resolution = int(model.options.resolution)
    face_type = FaceType.from_name(model.options.face_type)
    for side in only:
        for batch in _batches(faces.samples(side, resolution, face_type)):
            images = np.stack([sample.image for sample in batch])
            images = _padded(np.clip(images, 0, 1))
            answers = _ask(model, side, images)
            for sample, made in zip(batch, answers, strict=False):
                yield side, sample, made


def _ask(model: Swapper, side: Side, images: Images) -> list[Prediction]:
    if side == "src":
        pair = model.src_to_src(images)
        if pair is None:
            return [Prediction()] * len(images)
        return [Prediction(image, mask) for image, mask in zip(*pair, strict=True)]
    swap, swap_mask, dst, dst_mask = model.dst_to_all(images)
    return [
        Prediction(None if dst is None else dst[i], dst_mask[i], swap[i], swap_mask[i])
        for i in range(len(images))
    ]


def _batches(samples: Iterable[MeasuredSample]) -> Iterator[list[MeasuredSample]]:
    left = iter(samples)
    while batch := list(islice(left, _BATCH)):
        yield batch


def _padded(images: Images) -> Images:
    """Always as many faces: one graph, and sums in one order."""
    missing = _BATCH - len(images)
    return np.concatenate([images, np.repeat(images[-1:], missing, axis=0)]) if missing else images
