"""Golden cases of color transfer, augmentation filters and XSeg batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from dfl_tf_ops import color_transfer as colors

from dfl_tf.data.xseg import load_segmented, make_xseg_sample, segmented_samples
from dfl_tf.face import FaceType
from dfl_tf.imaging import filters as image_filters
from golden_kinds.arrays import Arrays, load_arrays, load_json, mean, near, same
from golden_kinds.bags import Bag
from golden_kinds.check import Check
from golden_kinds.data_samples import open_faceset, workspace_of

_CLOSE, _SOT, _SOT_TIED = 1e-4, 5e-4, 5e-3
_SOT_MEAN, _SOT_MEAN_TIED, _MIX_MEAN = 2e-4, 5e-3, 1e-2
_CIRCLE_SEED = 1003
_SIDES = ("data_src", "data_dst")


def pairs(folder: Path) -> list[str]:
    arrays = load_arrays(folder / "color_transfer.npz")
    return [k[:-4] for k in arrays if k.endswith("_src") and f"{k[:-4]}_trg" in arrays]


def run_pair(folder: Path, case: str) -> list[Check]:
    arrays = load_arrays(folder / "color_transfer.npz")
    source, target = arrays[f"{case}_src"], arrays[f"{case}_trg"]
    compute: dict[str, Callable[[], np.ndarray]] = {
        "rct": lambda: colors.color_transfer_rct(source, target),
        "rct_masked": lambda: colors.color_transfer_rct(
            source, target, source_mask=arrays["mask_a"], target_mask=arrays["mask_b"]
        ),
        "lct": lambda: colors.color_transfer_lct(source, target),
        "lct_chol": lambda: colors.color_transfer_lct(source, target, variant="chol"),
        "lct_sym": lambda: colors.color_transfer_lct(source, target, variant="sym"),
        "mkl": lambda: colors.color_transfer_mkl(source, target),
        "idt": lambda: colors.color_transfer_idt(
            source, target, rotations=arrays[f"{case}_idt_rotations"]
        ),
        "idt_1rot": lambda: colors.color_transfer_idt(
            source, target, rotations=arrays[f"{case}_idt_rotations"][:1]
        ),
        "lab_src": lambda: cv2.cvtColor(source, cv2.COLOR_BGR2LAB),
    }
    checks = [
        near(name, function(), arrays[f"{case}_{name}"], _CLOSE)
        for name, function in compute.items()
        if f"{case}_{name}" in arrays
    ]
    for name in arrays:
        if name.startswith(f"{case}_hist_"):
            threshold = float(name.rsplit("_", 1)[1])
            matched = colors.hist_match(source * 255, target * 255, threshold)
            checks.append(near(name, matched, arrays[name], _CLOSE))
    return checks + list(_random_transfers(case, arrays, source, target))


def _random_transfers(
    case: str, arrays: Arrays, source: np.ndarray, target: np.ndarray
) -> Iterator[Check]:
    directions = arrays.get(f"{case}_sot_dirs")
    if directions is None:
        return
    tied = _has_8bit_values(source) and _has_8bit_values(target)
    mean_tolerance = _SOT_MEAN_TIED if tied else _SOT_MEAN
    if f"{case}_sot" in arrays:
        moved = colors.color_transfer_sot(source, target, directions=directions)
        yield near("sot", moved, arrays[f"{case}_sot"], _SOT_TIED if tied else _SOT)
    for name, used in (("sot_noreg", directions), ("sot_1x1_noreg", directions[:1, :1])):
        if f"{case}_{name}" in arrays:
            moved = colors.color_transfer_sot(source, target, directions=used, sigma_space=0)
            yield Check(name, mean(moved, arrays[f"{case}_{name}"]), mean_tolerance, "mean")
    if f"{case}_mix" in arrays:
        moved = colors.color_transfer_mix(source, target, directions=directions)
        yield Check("mix", mean(moved, arrays[f"{case}_mix"]), _MIX_MEAN, "mean")


def _has_8bit_values(image: np.ndarray) -> bool:
    levels = image.astype(np.float64) * 255
    return bool(np.abs(levels - np.round(levels)).max() < 1e-3)


def _circles(folder: Path) -> list[str]:
    return [k for k in load_arrays(folder / "filters_xseg.npz") if k.startswith("circle_faded_")]


def filters(folder: Path) -> list[str]:
    stored = load_json(folder / "filters_xseg.json") or []
    found = [f"{c['filter']}_{c['case']}" for c in stored if "filter" in c]
    blurs = [
        k for k in load_arrays(folder / "filters_xseg.npz") if k.startswith("linear_motion_blur_")
    ]
    return (["circle_faded"] if _circles(folder) else []) + found + blurs


class RecordingState:
    """A `RandomState` that lists its draws as the golden files do."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.RandomState(seed)
        self.values: list[float] = []

    def _kept(self, value: float) -> float:
        self.values.append(value)
        return value

    def randint(self, *arguments: int) -> int:
        return int(self._kept(int(self._rng.randint(*arguments))))

    def random_sample(self) -> float:
        return self._kept(self._rng.random_sample())


