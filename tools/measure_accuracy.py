#!/usr/bin/env python3
"""How near the landmarks of extraction come to known ones, and whether every face is found.

    python tools/measure_accuracy.py FACES [--turned 0,90,180] [--every 1] [--json]

FACES holds `workspace_s` (rendered frames) with `landmarks/workspace_s_truth.npz` (exact), and
perhaps `workspace_a` (video of two speakers), whose stored faces tell what another version of the
network found. Frames are searched by `mesh` as they are and turned. The error of a face is the
mean distance of its inner 51 landmarks, in sizes of the face (root of the area of the box around
the known 68). Exit code 1 if a row misses its limits:

- workspace_s: every face found, mean below 0.025, worst below 0.035, at each turn;
- workspace_a: every face found, mean below 0.012.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "ops")]

import numpy as np  # noqa: E402
import numpy.typing as npt  # noqa: E402

from dfl_tf.extract.frame_faces import (  # noqa: E402
    find_faces,
    points_back,
    prepare_frame,
    turned,
)
from dfl_tf.extract.mesh.load import MeshModels  # noqa: E402
from dfl_tf.formats import read_metadata  # noqa: E402
from dfl_tf.imaging import read_image  # noqa: E402

Floats = npt.NDArray[np.float64]
Known = tuple[Path, Floats]
"""A frame, and the landmarks (68, 2) of its face."""

NOT_IT = 0.5
"""An error from which on something else was found."""


@dataclass(frozen=True)
class Limits:
    """What a row must reach; `worst` may be without limit."""

    mean: float
    worst: float = math.inf


LIMITS = {"workspace_s": Limits(0.025, 0.035), "workspace_a": Limits(0.012)}


@dataclass(frozen=True)
class Row:
    """What was measured on the frames of a workspace at one turn."""

    workspace: str
    turned: int
    frames: int
    found: int
    mean: float
    worst: float

    @property
    def passed(self) -> bool:
        """Whether the limits are kept; a comparison with NaN is false."""
        limits = LIMITS[self.workspace]
        return self.found == self.frames and self.mean < limits.mean and self.worst < limits.worst


def rendered(faces: Path) -> Iterator[Known]:
    """The frames of workspace_s with the renderer's landmarks."""
    truth = np.load(faces / "landmarks" / "workspace_s_truth.npz")
    for side in ("src", "dst"):
        frames = sorted((faces / "workspace_s" / f"data_{side}").glob("*.jpg"))
        yield from zip(frames, truth[f"{side}_landmarks"].astype(np.float64), strict=True)


def stored(faces: Path) -> Iterator[Known]:
    """The frames of workspace_a with the landmarks in their aligned faces."""
    for side in ("src", "dst"):
        folder = faces / "workspace_a" / f"data_{side}"
        for path in sorted((folder / "aligned").glob("*.jpg")):
            metadata = read_metadata(path)
            assert metadata is not None
            assert metadata.source_landmarks is not None
            yield folder / str(metadata.source_filename), np.asarray(metadata.source_landmarks)


def error_of(points: Floats, known: Floats) -> float:
    """Mean distance of the inner 51 landmarks in sizes of the face."""
    size = math.sqrt(float(np.ptp(known, axis=0).prod()))
    return float(np.linalg.norm(points - known, axis=1)[17:].mean() / size)


def measure(workspace: str, known: Iterable[Known], turn: int, models: MeshModels) -> Row:
    """Search all frames at one turn."""
    detector, landmarker = models.detector(), models.landmarker()
    frames, errors = 0, []
    for path, landmarks in known:
        frames += 1
        image = prepare_frame(read_image(path))
        faces = find_faces(turned(image, turn), detector, landmarker).faces
        points = [face.landmarks.points for face in faces if face.landmarks is not None]
        backs = [points_back(p, turn, *image.shape[:2]) for p in points]
        least = min((error_of(back, landmarks) for back in backs), default=math.inf)
        if least < NOT_IT:
            errors.append(least)
    mean, worst = (float(np.mean(errors)), max(errors)) if errors else (math.nan, math.nan)
    return Row(workspace, turn, frames, len(errors), round(mean, 5), round(worst, 5))


def main() -> int:
    """Print the table; 1 if a limit is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("faces", type=Path)
    parser.add_argument("--turned", default="0,90,180", help="degrees, clockwise (workspace_s)")
    parser.add_argument("--every", type=int, default=1, help="one frame of so many")
    parser.add_argument("--models-dir", type=Path)
    parser.add_argument("--json", action="store_true", help="print one line of JSON at the end")
    args = parser.parse_args()
    models = MeshModels.load(args.models_dir)
    turns = [("workspace_s", int(turn)) for turn in args.turned.split(",")]
    if (args.faces / "workspace_a").is_dir():
        turns.append(("workspace_a", 0))
    print(f"{'workspace':12} {'turned':>6} {'found':>8} {'mean':>8} {'worst':>8}", flush=True)
    rows = []
    for workspace, turn in turns:
        known = list({"workspace_s": rendered, "workspace_a": stored}[workspace](args.faces))
        row = measure(workspace, known[:: args.every], turn, models)
        rows.append(row)
        print(
            f"{workspace:12} {turn:6} {row.found:4}/{row.frames:<3} {row.mean:8.4f} "
            f"{row.worst:8.4f}{'' if row.passed else '  MISSED'}",
            flush=True,
        )
    if args.json:
        facts = [asdict(row) | {"passed": row.passed} for row in rows]
        print(json.dumps({"tool": "measure_accuracy", "rows": facts}))
    return 0 if all(row.passed for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
