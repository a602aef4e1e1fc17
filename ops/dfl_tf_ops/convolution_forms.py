"""Which form each convolution takes, in each direction: by measurement on this machine.

A convolution with stride 1 has three products: forward, towards its input, towards its kernel. Each
can be TensorFlow's own ("plain"), in Winograd's form ("winograd", 3x3 only), or, towards the
kernel, one matrix product for each tap ("taps"). Which is the fastest depends on the shape and on
the CPU. Measured choices are kept in the user's cache, by CPU, cores and versions.
`DFL_TF_CONVOLUTIONS=rule` leaves the choice to the rule that the caller gives.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import tensorflow as tf

from dfl_tf_ops import native, process
from dfl_tf_ops.convolution import PLAIN, TAPS, WINOGRAD, Forms, products

BUDGET = 4.0
"""Seconds that the measurements of one run may take; the rest follows the rule."""
_LEAST_WORK = 2e8
"""Floating-point operations for an image, below which a choice gains nothing."""
_PIXELS = 2048  # that are measured, of whole rows
_ROUNDS = 2
_WORTH_IT = 0.93
"""A form is taken instead of the rule's if it needs at most this share of its time, by the clock on
the wall and by that of the processor: on a busy machine the first one alone says little."""
_TYPES = ("float32", "bfloat16")
_NARROWEST = 16  # channels that Winograd's form is tried with


@dataclass(frozen=True)
class Convolution:
    """The shape of a convolution with stride 1 and SAME padding."""

    dtype: str
    height: int
    width: int
    inputs: int
    outputs: int
    size: int

    def __str__(self) -> str:
        return (
            f"{self.dtype} {self.height}x{self.width} {self.inputs}>{self.outputs} "
            f"{self.size}x{self.size}"
        )

    @property
    def work(self) -> float:
        """Floating-point operations for one image."""
        return 2.0 * self.height * self.width * self.inputs * self.outputs * self.size**2

    def candidates(self, direction: str) -> tuple[str, ...]:
        """Return the forms that `direction` can take here."""
        narrow = min(self.inputs, self.outputs) < _NARROWEST
        minimal = self.size == 3 and not narrow and native.has_winograd(self.dtype)
        return (
            PLAIN,
            *((WINOGRAD,) if minimal else ()),
            *((TAPS,) if direction == "kernel" and not narrow else ()),
        )

    def allows(self, forms: Forms) -> bool:
        """Whether all of `forms` can be taken here."""
        return all(form in self.candidates(direction) for direction, form in forms.items())


class FormChooser:
    """Chooses the forms of convolutions, once for each shape, and remembers them.

    Parameters
    ----------
    measure : bool
        Whether what is not known yet is measured; else it follows the rule.
    """

    def __init__(self, *, measure: bool) -> None:
        self.measure = measure
        self.spent = 0.0
        self._stored: dict[str, Forms] = {}
        self._chosen: dict[str, Forms] = {}

    def choose(self, convolution: Convolution, rule: Forms) -> Forms:
        """Return the forms to take; `rule` are those to take without a measurement."""
        by_rule = os.environ.get("DFL_TF_CONVOLUTIONS") == "rule"
        small = convolution.work < _LEAST_WORK or convolution.dtype not in _TYPES
        if by_rule or small or native.library() is None:
            return rule
        key = str(convolution)
        if key not in self._chosen:
            self._chosen[key] = self._decide(key, convolution, rule)
        return self._chosen[key]

    def _decide(self, key: str, convolution: Convolution, rule: Forms) -> Forms:
        for known in (self._stored, *([kept_forms()] if self.measure else [])):
            if key in known and convolution.allows(known[key]):
                return known[key]
        if not self.measure or self.spent >= BUDGET:
            return rule
        began = time.monotonic()
        forms = measured(convolution, rule)
        self.spent += time.monotonic() - began
        _keep(key, forms)
        return forms

    def stored(self) -> dict[str, object]:
        """Return what a model keeps, so that a resumed run takes the same forms."""
        if not self._chosen:
            return {}
        forms = {key: list(forms) for key, forms in self._chosen.items()}
        return {"convolutions": {"machine": machine(), "forms": forms}}

    def restore(self, run: Mapping[str, object]) -> None:
        """Take over what `stored` gave, if it was on a machine like this one."""
        found = run.get("convolutions")
        if isinstance(found, dict) and found.get("machine") == machine():
            self._stored = _read(found.get("forms"))
            self._chosen = {}


def measured(convolution: Convolution, rule: Forms) -> Forms:
    """Time all forms of a convolution, direction by direction, and return the fastest ones."""
    with tf.init_scope(), tf.device("/CPU:0"):
        tried = products(*_arrays(convolution))
        return Forms(
            *(
                _fastest(
                    {
                        form: functools.partial(tried[direction], form)
                        for form in convolution.candidates(direction)
                    },
                    usual,
                )
                for direction, usual in rule.items()
            )
        )


def _fastest(forms: dict[str, Callable[[], object]], usual: str) -> str:
    """The form with the shortest of some runs in turn; `usual` unless another is clearly better."""
    if len(forms) == 1:
        return next(iter(forms))
    times = {form: (float("inf"), float("inf")) for form in forms}
    for number in range(_ROUNDS + 1):
        for form, run in forms.items():
            wall, cpu = time.perf_counter(), time.process_time()
            run()
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            if number > 0:  # kernels are made at first use
                times[form] = min(times[form][0], wall), min(times[form][1], cpu)
    shares = {
        form: max(a / max(b, 1e-9) for a, b in zip(spent, times[usual], strict=True))
        for form, spent in times.items()
    }
    best = min(shares, key=lambda form: shares[form])
    return best if shares[best] <= _WORTH_IT else usual


def _arrays(convolution: Convolution) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Some rows of images, a kernel and an upstream gradient of noise."""
    c = convolution
    rows = min(c.height, max(2 * c.size, _PIXELS // c.width))
    images = max(1, min(8, _PIXELS // (rows * c.width)))
    shapes = (
        ((images, rows, c.width, c.inputs), c.dtype),
        ((c.size, c.size, c.inputs, c.outputs), "float32"),
        ((images, rows, c.width, c.outputs), c.dtype),
    )
    noise = (tf.random.stateless_normal(shape, (1, 2)) for shape, _ in shapes)
    x, kernel, upstream = (tf.cast(n, dtype) for n, (_, dtype) in zip(noise, shapes, strict=True))
    return x, kernel, upstream


@functools.cache
def machine() -> str:
    """Name what a choice depends on besides the shape: CPU, cores, TensorFlow, C++ sources."""
    cpu = process.cpu_info("model name", "Model", "cpu model")
    flags = hashlib.sha256(process.cpu_info("flags", "Features").encode()).hexdigest()[:8]
    threads = tf.config.threading.get_intra_op_parallelism_threads() or process.cores()
    return f"{cpu} ({flags}), {threads} threads, TensorFlow {tf.__version__}, " + (
        native.source_hash()
    )


def cache_file() -> Path | None:
    """Return the file that keeps choices of this machine, or None without a home."""
    folder = process.user_cache()
    name = hashlib.sha256(machine().encode()).hexdigest()[:16]
    return None if folder is None else folder / f"convolutions-{name}.json"


def kept_forms() -> dict[str, Forms]:
    """Return the choices that the cache keeps, by shape; none where it cannot be read."""
    path = cache_file()
    with contextlib.suppress(OSError, ValueError):
        if path is not None and path.stat().st_size < 1 << 20:
            return _read(json.loads(path.read_text(encoding="utf-8")))
    return {}


def _keep(key: str, forms: Forms) -> None:
    """Add a choice to the cache; where it cannot be written, it is measured again next time."""
    path = cache_file()
    if path is None:
        return
    text = json.dumps({**{k: list(v) for k, v in kept_forms().items()}, key: list(forms)}, indent=1)
    unfinished = path.with_suffix(f".{os.getpid()}.tmp")
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_text(text, encoding="utf-8")
        os.replace(unfinished, path)


def _read(found: object) -> dict[str, Forms]:
    """Turn what JSON says into forms; what is none is left out and measured again."""
    entries = found.items() if isinstance(found, dict) else ()
    allowed = {PLAIN, WINOGRAD, TAPS}
    return {
        key: Forms(*value)
        for key, value in entries
        if isinstance(value, list)
        and len(value) == len(Forms._fields)
        and all(isinstance(form, str) and form in allowed for form in value)
    }
