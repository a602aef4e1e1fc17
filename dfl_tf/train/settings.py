"""The options of a training in one place: those of the model and those of the run.

References
----------
design decisions 4, 35 and 42.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from dfl_tf.devices.cluster import machine_of
from dfl_tf.options import (
    Layer,
    Resolved,
    RunOptions,
    kind_of,
    legacy_layer,
    resolve,
    specs,
)
from dfl_tf.options.resolve import OptionErrors
from dfl_tf.options.run import FIXED_FOR_A_RUN
from dfl_tf.options.schema import words

if TYPE_CHECKING:
    from dfl_tf.options import TrainingOptions

AT_ONCE = frozenset(
    words(
        "save_every save_every_iters backup_every preview_every preview_dir no_preview stop_after "
        "legacy_previews save_deadline guard_collapse on_collapse quarantine target_iter "
        "autobackup_hour write_preview_history validate_every snapshot_every snapshots_keep "
        "keep_best snapshots_max_gb advice"
    )
)
"""Options that neither the networks, nor the step, nor the samples depend on."""


def at_once(options: TrainingOptions) -> frozenset[str]:
    """`AT_ONCE`, without what the learning rate depends on."""
    scheduled = options.lr_schedule != "constant"
    return AT_ONCE - {"target_iter"} if scheduled else AT_ONCE


BEGINNING: dict[str, Any] = {
    "reinit": (),
    "use_previous": False,
    "accept_changes": False,
    "backup_now": False,
    "new_preview_sample": False,
}
"""Options that say how a segment begins, and mean nothing afterwards."""


@dataclass(frozen=True)
class Settings:
    """One set of options of a training; nothing else knows them.

    Attributes
    ----------
    resolved : Resolved
        The options of the model as they are stored, with what there is to be told about them.
    run : RunOptions
    """

    resolved: Resolved[TrainingOptions]
    run: RunOptions

    @property
    def options(self) -> TrainingOptions:
        """The options of the model as they are stored."""
        return self.resolved.options

    @property
    def pretrain(self) -> bool:
        """Whether the faces come from the pretraining folder."""
        return bool(getattr(self.options, "pretrain", False))

    @property
    def holdout(self) -> float:
        """The share of the faces that is not trained on."""
        return float(getattr(self.options, "holdout", 0.0))

    @property
    def validate_every(self) -> int:
        """Iterations between two measurements of quality; 0 = none."""
        return int(getattr(self.options, "validate_every", 0))

    def legacy(self) -> dict[str, object]:
        """The options of the model as ``data.dat`` holds them, unknown keys included."""
        return self.resolved.legacy()

    def begun(self) -> Settings:
        """The same without what only said how to begin (`BEGINNING`)."""
        return replace(self, run=replace(self.run, **BEGINNING))

    def changed(
        self, values: Mapping[str, object] | Layer, origin: str = "the program"
    ) -> Settings:
        """The settings with some options changed, checked as those of a resumed run are.

        Parameters
        ----------
        values : mapping or Layer
            Options of the model or of the run by key; texts are parsed as those of ``--set``.
        origin : str
            Named in errors.

        Raises
        ------
        OptionError
            With every error: unknown keys, values out of range, options that are fixed after the
            first iteration or for a whole run.
        """
        layer = values if isinstance(values, Layer) else Layer(dict(values), origin)
        own = {key: value for key, value in layer.values.items() if key not in specs(RunOptions)}
        other = {key: value for key, value in layer.values.items() if key not in own}
        errors: list[str] = []
        run = self.run
        try:
            parsed = resolve(RunOptions, [replace(layer, values=other)]).options
            run = replace(run, **{key: getattr(parsed, key) for key in other})
        except OptionErrors as error:
            errors += error.errors
        errors += [
            f"{key} cannot change during a run: stop it and start it again with {_flag(key)} "
            f"(from {layer.place(key)})"
            for key in sorted(FIXED_FOR_A_RUN.intersection(other))
            if getattr(run, key) != getattr(self.run, key)
        ]
        cls: type[TrainingOptions] = type(self.options)
        stored = legacy_layer(cls, self.legacy(), origin="the model")
        layers = [stored, replace(layer, values=own)]
        try:
            resolved = resolve(
                cls, layers, machine=machine_of(run), elsewhere=list(specs(RunOptions))
            )
        except OptionErrors as error:
            raise OptionErrors([*error.errors, *errors]) from None
        if unknown := kind_of(cls.NAME).freeze_error(resolved.options):
            errors.append(unknown)
        if errors:
            raise OptionErrors(errors)
        return Settings(resolved, run)

    def differences(self, other: Settings) -> dict[str, tuple[object, object]]:
        """What another set of options has otherwise: key → (here, there)."""
        return {
            key: (getattr(here, key), getattr(there, key))
            for here, there in ((self.options, other.options), (self.run, other.run))
            for key in specs(type(here))
            if getattr(here, key) != getattr(there, key)
        }

    def notes(self, before: Settings) -> list[str]:
        """What there is to be told about options, and was not told about those `before`."""
        told = {*before.resolved.adjustments, *before.resolved.warnings}
        now = (*self.resolved.adjustments, *self.resolved.warnings)
        return [note for note in now if note not in told]


def _flag(key: str) -> str:
    return specs(RunOptions)[key].flag
