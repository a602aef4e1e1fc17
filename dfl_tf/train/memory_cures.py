"""What frees memory, in the order in which the field tries it, and how much by the plan's figures.

First what keeps batch and features: the optimizer in the host's memory, the masks of learning-rate
dropout on the CPU. Then a smaller batch, then the features that cost most, switched off.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, is_dataclass, replace
from typing import TYPE_CHECKING

from dfl_tf.devices.memory import OutOfMemory
from dfl_tf.options import effective
from dfl_tf.options.schema import show
from dfl_tf.train.memory_use import bytes_of, kept_activations, memory

if TYPE_CHECKING:
    from dfl_tf.models.base import FaceModel, Update
    from dfl_tf.options import TrainingOptions

_MIB = 2**20


@dataclass(frozen=True)
class Cure:
    """One way to need less memory.

    Attributes
    ----------
    given : str
        As it is given on a command line.
    price : str
        What it costs.
    measure : callable
        MiB that it saves for a model.
    """

    given: str
    price: str
    measure: Callable[[FaceModel], float]

    def text(self, model: FaceModel | None) -> str:
        """Return it in one line; without a model, or where it cannot be traced, without figure."""
        saved = None
        if model is not None:
            with contextlib.suppress(Exception):  # memory has just run out
                saved = self.measure(model)
        figure = "" if saved is None else f", saves about {saved:,.0f} MiB"
        return f"{self.given}{figure} ({self.price})"


def cures(options: TrainingOptions, *, on_gpu: bool) -> list[Cure]:
    """What can be tried with some options, the field's first choice first.

    Parameters
    ----------
    options : TrainingOptions
    on_gpu : bool
        Without a GPU the weights are in the host's memory anyway.
    """
    used = vars(effective(options).options)
    found = []
    if on_gpu and used.get("models_opt_on_gpu"):
        price = "same batch and features, slower iterations"
        found.append(Cure("--no-models-opt-on-gpu", price, _held))
    if on_gpu and used.get("lr_dropout") == "y" and options.MASKS_ON_CPU:
        found.append(Cure("--lr-dropout cpu", "slower iterations", _largest_mask))
    batch = options.batch_size
    if batch > 1:
        price = "noisier gradient; --accumulate 2 makes up for that"
        found.append(Cure(f"--batch-size {batch // 2}", price, _half_a_batch))
    if used.get("gan_power"):
        found.append(Cure("--gan-power 0", "less sharp; smaller gan_dims or patch also help", _gan))
    for key in ("bg_style_power", "face_style_power"):
        if used.get(key):
            given = f"--{key.replace('_', '-')} 0"
            found.append(Cure(given, "colors follow dst less", _without(key)))
    if used.get("true_face_power"):
        found.append(Cure("--true-face-power 0", "less like src", _true_face))
    if used.get("adabelief"):
        found.append(Cure("--no-adabelief", "RMSprop; its slots start empty", _one_slot))
    return found


def out_of_memory_error(options: TrainingOptions, model: FaceModel | None) -> OutOfMemory:
    """The error to raise where memory ran out.

    Parameters
    ----------
    options : TrainingOptions
    model : FaceModel or None
        None while it is being built: then no figures are known.
    """
    on_gpu = model is None or not model.placement.on_cpu
    lines = [cure.text(model) for cure in cures(options, on_gpu=on_gpu)]
    numbered = "".join(f"\n  {number}. {line}" for number, line in enumerate(lines, 1))
    return OutOfMemory(
        f"out of memory (batch_size={show(options.batch_size)}). In this order:{numbered}\n"
        "  For a new model choose smaller dims. --plan lists the memory use, "
        "dfl-tf bench train --fit the batches that fit."
    )


def _held(model: FaceModel) -> float:
    sizes = memory(model, traced=False)
    return sizes["weights"] + sizes["slots"] + sizes.get("averaged weights", 0.0)


def _largest_mask(model: FaceModel) -> float:
    """Masks are drawn for one variable at a time."""
    return max(bytes_of([v]) for update in model.updates for v in update.variables) / _MIB


def _half_a_batch(model: FaceModel) -> float:
    batch = int(model.options.batch_size)
    kept = kept_activations(model) + _MIB * memory(model, traced=False)["prepared samples"]
    return kept * (batch - batch // 2) / batch / _MIB


def _network(model: FaceModel, part: str, optimizer: str) -> int:
    return bytes_of(model.networks[part].weights) + bytes_of(model.optimizers[optimizer].variables)


def _gan(model: FaceModel) -> float:
    return (_network(model, "GAN", "GAN_opt") + _saved_by(model, gan=None)) / _MIB


def _true_face(model: FaceModel) -> float:
    held = _network(model, "code_discriminator", "D_code_opt")
    return (held + _saved_by(model, code_discriminator=None)) / _MIB


def _without(key: str) -> Callable[[FaceModel], float]:
    def saved(model: FaceModel) -> float:
        off = replace(model.effective, **{key: 0.0})  # type: ignore[arg-type]  # a power
        return _saved_by(model, options=off) / _MIB

    return saved


def _one_slot(model: FaceModel) -> float:
    """AdaBelief keeps two numbers for each weight, RMSprop one."""
    return memory(model, traced=False)["slots"] / 2


def _saved_by(model: FaceModel, **changes: object) -> int:
    """Bytes of activations that the generator's update does not keep with another objective."""
    objective = vars(model)["objective"]
    assert is_dataclass(objective)
    assert not isinstance(objective, type)
    changed = replace(objective, **changes)
    first: Update = model.updates[0]
    without = replace(first, objective=changed.generator_objective)  # type: ignore[attr-defined]
    now, then = (kept_activations(model, updates=[update]) for update in (first, without))
    return max(0, now - then)
