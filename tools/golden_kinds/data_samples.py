"""Golden cases of index order, warp parameters and complete samples."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from dfl_tf.data import FaceSample, Faceset, OutputSpec, SampleSpec, make_sample
from dfl_tf.data.augment import (
    WarpParameters,
    apply_warp,
    draw_sample_warp,
    draw_warp,
    truncated_normal,
)
from dfl_tf.face import FaceType
from golden_kinds.arrays import Arrays, load_arrays, load_json, mean, near, same
from golden_kinds.bags import Bag, TwoLevelBag
from golden_kinds.check import Check

_MAP_TOLERANCE, _IMAGE_TOLERANCE = 1e-4, 1e-5
# A transfer with random directions of its own (decision 6) agrees only on the whole.
_RANDOM_COLOR_TOLERANCE = 5e-3
COMMON_WORKSPACE = Path(__file__).resolve().parents[2] / "tests/golden/data/workspace"
_NORMALS, _NORMALS_AFTER = "random_normal_10x10", "random_normal_after_uniform"
_NORMALS_SEED = 1000
_KINDS = {2: "image", 3: "mask", 4: "landmarks", 5: "pitch_yaw", 6: "pitch_yaw_sigmoid"}
_CHANNELS = {1: "bgr", 2: "g", 3: "ggg"}
_MASKS = {0: "none", 1: "full", 2: "eyes", 3: "eyes_mouth"}


@functools.cache
def open_faceset(path: Path) -> Faceset:
    return Faceset.open(path)


def workspace_of(folder: Path) -> Path:
    """The faces of a folder; for one case alone in a folder, the committed ones of that name."""
    own = folder / "workspace"
    return own if own.is_dir() else COMMON_WORKSPACE


def find_sample(folder: Path, file: str) -> FaceSample:
    """The face `file`, a path that begins with `workspace/`."""
    path = folder / file
    if file.startswith("workspace/"):
        path = workspace_of(folder) / file.removeprefix("workspace/")
    for sample in open_faceset(path.parent):
        if sample.name == path.name:
            return sample
    raise FileNotFoundError(f"{path} is not there, or no face")


def index_hosts(folder: Path) -> list[str]:
    return list(load_json(folder / "index_hosts.json") or {})


def run_index_host(folder: Path, case: str) -> list[Check]:
    stored = load_json(folder / "index_hosts.json")[case]
    bag: Bag | TwoLevelBag
    if "bins" in stored:
        bag = TwoLevelBag(stored["bins"], np.random.RandomState(_seed(stored)))
    else:
        bag = Bag(range(stored["count"]), np.random.RandomState(_seed(stored)))
    results = [[bag.take() for _ in range(size)] for size in stored["requests"]]
    return [same("indices", results, stored["results"])]


def _seed(stored: dict[str, Any]) -> int:
    return stored["rnd_seed"] if "rnd_seed" in stored else stored["np_random_seed"]


def _case(folder: Path, file: str, key: str, value: str) -> dict[str, Any]:
    return next(c for c in load_json(folder / file) if c.get(key) == value)


def warps(folder: Path) -> list[str]:
    cases = [case["tag"] for case in load_json(folder / "warp.json") or []]
    return cases + [_NORMALS] * (_NORMALS in load_arrays(folder / "warp.npz"))


def _run_normals(folder: Path) -> list[Check]:
    """Draw the displacements of the README's seed, and what comes after them."""
    arrays = load_arrays(folder / "warp.npz")
    wanted, rng = arrays[_NORMALS], np.random.RandomState(_NORMALS_SEED)
    drawn = truncated_normal(rng, wanted.size).reshape(wanted.shape)
    checks = [near("draws", drawn, wanted, 0)]
    if _NORMALS_AFTER in arrays:
        after = arrays[_NORMALS_AFTER]
        checks.append(near("next uniform", rng.random_sample(after.shape), after, 0))
    return checks


def run_warp(folder: Path, case: str) -> list[Check]:
    if case == _NORMALS:
        return _run_normals(folder)
    stored = _case(folder, "warp.json", "tag", case)
    arrays = load_arrays(folder / "warp.npz")
    ranges = {k: stored[k] for k in stored if k.endswith("_range")}
    warp = draw_warp(
        stored["w"],
        flip=stored["flip_enabled"],
        rng=np.random.RandomState(stored["rnd_seed"]),
        warp_rng=np.random.RandomState(stored["warp_rnd_seed"]),
        **ranges,
    )
    drawn = {
        "rotation": warp.rotation,
        "scale": warp.scale,
        "tx": warp.shift_x,
        "ty": warp.shift_y,
        "flip": warp.flip,
        "cell_index": warp.cell_index,
        "cell_size": warp.cell,
        "work_w": warp.width,
    }
    checks = [same(name, value, stored[name]) for name, value in drawn.items() if name in stored]
    unit = warp.matrix.copy()
    unit[:, 2] /= warp.width
    exact = {"noise_x": warp.noise_x, "noise_y": warp.noise_y}
    for name, value in exact.items():
        if f"{case}_{name}" in arrays:
            checks.append(near(name, value, arrays[f"{case}_{name}"], 0))
    map_x, map_y = warp.maps()
    mapped = {"rmat": warp.matrix, "umat": unit, "mapx": map_x, "mapy": map_y}
    for name, value in mapped.items():
        if f"{case}_{name}" in arrays:
            checks.append(near(name, value, arrays[f"{case}_{name}"], _MAP_TOLERANCE))
    return checks + list(_warped(folder, case, warp, arrays))


