"""Units of the golden training folder: losses, optimizers, cosine rate, learning-rate dropout."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from dfl_tf.nn import losses
from dfl_tf.nn.optimizers import AdaBelief, RMSprop
from golden_kinds.check import Check
from golden_kinds.tensor_summary import sample, stat

Golden = Mapping[str, np.ndarray]
WIDE_BLUR = 8
OPTIMIZERS = {"AdaBelief": AdaBelief, "RMSprop": RMSprop}


def compare(golden: Golden, inputs: Golden) -> list[Check]:
    """Tell the kind of unit file by its arrays and compare every array of it."""
    if "iterations_before_step" in golden:
        return _cosine(golden)
    if any(key.endswith("_traj") for key in golden):
        return _optimizers(golden)
    if any(key.startswith("dssim_") for key in golden):
        return _losses(golden, inputs)
    if any(key.endswith("_fraction_changed_per_step") for key in golden):
        from golden_kinds.training_dropout import compare_statistics

        return compare_statistics(golden, inputs)
    raise ValueError(f"no unit is known by these arrays: {', '.join(list(golden)[:5])}")


def _cosine(golden: Golden) -> list[Check]:
    """The factor of the rate for a counter value before the step."""
    checks = []
    for key in golden:
        if key == "iterations_before_step":
            continue
        want = golden[key]
        cls = {"rmsprop": RMSprop, "adabelief": AdaBelief}[key.removeprefix("eff_factor_")]
        optimizer = cls(1.0, lr_cos=500)
        got = [float(optimizer.effective_rate(t + 1)) for t in golden["iterations_before_step"]]
        checks.append(Check(key, float(np.max(np.abs(np.array(got) - want))), 1e-6))
    return checks


def _optimizers(golden: Golden) -> list[Check]:
    """Ten steps of two variables with given gradients."""
    checks = []
    for key in golden:
        if key.endswith("_slot_names"):
            checks += _trajectory(golden, key.removesuffix("_slot_names"))
    return checks


def _trajectory(golden: Golden, prefix: str) -> list[Check]:
    name, tag = prefix.split("_", 1)
    count = sum(re.fullmatch(re.escape(prefix) + r"_v\d+_init", key) is not None for key in golden)
    starts = [golden[f"{prefix}_v{i}_init"] for i in range(count)]
    half = starts[0].dtype == np.float16
    rate = re.search(r"lr([\d.e-]+)", tag)
    optimizer = OPTIMIZERS[name](
        float(rate[1]) if rate else 5e-5, clipnorm=1.0 if "clip1" in tag else 0.0, name=prefix
    )
    variables = [keras.Variable(start, dtype=start.dtype.name) for start in starts]
    optimizer.build(variables)
    names = [f"v/{i}:0" for i in range(count)]
    worst: dict[str, float] = {}

    def note(what: str, error: Any) -> None:
        worst[what] = max(worst.get(what, 0.0), float(np.max(error)))

    for step in range(len(golden[f"{prefix}_v0_traj"])):
        grads = [tf.constant(golden[f"{prefix}_v{i}_grads"][step]) for i in range(count)]
        optimizer.apply(grads, variables)
        for i, variable in enumerate(variables):
            want = golden[f"{prefix}_v{i}_traj"][step]
            note("values", _ulps(variable.numpy(), want, 0.0 if half else 1e-8))
        for j, (key, got) in enumerate(optimizer.state_arrays(names).items()):
            want = golden[f"{prefix}_slot{j}_traj"][step]
            if key == "iters:0":
                note("counter", abs(int(got) - int(want)))
            elif half:
                note("slots", _ulps(got, want, 0.0))
            else:
                note("slots", np.abs(got - want) / np.maximum(np.abs(want).max(), 1e-30))
    # The README: values 1e-8, those of order 1 one ulp; in half precision one ulp of both.
    gates = {"values": 1.0, "slots": 1.0 if half else 1e-6, "counter": 0.0}
    units = {"values": "ulp", "slots": "ulp" if half else "relative", "counter": ""}
    return [
        Check(f"{prefix} {what}", error, gates[what], units[what]) for what, error in worst.items()
    ]


def _ulps(got: np.ndarray, want: np.ndarray, least: float) -> np.ndarray:
    """Difference in units of the last place of each value, or in `least` if that is more."""
    difference = np.abs(got.astype(np.float64) - want.astype(np.float64))
    return difference / np.maximum(np.spacing(np.abs(want)).astype(np.float64), least)


def _losses(golden: Golden, inputs: Golden) -> list[Check]:
    """Every array of the loss units, in float32."""
    unit = _LossUnit(inputs)
    checks = []
    if "avg_in" in golden:
        # As TrainingStep.run_update averages the gradients of replicas: their sum by their number.
        mean = sum(golden["avg_in"]) / np.float32(len(golden["avg_in"]))
        checks.append(Check("avg_gv", float(np.max(np.abs(mean - golden["avg_gv"]))), 1e-7))
    for key in golden:
        if key in ("avg_in", "avg_gv"):
            continue
        want = golden[key]
        got, tolerance, relative = unit.value(key)
        if key.endswith(("_smp", "_stat")):
            base, kind = key.rsplit("_", 1)
            array = np.asarray(got)
            got = sample(unit.sampled_name(base), array) if kind == "smp" else stat(array)
            if kind == "stat":
                scale = np.array([array.size, np.sqrt(array.size), 1.0])
                got, want = got / scale, want / scale
        if key.startswith("blur_mask_s"):
            exact = unit.exact_mask_blur(float(key.removeprefix("blur_mask_s")))
            error = float(np.max(np.abs(np.asarray(got, np.float64) - exact)))
            checks.append(Check(f"{key} against float64", error, 1e-6))
        error = np.abs(np.asarray(got, np.float64) - np.asarray(want, np.float64))
        if relative:
            error = error / np.max(np.abs(want))
        checks.append(Check(key, float(np.max(error)), tolerance))
    return checks


class _LossUnit:
    """Our value of each array of the loss units, with its tolerance."""

    def __init__(self, inputs: Golden) -> None:
        self.a = tf.constant(inputs["A_target_src"])
        self.b = tf.constant(inputs["A_warped_src"])
        self.m = tf.constant(inputs["A_target_srcm"])
        self._kept: dict[str, Any] = {}

    @staticmethod
    def sampled_name(base: str) -> str:
        """The name by which a summarized array was sampled."""
        parts = re.fullmatch(r"(dssim|style)_(.*)_grad", base)
        return f"{parts[1]}_grad_{parts[2]}" if parts else base

    def value(self, key: str) -> tuple[Any, float, bool]:
        """Return (array, tolerance, whether it is relative to the largest value)."""
        base = re.sub(r"_(smp|stat)$", "", key)
        for pattern, function in self._TABLE.items():
            match = re.fullmatch(pattern, base)
            if match:
                tolerance, relative = _gate(base)
                if base not in self._kept:
                    self._kept[base] = np.asarray(function(self, *match.groups()))
                return self._kept[base], tolerance, relative
        raise ValueError(f"no loss unit is known by the name {key!r}")

    def _dssim(self, size: str) -> Any:
        return losses.dssim(self.a, self.b, int(size))

    def _dssim_masked(self, size: str) -> Any:
        return losses.dssim(self.a * self.m, self.b * self.m, int(size))

    def _dssim_half(self, size: str) -> Any:
        a, b = tf.cast(self.a, tf.float16), tf.cast(self.b, tf.float16)
        return losses.dssim(a, b, int(size))

    def _dssim_grad(self, size: str) -> Any:
        return _gradient(lambda b: losses.dssim(self.a, b, int(size)), self.b)

    def _dssim_grad0(self, size: str) -> Any:
        return self._dssim_grad(size)[0]

    def _blur(self, sigma: str) -> Any:
        return losses.gaussian_blur(self.a, float(sigma))

    def _blur_mask(self, sigma: str) -> Any:
        return losses.gaussian_blur(self.m, float(sigma))

    def exact_mask_blur(self, sigma: float) -> np.ndarray:
        """The blurred mask in float64, which wide float32 sums miss."""
        return losses.gaussian_blur(tf.cast(self.m, tf.float64), sigma).numpy()

    def _kernel(self, sigma: str) -> Any:
        return losses.blur_kernel(float(sigma))

    def _style(self, radius: str, weight: str) -> Any:
        return losses.style_loss(
            self.a * self.m, self.b * self.m, blur_radius=int(radius), weight=float(weight)
        )

    def _style_grad(self, radius: str, weight: str) -> Any:
        def loss(a: tf.Tensor) -> tf.Tensor:
            return losses.style_loss(
                a * self.m, self.b * self.m, blur_radius=int(radius), weight=float(weight)
            )

        return _gradient(loss, self.a)

    def _variation(self, layout: str) -> Any:
        return losses.total_variation_mse(self.a, {"nhwc": "hw", "nchw": "ch"}[layout])

    def _large(self) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        a, b, m = (tf.repeat(tf.repeat(x, 4, 1), 4, 2) for x in (self.a, self.b, self.m))
        soft = tf.clip_by_value(losses.gaussian_blur(m, 8), 0.0, 0.5) * 2.0
        return a * soft, b * soft, soft

    def _large_dssim(self, size: str) -> Any:
        a, b, _ = self._large()
        return losses.mean_dssim(a, b, 5.0, (int(size),))

    def _large_mse(self) -> Any:
        a, b, _ = self._large()
        return losses.mean_hwc(10.0 * tf.square(a - b))

    def _large_mask(self) -> Any:
        return self._large()[2]

    _TABLE: Mapping[str, Callable[..., Any]] = {
        r"dssim_fs(\d+)": _dssim,
        r"dssim_masked_fs(\d+)": _dssim_masked,
        r"dssim_fp16in_fs(\d+)": _dssim_half,
        r"dssim_fs(\d+)_grad": _dssim_grad,
        r"dssim_fs(\d+)_grad0": _dssim_grad0,
        r"blur_s([\d.]+)": _blur,
        r"blur_mask_s([\d.]+)": _blur_mask,
        r"blur_kernel_s([\d.]+)": _kernel,
        r"style_r(\d+)_w([\d.]+)": _style,
        r"style_r(\d+)_w([\d.]+)_grad": _style_grad,
        r"tvmse_(\w+)": _variation,
        r"res256_dssim_5x_fs(\d+)": _large_dssim,
        r"res256_mse10": _large_mse,
        r"res256_maskblur": _large_mask,
    }


def _gradient(loss: Callable[[tf.Tensor], tf.Tensor], x: tf.Tensor) -> tf.Tensor:
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = tf.reduce_sum(loss(x))
    return tape.gradient(value, x)


def _gate(base: str) -> tuple[float, bool]:
    """Tolerance of a loss unit (README) and whether it is relative."""
    if "_grad" in base:
        return 1e-4, True
    if "fp16in" in base:
        return 1e-3, False
    if base.startswith("style"):
        return 1e-5, True
    if base.startswith("tvmse"):
        return 1e-6, True
    if base.startswith("res256_dssim"):
        return 5 * 2e-6, False
    if base.startswith("res256_mse"):
        return 1e-5, True
    if "blur" in base:
        # Wide kernels: the golden float32 sums are themselves up to 1.4e-6 from the exact value.
        wide = base == "res256_maskblur" or float(base.rsplit("_s", 1)[1]) >= WIDE_BLUR
        return (2e-6 if wide else 1e-6), False
    return 2e-6, False
