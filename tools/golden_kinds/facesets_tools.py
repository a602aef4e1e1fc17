"""Whole runs of sort, recovered names, debug images, resized faces and exported masks."""

from __future__ import annotations

import functools
import hashlib
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from dfl_tf.face import FaceType
from dfl_tf.facesets import derived_images
from dfl_tf.facesets.measure_cache import MeasureCache
from dfl_tf.facesets.rearranging import rearrange
from dfl_tf.facesets.recover_names import plan_names
from dfl_tf.facesets.resize import resize_face
from dfl_tf.facesets.rewriting import rewrite_faces
from dfl_tf.facesets.sort import plan_sort
from dfl_tf.facesets.xseg_store import open_store
from dfl_tf.formats import read_metadata
from dfl_tf.formats.faces.face_metadata import metadata_to_dict
from dfl_tf.imaging import read_image
from golden_kinds.arrays import load_arrays, load_json, mean, near, same
from golden_kinds.check import Check
from golden_kinds.workspaces import faces_folder, workspace

_SUFFIXES = (".jpg", ".jpeg", ".png")


def cases(folder: Path) -> list[str]:
    """Names of the cases of tools.json."""
    found = []
    for key, content in (load_json(folder / "tools.json") or {}).items():
        if key == "resize":
            found += [f"resize:{tag}" for tag in content]
        elif key in ("landmark_pictures", "export_mask"):
            found.append(f"tool:{key}")
        else:
            found.append(f"run:{key}")
    return found


def run(folder: Path, group: str, name: str) -> list[Check]:
    """Run one case."""
    content = load_json(folder / "tools.json")
    if group == "resize":
        return _resize(folder, name, content["resize"][name])
    if group == "tool":
        tool: Callable[..., list[Check]]
        tool = _masks if name == "export_mask" else _landmark_images
        return tool(folder, content[name])
    golden = content[name]
    if name.startswith("sort_"):
        return _sort(folder, name.removeprefix("sort_"), golden)
    if name.startswith("recover"):
        return _recover(folder, golden)
    raise ValueError(f"{name} is not a run that is known")


@contextmanager
def _workplace() -> Any:
    with tempfile.TemporaryDirectory() as place:
        yield Path(place)


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


@functools.cache
def _by_hash(folder: Path) -> dict[str, Path]:
    """Images of the golden folder by their content."""
    images = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES)
    return {_hash(path.read_bytes()): path for path in images}


def _fill(place: Path, names: dict[str, str], known: dict[str, Path]) -> dict[str, str]:
    """Make files by name and hash; of files that nobody has, the hash that ours has instead."""
    place.mkdir()
    others = {}
    for name, value in names.items():
        data = known[value].read_bytes() if value in known else f"{name} {value}".encode()
        (place / name).write_bytes(data)
        others[value] = _hash(data)
    return others


def _content(place: Path) -> dict[str, str]:
    files = [path for path in place.iterdir() if path.is_file() and path.name[0] != "."]
    return {path.name: _hash(path.read_bytes()) for path in files}


def _sort(folder: Path, method: str, golden: dict[str, Any]) -> list[Check]:
    """A whole run. The trash is only added to, and has the whole name of the folder."""
    with _workplace() as base:
        place = base / golden["folder"]
        ours = _fill(place, golden["before"], _by_hash(folder))
        trash = base / f"{place.name}_trash"
        trash.mkdir()
        for name in golden["trash_before"]:
            (trash / name).write_text(name)
        plan = plan_sort(place, method, cache=MeasureCache(None))
        rearrange(plan.rearrangement)
        after, thrown = _content(place), _content(trash)
        kept = [(trash / n).read_text() == n for n in golden["trash_before"]]
        tied = _tied(plan)
    wanted = {name: ours.get(value, value) for name, value in golden["after"].items()}
    added = {n: ours.get(v, v) for n, v in golden["trash_after"].items()}
    before = set(golden["trash_before"])
    return [
        same("names", sorted(after), sorted(wanted)),
        Check("hashes", float(sum(after.get(n) != v for n, v in wanted.items())), float(tied)),
        same("content", Counter(after.values()), Counter(wanted.values())),
        same("trash", _without(thrown, before), _without(added, before)),
        same("trash is only added to", kept, [True] * len(kept)),
    ]


def _without(content: dict[str, str], names: Iterable[str]) -> dict[str, str]:
    return {name: value for name, value in content.items() if name not in set(names)}


def _tied(plan: Any) -> int:
    """How many of the kept faces share their number with another: these may be exchanged."""
    counts = Counter(plan.order.values.get(i) for i in plan.order.kept)
    return sum(n for value, n in counts.items() if value is not None and n > 1)


