"""How extraction does on faces turned away by 40 to 90 degrees: a table by angle.

    python tools/measure_profiles.py WORKSPACE TRUTH.npz [--models-dir DIR] [--sheet FILE.jpg]

There are no renderings beyond 40 degrees, so turned faces are made of those at 25 to 40: each
pixel of the head gets a depth (the face from the fitted mesh, skull and neck from an ellipsoid and
a column fitted to it), the head is turned further about its upright axis, away from the camera's
side that it shows, and drawn over its own background. True landmarks are turned with the depths of
the mesh. What that means for the figures:

- row "0 further" draws the head where it is: what the drawing itself costs;
- truth is exact in height and rests on the depths of a network across, so 1 to 2 % of the size of
  a face are in doubt at 90 degrees;
- light does not change with the turn, hair and ears are flat: real profiles may be found less
  often.

Columns: frames in which a face was found; mean error of the inner 51 landmarks in sizes of the
face (root of the area of the box around the true 68, which shrinks as a face turns), of those on
the side that is seen and on the far side; yaw as the landmarks give it; weak scores and faces
listed as turned away (see docs/extraction.md).
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from face_geometry import mirror_landmarks
from scipy.interpolate import LinearNDInterpolator

from dfl_tf.extract.coverage import TURNED, face_pose, weak_score
from dfl_tf.extract.found import Image
from dfl_tf.extract.frame_faces import find_faces, prepare_frame
from dfl_tf.extract.mesh.fitting import FrameViews, MeshRegion
from dfl_tf.extract.mesh.graph import MeshGraph
from dfl_tf.extract.mesh.load import MeshModels
from dfl_tf.extract.mesh.table import landmarks_of
from dfl_tf.extract.records import RecordedFace
from dfl_tf.extract.thumbnails import thumbnail
from dfl_tf.formats.weights.open_models import MESH, read_model_file
from dfl_tf.imaging import read_image, sheet, write_image

Floats = npt.NDArray[np.float64]

YAWS = (40, 50, 60, 70, 80, 90)
LEAST = 25.0  # yaw of the frames that are turned further
EVERY = 6  # of those frames
FINER = 2  # points drawn a pixel, in each direction


@dataclass(frozen=True, eq=False)
class Head:
    """A head with depths, looking to the left of the image.

    Attributes
    ----------
    image, background : ndarray, shape (h, w, 3), uint8
    points : ndarray, shape (n, 3)
        x, y and depth of each point of the head, in pixels, farther ones larger.
    colors : ndarray, shape (n, 3), uint8
    landmarks : ndarray, shape (68, 3)
    axis : tuple of float
        x and depth of the upright axis.
    yaw : float
        Degrees to the left.
    """

    image: Image
    background: Image
    points: Floats
    colors: npt.NDArray[np.uint8]
    landmarks: Floats
    axis: tuple[float, float]
    yaw: float

    def turned(self, yaw: float) -> tuple[Image, Floats]:
        """The head turned to a yaw, drawn over its background, and its landmarks (68, 2)."""
        turn = math.radians(yaw - self.yaw)
        moved = self._turn(self.points, turn)
        order = np.argsort(-moved[:, 2])  # the nearest is drawn last
        places = np.rint(moved[order, :2]).astype(int)
        height, width = self.image.shape[:2]
        inside = ((places >= 0) & (places < (width, height))).all(axis=1)
        x, y = places[inside].T
        drawn, covered = self.background.copy(), np.zeros((height, width), np.uint8)
        drawn[y, x] = self.colors[order][inside]
        covered[y, x] = 255
        closed = cv2.morphologyEx(covered, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
        drawn = cv2.inpaint(drawn, closed & ~covered, 3, cv2.INPAINT_TELEA)
        return drawn, self._turn(self.landmarks, turn)[:, :2]

    def _turn(self, points: Floats, angle: float) -> Floats:
        x, z = points[:, 0] - self.axis[0], points[:, 2] - self.axis[1]
        cos, sin = math.cos(angle), math.sin(angle)
        return np.stack(
            (x * cos + z * sin + self.axis[0], points[:, 1], -x * sin + z * cos + self.axis[1]),
            axis=1,
        )


def mesh_of(image: Image, graph: MeshGraph, models: MeshModels) -> Floats:
    """The fitted mesh with depths, (478, 3), in frame pixels."""
    views = FrameViews(image)
    (face, *_) = find_faces(image, models.detector(), models.landmarker()).faces
    corners = np.asarray(face.box).reshape(2, 2)
    mesh = models.fitter.fit(views, MeshRegion.around(corners, np.zeros(2), np.array((1.0, 0.0))))
    assert mesh is not None
    region = MeshRegion.of_mesh(mesh.points)
    crop, matrix = views.crop(region, graph.side)
    outputs = graph.run(cv2.cvtColor(crop, cv2.COLOR_BGR2RGB).astype(np.float32) / np.float32(255))
    points = max(outputs, key=np.size).reshape(-1, 3).astype(np.float64)
    back = cv2.invertAffineTransform(matrix)
    flat = points[:, :2] @ back[:, :2].T + back[:, 2]
    return np.column_stack((flat, points[:, 2] * region.side / graph.side))


def make_head(image: Image, landmarks: Floats, yaw: float, mesh: Floats) -> Head:
    """Give every pixel of a head a depth."""
    left, right = mesh[234], mesh[454]  # beside the ears
    breadth = float(np.linalg.norm(right - left))
    middle = (left + right) / 2
    back = np.array((math.sin(math.radians(yaw)), 0.0, math.cos(math.radians(yaw))))
    center = middle + 0.22 * breadth * back - (0, 0.12 * breadth, 0)
    mask = _foreground(image, mesh)
    height, width = image.shape[:2]
    rows, columns = np.mgrid[
        0 : height - 1 : height * FINER * 1j, 0 : width - 1 : width * FINER * 1j
    ]
    chosen = cv2.resize(mask, rows.shape[::-1], interpolation=cv2.INTER_NEAREST) > 0
    x, y = columns[chosen], rows[chosen]
    # points outside of the mesh would be looked for in every triangle
    hull = cv2.fillConvexPoly(np.zeros_like(mask), _hull(mesh), 1)
    within = hull[np.rint(y).astype(int), np.rint(x).astype(int)] > 0
    face = LinearNDInterpolator(mesh[:468, :2], mesh[:468, 2])(x[within], y[within])
    rim = mesh[cv2.convexHull(mesh[:468, :2].astype(np.float32), returnPoints=False)[:, 0]]
    step = rim[:, 2] - _skull(rim[:, 0], rim[:, 1], center, breadth, yaw)
    depth = _skull(x, y, center, breadth, yaw) + _joined(x, y, rim, step, 0.35 * breadth)
    depth[within] = np.where(np.isnan(face), depth[within], face)
    fine = cv2.resize(image, rows.shape[::-1], interpolation=cv2.INTER_CUBIC)
    depths = landmarks_of(mesh[:, [2, 2]])[:, :1]
    wide = cv2.dilate(mask, np.ones((9, 9), np.uint8))
    background = cv2.inpaint(
        cv2.resize(image, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA),
        cv2.resize(wide, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_NEAREST),
        5,
        cv2.INPAINT_TELEA,
    )
    return Head(
        image,
        cv2.resize(background, (width, height), interpolation=cv2.INTER_CUBIC),
        np.stack((x, y, depth), axis=1),
        fine[chosen],
        np.concatenate((landmarks, depths), axis=1),
        (float(center[0]), float(center[2])),
        yaw,
    )


def _hull(mesh: Floats) -> npt.NDArray[np.int32]:
    return cv2.convexHull(mesh[:468, :2].astype(np.int32))


def _foreground(image: Image, mesh: Floats) -> npt.NDArray[np.uint8]:
    """Mask of head and neck, 255 inside."""
    low, high = mesh[:468, :2].min(axis=0), mesh[:468, :2].max(axis=0)
    size = high - low
    mask = np.full(image.shape[:2], cv2.GC_BGD, np.uint8)
    left, top = np.maximum(low - 0.75 * size, 0).astype(int)
    right, bottom = (high + (0.75, 1.5) * size).astype(int)
    mask[top:bottom, left:right] = cv2.GC_PR_BGD
    cv2.fillConvexPoly(mask, _hull(mesh), cv2.GC_FGD)
    cv2.setRNGSeed(1)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(image, mask, None, *models, 4, cv2.GC_INIT_WITH_MASK)
    inside = np.isin(mask, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8) * 255
    inside = cv2.morphologyEx(inside, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    return cv2.erode(inside, np.ones((3, 3), np.uint8))


def _joined(x: Floats, y: Floats, rim: Floats, step: Floats, reach: float) -> Floats:
    """What makes the skull meet the rim of the face: the nearest step, fading with distance."""
    nearest, least = np.zeros_like(x), np.full_like(x, np.inf)
    for (px, py, _), away in zip(rim, step, strict=True):
        distance = np.hypot(x - px, y - py)
        closer = distance < least
        nearest[closer], least[closer] = away, distance[closer]
    return nearest * np.exp(-least / reach)


def _skull(x: Floats, y: Floats, center: Floats, breadth: float, yaw: float) -> Floats:
    """Depth of an ellipsoid around the head's center, of a column below it."""
    across, along, high = 0.56 * breadth, 0.72 * breadth, 0.78 * breadth
    # in the head's own axes a ray is (x cos - t sin, y, x sin + t cos): a quadratic in t
    cos, sin = math.cos(math.radians(yaw)), math.sin(math.radians(yaw))
    u, v = x - center[0], np.minimum(y - center[1], 0.35 * breadth)
    a = (sin / across) ** 2 + (cos / along) ** 2
    b = u * cos * sin * (1 / along**2 - 1 / across**2)
    c = (u * cos / across) ** 2 + (u * sin / along) ** 2 + (v / high) ** 2 - 1
    root = np.sqrt(np.maximum(b * b - a * c, 0.0))
    return center[2] + (-b - root) / a


