"""Golden cases of extraction: detector, landmarks, enhancer, alignment, the open default.

The README of the folder describes the files; tolerances are its.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from golden_kinds import extract_default, extract_faces, extract_networks
from golden_kinds.arrays import load_arrays, load_json
from golden_kinds.check import Check

Run = Callable[[Path, str], list[Check]]

_NETWORKS = ("S3FD", "FAN", "FaceEnhancer")


def _entries(file: str) -> Callable[[Path], list[str]]:
    def find(folder: Path) -> list[str]:
        return [str(number) for number in range(len(load_json(folder / file) or []))]

    return find


def _numbered(file: str, pattern: str) -> Callable[[Path], list[str]]:
    def find(folder: Path) -> list[str]:
        arrays, found = load_arrays(folder / file), []
        while pattern.format(len(found)) in arrays:
            found.append(str(len(found)))
        return found

    return find


def _weights(folder: Path) -> list[str]:
    return [name for name in _NETWORKS if (folder / f"weight_keys_{name}.json").exists()]


def _stages(folder: Path) -> list[str]:
    content = load_json(folder / "stages.json")
    return [str(number) for number in range(len(content["calls"]))] if content else []


def _when(file: str) -> Callable[[Path], list[str]]:
    return lambda folder: ["all"] if (folder / file).exists() else []


def _enhancer_calls(folder: Path) -> list[str]:
    return [entry["case"] for entry in load_json(folder / "enhancer_calls.json") or []]


_GROUPS: dict[str, tuple[Callable[[Path], list[str]], Run]] = {
    "weights": (_weights, extract_networks.weights),
    "s3fd_net": (_numbered("s3fd.npz", "net{}_input"), extract_networks.s3fd),
    "s3fd_decode": (_numbered("s3fd.npz", "dec{}_boxes"), extract_faces.decode),
    "s3fd_nms": (_numbered("s3fd.npz", "nms{}_dets"), extract_faces.nms),
    "s3fd_call": (_entries("s3fd_calls.json"), extract_faces.s3fd_call),
    "fan_net": (_when("fan.npz"), extract_networks.fan),
    "fan_peaks": (_numbered("fan.npz", "dec_pts{}"), extract_faces.peaks),
    "fan_crop": (_numbered("fan.npz", "crop{}"), extract_faces.crop),
    "fan_call": (_entries("fan_calls.json"), extract_networks.fan_call),
    "fan_second_pass": (_entries("fan_second_pass.json"), extract_faces.second_pass),
    "enhancer_net": (_when("enhancer_net.npz"), extract_networks.enhancer),
    "enhancer_call": (_enhancer_calls, extract_networks.enhancer_call),
    "stages": (_stages, extract_faces.stages),
    "align": (_entries("align.json"), extract_faces.align),
    "open_default": (_when("open_default.npz"), extract_default.parts),
    "open_default_frame": (_entries("open_default.json"), extract_default.whole_frame),
}


def cases(folder: Path) -> list[str]:
    """Names of all cases of the folder: `group:case`."""
    return [f"{group}:{case}" for group, (find, _) in _GROUPS.items() for case in find(folder)]


def run(folder: Path, case: str) -> list[Check]:
    """Run one case."""
    group, name = case.split(":", 1)
    return _GROUPS[group][1](folder, name)
