"""What stands out in faces that were measured before, told without measuring again."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dfl_tf.data.identity import DlibEmbedder
from dfl_tf.facesets.measure_cache import MeasureCache
from dfl_tf.facesets.report.facts import Facts, collect
from dfl_tf.facesets.report.sentences import sentences

_ENOUGH = 0.9  # of the faces of each side were measured


def known_sentences(src: Path, dst: Path, *, cache: MeasureCache) -> list[str]:
    """The sentences of a report, as far as its measures are remembered.

    Parameters
    ----------
    src, dst : Path
    cache : MeasureCache

    Returns
    -------
    list of str
        The most important first. Where faces were not measured, only what is wrong with masks.
    """
    facts = collect(src, dst, cache=cache, embedder=DlibEmbedder(), compute=False)
    return sentences(facts) if _measured(facts) else [f"{line}." for line in facts.mask_warnings]


def _measured(facts: Facts) -> bool:
    shares = [
        np.count_nonzero(~np.isnan(side.scales["yaw"])) / max(side.survey.faces, 1)
        for side in facts.sides.values()
    ]
    return bool(min(shares) >= _ENOUGH)
