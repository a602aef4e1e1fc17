"""Single layers and reorderings, and the table of patch sizes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from dfl_tf.models.discriminators import patch_strides
from dfl_tf.nn import layers, tensors
from dfl_tf.nn.blocks import leaky_relu, x_cos_x
from golden_kinds.check import Check

Arrays = Mapping[str, np.ndarray]
# Not used by any trained model (README); the plain TensorFlow operation, for completeness.
UNUSED: dict[str, Callable[[tf.Tensor], Any]] = {
    "upsample2d": lambda x: tf.repeat(tf.repeat(x, 2, axis=1), 2, axis=2),
    "max_pool": lambda x: tf.nn.max_pool2d(x, 2, 2, "SAME"),
    "resize_bilinear_x2": lambda x: _doubled(_doubled(x.numpy(), 1), 2),
}
REORDERINGS: dict[str, Callable[[tf.Tensor], tf.Tensor]] = {
    "flatten": tensors.flatten,
    "depth_to_space2": tensors.depth_to_space,
}
FUNCTIONS: dict[str, Callable[[tf.Tensor], tf.Tensor]] = {
    "pixel_norm": tensors.pixel_norm,
    "leaky01": lambda x: leaky_relu(x, 0.1),
    "leaky02": lambda x: leaky_relu(x, 0.2),
    "act_c": lambda x: x_cos_x(x, 0.1),
}


def compare_layers(golden: Arrays) -> list[Check]:
    """Every case of layers.npz by its name, which says what it is."""
    checks = []
    for name in dict.fromkeys(key.split("/")[0] for key in golden):
        arrays = {k.split("/")[1]: golden[k] for k in golden if k.startswith(f"{name}/")}
        got, tolerance = _run(name, arrays)
        error = _difference(got, arrays["y"])
        checks.append(Check(name, error, tolerance))
    return checks


def _difference(got: Any, want: np.ndarray) -> float:
    got = np.asarray(got)
    return float(np.max(np.abs(got - want))) if got.shape == want.shape else float("inf")


def _run(name: str, arrays: Arrays) -> tuple[Any, float]:
    x = tf.constant(arrays["x"])
    if name in REORDERINGS:
        return REORDERINGS[name](x), 0.0
    if name == "space_to_depth2":
        return _legacy_space_to_depth(arrays["x"]), 0.0
    if name in UNUSED:
        return UNUSED[name](x), 0.0 if name == "upsample2d" else 1e-5
    if match := re.fullmatch(r"reshape_4D_w(\d+)_h(\d+)_c(\d+)", name):
        width, height, channels = map(int, match.groups())
        return tensors.unflatten(x, height, width, channels), 0.0
    for prefix, function in FUNCTIONS.items():
        if name.startswith(prefix):
            return function(x), 1e-5
    layer = _layer(name, arrays)
    layer.build(None)
    for variable in layer.weights:
        variable.assign(arrays[variable.name])
    return layer(x), 1e-5


def _layer(name: str, arrays: Arrays) -> Any:
    if match := re.fullmatch(r"conv_k(\d+)(?:_s(\d+))?(_dil\d+)?(_valid)?_n\d+", name):
        kernel, stride, dilation, valid = match.groups()
        return layers.Conv2D(
            *arrays["weight"].shape[2:],
            int(kernel),
            strides=int(stride or 1),
            dilation=int(dilation.removeprefix("_dil")) if dilation else 1,
            padding="VALID" if valid else "SAME",
        )
    if match := re.fullmatch(r"convT_k(\d+)_s(\d+)_n\d+", name):
        out_channels, in_channels = arrays["weight"].shape[2:]
        return layers.Conv2DTranspose(
            in_channels, out_channels, int(match[1]), strides=int(match[2])
        )
    if match := re.fullmatch(r"blurpool(\d+)_n\d+", name):
        return layers.BlurPool(int(match[1]))
    if name == "dense":
        return layers.Dense(*arrays["weight"].shape)
    if name == "frn":
        return layers.FRNorm2D(arrays["x"].shape[-1])
    if name == "tlu":
        return layers.TLU(arrays["x"].shape[-1])
    raise ValueError(f"no layer is known by the name {name!r}")


def _doubled(x: np.ndarray, axis: int) -> np.ndarray:
    """Every pixel, and between it and the next one their mean."""
    x = np.moveaxis(x, axis, 0)
    following = np.concatenate((x[1:], x[-1:]))
    both = np.stack((x, (x + following) / 2), axis=1)
    return np.moveaxis(both.reshape(-1, *x.shape[1:]), 0, axis)


def _legacy_space_to_depth(x: np.ndarray) -> np.ndarray:
    """The legacy NHWC form, which is not the inverse of depth_to_space (models.md 1.5)."""
    n, h, w, c = x.shape
    blocks = x.reshape(n, 2, h // 2, 2, w // 2, c)
    return blocks.transpose(0, 2, 4, 1, 3, 5).reshape(n, h // 2, w // 2, 4 * c)


def compare_patch_table(table: Mapping[str, list[list[int]]]) -> list[Check]:
    """The layers chosen for every patch size."""
    wrong = [
        size
        for size, plan in table.items()
        if plan != [[3, stride] for stride in patch_strides(int(size))]
    ]
    return [Check("patch sizes with other layers", len(wrong), 0, ", ".join(wrong[:5]))]
