"""Frames and faces that golden cases name, found by the last parts of their paths."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from golden_kinds.arrays import load_arrays

FACES, WORKSPACE = "DFL_TF_GOLDEN_FACES", "DFL_TF_GOLDEN_WORKSPACE"
"""Set by compare_golden's --faces and --workspace; processes that run cases inherit them."""

_DEFAULT = Path(__file__).resolve().parents[3] / "shared" / "faces"
_SIDES = ("data_src", "data_dst")


def faces_folder() -> Path:
    """The folder with workspaces."""
    return Path(os.environ.get(FACES) or _DEFAULT)


def workspace() -> Path:
    """The workspace whose frames are named without one."""
    return faces_folder() / (os.environ.get(WORKSPACE) or "workspace_s")


def named_folder(name: str) -> Path:
    """A folder such as ``shared/faces/workspace_s/data_src/aligned``, by its last parts."""
    parts = Path(name).parts
    for start in range(len(parts)):
        path = faces_folder().joinpath(*parts[start:])
        if path.is_dir():
            return path
    raise FileNotFoundError(f"{name} was not found in {faces_folder()} (--faces)")


def frame_path(name: str) -> Path:
    """A frame of the workspace: ``data_src/00003.jpg``, or ``00003.jpg`` of data_src."""
    path = workspace() / (name if "/" in name else f"data_src/{name}")
    if not path.is_file():
        raise FileNotFoundError(f"{name} was not found in {workspace()} (--faces, --workspace)")
    return path


def frame(name: str) -> npt.NDArray[np.uint8]:
    """A decoded frame, BGR."""
    image = cv2.imread(str(frame_path(name)))
    if image is None:
        raise ValueError(f"{frame_path(name)} cannot be decoded")
    return image


def truth(name: str) -> npt.NDArray[np.float64] | None:
    """The renderer's landmarks (68, 2) of a frame, where the workspace has them."""
    side, _, file = name.rpartition("/")
    arrays = load_arrays(faces_folder() / "landmarks" / f"{workspace().name}_truth.npz")
    key = f"{side.removeprefix('data_')}_landmarks"
    if side not in _SIDES or key not in arrays:
        return None
    names = sorted(p.name for p in (workspace() / side).iterdir() if p.is_file())
    return np.asarray(arrays[key][names.index(file)], np.float64)