def _recover(folder: Path, golden: dict[str, Any]) -> list[Check]:
    with _workplace() as base:
        ours = _fill(base / "faces", golden["before"], _by_hash(folder))
        plan, _ = plan_names(base / "faces")
        rearrange(plan)
        after = _content(base / "faces")
    wanted = {name: ours.get(value, value) for name, value in golden["after"].items()}
    return [same("names and hashes", after, wanted)]


def _landmark_images(folder: Path, golden: dict[str, Any]) -> list[Check]:
    with _workplace() as base:
        place = base / "faces"
        place.mkdir()
        for name in golden["before"]:
            shutil.copy(_input(folder, name), place)
        derived_images.landmark_images(place, place)
        names = sorted(_content(place))
        sizes = [read_image(place / name).shape for name in names if name.endswith("_debug.jpg")]
        faces = [
            read_image(place / name.replace("_debug", "")).shape
            for name in names
            if name.endswith("_debug.jpg")
        ]
        derived_images.remove_landmark_images(place)
        left = sorted(_content(place))
    return [
        same("names", names, sorted(golden["after"])),
        same("sizes", sizes, faces),
        same("after their removal", left, sorted(golden["before"])),
    ]


def _input(folder: Path, name: str) -> Path:
    found = sorted(folder.rglob(name)) + sorted(workspace().rglob(name))
    if not found:
        raise FileNotFoundError(f"{name} is neither in {folder} nor in {faces_folder()}")
    return found[0]


def _faces_of(names: Iterable[str], place: Path) -> None:
    place.mkdir()
    for name in names:
        shutil.copy(workspace() / "data_src" / "aligned" / name, place)


def _resize(folder: Path, tag: str, golden: dict[str, Any]) -> list[Check]:
    arrays, size, answer = (
        load_arrays(folder / "tools.npz"),
        golden["size"],
        golden["face_type_answer"],
    )
    wanted = None if answer == "same" else FaceType.from_name(answer)
    checks = []
    with _workplace() as base:
        place = base / "aligned"
        _faces_of(golden["files"], place)
        rewrite_faces(
            place,
            lambda jpeg, metadata: resize_face(jpeg, metadata, size, wanted),
            why="resize",
            ending="_resized",
        )
        checks.append(same("folder", sorted(_content(place)), golden["folder_after"]))
        left = (base / "aligned_resized").exists()
        checks.append(same("folder of results", left, golden["resized_folder_left"]))
        for name, facts in golden["files"].items():
            metadata = read_metadata(place / name)
            assert metadata is not None
            keys = sorted(metadata_to_dict(metadata))
            checks += [
                same(f"{name} face type", metadata.face_type, facts["face_type"]),
                same(f"{name} shape", list(metadata.shape), facts["shape"]),
                same(f"{name} keys", keys, facts["keys"]),
            ]
            found = {
                "landmarks": metadata.landmarks,
                "mat": metadata.image_to_face_mat,
                "source_landmarks": metadata.source_landmarks,
            } | {f"poly{i}": points for i, (_, points) in enumerate(metadata.seg_ie_polys)}
            start = f"{tag}/{name}|"
            listed = {key.removeprefix(start) for key in arrays if key.startswith(start)}
            polygons = {key for key in listed if key.startswith("poly")}
            checks.append(same(f"{name} polygons", len(polygons), len(metadata.seg_ie_polys)))
            checks += [
                near(f"{name} {key}", found[key], arrays[start + key], 1e-3)
                for key in sorted(listed & set(found))
            ]
            mask = metadata.mask()
            if "xseg_u8" in listed:
                ours = np.zeros(0) if mask is None else np.rint(mask[:, :, 0] * 255)
                theirs = arrays[start + "xseg_u8"]
                error = np.inf if ours.shape != theirs.shape else np.mean(ours != theirs)
                checks.append(Check(f"{name} mask", float(error), 0.002))
            if "picture" in listed:
                theirs, image = arrays[start + "picture"], read_image(place / name)
                image = image if theirs.shape == image.shape else image[::8, ::8]
                checks.append(Check(f"{name} image", mean(image, theirs), 1.5))
    return checks


def _masks(folder: Path, golden: dict[str, Any]) -> list[Check]:
    arrays = load_arrays(folder / "tools.npz")
    names = [name for name in golden["files"] if "_mask" not in name]
    checks = []
    with _workplace() as base:
        place = base / "aligned"
        _faces_of(names, place)
        if golden.get("second_file_has_polygons"):
            store = open_store(place)
            store.change(1, mask=None)
            store.finish()
        derived_images.export_masks(place)
        checks.append(same("files", sorted(_content(place)), golden["files"]))
        for key in arrays:
            if key.startswith("mask/"):
                mask = cv2.imread(str(place / key.removeprefix("mask/")), cv2.IMREAD_UNCHANGED)
                theirs = arrays[key]
                checks.append(Check(key, mean(np.asarray(mask).reshape(theirs.shape), theirs), 1.0))
    return checks
