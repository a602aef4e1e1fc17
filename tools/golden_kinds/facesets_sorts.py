"""Orders and numbers of every way to sort, against those of the legacy program."""

from __future__ import annotations

import functools
import hashlib
import itertools
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from dfl_tf.facesets.best_faces import best_faces
from dfl_tf.facesets.chains import bhattacharyya, histogram_roots
from dfl_tf.facesets.measure_cache import MeasureCache
from dfl_tf.facesets.measuring import face_files, measure_faces
from dfl_tf.facesets.sort import find_method, plan_sort
from dfl_tf.facesets.sorting import MeasuredFaces
from dfl_tf.imaging import read_image
from golden_kinds.arrays import load_json, same
from golden_kinds.check import Check
from golden_kinds.workspaces import named_folder

RELATIVE = 1e-9
_ABSOLUTE = {"face-yaw": 1e-3, "face-pitch": 1e-4}
_FINAL = {"final": "gray_sharpness", "final-fast": "source_rect_size"}

Floats = npt.NDArray[np.float64]


def run(folder: Path, name: str, method: str) -> list[Check]:
    """Compare one method on one set."""
    content = load_json(folder / "sorts.json")[name]
    place = faces_of(folder, content["folder"])
    golden = content["methods"][method]
    if "loaded" in golden:
        return _best(place, method, golden)
    if "order" not in golden:
        return [
            check
            for kind, wanted in golden.items()
            for check in _chain(place, method, wanted, [], similar=kind == "similar", tag=kind)
        ]
    if "value" in golden:
        return _values(place, method, golden)
    if method == "hist":
        return _chain(place, method, golden["order"], golden["trash"])
    order, trash = _sorted(place, method)
    return [
        same("order", order, golden["order"]),
        same("trash", sorted(trash), sorted(golden["trash"])),
    ]


def faces_of(folder: Path, named: str) -> Path:
    """The folder of a set: in the golden folder ("… (here)"), or in a workspace."""
    plain = named.removesuffix("(here)").strip()
    return folder / plain if (folder / plain).is_dir() else named_folder(plain)


