"""Which kind of golden folder a folder is: told by the files in it, not by its name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from golden_kinds.arrays import array_names

KINDS = ("models", "training", "data", "merge", "options", "workspace", "extract", "facesets")

# Any of these files or folders makes a folder one of its kind, the first that fits.
_MARKS = {
    "extract": (
        "s3fd.npz",
        "s3fd_calls.json",
        "fan.npz",
        "fan_calls.json",
        "fan_second_pass.json",
        "enhancer_net.npz",
        "enhancer_calls.json",
        "open_default.npz",
        "stages.json",
        "align/*.jpg",
        "weight_keys_S3FD.json",
        "weight_keys_FAN.json",
    ),
    "facesets": ("sorts.json", "tools.json"),
    "models": (
        "weight_keys/*.json",
        "layers.npz",
        "meta.json",
        "unet_archi_table.json",
        "weight_rule_check.json",
        "pickle_globals.json",
        "legacy/*/*_data.dat",
        "legacy/*_merge_io.npz",
        "dfm/*.dfm",
    ),
    "data": (
        "sample_processor.json",
        "warp.json",
        "landmark_tables.json",
        "geometry.npz",
        "masks.npz",
        "color_transfer.npz",
        "filters_xseg.json",
        "files_expected.json",
        "index_hosts.json",
        "pitch_yaw_roll.json",
        "jpeg_edge/expected.json",
        "packed/*/expected.json",
        "meta/meta.dat",
    ),
    "merge": ("motion_expected.json", "two_faces.npz"),
    "workspace": (
        "loss_history_preview.npz",
        "*_data*.dat",
        "*_session.dat",
        "*_summary.txt",
        "faceset/*/aligned/*.jpg",
    ),
}
_UNIT_ARRAYS = ("_traj", "iterations_before_step", "_fraction_changed_per_step")


def kind_of(folder: Path) -> str | None:
    """Tell the kind of a golden folder; None if it is none."""
    if (folder / "inputs64.npz").exists():
        return "training"
    for kind, patterns in _MARKS.items():
        if any(any(folder.glob(pattern)) for pattern in patterns):
            return kind
    for path in sorted(folder.glob("*.json")):
        content = _content(path)
        if "resulting_options_in_order" in content:
            return "options"
        if "config" in content:
            return "merge"
    for path in folder.glob("*.npz"):
        names = array_names(path)
        if "meta_json" in names or any(_unit(name) for name in names):
            return "training"
    named = folder.resolve().name
    return named if named in KINDS and _files(folder) else None


def _content(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _unit(name: str) -> bool:
    return name.startswith("dssim_") or name.endswith(_UNIT_ARRAYS)


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_file() and path.suffix != ".md"]


def golden_folders(folder: Path) -> list[tuple[Path, str | None]]:
    """All golden folders in a folder, itself included, at any depth.

    A folder that has files (other than texts) but no kind is listed with None: it holds something
    that we do not know how to run.
    """
    kind = kind_of(folder)
    if kind is not None:
        return [(folder, kind)]
    found: list[tuple[Path, str | None]] = []
    if any(path.suffix in (".npz", ".json", ".dat", ".npy") for path in _files(folder)):
        found.append((folder, None))
    for inner in sorted(path for path in folder.iterdir() if path.is_dir()):
        found += golden_folders(inner)
    return found
