"""How much --smooth steadies landmarks, and that it does not lag: clips made of a still frame.

    python tools/measure_steadiness.py FRAME… [--frames N] [--models-dir DIR] [--json FILE]

Each clip is one frame seen by a camera that stands still or moves as a known transform says
(shift, zoom, turn), with new noise and JPEG compression in every frame. Landmarks are found by
`mesh` as in an extraction, then treated as `--smooth` does, step by step.

jitter   mean change of a landmark from frame to frame that the transform does not make, in pixels
lag      how far the filter puts landmarks behind those that it was given, in pixels along the way
         of a moving face; positive means too late. (The mean of crops looks at one frame alone.)
shape    mean distance to where the landmarks of the noiseless first frame were carried, in pixels
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from dfl_tf.extract.cuts import frame_look
from dfl_tf.extract.found import Image
from dfl_tf.extract.frame_faces import FrameFace, find_faces, prepare_frame
from dfl_tf.extract.mesh.load import MeshModels
from dfl_tf.extract.records import FrameRecord, RecordedFace
from dfl_tf.extract.smoothing import smooth_tracks, steady_landmarks
from dfl_tf.extract.tracks import assign_tracks
from dfl_tf.face import transform_points
from dfl_tf.imaging import read_image

Floats = npt.NDArray[np.float64]

NOISE = 4.0  # standard deviation in levels
QUALITY = 85
SEED = 11
STEPS = ("as found", "mean of crops", "filtered", "both (--smooth)")


@dataclass(frozen=True)
class Way:
    """A motion: shift in pixels, zoom and turn in degrees, each a function of the frame number."""

    name: str
    shift: Callable[[float], tuple[float, float]] = lambda t: (0.0, 0.0)
    zoom: Callable[[float], float] = lambda t: 1.0
    turn: Callable[[float], float] = lambda t: 0.0

    def matrix(self, time: float, center: tuple[float, float]) -> Floats:
        """From the still frame to the frame at a time."""
        matrix = cv2.getRotationMatrix2D(center, -self.turn(time), self.zoom(time))
        matrix[:, 2] += self.shift(time)
        return matrix


WAYS = (
    Way("still"),
    Way("even shift, 1.5 px a frame", lambda t: (1.2 * t, 0.9 * t)),
    Way("swing, up to 4 px a frame", lambda t: (24 * np.sin(t / 6), 8 * np.sin(t / 6))),
    Way("zoom 1 % a frame", zoom=lambda t: 1.01**t),
    Way("turn 1 degree a frame", turn=lambda t: t - 15.0),
)


def make_frame(still: Image, matrix: Floats, rng: np.random.Generator) -> Image:
    """Move a frame, and give it noise and compression of its own."""
    size = still.shape[1::-1]
    moved = cv2.warpAffine(
        still, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
    )
    noisy = np.clip(moved + rng.normal(0, NOISE, moved.shape), 0, 255).astype(np.uint8)
    coded = cv2.imencode(".jpg", noisy, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1]
    return cv2.imdecode(coded, cv2.IMREAD_COLOR)


def find_clip(
    still: Image, way: Way, count: int, models: MeshModels
) -> tuple[list[FrameRecord], list[FrameRecord], list[Floats]]:
    """Frames with landmarks as found and averaged over crops, and the true transforms."""
    rng = np.random.default_rng(SEED)
    detector, landmarker = models.detector(), models.landmarker()
    height, width = still.shape[:2]
    found, averaged, matrices = [], [], []
    for number in range(count):
        matrix = way.matrix(number, (width / 2, height / 2))
        image = make_frame(still, matrix, rng)
        (face, *_) = find_faces(image, detector, landmarker).faces
        assert face.landmarks is not None
        steady = steady_landmarks(image, face.box, face.landmarks, landmarker)

        def record(
            points: Floats, image: Image = image, face: FrameFace = face, number: int = number
        ) -> FrameRecord:
            one = RecordedFace(face.box, face.score, points, face.score)
            name = f"{number + 1:05d}.jpg"
            return FrameRecord(name, number + 1, height, width, (one,), look=frame_look(image))

        found.append(record(face.landmarks.points))
        averaged.append(record(steady.points))
        matrices.append(matrix)
    return found, averaged, matrices


def points_of(frames: list[FrameRecord]) -> Floats:
    """Landmarks of the only face of each frame, (frames, 68, 2)."""
    points = [frame.faces[0].landmarks for frame in frames]
    return np.stack([p for p in points if p is not None])


def measure(points: Floats, given: Floats, truth: Floats) -> dict[str, float]:
    """Jitter, lag and distance of one way of finding landmarks."""
    away = points - truth
    way = np.gradient(truth, axis=0)
    speed = np.linalg.norm(way, axis=-1, keepdims=True)
    along = np.divide(way, speed, out=np.zeros_like(way), where=speed > 0.2)
    moving = int((speed > 0.2).sum())
    behind = float(((given - points) * along).sum() / moving) if moving else 0.0
    return {
        "jitter": float(np.linalg.norm(np.diff(away, axis=0), axis=-1).mean()),
        "lag": behind,
        "shape": float(np.linalg.norm(away, axis=-1).mean()),
    }


def measure_way(
    still: Image, way: Way, count: int, models: MeshModels
) -> dict[str, dict[str, float]]:
    """All steps on one clip."""
    found, averaged, matrices = find_clip(still, way, count, models)
    detector, landmarker = models.detector(), models.landmarker()
    (face, *_) = find_faces(still, detector, landmarker).faces
    assert face.landmarks is not None
    truth = np.stack([transform_points(face.landmarks.points, m) for m in matrices])
    plain = points_of(found)
    steps = (
        plain,
        points_of(averaged),
        points_of(smooth_tracks(assign_tracks(found))),
        points_of(smooth_tracks(assign_tracks(averaged))),
    )
    return {name: measure(points, plain, truth) for name, points in zip(STEPS, steps, strict=True)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("stills", nargs="+", type=Path, metavar="FRAME")
    parser.add_argument("--frames", type=int, default=32)
    parser.add_argument("--models-dir", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    models = MeshModels.load(options.models_dir)
    table: dict[str, dict[str, dict[str, float]]] = {}
    print(f"{'clip':28} {'landmarks':16} {'jitter':>7} {'lag':>7} {'shape':>7}   (pixels)")
    for way in WAYS:
        each = [
            measure_way(prepare_frame(read_image(still)), way, options.frames, models)
            for still in options.stills
        ]
        table[way.name] = {
            step: {key: float(np.mean([one[step][key] for one in each])) for key in each[0][step]}
            for step in STEPS
        }
        for step, numbers in table[way.name].items():
            print(
                f"{way.name:28} {step:16} {numbers['jitter']:7.3f} {numbers['lag']:7.3f} "
                f"{numbers['shape']:7.3f}",
                flush=True,
            )
    if options.json:
        options.json.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
