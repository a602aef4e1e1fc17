"""The one table of model classes: what must be known of each without building a network.

A class is its description (`ModelKind`), its class of options and its `FaceModel`. The table is all
that the other rooms know it by; TensorFlow is imported when a model is built. Classes of other
packages join by `register_model`, or by an entry point of the group ``dfl_tf.models`` that names a
`ModelKind` (docs/own-model.md).
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any

from dfl_tf.errors import UsageError

from .amp import AMPOptions
from .quick96 import Quick96Options
from .saehd import SAEHDOptions
from .schema import did_you_mean, words
from .training import TrainingOptions
from .xseg import XSegOptions

ENTRY_POINTS = "dfl_tf.models"
DEFAULT_MODEL = SAEHDOptions.NAME

_log = logging.getLogger(__name__)

Tensors = Mapping[str, Mapping[str, object]]


@dataclass(frozen=True, kw_only=True)
class ModelKind:
    """What must be known of a class of models without building one.

    What is given as text, ``"package.module:name"``, is imported when it is asked for.

    Parameters
    ----------
    options : type
        Class of options; its `NAME` is the name of the class of models, as it stands in file names.
    model : str or type
        The subclass of `dfl_tf.models.base.FaceModel`.
    generator : tuple of str
        File stems of the networks that make images or masks, in the order in which they are saved.
    others : tuple of str
        File stems of what serves training only: discriminators and optimizers, in that order, too.
    needed : str or callable
        Takes the options, returns the stems that a training with them has.
    inferred : str or callable, optional
        Takes the tensors of a model by part and key, and its options as a mapping; returns what the
        shapes of the tensors say about the options.
    exports : str or mapping, optional
        `dfl_tf.export.forms.ExportForm` by the program that opens the file; without it there is no
        export.
    swaps_faces : bool
        Whether models of this class put the src face on dst, so that merging takes them.
    named : bool
        Whether a user gives its models names; if not, a folder holds one, named as the class.
    optimizers_first : bool
        Whether `others` are saved before `generator`.
    release_weights : bool
        Whether a new model may start from the weights that come with a DeepFaceLab release.
    """

    options: type[TrainingOptions]
    model: str | type
    generator: tuple[str, ...]
    others: tuple[str, ...]
    needed: str | Callable[[TrainingOptions], tuple[str, ...]]
    inferred: str | Callable[[Tensors, Mapping[str, object]], dict[str, object]] | None = None
    exports: str | Mapping[str, Any] | None = None
    swaps_faces: bool = True
    named: bool = True
    optimizers_first: bool = False
    release_weights: bool = False

    @property
    def name(self) -> str:
        """Name of the class, as it stands in file names and after ``--model``."""
        return self.options.NAME

    @property
    def parts(self) -> tuple[str, ...]:
        """All file stems in the order in which they are saved."""
        pair = (self.generator, self.others)
        return sum(reversed(pair) if self.optimizers_first else pair, ())

    def part_key(self, part: str) -> tuple[int, str]:
        """Return the key that sorts file stems into the order of `parts`, unknown ones last."""
        return (self.parts.index(part) if part in self.parts else len(self.parts), part)

    def needed_parts(self, options: TrainingOptions) -> tuple[str, ...]:
        """Return the file stems that a training with these options has (models.md 5.2, 5.3)."""
        return tuple(imported(self.needed)(options))

    def check_restart(self) -> None:
        """Refuse to begin a model again whose class has no such question.

        Raises
        ------
        UsageError
        """
        if not self.options.RESTARTABLE:
            able = ", ".join(known for known, each in KINDS.items() if each.options.RESTARTABLE)
            raise UsageError(
                f"--restart is for {able}; begin another model with --name, or a part of one with "
                "--reinit"
            )

    def freeze_error(self, options: TrainingOptions) -> str:
        """Return why `freeze` names no networks of a model with these options, or nothing."""
        there = [part for part in self.needed_parts(options) if not part.endswith("_opt")]
        wrong = [part for part in frozen_parts(options) if part not in there]
        if not wrong:
            return ""
        return (
            f"freeze={','.join(frozen_parts(options))}: there is no network {', '.join(wrong)} in "
            f"this model; there are {', '.join(there)}"
        )

    def options_from(self, tensors: Tensors, options: Mapping[str, object]) -> dict[str, object]:
        """Return what the shapes of a model's tensors say about its options."""
        return {} if self.inferred is None else dict(imported(self.inferred)(tensors, options))

    def model_type(self) -> Any:
        """Return the subclass of `FaceModel`; this imports TensorFlow."""
        return imported(self.model)

    def export_forms(self) -> Mapping[str, Any]:
        """Return the `ExportForm` of each program that opens exported files; empty if none does."""
        return {} if self.exports is None else dict(imported(self.exports))


