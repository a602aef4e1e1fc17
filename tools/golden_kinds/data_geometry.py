"""Golden cases of tables, fits, align matrices, masks and poses."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from face_geometry import (
    MIRROR_PAIRS,
    face_pitch,
    mirror_landmarks,
    mouth_mask,
    rect_from_landmarks,
    transform_matrix,
)

from dfl_tf.face import (
    FaceType,
    align_matrix,
    average_yaw,
    expand_eyebrows,
    eyes_mask,
    hull_mask,
    polygon_mask,
    transform_points,
    umeyama,
    yaw_bins,
)
from dfl_tf.face.reference_tables import ALIGN_INDICES, REFERENCE_2D, REFERENCE_3D
from golden_kinds.arrays import Arrays, load_arrays, load_json, near, same
from golden_kinds.check import Check
from golden_kinds.data_samples import open_faceset, workspace_of

_TYPES = {
    "h": FaceType.HALF,
    "mf": FaceType.MID_FULL,
    "f": FaceType.FULL,
    "fna": FaceType.FULL_NO_ALIGN,
    "wf": FaceType.WHOLE_FACE,
    "head": FaceType.HEAD,
    "headna": FaceType.HEAD_NO_ALIGN,
}
_MATRIX = re.compile(r"(mat|mat64)_(.+)_(h|mf|f|fna|wf|head|headna)_(\d+)(?:_s([\d.]+))?")
_MATRIX_TOLERANCE = 1e-3


def tables(folder: Path) -> list[str]:
    return ["landmark_tables"] if (folder / "landmark_tables.json").exists() else []


def run_tables(folder: Path, _case: str) -> list[Check]:
    stored = load_json(folder / "landmark_tables.json")

    def rows(name: str) -> np.ndarray:
        table = stored[name]
        return np.array(table["data"] if isinstance(table, dict) else table)

    ours = {
        "landmarks_2D_new": (REFERENCE_2D, slice(None)),
        # Points 17 to 67, of which the alignment uses ours.
        "landmarks_2D_51": (REFERENCE_2D, ALIGN_INDICES - 17),
        "landmarks_3D_68": (REFERENCE_3D, slice(None)),
        "mirror_index_pairs": (MIRROR_PAIRS, slice(None)),
    }
    checks = [
        near(name, table, rows(name)[indices].astype(table.dtype), 0)
        for name, (table, indices) in ours.items()
        if name in stored
    ]
    for name, facts in stored.get("face_types", {}).items():
        face_type = FaceType.from_name(name)
        checks.append(same(f"{name} value", face_type.value, facts["value"]))
        if facts.get("padding") is not None:
            checks.append(same(f"{name} padding", face_type.padding, facts["padding"]))
            checks.append(same(f"{name} align", not face_type.upright, facts["remove_align"]))
    for option, name in stored.get("model_option_names", {}).items():
        checks.append(same(f"option {option}", FaceType.from_name(option).legacy, name))
    return checks


def fits(folder: Path) -> list[str]:
    arrays = load_arrays(folder / "geometry.npz")
    return [k[8:-2] for k in arrays if re.fullmatch(r"umeyama_.+_T", k)]


def run_fit(folder: Path, case: str) -> list[Check]:
    arrays = load_arrays(folder / "geometry.npz")
    source, target = arrays[f"umeyama_{case}_src"], arrays[f"umeyama_{case}_dst"]
    tolerance = 1e-9 if source.dtype == np.float64 else 1e-3
    return [near("T", umeyama(source, target), arrays[f"umeyama_{case}_T"], tolerance)]


def faces(folder: Path) -> list[str]:
    return [k[3:] for k in load_arrays(folder / "geometry.npz") if k.startswith("lm_")]


def run_face(folder: Path, case: str) -> list[Check]:
    arrays = load_arrays(folder / "geometry.npz")
    landmarks = arrays[f"lm_{case}"]
    checks = []
    for name in arrays:
        match = _MATRIX.fullmatch(name)
        if match and match[2] == case:
            expected = arrays[name]
            points = landmarks.astype(np.float64) if match[1] == "mat64" else landmarks
            scale = float(match[5] or 1)
            actual = align_matrix(points, int(match[4]), _TYPES[match[3]], scale)
            checks.append(near(name, actual, expected, _MATRIX_TOLERANCE))
    matrix = arrays.get(f"mat_{case}_f_224")
    actual = {
        "rect": lambda: rect_from_landmarks(landmarks),
        "mirror": lambda: mirror_landmarks(landmarks, 512),
        "avgyaw": lambda: average_yaw(landmarks),
        "facepitch": lambda: face_pitch(landmarks),
        "mathmat": lambda: transform_matrix(matrix, 224, 0.05, -0.03, 7, 1.1),
    }
    for what, compute in actual.items():
        if f"{what}_{case}" in arrays:
            checks.append(near(what, compute(), arrays[f"{what}_{case}"], _MATRIX_TOLERANCE))
    for what, invert in (("fwd", False), ("inv", True)):
        if f"tp_{case}_{what}" in arrays:
            points = transform_points(landmarks, matrix, invert)
            checks.append(
                near(f"tp {what}", points, arrays[f"tp_{case}_{what}"], _MATRIX_TOLERANCE)
            )
    return checks


def masked_faces(folder: Path) -> list[str]:
    return [k[3:] for k in load_arrays(folder / "masks.npz") if k.startswith("lm_")]


def run_masks(folder: Path, case: str) -> list[Check]:
    arrays = load_arrays(folder / "masks.npz")
    landmarks = arrays[f"lm_{case}"]
    escaped = re.escape(case)
    checks = []
    for name in arrays:
        if match := re.fullmatch(rf"hull_{escaped}_(\d+)_([\d.]+)", name):
            size = int(match[1])
            mask = hull_mask((size, size), landmarks * (size / 256), float(match[2]))
            checks.append(near(name, mask, arrays[name], 0))
        elif match := re.fullmatch(rf"(eye|mouth)_{escaped}_(\d+)", name):
            size = int(match[2])
            draw = eyes_mask if match[1] == "eye" else mouth_mask
            mask = draw((size, size), landmarks * (size / 256))
            checks.append(near(name, mask, arrays[name], 1e-5))
        elif match := re.fullmatch(rf"brows_{escaped}_([\d.]+)", name):
            expanded = expand_eyebrows(landmarks, float(match[1]))
            checks.append(near(name, expanded, arrays[name], 0))
    return checks + _stored_masks(folder, case, arrays)


def _stored_masks(folder: Path, case: str, arrays: Arrays) -> list[Check]:
    """Compare the masks inside of the face file of that name, where the folder has it."""
    found = sorted(workspace_of(folder).glob(f"*/aligned/{case}.jpg"))
    wanted = [what for what in ("xseg", "polymask") if f"{what}_{case}" in arrays]
    if not wanted:
        return []
    if not found:
        raise FileNotFoundError(f"{case}.jpg, which {wanted} were made from")
    sample = next(s for s in open_faceset(found[0].parent) if s.name == found[0].name)
    checks = []
    if "xseg" in wanted:
        mask = sample.xseg_mask()
        actual = np.zeros(0) if mask is None else mask
        checks.append(near("xseg", actual, arrays[f"xseg_{case}"], 0))
    if "polymask" in wanted:
        mask = polygon_mask(sample.shape, sample.polygons)
        checks.append(near("polymask", mask, arrays[f"polymask_{case}"], 0))
    return checks


def pose_sets(folder: Path) -> list[str]:
    stored = load_json(folder / "pitch_yaw_roll.json") or {}
    return [name for name in stored if not name.endswith("_yaw_bins")]


def run_poses(folder: Path, case: str) -> list[Check]:
    stored = load_json(folder / "pitch_yaw_roll.json")
    faceset = open_faceset(workspace_of(folder) / case / "aligned")
    poses = {sample.name: sample.pitch_yaw_roll() for sample in faceset}
    checks = [near(name, poses[name], pose, 1e-4) for name, pose in stored[case].items()]
    expected = stored.get(f"{case}_yaw_bins")
    if expected is not None:
        bins = yaw_bins([poses[sample.name][1] for sample in faceset])
        checks.append(same("yaw bins", bins, {int(k): v for k, v in sorted_bins(expected)}))
    return checks


def sorted_bins(stored: dict[str, list[int]]) -> list[tuple[str, list[int]]]:
    return sorted(stored.items(), key=lambda item: int(item[0]))
