"""The networks of extraction with weights by rule."""

from __future__ import annotations

import functools
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from golden_kinds.arrays import load_arrays, load_json, near, same, worst
from golden_kinds.check import Check
from golden_kinds.workspaces import frame

NETWORK = 5e-5  # README: maps, heat maps, enhancer
CALL = 1e-4
_GAIN = {"S3FD": 2.0, "FAN": 0.3, "FaceEnhancer": 1.0}
_AGREEING = 66  # of 68 points: peaks of random maps can flip


def weight(scope: str, key: str, shape: tuple[int, ...]) -> np.ndarray:
    """The deterministic value of a weight (README, "Weight rule")."""
    rng = np.random.Generator(np.random.PCG64(zlib.crc32(f"{scope}/{key}".encode())))
    z = rng.standard_normal(int(np.prod(shape))).reshape(shape)
    if key.endswith("_norm/weight:0"):
        z = 10 * (1 + 0.1 * z)
    elif key.endswith("running_var:0"):
        z = np.exp(0.2 * z)
    elif key.endswith(("bias:0", "running_mean:0")):
        z = 0.1 * z
    elif len(shape) == 4:
        z = z * np.sqrt(_GAIN[scope] / np.prod(shape[:3]))
        if (scope, key) == ("S3FD", "conv1_1/weight:0"):
            z = z * 0.01
    elif len(shape) == 2:
        z = z * np.sqrt(1 / shape[0])
    else:
        z = 1 + 0.1 * z
    return z.astype(np.float32)


@functools.cache
def network(scope: str) -> Any:
    """A network of the package, filled by the rule."""
    from dfl_tf.extract.detectors.s3fd_network import S3FDNetwork
    from dfl_tf.extract.landmarkers.fan_network import FANNetwork
    from dfl_tf.models.face_enhancer import FaceEnhancerNetwork
    from dfl_tf.nn.filling import fill_network

    classes = {"S3FD": S3FDNetwork, "FAN": FANNetwork, "FaceEnhancer": FaceEnhancerNetwork}
    made = classes[scope]()
    made.build()
    keys = {v.path.split("/", 1)[1] + ":0": tuple(v.shape) for v in made.weights}
    tensors = {key: weight(scope, key, shape) for key, shape in keys.items()}
    fill_network(made, tensors, what="the weight rule")
    return made


def weights(folder: Path, scope: str) -> list[Check]:
    """Keys, shapes and order of a network's tensors, and the rule itself."""
    expected = load_json(folder / f"weight_keys_{scope}.json")
    found = {
        v.path.split("/", 1)[1] + ":0": [int(side) for side in v.shape]
        for v in network(scope).weights
    }
    checks = [same("keys, shapes, order", list(found.items()), list(expected.items()))]
    rule = load_json(folder / f"{scope.lower().replace('face', '')}_weight_check.json")
    for key, stated in (rule or {}).get("first3_mean_std", {}).items():
        value = weight(scope, key, tuple(expected[key])).astype(np.float64)
        facts = [*value.reshape(-1)[:3], value.mean(), value.std()]
        checks.append(near(key, facts, stated, 1e-5 * max(1.0, abs(float(value.mean())))))
    return checks


def s3fd(folder: Path, case: str) -> list[Check]:
    golden = load_arrays(folder / "s3fd.npz")
    maps = network("S3FD")(golden[f"net{case}_input"][None].astype(np.float32))
    return [
        near(f"{kind}{level}", values[0], golden[f"net{case}_{kind}{level}"], NETWORK)
        for level, pair in enumerate(maps)
        for kind, values in zip(("conf", "loc"), pair, strict=True)
    ]


def fan(folder: Path, case: str) -> list[Check]:
    import tensorflow as tf

    golden = load_arrays(folder / "fan.npz")
    x = golden["net_input_u8"][None].astype(np.float32) / 255
    made = network("FAN")
    heat = made(x).numpy()[0]
    flat = np.sort(heat.reshape(len(heat), -1), axis=1)
    stem = tf.nn.relu(made.bn1(made.conv1(x)))
    conv4 = made.stem(x)
    hourglass = made.hourglasses[0](conv4)
    end = tf.nn.relu(made.ends[0](made.lasts[0](made.tops[0](hourglass))))
    maps = made.maps[0](end)
    middle = {
        "stem": stem,
        "conv2_pooled": tf.nn.avg_pool2d(made.conv2(stem), 2, 2, "VALID"),
        "conv4": conv4,
        "hourglass0": hourglass,
        "stack0_maps": maps,
        "stack1_input": conv4 + made.features_back[0](end) + made.maps_back[0](maps),
    }
    checks = [near("heat", heat, golden["net_heat"], NETWORK)]
    checks.append(near("margin", flat[:, -1] - flat[:, -2], golden["net_heat_margin"], 2 * NETWORK))
    for name in golden:
        if name.startswith("mid_") and name.endswith("_crop"):
            value = middle[name[len("mid_") : -len("_crop")]][0, :8, :8]
            checks.append(near(name, value, golden[name].reshape(value.shape), NETWORK))
    return checks


