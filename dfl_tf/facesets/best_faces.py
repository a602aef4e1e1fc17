"""The best faces of a set: sharp ones, spread evenly over yaw and pitch."""

from __future__ import annotations

from itertools import chain

import numpy as np
import numpy.typing as npt

from dfl_tf.face.pose import YAW_BINS, yaw_bins
from dfl_tf.facesets.chains import dissimilarity

Floats = npt.NDArray[np.float64]
Positions = npt.NDArray[np.intp]

_CANDIDATES = 10  # times the quota: the sharpest of a bin that may be taken


def best_faces(
    sharpness: Floats,
    yaw: Floats,
    pitch: Floats,
    roots: Floats,
    *,
    target: int,
    least_quota: int = 1,
) -> tuple[list[int], list[int]]:
    """Choose about `target` faces; each yaw bin gives at most its quota.

    Of each of the 128 yaw bins the sharpest faces are divided into as many pitch bins as the
    quota; within these, the ones least like the others come first; then the pitch bins give one
    face each in turn until the quota is reached.

    Parameters
    ----------
    sharpness, yaw, pitch : ndarray, shape (n,), float64
        Yaw and pitch in radians.
    roots : ndarray, shape (n, 256), float64
        See `histogram_roots`; of the gray image.
    target : int
        At least 1.
    least_quota : int
        The quota of a bin is at least this. The legacy program has 0 here and rejects every face
        for targets up to 64.

    Returns
    -------
    kept, trash : list of int
        Positions; `kept` by yaw bin, as picked.

    Raises
    ------
    ValueError
        If the target is below 1.

    References
    ----------
    facesets.md 5.
    """
    if target < 1:
        raise ValueError(f"the target must be at least 1. Received: {target}")
    bins = [np.array(members) for members in yaw_bins(list(yaw)).values()]
    quota = round(target / YAW_BINS)
    lack = quota * (YAW_BINS - len(bins)) + sum(max(quota - len(b), 0) for b in bins)
    quota = max(quota + lack // YAW_BINS, least_quota)
    trash: list[int] = []
    sharpest = []
    for members in bins:
        ordered = members[np.argsort(-sharpness[members], kind="stable")]
        trash += ordered[_CANDIDATES * quota :].tolist()
        sharpest.append(ordered[: _CANDIDATES * quota])
    picked = []
    for members in sharpest:
        queues = [_most_different_first(b, roots) for b in _pitch_bins(members, pitch, quota)]
        taken = _in_turns(queues, quota)
        chosen = set(taken)
        trash += [i for i in chain.from_iterable(queues) if i not in chosen]
        picked += taken
    return picked, trash


def _pitch_bins(
    members: npt.NDArray[np.intp], pitch: Floats, count: int
) -> list[npt.NDArray[np.intp]]:
    if count <= 1:
        return [members] * count
    edges = np.linspace(-np.pi / 2, np.pi / 2, count)
    places = np.clip(np.searchsorted(edges, pitch[members], side="right") - 1, 0, count - 1)
    return [members[places == place] for place in range(count)]


def _most_different_first(members: Positions, roots: Floats) -> list[int]:
    sums = dissimilarity(roots[members])
    return [int(i) for i in members[np.argsort(-sums, kind="stable")]]


def _in_turns(queues: list[list[int]], quota: int) -> list[int]:
    """Take the first of each queue in turn until the quota is reached or all are empty."""
    turns = max(map(len, queues), default=0)
    order = [queue[turn] for turn in range(turns) for queue in queues if turn < len(queue)]
    return order[:quota]