@dataclass
class Row:
    """What was measured at one angle."""

    frames: int = 0
    found: int = 0
    weak: int = 0
    listed: int = 0

    def __post_init__(self) -> None:
        self.errors: list[tuple[float, float, float]] = []
        self.yaws: list[float] = []

    def text(self, name: str) -> str:
        start = f"{name:>11} {self.found:4d}/{self.frames:<4d}"
        if not self.errors:
            return start
        mean, near, far = np.mean(self.errors, axis=0)
        worst = max(error[0] for error in self.errors)
        return (
            f"{start} {mean:7.4f} {worst:7.4f} {near:7.4f} {far:7.4f} {np.mean(self.yaws):6.1f}"
            f" {self.weak:5d} {self.listed:7d}"
        )


def look(image: Image, truth: Floats, row: Row, models: MeshModels) -> RecordedFace | None:
    """Find the face of a drawn frame and compare its landmarks."""
    row.frames += 1
    size = math.sqrt(float(np.ptp(truth, axis=0).prod()))
    for face in find_faces(image, models.detector(), models.landmarker()).faces:
        if face.landmarks is None:
            continue
        away = np.linalg.norm(face.landmarks.points - truth, axis=1) / size
        if away[17:].mean() > 0.5:
            continue  # something else
        recorded = RecordedFace(face.box, face.score, face.landmarks.points, face.landmarks.score)
        pose = face_pose(recorded)
        near, far = away[[*range(22, 27), *range(42, 48)]], away[[*range(17, 22), *range(36, 42)]]
        row.found += 1
        row.errors.append((float(away[17:].mean()), float(near.mean()), float(far.mean())))
        row.yaws.append(0.0 if pose is None else abs(pose[1]))
        row.weak += face.score < weak_score("mesh")
        row.listed += pose is not None and abs(pose[1]) > TURNED
        return recorded
    return None


