#!/usr/bin/env python3
"""Time sorting against the plain loops of its specification, on synthetic faces.

    python tools/bench_facesets.py [--faces 2000] [--plain N] [--size 256] [--moved 50000] [--json]

Faces are noise, blurred more or less, with a face's landmarks; nothing is read from a disk. The
plain way is the text of facesets.md in NumPy and OpenCV: pixel loops for sharpness, one
`compareHist` for each pair in the chains. With --plain N it is timed on the first N faces, and its
time for all is computed from that (sharpness: in proportion; chains: by the number of pairs).
Printed are CPU seconds and their ratio; both ways must give the same numbers and orders. At the
end a folder of --moved files with checksums goes to the trash folder and comes back (wall time).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "ops"), str(ROOT / "tools")]

import cv2  # noqa: E402
import numpy as np  # noqa: E402
import numpy.typing as npt  # noqa: E402
from scipy.ndimage import convolve  # noqa: E402
from skimage.feature import canny  # noqa: E402

from dfl_tf.disk.checksums import Sums, read_sums, write_sums  # noqa: E402
from dfl_tf.facesets.best_faces import best_faces  # noqa: E402
from dfl_tf.facesets.chains import dissimilarity, histogram_chain, histogram_roots  # noqa: E402
from dfl_tf.facesets.measures import (  # noqa: E402
    MeasuredFace,
    color_histogram,
    gray_histogram,
    gray_sharpness,
)
from dfl_tf.facesets.rearranging import Rearrangement, rearrange, take_back  # noqa: E402
from dfl_tf.formats import FaceMetadata  # noqa: E402

Image = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]

_BLOCK, _FARTHEST = 64, 100


# -- faces ---------------------------------------------------------------------------------------
def synthetic_face(seed: int, size: int) -> MeasuredFace:
    """Smooth noise with some grain, and an oval of landmarks in the middle."""
    rng = np.random.default_rng(seed)
    coarse = cv2.resize(rng.random((12, 12, 3)), (size, size), interpolation=cv2.INTER_CUBIC)
    fine = cv2.GaussianBlur(rng.random((size, size, 3)), (0, 0), rng.uniform(0.8, 3))
    image = np.clip(255 * (0.7 * coarse + 0.6 * (fine - 0.5)), 0, 255).astype(np.uint8)
    turns = np.linspace(0, 2 * math.pi, 68, endpoint=False)
    oval = size * (0.5 + 0.35 * np.stack((np.cos(turns), np.sin(turns)), axis=1))
    return MeasuredFace(image, FaceMetadata(landmarks=oval, shape=image.shape))


# -- the plain way -------------------------------------------------------------------------------
def plain_sharpness(gray: Image) -> float:
    """Sharpness by the steps of facesets.md 3, pixel by pixel."""
    values = gray.astype(np.float64)
    height, width = values.shape
    edges = canny(values)
    kernel = np.array([[1, 2, 1], [0, 0, 0], [-1, -2, -1]]).T / 8.0
    s = convolve(values, kernel) ** 2
    s[s <= 2 * np.sqrt(s.mean())] = 0
    gy, gx = np.gradient(values)
    angle = np.where(gx != 0, np.degrees(np.arctan2(gy, np.where(gx != 0, gx, 1))), 0.0)
    direction = 45 * np.round(angle / 45)
    if not angle.any():
        return 0.0
    widths = np.zeros_like(values)
    for row in range(1, height - 1):
        for column in range(1, width - 1):
            here = s[row, column]
            across = here > s[row, column - 1] and here > s[row, column + 1]
            along = here > s[row - 1, column] and here > s[row + 1, column]
            if (across or along) and direction[row, column] in (0, 180, -180):
                sign = 1 if direction[row, column] == 0 else -1
                widths[row, column] = _plain_width(values[row], column, sign)
    sharp = total = 0
    for top in range(0, height - _BLOCK + 1, _BLOCK):
        for left in range(0, width - _BLOCK + 1, _BLOCK):
            place = np.s_[top : top + _BLOCK, left : left + _BLOCK]
            if edges[place].sum() <= 0.002 * _BLOCK**2:
                continue
            contrast = int(values[place].max() - values[place].min())
            just_noticeable = 5 if contrast <= 50 else 3
            for found in widths[place].ravel():
                if found:
                    blurred = 1 - math.exp(-((found / just_noticeable) ** 3.6))
                    sharp += round(100 * blurred) <= 63
                    total += 1
    return sharp / total if total else 0.0


def plain_of_face(face: MeasuredFace) -> float:
    """Sharpness of a face, gray first, then masked (facesets.md 5)."""
    return plain_sharpness((face.gray * face.hull[:, :, 0]).astype(np.uint8))


def _plain_width(line: Floats, column: int, sign: int) -> int:
    left = right = _FARTHEST + 1
    for m in range(_FARTHEST + 1):
        inner, outer = column - 1 - m, column - 2 - m
        if outer < 0 or sign * (line[outer] - line[inner]) >= 0:
            left = m + 1
            break
    for m in range(_FARTHEST + 1):
        inner, outer = column + 1 + m, column + 2 + m
        if outer >= len(line) or sign * (line[outer] - line[inner]) <= 0:
            right = m + 1
            break
    return left + right


def _distance(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> float:
    return float(cv2.compareHist(a, b, cv2.HISTCMP_BHATTACHARYYA))


def plain_chain(histograms: npt.NDArray[np.float32]) -> list[int]:
    """facesets.md 4.1."""
    order = list(range(len(histograms)))
    for i in range(len(order) - 1):
        best, nearest = math.inf, i + 1
        for j in range(i + 1, len(order)):
            pairs = zip(histograms[order[i]], histograms[order[j]], strict=True)
            distance = sum(_distance(a, b) for a, b in pairs)
            if distance < best:
                best, nearest = distance, j
        order[i + 1], order[nearest] = order[nearest], order[i + 1]
    return order


def plain_dissimilarity(histograms: npt.NDArray[np.float32]) -> list[float]:
    """facesets.md 4.2."""
    return [sum(_distance(a, b) for b in histograms) for a in histograms]


# -- timing --------------------------------------------------------------------------------------
def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds of this process and the result."""
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