def fan_call(folder: Path, case: str) -> list[Check]:
    """A landmarker's call on a frame; the detector of the second pass answers what is given."""
    from dfl_tf.extract.found import Detection
    from dfl_tf.extract.frame_faces import turned
    from dfl_tf.extract.landmarkers.fan import _SAMPLES, FAN

    entry = load_json(folder / "fan_calls.json")[int(case)]
    golden = load_arrays(folder / "fan_calls.npz")
    number, mode = entry["call"], entry["mode"]
    expected = golden[f"call{number}_landmarks"]
    image, seen = frame(entry["frame"]), []

    class Given:
        name = version = ""

        def detect(self, view: np.ndarray) -> list[Detection]:
            seen.append(view)
            return [Detection(tuple(box), 1.0) for box in entry["second_pass_boxes"]]

        def search(self, view: np.ndarray) -> list[Detection]:
            return []

    def run(images: np.ndarray) -> np.ndarray:
        # one at a time: a batch is computed in another order, and peaks of random maps flip
        return np.concatenate([network("FAN")(images[i : i + 1]) for i in range(len(images))])

    landmarker = FAN(run, second_pass=Given() if mode.startswith("second") else None)
    rects = [tuple(rect) for rect in entry["rects"]]
    if mode == "multi":
        found = landmarker._samples(image[:, :, ::-1].copy(), rects, _SAMPLES)
    elif mode == "rot":
        return _turned_call(landmarker, image, rects, expected, turned)
    else:
        detections = [Detection(rect, 1.0) for rect in rects]
        found = [None if f is None else f.points for f in landmarker.find(image, detections)]
    checks = [same("none", [points is None for points in found], entry["none"])]
    for i, points in enumerate(found):
        if points is not None and mode != "second1":
            apart = np.abs(points - expected[i]).max(axis=1)
            far = int((apart > 0.01).sum())
            checks.append(Check(f"points {i} beyond 0.01 px", far, 68 - _AGREEING))
    if seen and f"call{number}_second_input" in golden:
        given = seen[0][:, :, ::-1].astype(int) - golden[f"call{number}_second_input"]
        checks.append(Check("second input, mean", float(np.abs(given).mean()), 0.1))
    return checks


def _turned_call(
    landmarker: Any, image: np.ndarray, rects: list, expected: np.ndarray, turned: Any
) -> list[Check]:
    """The frame turned by some quarter: which one, the golden does not say."""
    from dfl_tf.extract.found import Detection

    far = []
    for rotation in (0, 90, 180, 270):
        view = turned(image, rotation)
        found = landmarker.find(view, [Detection(rect, 1.0) for rect in rects])
        if all(face is not None for face in found):
            points = np.stack([face.points for face in found])
            far.append(int((np.abs(points - expected).max(axis=-1) > 0.01).sum(axis=1).max()))
    return [Check("points beyond 0.01 px", min(far), 68 - _AGREEING)]


def _enhance(x: np.ndarray, first: float, second: float) -> np.ndarray:
    scalars = (np.full((1, 1), value, np.float32) for value in (first, second))
    return network("FaceEnhancer")(x, *scalars).numpy()[0]


def enhancer(folder: Path, case: str) -> list[Check]:
    golden = load_arrays(folder / "enhancer_net.npz")
    x = golden["net_input_u8"][None].astype(np.float32) / np.float32(127.5) - 1
    out = _enhance(x, 0.2, 1.0)
    parts = {
        "net_out_stride4": out[::4, ::4],
        "net_out_corner": out[:48, :48],
        "net_out_middle": out[370:418, 370:418],
        "net_out_end": out[-32:, -32:],
    }
    checks = [near(name, part, golden[name], NETWORK) for name, part in parts.items()]
    for name in golden:
        if name.startswith("net_params_"):
            first, second = (float(text) for text in name.split("_")[2:4])
            stride = int(name.rpartition("stride")[2])
            value = _enhance(x, first, second)[::stride, ::stride]
            checks.append(near(name, value, golden[name], NETWORK))
    return checks


def enhancer_call(folder: Path, case: str) -> list[Check]:
    from dfl_tf.models.face_enhancer import enhance

    entry = next(e for e in load_json(folder / "enhancer_calls.json") if e["case"] == case)
    golden = load_arrays(folder / "enhancer_calls.npz")
    image = golden[f"{case}_input_u8"].astype(np.float32) / 255
    if entry["is_tanh"]:
        image = image * 2 - 1
    out = enhance(
        image,
        network("FaceEnhancer"),
        is_tanh=entry["is_tanh"],
        preserve_size=entry["preserve_size"],
    )
    checks = [
        same("shape", list(out.shape), entry["out_shape"]),
        near("mean", [out.astype(np.float64).mean()], [entry["mean"]], CALL),
    ]
    for name, part in ((f"{case}_out", out), (f"{case}_out_stride4", out[::4, ::4])):
        if name in golden:
            checks.append(Check(name, worst(part, golden[name]), CALL))
    return checks
