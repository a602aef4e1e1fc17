"""Steady landmarks (``--smooth``): averaged over jittered crops, then filtered along tracks.

Two sources of tremble are treated apart. A landmarker answers a little differently for every crop
of the same face: `steady_landmarks` asks it about several crops and takes the mean. What is left
differs from frame to frame: `smooth_tracks` filters it over time, with a filter that looks as far
ahead as back, so that nothing lags behind.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from dfl_tf.extract.cuts import continued, frame_order
from dfl_tf.extract.found import Box, Detection, Image, Landmarker, Landmarks, Points
from dfl_tf.extract.mesh.fitting import FrameViews, MeshRegion
from dfl_tf.extract.records import FrameRecord
from dfl_tf.face import transform_points

Floats = npt.NDArray[np.float64]

CROPS = 8
"""Crops over which landmarks are averaged."""

WINDOW = 9
"""Frames that the filter looks at: four before, four after."""

_DEGREE = 2  # of the polynomial that is fitted in the window: even acceleration passes unchanged
_SHORTEST = 5  # frames of a track; fewer are left as they are
_KEPT = 3.0  # what moves by more than this many times the noise is movement

_VIEW = 512  # side in pixels of the image that the landmarker sees
_AROUND = 3.0  # side of that image in sides of the box
_SHIFT, _SCALE, _TURN = 0.03, 0.04, math.radians(3)
_LOST = 0.1  # mean distance in sizes of the face: the landmarker found something else


@dataclass(frozen=True)
class Jitter:
    """How a crop differs from the one around the box: shift in sides of it, factor, radians."""

    x: float
    y: float
    scale: float
    angle: float


def jitters(count: int = CROPS) -> list[Jitter]:
    """The same even set of jitters each time; their mean is not a jitter at all."""
    found = []
    for i in range(count):
        direction = 2 * math.pi * i / count
        x, y = _SHIFT * math.cos(direction), _SHIFT * math.sin(direction)
        sign, half = (-1) ** i, (-1) ** (i // 2)
        found.append(Jitter(x, y, (1 + _SCALE) ** sign, _TURN * half))
    return found


def steady_landmarks(
    image: Image,
    box: Box,
    landmarks: Landmarks,
    landmarker: Landmarker,
    *,
    count: int = CROPS,
) -> Landmarks:
    """Average the landmarks of a face over jittered crops.

    Works with any landmarker: it is shown small upright images of the face, each cut out a little
    differently, with the same box.

    Parameters
    ----------
    image : ndarray, shape (h, w, 3), uint8, BGR
    box : tuple of float
        Of the face, in pixels of the image.
    landmarks : Landmarks
        As they were found; they say which way up the face is.
    landmarker : Landmarker
    count : int
        Number of crops.

    Returns
    -------
    Landmarks
        The mean over the crops; `landmarks` themselves where more than half of the crops gave
        nothing or another face.
    """
    points = landmarks.points
    region, size = _region(box, points)
    if not region.usable:
        return landmarks
    shown = [Detection(_view_box(box, region), landmarks.score)]
    views = FrameViews(image)
    reach = float(np.sqrt(np.prod(np.ptp(points, axis=0))))
    answers, scores = [], []
    for jitter in jitters(count):
        moved = MeshRegion(
            region.center + np.array((jitter.x, jitter.y)) * size,
            region.side * jitter.scale,
            region.angle + jitter.angle,
        )
        view, matrix = views.crop(moved, _VIEW)
        (found,) = landmarker.find(view, shown)
        if found is None:
            continue
        answer = transform_points(found.points, matrix, invert=True).astype(np.float64)
        if np.linalg.norm(answer - points, axis=1).mean() <= _LOST * reach:
            answers.append(answer)
            scores.append(found.score)
    if 2 * len(answers) <= count:
        return landmarks
    return Landmarks(np.mean(answers, axis=0), float(np.mean(scores)))


def _region(box: Box, points: Points) -> tuple[MeshRegion, float]:
    """The upright square around a face, and the longer side of its box."""
    left, top, right, bottom = box
    size = max(right - left, bottom - top)
    dx, dy = points[45] - points[36]  # outer corners of the eyes
    center = np.array(((left + right) / 2, (top + bottom) / 2))
    return MeshRegion(center, _AROUND * size, math.atan2(dy, dx)), size


def _view_box(box: Box, region: MeshRegion) -> Box:
    """The box in the middle of the view, its sides swapped for a face that lies on its side."""
    half = np.array((box[2] - box[0], box[3] - box[1])) * _VIEW / region.side / 2
    if abs(math.sin(region.angle)) > math.sin(math.pi / 4):
        half = half[::-1]
    (left, top), (right, bottom) = _VIEW / 2 - half, _VIEW / 2 + half
    return float(left), float(top), float(right), float(bottom)


# -- over time -------------------------------------------------------------------------------------
def smooth_tracks(frames: Sequence[FrameRecord], *, window: int = WINDOW) -> list[FrameRecord]:
    """Filter the landmarks of each face along its track.

    Never across a cut, a missing frame, a frame in which the face was not found, or a change of
    track, whatever the track numbers say. Frames whose faces were given by the user
    (`FrameRecord.given`) are not changed, but their neighbors follow them.

    Parameters
    ----------
    frames : sequence of FrameRecord
        In any order, with tracks (`assign_tracks`).
    window : int
        Frames that the filter looks at; odd.

    Returns
    -------
    list of FrameRecord
        The frames as they were given, with other `landmarks`.
    """
    order = frame_order(frames)
    ordered = [frames[i] for i in order]
    smooth: dict[tuple[int, int], Points] = {}
    for stretch in _stretches(ordered):
        points = np.stack([_points(ordered, place) for place in stretch])
        for (frame, face), found in zip(stretch, smooth_points(points, window), strict=True):
            if not ordered[frame].given:
                smooth[order[frame], face] = found
    return [
        replace(
            frame,
            faces=tuple(
                replace(face, landmarks=smooth.get((i, k), face.landmarks))
                for k, face in enumerate(frame.faces)
            ),
        )
        for i, frame in enumerate(frames)
    ]


def smooth_points(points: Floats, window: int = WINDOW) -> Floats:
    """Filter points over time without lag.

    A polynomial of degree 2 is fitted to the frames around each frame (Savitzky and Golay); at
    the ends of a track to its first or last frames. What departs from it by more than three times
    the noise is movement (a blink, a word) and is kept but for that amount. The noise is measured
    from third differences, in which even acceleration cancels.

    Parameters
    ----------
    points : ndarray, shape (frames, n, 2), float64
        Of one face in consecutive frames.
    window : int
        Frames; odd. Shorter sequences take the largest that fits; below 5 nothing is changed.

    Returns
    -------
    ndarray, shape (frames, n, 2), float64
        The same for reversed time: `smooth_points(points[::-1])[::-1]`.

    References
    ----------
    A. Savitzky, M. J. E. Golay, "Smoothing and differentiation of data by simplified least squares
    procedures", Analytical Chemistry 36(8), 1964.
    """
    from scipy.signal import savgol_filter  # takes a second to import: only where it is asked for

    length = len(points)
    if length < _SHORTEST or window < _SHORTEST:
        return points
    fitting = min(window, length - 1 + length % 2)
    fitted = savgol_filter(points, fitting, _DEGREE, axis=0, mode="interp")
    limit = _KEPT * _noise(points)
    away = points - fitted
    return fitted + (away - np.clip(away, -limit, limit))


def _noise(points: Floats) -> float:
    """Standard deviation of what changes from frame to frame without aim."""
    third = np.diff(points, n=3, axis=0)
    # 1.4826 times the median is the deviation of normal noise; third differences have 20 times
    # its variance (1 + 9 + 9 + 1)
    return 1.4826 * float(np.median(np.abs(third))) / math.sqrt(20)


def _stretches(ordered: Sequence[FrameRecord]) -> list[list[tuple[int, int]]]:
    """Uninterrupted parts of tracks: places (frame, face) in their order."""
    stretches: list[list[tuple[int, int]]] = []
    going_on: dict[int, list[tuple[int, int]]] = {}
    for i, (frame, follows) in enumerate(zip(ordered, continued(ordered), strict=True)):
        before, going_on = going_on if follows else {}, {}
        for k, face in enumerate(frame.faces):
            if face.landmarks is None or face.track < 0 or face.track in going_on:
                continue
            stretch = before.get(face.track)
            if stretch is None:
                stretch = []
                stretches.append(stretch)
            stretch.append((i, k))
            going_on[face.track] = stretch
    return stretches


def _points(ordered: Sequence[FrameRecord], place: tuple[int, int]) -> Points:
    points = ordered[place[0]].faces[place[1]].landmarks
    assert points is not None
    return points
