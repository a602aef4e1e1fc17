"""Where src and dst look: faces counted by yaw and pitch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

YAW_EDGES = np.arange(-90.0, 91.0, 10.0)
PITCH_EDGES = np.arange(-60.0, 61.0, 5.0)
"""Degrees. The estimate of pitch moves by half of the head's own or less: its cells are smaller."""


@dataclass(frozen=True)
class PoseGap:
    """A cell where dst looks and src has nothing.

    Attributes
    ----------
    yaw, pitch : tuple of float
        Edges of the cell in degrees. Yaw is positive to the left of the image, pitch upwards.
    faces : int
        Of dst.
    near : bool
        Whether src has faces in a cell beside it.
    """

    yaw: tuple[float, float]
    pitch: tuple[float, float]
    faces: int
    near: bool


def pose_counts(yaw: Floats, pitch: Floats) -> Counts:
    """Count faces by pose.

    Parameters
    ----------
    yaw, pitch : ndarray, shape (n,), float64
        Radians; NaN for faces without a pose, which are not counted. What lies outside of the
        outermost edges counts in the outermost cells.

    Returns
    -------
    ndarray, shape (pitch cells, yaw cells), int64
    """
    known = ~(np.isnan(yaw) | np.isnan(pitch))
    rows, columns = pose_cells(yaw[known], pitch[known])
    counts = np.zeros((len(PITCH_EDGES) - 1, len(YAW_EDGES) - 1), np.int64)
    np.add.at(counts, (rows, columns), 1)
    return counts


def pose_cells(yaw: Floats, pitch: Floats) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """The cells in which `pose_counts` counts some faces.

    Parameters
    ----------
    yaw, pitch : ndarray, shape (n,), float64
        Radians, all known.

    Returns
    -------
    rows, columns : ndarray, shape (n,), integer dtype `intp`
    """
    return _cells(pitch, PITCH_EDGES), _cells(yaw, YAW_EDGES)


def _cells(radians: Floats, edges: Floats) -> npt.NDArray[np.intp]:
    found = np.searchsorted(edges, np.degrees(radians), side="right") - 1
    return np.clip(found, 0, len(edges) - 2)


def pose_gaps(src: Counts, dst: Counts) -> list[PoseGap]:
    """The cells with faces of dst and none of src, the fullest first.

    Parameters
    ----------
    src, dst : ndarray, shape (pitch cells, yaw cells), int64
        Numbers of faces, from `pose_counts`.
    """
    around = neighborhood(src)
    gaps = [
        PoseGap(
            (float(YAW_EDGES[column]), float(YAW_EDGES[column + 1])),
            (float(PITCH_EDGES[row]), float(PITCH_EDGES[row + 1])),
            int(dst[row, column]),
            bool(around[row, column]),
        )
        for row, column in np.argwhere((dst > 0) & (src == 0))
    ]
    return sorted(gaps, key=lambda gap: (-gap.faces, gap.yaw, gap.pitch))


def neighborhood(counts: Counts) -> npt.NDArray[np.bool_]:
    """Whether a cell or one of the eight around it has faces.

    Parameters
    ----------
    counts : ndarray, shape (rows, columns), int64

    Returns
    -------
    ndarray, shape (rows, columns), bool
    """
    padded = np.pad(counts > 0, 1)
    rows, columns = counts.shape
    moved = [padded[i : i + rows, j : j + columns] for i in range(3) for j in range(3)]
    return np.logical_or.reduce(moved)