def _warped(folder: Path, case: str, warp: WarpParameters, arrays: Arrays) -> Iterator[Check]:
    maps = warp.maps()
    outputs = {
        "img_warp_only": (maps, False, False, True, cv2.INTER_CUBIC),
        "img_warp_transform_flip": (maps, True, True, True, cv2.INTER_CUBIC),
        "img_transform_flip": (None, True, True, True, cv2.INTER_CUBIC),
        "mask_transform_flip_linear": (None, True, True, False, cv2.INTER_LINEAR),
    }
    for name, (used, transform, flip, replicate, interpolation) in outputs.items():
        expected = arrays.get(f"{case}_{name}")
        if expected is None:
            continue
        actual = apply_warp(
            _input(folder, case, arrays, "mask" if name.startswith("mask") else "img"),
            warp,
            maps=used,
            transform=transform,
            flip=flip,
            replicate=replicate,
            interpolation=interpolation,
        )
        # Odd cells give the legacy program one row and column too many.
        expected = expected[: actual.shape[0], : actual.shape[1]]
        yield near(name, actual, expected, _IMAGE_TOLERANCE)


def _input(folder: Path, case: str, arrays: Arrays, what: str) -> np.ndarray:
    stored = arrays.get(f"{case}_in_{what}")
    if stored is not None:
        return stored
    aligned = "workspace/data_src/aligned"
    if what == "img":
        return find_sample(folder, f"{aligned}/src_astro_0.jpg").image()
    mask = find_sample(folder, f"{aligned}/src_00000_0.jpg").xseg_mask()
    assert mask is not None
    return mask


def samples(folder: Path) -> list[str]:
    return [case["name"] for case in load_json(folder / "sample_processor.json") or []]


def run_sample(folder: Path, case: str) -> list[Check]:
    stored = _case(folder, "sample_processor.json", "name", case)
    arrays = load_arrays(folder / "sample_processor.npz")
    sample = find_sample(folder, stored["file"])
    color_source = find_sample(folder, stored["ct_file"]) if stored.get("ct_file") else None
    seed = stored["sample_rnd_seed"]
    rng = np.random.RandomState(stored["np_random_seed"])
    checks = [same("seed", int(rng.randint(0x80000000, dtype=np.int64)), seed)]
    for number, request in enumerate(stored["outputs"]):
        spec = _spec(stored["options"], request)
        array = make_sample(sample, spec, seed, color_source=color_source)["image"]
        if request.get("data_format") == "NCHW" and array.ndim == 3:
            array = array.transpose(2, 0, 1)
        expected = arrays[f"{case}_out{number}"]
        if spec.ct_mode in ("idt", "sot") and color_source is not None:
            error, tolerance = mean(array, expected), _RANDOM_COLOR_TOLERANCE
            checks.append(Check(f"out{number}", error, tolerance, "mean, other directions"))
        else:
            tolerance = 1e-4 if request["sample_type"] in (5, 6) else _IMAGE_TOLERANCE
            checks.append(near(f"out{number}", array, expected, tolerance))
        if number == 0:
            checks += _first_warp(case, spec, seed, arrays)
    return checks + _draws(stored, seed)


def _spec(options: dict[str, Any], request: dict[str, Any]) -> SampleSpec:
    output = OutputSpec(
        kind=_KINDS[request["sample_type"]],
        warp=bool(request.get("warp", False)),
        transform=bool(request.get("transform", False)),
        channels=_CHANNELS[request.get("channel_type", 1)],
        mask=_MASKS[request.get("face_mask_type", 1)],
        color_transfer=bool(request.get("ct_mode")),
        hsv_shift=request.get("random_hsv_shift_amount", 0.0),
        border_replicate=request.get("border_replicate", True),
        seed_shift=request.get("rnd_seed_shift", 0),
        warp_seed_shift=request.get("warp_rnd_seed_shift"),
        nearest_resize_to=request.get("nearest_resize_to") or 0,
        normalize_tanh=request.get("normalize_tanh", False),
    )
    ranges = {k: tuple(v) for k, v in options.items() if k.endswith("_range")}
    return SampleSpec(
        resolution=request["resolution"],
        face_type=FaceType(request["face_type"]),
        outputs={"image": output},
        random_flip=options.get("random_flip", False),
        ct_mode=request.get("ct_mode") or "none",
        **{"scale_range": (-0.05, 0.05), **ranges},
    )


def _first_warp(case: str, spec: SampleSpec, seed: int, arrays: Arrays) -> list[Check]:
    warp = draw_sample_warp(spec, np.random.RandomState(seed), np.random.RandomState(seed))
    checks = []
    if f"{case}_rmat" in arrays:
        checks.append(near("rmat", warp.matrix, arrays[f"{case}_rmat"], _MAP_TOLERANCE))
    if f"{case}_mapx" in arrays:
        checks.append(near("mapx", warp.maps()[0], arrays[f"{case}_mapx"], _MAP_TOLERANCE))
    return checks


def _draws(stored: dict[str, Any], seed: int) -> list[Check]:
    """Compare the flip of the first output and the HSV draws."""
    rng = np.random.RandomState(seed)
    warp = draw_sample_warp(
        _spec(stored["options"], stored["outputs"][0]), rng, np.random.RandomState(seed)
    )
    checks = [same("flip", warp.flip, stored["flip"])] if "flip" in stored else []
    if stored.get("hsv_draws"):
        amount = max(r.get("random_hsv_shift_amount", 0) for r in stored["outputs"])
        degrees = max(1, int(360 * amount * 0.5))
        draws = [int(rng.randint(-degrees, degrees + 1)), rng.random_sample(), rng.random_sample()]
        checks.append(near("hsv draws", draws, stored["hsv_draws"], 0))
    return checks