def heads_of(workspace: Path, truth: Path, models: MeshModels, graph: MeshGraph) -> list[Head]:
    """Heads that look to the left; those that look to the right are mirrored."""
    arrays, heads = np.load(truth), []
    for side in ("src", "dst"):
        frames = sorted((workspace / f"data_{side}").glob("*.jpg"))
        yaws = arrays[f"{side}_pose_deg"][:, 0]
        for number in np.flatnonzero(np.abs(yaws) >= LEAST)[::EVERY]:
            image = prepare_frame(read_image(frames[number]))
            landmarks = arrays[f"{side}_landmarks"][number].astype(np.float64)
            if yaws[number] > 0:
                image = np.ascontiguousarray(image[:, ::-1])
                landmarks = np.asarray(mirror_landmarks(landmarks, image.shape[1]))
            mesh = mesh_of(image, graph, models)
            heads.append(make_head(image, landmarks, abs(float(yaws[number])), mesh))
    return heads


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workspace", type=Path)
    parser.add_argument("truth", type=Path)
    parser.add_argument("--models-dir", type=Path)
    parser.add_argument("--sheet", type=Path)
    options = parser.parse_args()
    models = MeshModels.load(options.models_dir)
    graph = MeshGraph(read_model_file(MESH, options.models_dir), what=MESH.name)
    heads = heads_of(options.workspace, options.truth, models, graph)
    print("        yaw     found       51   worst    near     far   yaw'  weak  turned")
    original, still = Row(), Row()
    for head in heads:
        look(head.image, head.landmarks[:, :2], original, models)
        look(*head.turned(head.yaw), still, models)
    print(original.text("as rendered"))
    print(still.text("0 further"))
    rows, captions = [], []
    for yaw in YAWS:
        row, shown = Row(), []
        for head in heads:
            image, truth = head.turned(yaw)
            face = look(image, truth, row, models)
            shown.append(thumbnail(image, [face] if face else []))
        print(row.text(f"{yaw}"), flush=True)
        rows.append(shown[:: max(1, len(shown) // 3)][:4])
        captions.append([f"{yaw} degrees"] * len(rows[-1]))
    if options.sheet:
        write_image(options.sheet, sheet(rows, captions=captions), quality=85)


if __name__ == "__main__":
    main()
