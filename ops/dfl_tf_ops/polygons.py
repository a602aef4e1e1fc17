"""Convex hulls of whole pixels, filled: the same pixels as OpenCV's, inside compiled kernels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dfl_tf_ops.jit import njit, njit_inner

Points = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]

_SHIFT = 16  # bits of a position along a row behind the point


@njit
def fill_hull(points: Points, image: Bytes) -> None:
    """Set the pixels of `image` in the convex hull of `points` to 1.

    `points` has the shape (n, 2), int64, x first; `image` has the shape (h, w), uint8.

    As `cv2.fillConvexPoly(image, cv2.convexHull(points), 1)`.
    """
    hull = _convex_hull(points)
    last = hull.shape[0] - 1
    for i in range(hull.shape[0]):
        _draw_line(image, hull[last, 0], hull[last, 1], hull[i, 0], hull[i, 1])
        last = i
    if hull.shape[0] > 2:
        _fill(image, hull)


@njit_inner
def _turn(a: Points, b: Points, c: Points) -> int:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


@njit_inner
def _convex_hull(points: Points) -> Points:
    """Corners only, in their order around the hull (Andrew's monotone chain)."""
    count = points.shape[0]
    order = points.copy()
    for i in range(1, count):  # a dozen points: inserted one by one
        x, y = order[i, 0], order[i, 1]
        j = i - 1
        while j >= 0 and (order[j, 0] > x or (order[j, 0] == x and order[j, 1] > y)):
            order[j + 1, 0], order[j + 1, 1] = order[j, 0], order[j, 1]
            j -= 1
        order[j + 1, 0], order[j + 1, 1] = x, y
    hull = np.empty((2 * count + 1, 2), np.int64)
    size = 0
    for step in range(2):
        kept = size if step == 1 else 1  # what the first half has found stays
        for k in range(count):
            point = order[k] if step == 0 else order[count - 1 - k]
            if size > 0 and hull[size - 1, 0] == point[0] and hull[size - 1, 1] == point[1]:
                continue
            while size > kept and _turn(hull[size - 2], hull[size - 1], point) <= 0:
                size -= 1
            hull[size, 0], hull[size, 1] = point[0], point[1]
            size += 1
    if size > 1 and hull[0, 0] == hull[size - 1, 0] and hull[0, 1] == hull[size - 1, 1]:
        size -= 1
    return hull[:size]


@njit_inner
def _outside(x: int, y: int, right: int, bottom: int) -> int:
    return (x < 0) + 2 * (x > right) + 4 * (y < 0) + 8 * (y > bottom)


@njit_inner
def _part(a: int, b: int, c: int) -> int:
    """A times b / c, by OpenCV's way over a float64 that is cut off."""
    return int(np.float64(a) * b / c)


@njit_inner
def _clipped(x1: int, y1: int, x2: int, y2: int, right: int, bottom: int) -> tuple[int, ...]:
    """The part of a line within an image, and whether there is any."""
    first, second = _outside(x1, y1, right, bottom), _outside(x2, y2, right, bottom)
    if first & second == 0 and first | second != 0:
        if first & 12:
            edge = 0 if first < 8 else bottom
            x1 += _part(edge - y1, x2 - x1, y2 - y1)
            y1 = edge
            first = _outside(x1, y1, right, bottom) & 3
        if second & 12:
            edge = 0 if second < 8 else bottom
            x2 += _part(edge - y2, x2 - x1, y2 - y1)
            y2 = edge
            second = _outside(x2, y2, right, bottom) & 3
        if first & second == 0 and first | second != 0:
            if first:
                edge = 0 if first == 1 else right
                y1 += _part(edge - x1, y2 - y1, x2 - x1)
                x1, first = edge, 0
            if second:
                edge = 0 if second == 1 else right
                y2 += _part(edge - x2, y2 - y1, x2 - x1)
                x2, second = edge, 0
    return x1, y1, x2, y2, int(first | second == 0)


@njit_inner
def _draw_line(image: Bytes, x1: int, y1: int, x2: int, y2: int) -> None:
    """Bresenham's line of 8 neighbors, from left to right."""
    height, width = image.shape
    x1, y1, x2, y2, visible = _clipped(x1, y1, x2, y2, width - 1, height - 1)
    if not visible:
        return
    if x2 < x1:
        x1, y1, x2, y2 = x2, y2, x1, y1
    across, down = x2 - x1, y2 - y1
    step = 1
    if down < 0:
        down, step = -down, -1
    steep = down > across
    long, short = (down, across) if steep else (across, down)
    error = long - 2 * short
    x, y = x1, y1
    for _ in range(long + 1):
        image[y, x] = 1
        aside = error < 0
        error += 2 * long - 2 * short if aside else -2 * short
        if steep:
            y += step
            x += 1 if aside else 0
        else:
            x += 1
            y += step if aside else 0


@njit_inner
def _divided(a: int, b: int) -> int:
    """A / b towards 0, as C divides."""
    return a // b if a >= 0 else -(-a // b)


@njit_inner
def _fill(image: Bytes, corners: Points) -> None:
    """Fill row by row between two edges, whose positions are in 65536ths of a pixel."""
    height, width = image.shape
    count = corners.shape[0]
    xs, ys = corners[:, 0], corners[:, 1]
    top = bottom = left_most = right_most = 0
    for i in range(count):
        top = i if ys[i] < ys[top] else top
        bottom = i if ys[i] > ys[bottom] else bottom
        left_most = i if xs[i] < xs[left_most] else left_most
        right_most = i if xs[i] > xs[right_most] else right_most
    lowest, highest = ys[top], ys[bottom]
    if xs[right_most] < 0 or highest < 0 or xs[left_most] >= width or lowest >= height:
        return
    highest = min(highest, height - 1)
    place, ends = np.empty(2, np.int64), np.empty(2, np.int64)
    position, slope = np.empty(2, np.int64), np.empty(2, np.int64)
    for i in range(2):
        place[i], ends[i], position[i], slope[i] = top, lowest, -(1 << _SHIFT), 0
    way = (1, count - 1)
    edges = count
    for y in range(lowest, highest + 1):
        for i in range(2):
            if y < ends[i]:
                continue
            begin = place[i]
            end = (begin + way[i]) % count
            while edges > 0:
                edges -= 1
                if ys[end] > y:
                    ends[i] = ys[end]
                    rows = ys[end] - y
                    slope[i] = _divided(((xs[end] - xs[begin]) << (_SHIFT + 1)) + rows, 2 * rows)
                    position[i] = xs[begin] << _SHIFT
                    place[i] = end
                    break
                begin, end = end, (end + way[i]) % count
        if y >= 0:
            low, high = min(position[0], position[1]), max(position[0], position[1])
            half = 1 << (_SHIFT - 1)
            left, right = (low + half) >> _SHIFT, (high + half) >> _SHIFT
            for x in range(max(left, 0), min(right, width - 1) + 1):
                image[y, x] = 1
        position[0] += slope[0]
        position[1] += slope[1]
