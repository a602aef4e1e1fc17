"""The worst and the median faces of an evaluation, side by side for several models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from dfl_tf.evaluate.evaluator import FaceScore, Prediction, Side, worst_first
from dfl_tf.evaluate.measure import EvaluationFaces, Swapper, predictions
from dfl_tf.evaluate.results import Evaluation
from dfl_tf.imaging import sheet

WORST, MEDIAN = 4, 3
_CELL = 160

Image = npt.NDArray[np.uint8] | npt.NDArray[np.floating]
Chosen = dict[tuple[Side, str], str]
"""Side and name of a face to what it stands for: ``worst`` or ``median``."""


def faces_to_show(faces: Sequence[FaceScore]) -> Chosen:
    """The worst faces of each side, the worst first, and those in the middle.

    Faces are ordered by their SSIM.
    """
    chosen: Chosen = {}
    for side in ("src", "dst"):
        ranked = worst_first(face for face in faces if face.side == side)
        for face in ranked[:WORST]:
            chosen[face.side, face.name] = "worst"
        middle = max(0, (len(ranked) - MEDIAN) // 2)
        for face in ranked[middle : middle + MEDIAN]:
            chosen.setdefault((face.side, face.name), "median")
    return chosen


def collect(
    model: Swapper, faces: EvaluationFaces, chosen: Chosen
) -> dict[tuple[Side, str], tuple[Image, Prediction]]:
    """What a model makes of chosen faces: the face and its `Prediction`, by side and name.

    Images have the shape (r, r, 3), float32 BGR in [0, 1].
    """
    found: dict[tuple[Side, str], tuple[Image, Prediction]] = {}
    for side, sample, made in predictions(model, faces):
        if (side, sample.name) in chosen:
            found[side, sample.name] = sample.image, made
    return found


def evaluation_sheet(
    results: Sequence[Evaluation],
    collected: Sequence[Mapping[tuple[Side, str], tuple[Image, Prediction]]],
    chosen: Chosen,
) -> npt.NDArray[np.uint8]:
    """Draw the chosen faces: a row each, the face first, then what each model makes of it.

    Parameters
    ----------
    results : sequence of Evaluation
    collected : sequence of mapping
        Of each result; see `collect`.
    chosen : dict
        See `faces_to_show`.

    Returns
    -------
    ndarray, shape (h, w, 3), uint8, BGR
    """
    rows, captions = [], []
    values = [
        {(f.side, f.name): f.values.get("ssim", float("nan")) for f in r.scores.faces}
        for r in results
    ]
    for key, why in chosen.items():
        side, name = key
        row: list[Image | None] = [collected[0][key][0]]
        text = [f"{side} {why}: {name}"]
        for number, result in enumerate(results):
            _, made = collected[number][key]
            label = result.model if len(results) > 1 else f"{side} to {side}"
            row.append(made.image)
            text.append(f"{values[number][key]:.3f} {label}")
            if any(each == "dst" for each, _ in chosen):
                row.append(made.swap)
                text.append("swap" if side == "dst" else "")
        rows.append(row)
        captions.append(text)
    return sheet(rows, captions=captions, cell=_CELL)
