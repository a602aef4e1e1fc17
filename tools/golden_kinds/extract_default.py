"""The open default: MediaPipe's models, which `dfl-tf extract --get-models` fetches."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np

from golden_kinds.arrays import load_arrays, load_json, near, worst
from golden_kinds.check import Check
from golden_kinds.workspaces import frame, truth

PIPELINE = 1.5  # pixels
_INNER = slice(17, None)


@functools.cache
def _models() -> Any:
    from dfl_tf.extract.mesh.load import MeshModels

    return MeshModels.load()


def parts(folder: Path, case: str) -> list[Check]:
    """Detections, a mesh and regions of one frame."""
    from dfl_tf.extract.mesh.boxes import anchors
    from dfl_tf.extract.mesh.fitting import FrameViews, MeshRegion

    golden, models = load_arrays(folder / "open_default.npz"), _models()
    image = frame("data_src/00003.jpg")
    checks = []
    for detector, side, name in (
        (models.near, 256, "back"),
        (models.far, 192, "full_range_sparse"),
    ):
        found = detector.find(image, 0.5)
        checks.append(near(f"{name} points", found.points, golden[f"{name}_points"], 1))
        checks.append(near(f"{name} scores", found.scores, golden[f"{name}_scores"], 0.05))
        cells = anchors(side)
        facts = [cells[:8].ravel(), cells[-2:].ravel(), cells.sum(axis=0), [len(cells)]]
        stated = golden[f"{name}_anchors_first8_last2_sum"]
        checks.append(near(f"{name} anchors", np.concatenate(facts), stated, 1e-3))
    x, y, side, angle = golden["roi"].astype(np.float64)
    mesh = models.fitter.run(FrameViews(image), MeshRegion(np.array((x, y)), side, angle))
    following = MeshRegion.of_mesh(mesh.points)
    region = [*following.center, following.side, following.angle]
    return [
        *checks,
        near("mesh", mesh.points, golden["mesh"], 0.5),
        near("logit", [mesh.logit], [golden["logit"]], 0.5),
        near("next region", region, golden["next_roi"], 0.5),
    ]


def whole_frame(folder: Path, case: str) -> list[Check]:
    """The whole pipeline on a frame, turned or not.

    Upside down, the prototype stopped while the mesh still moved. Where the landmarks differ by
    more than the tolerance, they pass only if the renderer's truth shows the golden to be further
    off than they are.
    """
    from dfl_tf.extract.frame_faces import find_faces, points_back, turned

    entry = load_json(folder / "open_default.json")[int(case)]
    expected = load_arrays(folder / "open_default.npz")[entry["key"]]
    image, models = frame(entry["frame"]), _models()
    found = find_faces(turned(image, entry["turned"]), models.detector(), models.landmarker())
    faces = [face.landmarks.points for face in found.faces if face.landmarks is not None]
    checks = [Check("faces", abs(len(faces) - len(expected)), 0)]
    for i, (points, golden) in enumerate(zip(faces, expected, strict=False)):
        error, note = worst(points, golden), ""
        exact = truth(entry["frame"])
        if error > PIPELINE and exact is not None and len(expected) == 1:
            back = [
                points_back(p.astype(np.float64), entry["turned"], *image.shape[:2])
                for p in (points, golden)
            ]
            ours, theirs = (np.linalg.norm((p - exact)[_INNER], axis=1).mean() for p in back)
            if ours < theirs:
                note = (
                    f"{error:.1f} px apart; the truth is {ours:.2f} px off here, {theirs:.2f} there"
                )
                error = 0.0
        checks.append(Check(f"landmarks {i}", error, PIPELINE, note))
    return checks