def _filter(name: str, image: np.ndarray, rng: Any, mask: np.ndarray | None) -> np.ndarray:
    plain = {
        "rgb_levels": image_filters.random_rgb_levels,
        "hsv_shift": image_filters.random_hsv_shift,
    }
    if name in plain:
        return plain[name](image, rng, mask=mask)
    with_kernel = {
        "sharpen": image_filters.random_sharpen,
        "motion_blur": image_filters.random_motion_blur,
        "gaussian_blur": image_filters.random_gaussian_blur,
    }
    if name in with_kernel:
        return with_kernel[name](image, rng, 100, 5, mask=mask)
    resizes = {"nearest_resize": cv2.INTER_NEAREST, "bilinear_resize": cv2.INTER_LINEAR}
    if name in resizes:
        return image_filters.random_resize(image, rng, 100, 75, resizes[name], mask=mask)
    if name == "jpeg_compress":
        return image_filters.random_jpeg(image, rng, 100, mask=mask)
    raise ValueError(f"unknown filter {name!r}")


def run_filter(folder: Path, case: str) -> list[Check]:
    arrays = load_arrays(folder / "filters_xseg.npz")
    image = arrays["img"]
    if case == "circle_faded":
        return _run_circles(arrays, image.shape)
    if case.startswith("linear_motion_blur_"):
        size = int(case.rsplit("_", 1)[1])
        blurred = image_filters.linear_motion_blur(image, size, 37 * size)
        return [near("image", blurred, arrays[case], _CLOSE)]
    stored = next(
        c
        for c in load_json(folder / "filters_xseg.json")
        if "filter" in c and f"{c['filter']}_{c['case']}" == case
    )
    rng = RecordingState(stored["seed"])
    mask = arrays["circle_faded_0"] if stored.get("masked") else None
    filtered = _filter(stored["filter"], image, rng, mask)
    checks = [near("image", filtered, arrays[case], _CLOSE)]
    if stored["filter"] == "jpeg_compress" and not checks[0].passed:
        error = mean(filtered, arrays[case])
        checks = [Check("image", error, 1e-2, "mean: another JPEG codec")]
    draws = [value for _, _, value in stored["draws"]]
    return [*checks, near("draws", rng.values, draws, 0)]


def _run_circles(arrays: Arrays, shape: tuple[int, ...]) -> list[Check]:
    rng = np.random.RandomState(_CIRCLE_SEED)
    checks = []
    # The arrays follow each other in one stream of draws.
    numbered = sorted(k for k in arrays if k.startswith("circle_faded_") and k[13:].isdigit())
    for name in sorted(numbered, key=lambda k: int(k[13:])):
        circle = image_filters.random_faded_circle((shape[1], shape[0]), rng)
        checks.append(near(name, circle, arrays[name], _CLOSE))
    if "circle_faded_explicit" in arrays:
        circle = image_filters.faded_circle((64, 64), (10, 40), (5, 20))
        checks.append(near("explicit", circle, arrays["circle_faded_explicit"], _CLOSE))
    return checks


def batches(folder: Path) -> list[str]:
    stored = load_json(folder / "filters_xseg.json") or []
    return [str(c["xseg_batch"]) for c in stored if "xseg_batch" in c]


def run_batch(folder: Path, case: str) -> list[Check]:
    stored = next(
        c for c in load_json(folder / "filters_xseg.json") if str(c.get("xseg_batch")) == case
    )
    arrays = load_arrays(folder / "filters_xseg.npz")
    facesets = [open_faceset(workspace_of(folder) / side / "aligned") for side in _SIDES]
    pool = [sample for faceset in facesets for sample in faceset]
    usable = segmented_samples(facesets)
    checks = [same("candidates", [pool.index(s) for s in usable], stored["seg_idxs"])]
    rng = np.random.RandomState(stored["np_random_seed"])
    bag, background = Bag(stored["seg_idxs"], rng), Bag(stored["seg_idxs"], rng)
    size, face_type = stored["res"], FaceType(stored["face_type"])
    made = [
        make_xseg_sample(
            lambda: load_segmented(pool[bag.take()], size, face_type),
            lambda: load_segmented(pool[background.take()], size, face_type),
            size,
            rng,
        )
        for _ in range(stored["batch"])
    ]
    images, masks = (np.stack(arrays) for arrays in zip(*made, strict=True))
    return [
        *checks,
        near("img", images, arrays[f"xseg_batch_{case}_img"], _CLOSE),
        near("mask", masks, arrays[f"xseg_batch_{case}_mask"], _CLOSE),
        near("next uniform", rng.random_sample(), stored["next_uniform"], 0),
    ]
