"""Proof that two model states are the same model: by bytes, by images and by training.

References: design decisions 1 and 18; models.md 5.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from dfl_tf.data.batch import Batch
from dfl_tf.errors import DflTfError
from dfl_tf.formats.loss_history import LossHistory
from dfl_tf.formats.models.state import ModelState
from dfl_tf.models.restore import restore
from dfl_tf.options import RunOptions

if TYPE_CHECKING:
    from dfl_tf.data import SampleSpec, XSegSpec
    from dfl_tf.models.base import FaceModel

Array = npt.NDArray[np.generic]

SAMPLES = 2
SEED = 20
_NAMED = 8


@dataclass(frozen=True)
class TensorProof:
    """One tensor on both sides: SHA-256 of type, shape and bytes; None where it is missing."""

    name: str
    first: str | None
    second: str | None

    @property
    def equal(self) -> bool:
        """Whether both sides have it and are byte-equal."""
        return self.first is not None and self.first == self.second


@dataclass(frozen=True)
class ProofReport:
    """What was compared.

    Attributes
    ----------
    tensors : list of TensorProof
        Every tensor of every part, optimizers included, by ``<part>/<key>``.
    entries : dict
        Whether the other entries (iteration, options, loss history, extra) are equal.
    forward : dict
        Largest difference of each output on fixed inputs: of the swap (XSeg: the logits), and of
        the losses of a training step.
    step : dict
        Largest difference after one training step on a fixed batch, of weights and of slots.
    not_run : str
        Why neither side could be run (a part is missing, …); then `forward` and `step` are empty.
    """

    tensors: list[TensorProof]
    entries: dict[str, bool]
    forward: dict[str, float] = field(default_factory=dict)
    step: dict[str, float] = field(default_factory=dict)
    not_run: str = ""

    @property
    def passed(self) -> bool:
        """Whether nothing at all differs."""
        return (
            all(tensor.equal for tensor in self.tensors)
            and all(self.entries.values())
            and all(error == 0.0 for error in (self.forward | self.step).values())
        )

    def as_dict(self, *, checksums: bool = True) -> dict[str, object]:
        """Return plain values, for a JSON file; the checksums of all tensors are the bulk of it."""
        tensors = {t.name: {"first": t.first, "second": t.second} for t in self.tensors}
        return {
            "passed": self.passed,
            **({"tensors": tensors} if checksums else {}),
            "entries_equal": self.entries,
            "largest_difference": {"forward": self.forward, "after_one_step": self.step},
            "not_run": self.not_run or None,
        }

    def lines(self) -> list[str]:
        """Return the proof in words, one statement a line."""
        differing = [tensor.name for tensor in self.tensors if not tensor.equal]
        text = [f"{len(self.tensors) - len(differing)} of {len(self.tensors)} tensors byte-equal"]
        if differing:
            more = " …" if len(differing) > _NAMED else ""
            text.append(f"  differing: {', '.join(differing[:_NAMED])}{more}")
        text += [f"{name}: {'equal' if same else 'DIFFERS'}" for name, same in self.entries.items()]
        for title, errors in (("forward", self.forward), ("after one step", self.step)):
            text += [f"{title}, {name}: largest difference {e:.3g}" for name, e in errors.items()]
        if self.not_run:
            text.append(f"Networks were not run: {self.not_run}")
        text.append("proof passed" if self.passed else "PROOF FAILED")
        return text


def prove(first: ModelState, second: ModelState) -> ProofReport:
    """Compare two states of one model.

    Parameters
    ----------
    first, second : ModelState
        Neither is modified.

    Returns
    -------
    ProofReport

    Raises
    ------
    DflTfError
        If only one of the two can be run.

    Notes
    -----
    The models are built one after the other, on the CPU and with one seed, and a training step
    is taken on `SAMPLES` samples, so equal states give equal bits.
    """
    tensors = _compare_tensors(first, second)
    entries = {
        "class": first.model_class == second.model_class,
        "iteration": first.iteration == second.iteration,
        "options": _equal(first.options, second.options),
        "loss_history": LossHistory.of(first.loss_history) == LossHistory.of(second.loss_history),
        "extra": _equal(first.extra, second.extra),
    }
    try:
        before = _observe(first)
    except DflTfError as error:
        return ProofReport(tensors, entries, not_run=_same_refusal(second, error))
    after = _observe(second)
    forward = {name: _difference(a, after.outputs.get(name)) for name, a in before.outputs.items()}
    return ProofReport(tensors, entries, forward, _compare_steps(first, second, before, after))


@dataclass(frozen=True)
class _Observation:
    """What a model does: its outputs, and the digests of its tensors after a training step."""

    outputs: dict[str, Array]
    digests: dict[str, str]
    kept: dict[str, Array]


def _observe(state: ModelState, keep: Collection[str] = ()) -> _Observation:
    """Run a model forward and one training step on fixed inputs; keep some tensors after it."""
    model, _ = restore(state, name="proof", run=RunOptions(seed=SEED, cpu=True))
    with _eagerly():
        return _run(model, keep)


@contextlib.contextmanager
def _eagerly() -> Iterator[None]:
    """Run without tracing: for a single step of each of two models that is faster."""
    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(before)


def _run(model: FaceModel, keep: Collection[str]) -> _Observation:
    batches = [fixed_batch(spec, SAMPLES) for spec in model.sample_specs().values()]
    face = batches[-1]["image"]
    outputs: dict[str, Array] = {**model.outputs(face)}
    losses = model.train_step(*batches)
    outputs |= {f"loss of {name}": np.asarray(value) for name, value in losses.items()}
    stepped = _flat(model.state())
    digests = {name: _digest(array) for name, array in stepped.items()}
    return _Observation(outputs, digests, {name: stepped[name] for name in keep})


def _compare_steps(
    first: ModelState, second: ModelState, before: _Observation, after: _Observation
) -> dict[str, float]:
    """Return the largest differences after the step; numbers are needed only where digests differ.

    So that not all tensors of both models are in memory, the steps are then taken again.
    """
    worst = {"weights": 0.0, "slots": 0.0}
    differing = [n for n, digest in before.digests.items() if after.digests.get(n) != digest]
    common = [name for name in differing if name in after.digests]
    if before.digests.keys() != after.digests.keys():
        worst["weights"] = float("inf")
    if common:
        one, other = _observe(first, common).kept, _observe(second, common).kept
        for name in common:
            kind = "slots" if name.partition("/")[0].endswith("_opt") else "weights"
            worst[kind] = max(worst[kind], _difference(one[name], other[name]))
    return worst


def fixed_batch(spec: SampleSpec | XSegSpec, samples: int) -> Batch:
    """Make a batch for a spec, the same every time.

    Parameters
    ----------
    spec : SampleSpec or XSegSpec
    samples : int

    Returns
    -------
    Batch, arrays (samples, r, r, c) float32 in [0, 1]
        Smooth images, and round masks.
    """
    side = spec.resolution
    y, x = np.mgrid[0:side, 0:side] / side
    batch = {}
    for number, (name, output) in enumerate(spec.outputs.items()):
        rng = np.random.Generator(np.random.PCG64(number))
        shift = rng.uniform(0, 1, (samples, 1, 1, 1 if output.channels == "g" else 3))
        if output.kind == "mask":
            radius = 0.25 + 0.2 * shift
            array = (np.hypot(x - 0.5, y - 0.5)[..., None] < radius).astype(np.float64)
        else:
            array = 0.5 + 0.4 * np.sin(9 * (x[..., None] + shift)) * np.cos(
                7 * (y[..., None] - shift)
            )
        batch[name] = array.astype(np.float32)
    return Batch(batch)


def _same_refusal(second: ModelState, error: DflTfError) -> str:
    try:
        _observe(second)
    except DflTfError:
        return str(error)
    raise error


def _compare_tensors(first: ModelState, second: ModelState) -> list[TensorProof]:
    sides = [
        {name: _digest(array) for name, array in _flat(state).items()} for state in (first, second)
    ]
    return [TensorProof(n, sides[0].get(n), sides[1].get(n)) for n in sides[0] | sides[1]]


def _flat(state: ModelState) -> dict[str, Array]:
    return {
        f"{part}/{key}": np.asarray(array)
        for part, tensors in state.tensors.items()
        for key, array in tensors.items()
    }


def _digest(array: npt.ArrayLike) -> str:
    """Return the SHA-256 of type, shape and bytes (little endian, C order)."""
    stored = np.asarray(array)
    little = stored.astype(stored.dtype.newbyteorder("<"), copy=False)
    digest = hashlib.sha256(f"{little.dtype.str} {stored.shape} ".encode())
    digest.update(np.ascontiguousarray(little).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _difference(first: Array, second: Array | None) -> float:
    if second is None or np.shape(first) != np.shape(second):
        return float("inf")
    difference = np.abs(np.asarray(first, np.float64) - np.asarray(second, np.float64))
    worst = float(difference.max(initial=0.0))
    return float("inf") if np.isnan(worst) else worst


def _equal(first: object, second: object) -> bool:
    """Compare nested plain values and arrays, types included."""
    if isinstance(first, np.ndarray) or isinstance(second, np.ndarray):
        return (
            isinstance(first, np.ndarray)
            and isinstance(second, np.ndarray)
            and _digest(first) == _digest(second)
        )
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        same_keys = list(first) == list(second)
        return same_keys and all(_equal(first[key], second[key]) for key in first)
    if isinstance(first, (list, tuple)) and isinstance(second, (list, tuple)):
        return len(first) == len(second) and all(map(_equal, first, second))
    return type(first) is type(second) and (
        first == second or (first != first and second != second)
    )
