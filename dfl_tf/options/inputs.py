"""What is given now, by whatever way, and how it becomes options of a model and of a run.

A command line, a program and a page all give layers of values. The rules between those layers are
here; who calls only reads and shows.

    inputs = OptionInputs((SAEHDOptions, RunOptions), given=(Layer({"ae_dims": 64}, "train"),))
    chosen = inputs.resolve(SAEHDOptions, stored=stored)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Generic, TypeVar

from .extract import ExtractOptions
from .merge import MergeOptions
from .registry import KINDS, OPTIONS
from .resolve import Layer, OptionErrors, Resolved, environment_layer, resolve
from .run import RunOptions
from .schema import Machine, Options, OptionSpec, specs
from .training import TrainingOptions

T = TypeVar("T", bound=Options)


@dataclass(frozen=True)
class Chosen(Generic[T]):
    """Options of a model (or of merging, extraction) and of the run that go together."""

    resolved: Resolved[T]
    run: RunOptions

    @property
    def options(self) -> T:
        """The options themselves."""
        return self.resolved.options


@dataclass(frozen=True)
class OptionInputs:
    """Everything given now, not yet resolved.

    Attributes
    ----------
    classes : tuple of type
        The classes of options that keys may belong to.
    files : tuple of Layer
        Configuration files, lowest precedence first; each was read once, by who made this.
    given : tuple of Layer
        What is given beside files and wins over them: environment, flags, arguments.
    strict, allow_unknown : bool
        See `dfl_tf.options.resolve`.
    use_last_defaults : bool
        Whether a new model starts from what the last new one of its class used.
    resolved_run : RunOptions, optional
        The run's options where a program has made them already; keys of theirs in layers are then
        not looked at.
    notes : tuple of str
        Further notes, shown with the options.
    """

    classes: tuple[type[Options], ...]
    files: tuple[Layer, ...] = ()
    given: tuple[Layer, ...] = ()
    strict: bool = False
    allow_unknown: bool = False
    use_last_defaults: bool = False
    resolved_run: RunOptions | None = None
    notes: tuple[str, ...] = ()

    @classmethod
    def of_program(
        cls, values: Mapping[str, object], origin: str, run: RunOptions | None = None
    ) -> OptionInputs:
        """Values that code gives; `origin` is named in errors, `run` is taken as it is."""
        return cls((), given=(Layer(values, origin),), resolved_run=run or RunOptions())

    @property
    def layers(self) -> tuple[Layer, ...]:
        """All layers given now, lowest precedence first."""
        return (*self.files, *self.given)

    @property
    def keys(self) -> set[str]:
        """The keys of all values given now."""
        return {key for layer in self.layers for key in layer.values}

    @cached_property
    def _run(self) -> tuple[RunOptions, tuple[str, ...]]:
        """The run's options, or the defaults and what is wrong with what was given."""
        if self.resolved_run is not None:
            return self.resolved_run, ()
        try:
            found = resolve(RunOptions, _own(RunOptions, self.layers), strict=self.strict)
        except OptionErrors as error:
            return RunOptions(), error.errors
        return found.options, ()

    @property
    def run(self) -> RunOptions:
        """The run's options, needed before the model's are known.

        The defaults where what was given is wrong: `resolve` tells that with the model's errors.
        """
        return self._run[0]

    def resolve(
        self,
        cls: type[T],
        *,
        stored: Layer | None = None,
        defaults: Mapping[str, object] | None = None,
        machine: Machine | None = None,
        answers: Layer | None = None,
        new: bool | None = None,
    ) -> Chosen[T]:
        """Resolve options of `cls` and of the run together.

        Parameters
        ----------
        cls : type
            The class of options that is wanted.
        stored : Layer, optional
            What the model has (`legacy_layer`); absent for a new model.
        defaults : mapping, optional
            `<Class>_default_options.dat`; used for a new model with `use_last_defaults` only.
        machine : Machine, optional
            Devices in use.
        answers : Layer, optional
            What a dialogue came to; wins over everything else.
        new : bool, optional
            See `dfl_tf.options.resolve`.

        Raises
        ------
        OptionError
            All errors at once.
        """
        run, wrong = self._run
        errors = list(wrong)
        layers = self._saved(cls, stored, defaults) + self._without_foreign(cls, errors)
        layers += [answers] if answers else []
        try:
            resolved = resolve(
                cls,
                layers,
                machine=machine,
                strict=self.strict,
                allow_unknown=self.allow_unknown,
                elsewhere=[key for other in self.classes for key in specs(other)],
                new=new,
            )
        except OptionErrors as error:
            raise OptionErrors([*error.errors, *errors]) from None
        if isinstance(resolved.options, TrainingOptions):
            unknown = KINDS[cls.NAME].freeze_error(resolved.options)
            errors += [unknown] if unknown else []
        if errors:
            raise OptionErrors(errors)
        return Chosen(resolved, run)

    def below(
        self, cls: type[Options], stored: Layer | None, defaults: Mapping[str, object] | None
    ) -> list[Layer]:
        """What a dialogue proposes from: all that is known before it, lowest first."""
        return [*self._saved(cls, stored, defaults), *_own(cls, self.layers)]

    def _saved(
        self, cls: type[Options], stored: Layer | None, defaults: Mapping[str, object] | None
    ) -> list[Layer]:
        if stored:
            return [stored]
        if not (defaults and self.use_last_defaults):
            return []
        return [Layer(defaults, f"{cls.NAME}_default_options.dat", kind="defaults")]

    def _without_foreign(self, cls: type[Options], errors: list[str]) -> list[Layer]:
        """Take out, as errors, the keys that belong to another kind of model."""
        own = specs(cls)
        kept = []
        for layer in self.layers:
            keys = []
            for key in layer.values:
                others = [other.NAME for other in self.classes if key in specs(other)]
                if key in own or not others or RunOptions.NAME in others:
                    keys.append(key)
                else:
                    errors.append(
                        f"{key} is not an option of {cls.NAME}, but of {', '.join(others)} "
                        f"(from {layer.place(key)})"
                    )
            kept.append(layer.only(keys))
        return kept


def environment_for(classes: Sequence[type[Options]], environ: Mapping[str, str]) -> Layer:
    """The options in the environment, without those that are meant for other commands."""
    layer = environment_layer(environ)
    own = {key for cls in classes for key in specs(cls)}
    everything = (*OPTIONS.values(), RunOptions, MergeOptions, ExtractOptions)
    others = {key for cls in everything for key in specs(cls)} - own
    return layer.only([key for key in layer.values if key not in others])


def flag_layer(classes: Sequence[type[Options]], values: Mapping[str, object]) -> Layer:
    """Values of flags by key; errors name the flag."""
    flags = {key: f"flag {_spec(classes, key).flag}" for key in values}
    return Layer(values, "the command line", places=flags)


def _own(cls: type[Options], layers: Sequence[Layer]) -> list[Layer]:
    own = specs(cls)
    return [layer.only([key for key in layer.values if key in own]) for layer in layers]


def _spec(classes: Sequence[type[Options]], key: str) -> OptionSpec:
    return next(specs(cls)[key] for cls in classes if key in specs(cls))