def measure(count: int, plain: int, size: int) -> list[dict[str, Any]]:
    """All rows of the table."""
    gray_sharpness(synthetic_face(0, size))  # compiles
    ours = theirs = 0.0
    sharp, plain_sharp, color, gray = np.zeros(count), np.zeros(plain), [], []
    for seed in range(count):  # one at a time: 2,000 do not fit into every memory
        face = synthetic_face(seed, size)
        seconds, sharp[seed] = timed(lambda face=face: gray_sharpness(face))
        ours += seconds
        color.append(color_histogram(face).reshape(3, 256))
        gray.append(gray_histogram(face))
        if seed < plain:
            again = MeasuredFace(face.image, face.metadata)  # which has nothing computed yet
            seconds, plain_sharp[seed] = timed(lambda again=again: plain_of_face(again))
            theirs += seconds
    colors, grays_of = np.array(color), np.array(gray)
    share, pairs = count / plain, count * count / (plain * plain)
    rows = []

    def add(name: str, ours: float, theirs: float, *, same: bool) -> None:
        ratio = theirs / ours
        rows.append({"what": name, "ours_s": ours, "plain_s": theirs, "ratio": ratio, "same": same})

    add("sharpness", ours, theirs * share, same=np.allclose(sharp[:plain], plain_sharp))
    sharpness_times = ours, theirs * share

    ours, chain = timed(lambda: histogram_chain(histogram_roots(colors)))
    theirs, plain_order = timed(lambda: plain_chain(colors[:plain].astype(np.float32)))
    if plain != count:
        chain = histogram_chain(histogram_roots(colors[:plain]))
    add("hist", ours, theirs * pairs, same=chain == plain_order)

    ours, sums = timed(lambda: dissimilarity(histogram_roots(grays_of)))
    theirs, plain_sums = timed(lambda: plain_dissimilarity(grays_of[:plain].astype(np.float32)))
    if plain != count:
        sums = dissimilarity(histogram_roots(grays_of[:plain]))
    add("hist-dissim", ours, theirs * pairs, same=np.allclose(sums, plain_sums, atol=1e-4))

    rng = np.random.default_rng(0)
    yaw, pitch = rng.uniform(-1, 1, count), rng.uniform(-0.5, 0.5, count)

    def final() -> Any:
        roots = histogram_roots(grays_of)
        return best_faces(sharp, yaw, pitch, roots, target=max(count // 4, 1))

    ours, (kept, trash) = timed(final)
    # its plain way is the loop for sharpness; sorting bins is small beside it
    whole = sorted([*kept, *trash]) == list(range(count))
    add("final", sharpness_times[0] + ours, sharpness_times[1], same=whole)
    return rows


def move_often(count: int) -> dict[str, Any]:
    """Files to the trash and back, by the steps of `faceset filter` and `--undo`."""
    with tempfile.TemporaryDirectory() as base:
        folder = Path(base) / "aligned"
        folder.mkdir()
        names = [f"{number:05d}_0.jpg" for number in range(count)]
        for name in names:
            (folder / name).write_bytes(name.encode())
        sums = {name: hashlib.sha256(name.encode()).hexdigest() for name in names}
        write_sums(folder, Sums(sums))
        start = time.perf_counter()
        rearrange(Rearrangement(folder, "filter", [], names))
        there = time.perf_counter()
        emptied = not any(folder.glob("*.jpg"))
        take_back(folder)
        back = time.perf_counter()
        known = read_sums(folder)
        same = emptied and known is not None and known.files == sums
        same &= all((folder / name).read_bytes() == name.encode() for name in names)
    return {"files": count, "away_s": there - start, "back_s": back - there, "same": same}


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; 1 if results differ, ours is not 20 times as fast, or moving takes 60 s."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--faces", type=int, default=2000)
    parser.add_argument("--plain", type=int, default=100, help="faces of the plain way")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--moved", type=int, default=50_000, help="files to the trash and back")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(argv)
    rows = measure(options.faces, min(options.plain, options.faces), options.size)
    moved = move_often(options.moved)
    if options.json:
        facts = {"tool": "bench_facesets", "faces": options.faces, "rows": rows, "moved": moved}
        print(json.dumps(facts))
    else:
        print(f"{'':14}{'plain s':>10}{'ours s':>10}{'ratio':>9}  same")
        for row in rows:
            numbers = f"{row['plain_s']:10.2f}{row['ours_s']:10.3f}{row['ratio']:9.0f}"
            print(f"{row['what']:14}{numbers}  {'yes' if row['same'] else 'NO'}")
        print(
            f"{moved['files']} files to the trash in {moved['away_s']:.1f} s and back in "
            f"{moved['back_s']:.1f} s: {'the same' if moved['same'] else 'NOT the same'}"
        )
    fast = all(row["ratio"] >= 20 for row in rows) and moved["away_s"] + moved["back_s"] < 60
    return 0 if fast and moved["same"] and all(row["same"] for row in rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