@functools.cache
def hashes(place: Path) -> dict[str, str]:
    """Names of a folder's files to the first 16 hex digits of their SHA-256."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()[:16]
        for path in sorted(place.iterdir())
        if path.is_file()
    }


def _sorted(place: Path, method: str, **options: Any) -> tuple[list[str], list[str]]:
    plan = plan_sort(place, method, cache=MeasureCache(None), **options)
    names = plan.faces.names
    trash = [names[i] for i in plan.order.trash] + plan.unreadable
    return [names[i] for i in plan.order.kept], trash


def _values(place: Path, method: str, golden: dict[str, Any]) -> list[Check]:
    """Numbers within tolerance, and the order wherever they differ by more than that."""
    plan = plan_sort(place, method, cache=MeasureCache(None))
    names = plan.faces.names
    ours = {names[i]: value for i, value in plan.order.values.items()}
    order = [names[i] for i in plan.order.kept]
    wanted, keys = golden["value"], golden["order"]
    trash = sorted([names[i] for i in plan.order.trash] + plan.unreadable)
    checks = [
        same("trash", trash, sorted(golden["trash"])),
        same("names", sorted(order), sorted(keys)),
    ]
    kept = [name for name in keys if name in ours]
    if any(isinstance(wanted[name], str) for name in kept):
        checks.append(same("values", [ours[n] for n in kept], [wanted[n] for n in kept]))
        checks.append(same("order", [ours[n] for n in order], [wanted[n] for n in keys]))
        return checks
    error, tolerance = _distance(method)
    pairs = [(float(ours[n]), float(wanted[n])) for n in kept]
    checks.append(Check("values", max((error(a, b) for a, b in pairs), default=0.0), tolerance))
    # Of two orders by the same numbers, equal ranks hold equal numbers.
    ranks = zip(order, keys, strict=False)
    worst = max((error(float(ours[a]), float(wanted[b])) for a, b in ranks), default=0.0)
    checks.append(Check("order", worst, tolerance))
    return checks


def _distance(method: str) -> tuple[Callable[[float, float], float], float]:
    if method in _ABSOLUTE:
        return lambda a, b: abs(a - b), _ABSOLUTE[method]
    return lambda a, b: abs(a - b) / max(abs(b), 1e-300) if a != b else 0.0, RELATIVE


# -- chains --------------------------------------------------------------------------------------
def _chain(
    place: Path,
    method: str,
    wanted: Sequence[str],
    trash: Sequence[str],
    *,
    similar: bool = True,
    tag: str = "",
) -> list[Check]:
    order, rejected = _sorted(place, method, similar=similar)
    checks = [
        same(f"{tag}trash", sorted(rejected), sorted(trash)),
        same(f"{tag}names", sorted(order), sorted(wanted)),
    ]
    content = hashes(place)
    different = _first_difference([content[n] for n in order], [content[n] for n in wanted])
    if different is None:
        return [*checks, Check(f"{tag}order", 0.0, 0.0)]
    # Equal distances: then either is right, and the golden chain must be greedy all the way.
    distances = _pairs(place, sorted(order), absolute=method == "absdiff")
    if not similar:
        distances = -distances
    places = {name: i for i, name in enumerate(sorted(order))}
    errors = sum(
        _greedy_errors([places[name] for name in chain], distances) for chain in (order, wanted)
    )
    before, a, b = order[different - 1], order[different], wanted[different]
    gap = abs(distances[places[before], places[a]] - distances[places[before], places[b]])
    note = f"{a} or {b} after {before}"
    return [
        *checks,
        Check(f"{tag}order up to ties", float(errors), 0.0, note),
        Check(f"{tag}tie", float(gap), 1e-12, note),
    ]


def _first_difference(a: Sequence[str], b: Sequence[str]) -> int | None:
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), None)


def _pairs(place: Path, names: Sequence[str], *, absolute: bool) -> Floats:
    """Distances of all pairs."""
    if absolute:
        images = [read_image(place / name) for name in names]
        return np.array([[cv2.norm(a, b, cv2.NORM_L1) for b in images] for a in images])
    faces, _ = measure_faces(place, ["color_histogram"], cache=MeasureCache(None))
    columns = dict(zip(faces.names, faces.columns["color_histogram"], strict=True))
    roots = histogram_roots(np.array([columns[n].reshape(3, 256) for n in names]))
    return np.sum([bhattacharyya(roots[:, c], roots[:, c]) for c in range(3)], axis=0)


def _greedy_errors(chain: Sequence[int], distances: Floats) -> int:
    """Steps of a chain to one that is not the nearest of those left."""
    left, errors = set(chain[1:]), 0
    for current, following in itertools.pairwise(chain):
        row = distances[current]
        errors += bool(row[following] > min(row[i] for i in left) + 1e-12)
        left.discard(following)
    return errors


# -- best faces ----------------------------------------------------------------------------------
def _best(place: Path, method: str, golden: dict[str, Any]) -> list[Check]:
    _, how = find_method(method)
    faces, _ = measure_faces(place, how.measures, cache=MeasureCache(None))
    column, loaded = _FINAL[method], golden["loaded"]
    known = [i for i, name in enumerate(faces.names) if not np.isnan(faces.columns[column][i])]
    names = [faces.names[i] for i in known]
    every = [file.name for file in face_files(place)[0]]
    checks = [
        same("loaded", sorted(names), sorted(loaded)),
        same("not loaded", sorted(set(every) - set(names)), sorted(golden["not_loaded"])),
    ]
    if not checks[0].passed:
        return checks
    for key, measure, tolerance in (
        ("sharpness", column, RELATIVE),
        ("yaw", "yaw", 1e-3),
        ("pitch", "pitch", 1e-4),
    ):
        ours = faces.columns[measure][known]
        theirs = np.array([loaded[name][key] for name in names])
        scale = np.maximum(np.abs(theirs), 1e-300) if key == "sharpness" else 1.0
        worst = np.max(np.where(ours == theirs, 0.0, np.abs(ours - theirs) / scale), initial=0.0)
        checks.append(Check(key, float(worst), tolerance))
    content = hashes(place)
    for target, wanted in golden.items():
        if target.isdecimal():
            order, trash = _chosen(faces, known, names, loaded, int(target))
            trash += golden["not_loaded"]
            checks += [
                same(f"{target} order", _as(order, content), _as(wanted["order"], content)),
                same(
                    f"{target} trash",
                    sorted(_as(trash, content)),
                    sorted(_as(wanted["trash"], content)),
                ),
            ]
    return checks


def _chosen(
    faces: MeasuredFaces,
    known: Sequence[int],
    names: Sequence[str],
    loaded: dict[str, Any],
    target: int,
) -> tuple[list[str], list[str]]:
    """Choose by the golden numbers: a yaw on the border of a bin decides as it did there.

    The port keeps one face a bin at least (facesets.md 5); here the legacy quota holds.
    """
    numbers = {
        key: np.array([loaded[n][key] for n in names]) for key in ("sharpness", "yaw", "pitch")
    }
    kept, trash = best_faces(
        **numbers,
        roots=histogram_roots(faces.columns["gray_histogram"][list(known)]),
        target=target,
        least_quota=0,
    )
    return [names[i] for i in kept], [names[i] for i in trash]


def _as(names: Iterable[str], content: dict[str, str]) -> list[str]:
    return [content[name] for name in names]