def frozen_parts(options: TrainingOptions) -> tuple[str, ...]:
    """Return the names of the networks that `freeze` names."""
    names = (name.strip() for name in str(getattr(options, "freeze", "")).split(","))
    return tuple(name for name in names if name)


def imported(thing: object) -> Any:
    """Return what a text ``"package.module:name"`` names; anything else as it is."""
    if not isinstance(thing, str):
        return thing
    module, _, name = thing.partition(":")
    return getattr(importlib.import_module(module), name)


class _Kinds(Mapping[str, ModelKind]):
    """`ModelKind` by name; entry points of other packages are read when it is first looked at."""

    def __init__(self, *kinds: ModelKind) -> None:
        self._kinds = {kind.name: kind for kind in kinds}
        self._read = False

    def add(self, kind: ModelKind) -> None:
        self._kinds[kind.name] = kind

    def _all(self) -> dict[str, ModelKind]:
        if not self._read:
            self._read = True  # what an entry point imports may look here
            for entry in entry_points(group=ENTRY_POINTS):
                try:
                    register_model(entry.load())
                except Exception as error:  # of another package: whatever it is, ours still work
                    _log.warning("model class %s cannot be loaded: %s", entry.name, error)
        return self._kinds

    def __getitem__(self, name: str) -> ModelKind:
        return self._all()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())


class _OptionClasses(Mapping[str, type[TrainingOptions]]):
    """The class of options of each class of models."""

    def __getitem__(self, name: str) -> type[TrainingOptions]:
        return KINDS[name].options

    def __iter__(self) -> Iterator[str]:
        return iter(KINDS)

    def __len__(self) -> int:
        return len(KINDS)


KINDS = _Kinds(
    ModelKind(
        options=SAEHDOptions,
        model="dfl_tf.models.saehd.model:SAEHD",
        generator=words("encoder inter inter_AB inter_B decoder decoder_src decoder_dst"),
        others=words("code_discriminator GAN src_dst_opt D_code_opt GAN_opt"),
        needed="dfl_tf.models.parts:saehd",
        inferred="dfl_tf.models.infer:saehd",
        exports="dfl_tf.export.forms:SAEHD_FORMS",
    ),
    ModelKind(
        options=AMPOptions,
        model="dfl_tf.models.amp.model:AMP",
        generator=words("encoder inter_src inter_dst decoder"),
        others=words("GAN src_dst_opt GAN_opt"),
        needed="dfl_tf.models.parts:amp",
        inferred="dfl_tf.models.infer:amp",
        exports="dfl_tf.export.forms:AMP_FORMS",
    ),
    ModelKind(
        options=Quick96Options,
        model="dfl_tf.models.quick96.model:Quick96",
        generator=words("encoder inter decoder_src decoder_dst"),
        others=words("src_dst_opt"),
        needed="dfl_tf.models.parts:quick96",
        inferred="dfl_tf.models.infer:quick96",
        release_weights=True,
    ),
    ModelKind(
        options=XSegOptions,
        model="dfl_tf.models.xseg.model:XSeg",
        generator=words("XSeg_256"),
        others=words("XSeg_256_opt"),
        needed="dfl_tf.models.parts:xseg",
        exports="dfl_tf.export.forms:XSEG_FORMS",
        swaps_faces=False,
        named=False,
        optimizers_first=True,
    ),
)
"""`ModelKind` by the name of the class."""

OPTIONS = _OptionClasses()
"""Class of options by the name of the class of models."""


def kind_of(model_class: str) -> ModelKind:
    """Return the description of a class of models, named in any letter case.

    Raises
    ------
    UsageError
        If there is no such class.
    """
    spelled = {known.lower(): known for known in KINDS}.get(model_class.lower())
    if spelled is None:
        raise UsageError(
            f"there is no model class {model_class!r}; known are {', '.join(KINDS)}"
            f"{did_you_mean(model_class, KINDS)}"
        )
    return KINDS[spelled]


def register_model(kind: ModelKind) -> ModelKind:
    """Add a class of models, so that all commands and functions know it by its name.

    Parameters
    ----------
    kind : ModelKind

    Returns
    -------
    ModelKind
        As it was given.

    Raises
    ------
    TypeError
        If it is no `ModelKind`.
    ValueError
        If the name is not a word of letters and digits, or is taken.
    """
    if not isinstance(kind, ModelKind):
        raise TypeError(f"register_model takes a ModelKind; received {kind!r}")
    if not kind.name.isascii() or not kind.name.isalnum():
        raise ValueError(
            f"the name of a model class must be letters and digits, for it stands in file names; "
            f"received {kind.name!r} (NAME of {kind.options.__name__})"
        )
    taken = {known.lower(): known for known in KINDS}.get(kind.name.lower())
    if taken is not None and KINDS[taken] != kind:
        raise ValueError(f"there is a model class {taken} already; give the new one another NAME")
    KINDS.add(kind)
    return kind
