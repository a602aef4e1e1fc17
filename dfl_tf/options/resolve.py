"""From layers of values (files, environment, flags, answers) to one validated set of options.

Precedence is the order of the layers, lowest first (decision 35). All errors are collected and
raised as one `OptionError`.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Literal, TypeVar

from dfl_tf.errors import OptionError

from . import schema
from .foreign import KEPT_WHEN_DEFAULT, MVE_KEYS, RENAMED
from .merge import MergeOptions
from .schema import Machine, Options, OptionSpec, Value, specs
from .training import TrainingOptions, batch_for_devices

log = logging.getLogger("dfl_tf.options")
ENVIRONMENT_PREFIX = "DFL_TF_OPT_"
GAN_SHAPE = ("gan_patch_size", "gan_dims")
_ABSURD = 16
"""A stored value so many times the maximum is damage, not the habit of a fork."""
T = TypeVar("T", bound=Options)
Kind = Literal["defaults", "stored", "now", "answers", "trusted"]


@dataclass(frozen=True)
class Layer:
    """Values of one source.

    `kind`: "stored" with the model (kept even if out of today's range), "defaults" from
    `<Class>_default_options.dat`, "now" from flag, YAML or environment (out of range is an error),
    "answers" of the dialogue (clipped already), "trusted" from code (never checked for range).
    `order` is the order of the keys in the file where conversions have added others;
    `places` names the place of a key more exactly than `origin` ("config.yaml, line 14");
    `texts` is how a value is written where that is more than the value (010, 2020-01-01).
    """

    values: Mapping[str, object]
    origin: str
    kind: Kind = "now"
    places: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    order: tuple[str, ...] = ()
    texts: Mapping[str, str] = field(default_factory=dict)

    def place(self, key: str) -> str:
        """Where the value of `key` was written."""
        return self.places.get(key, self.origin)

    def only(self, keys: Collection[str]) -> Layer:
        """Return the layer with the values of some keys only."""
        return replace(self, values={key: self.values[key] for key in self.values if key in keys})


@dataclass(frozen=True)
class Resolved(Generic[T]):
    """The outcome: options as they will be stored, and all notes for the user."""

    options: T
    unknown: dict[str, object]
    adjustments: tuple[str, ...]
    warnings: tuple[str, ...]
    origins: dict[str, str]
    new: bool
    gan_model_changed: bool
    pretrain_just_disabled: bool
    order: tuple[str, ...] = ()

    def legacy(self) -> dict[str, object]:
        """The legacy dictionary in the order in which the model has stored its keys."""
        return to_legacy(self.options, order=self.order, unknown=self.unknown)


@dataclass(frozen=True)
class Effective(Generic[T]):
    """Options as training uses them; a reason for every value that is not the stored one."""

    options: T
    reasons: dict[str, str]


def resolve(
    cls: type[T],
    layers: Sequence[Layer],
    *,
    machine: Machine | None = None,
    strict: bool = False,
    allow_unknown: bool = False,
    elsewhere: Collection[str] = (),
    new: bool | None = None,
) -> Resolved[T]:
    """Merge layers, lowest precedence first, into validated options.

    Parameters
    ----------
    cls : type
        The class of options, such as `SAEHDOptions`.
    layers : sequence of Layer
        A layer of kind "stored" makes it a resume: architecture keys are then fixed.
    machine : Machine, optional
        Devices in use, for the batch size.
    strict : bool
        Roundings and other adjustments are errors.
    allow_unknown : bool
        Unknown keys given now are kept with the model instead of being an error.
    elsewhere : collection of str
        Keys that another class of options reads from the same layers.
    new : bool, optional
        Override the rule that a stored layer means a resume (XSeg's restart).

    Raises
    ------
    OptionError
        Naming every error with its place.

    References: options.md 1, 4, 6; decisions 4, 34, 35.
    """
    resolver = _Resolver(cls, layers, machine or Machine(), allow_unknown, elsewhere, new)
    return resolver.run(strict)


class _Resolver(Generic[T]):
    """The steps of `resolve`, which share what they find."""

    def __init__(
        self,
        cls: type[T],
        layers: Sequence[Layer],
        machine: Machine,
        allow_unknown: bool,
        elsewhere: Collection[str],
        new: bool | None,
    ) -> None:
        self.cls, self.layers, self.machine = cls, layers, machine
        self.allow_unknown, self.elsewhere = allow_unknown, elsewhere
        self.table = specs(cls)
        self.new = new if new is not None else all(layer.kind != "stored" for layer in layers)
        self.base: dict[str, Value] = {}
        self.given: dict[str, Value] = {}
        self.origins: dict[str, str] = {}
        self.unknown: dict[str, object] = {}
        self.errors: list[str] = []
        self.wrong: set[str] = set()
        self.adjustments: list[str] = []
        self.warnings: list[str] = []

    def run(self, strict: bool) -> Resolved[T]:
        for layer in self.layers:
            self.warnings += layer.notes
            for key, value in layer.values.items():
                self._take(layer, key, schema.plain(value))
        if not self.new:
            self._refuse_other_architecture()
        fixed: dict[str, Value] = {key: spec.default for key, spec in self.table.items()}
        merged = fixed | self.base | self.given
        self._reconcile(merged)
        proposed = self._derive(merged)
        self._round_batch(merged)
        if strict:
            self.errors += [f"{text} (refused by --strict)" for text in self.adjustments]
        if self.errors:
            raise OptionErrors(self.errors)
        return self._outcome(merged, proposed)

    def _take(self, layer: Layer, key: str, value: object) -> None:
        spec = self.table.get(key)
        from_model = layer.kind in ("stored", "defaults")
        if spec is None:
            self._take_unknown(layer, key, value)
            return
        if value is None and from_model:
            return
        if layer.kind == "defaults" and key in self.cls.OWN_DEFAULT:
            return
        if spec.kind is str and not spec.choices and isinstance(value, int | float):
            value = layer.texts.get(key, value)  # a folder may be named 010
        try:
            parsed = schema.parse(spec, value)
        except ValueError as error:
            text = f"{key}={_quote(value)} {error} (from {layer.place(key)})"
            (self.warnings if layer.kind == "defaults" else self.errors).append(text)
            self.wrong.add(key)
            return
        if from_model:
            self._keep_stored(layer, spec, parsed)
        else:
            self._take_given(layer, spec, parsed)
        self.origins[key] = layer.place(key)

    def _take_unknown(self, layer: Layer, key: str, value: object) -> None:
        if layer.kind == "stored":
            self.unknown[key] = value
        elif layer.kind == "defaults" or key in self.elsewhere:
            return
        elif self.allow_unknown:
            self.unknown[key] = value
            self.warnings.append(f"unknown option {key} is kept (from {layer.place(key)})")
        else:
            self.errors.append(
                f"{key} is not an option of {self.cls.NAME}{self._hint(key)} "
                f"(from {layer.place(key)})"
            )

    def _hint(self, key: str) -> str:
        """What may have been meant by a key that is not ours."""
        if key in RENAMED:
            return RENAMED[key]
        if key in MVE_KEYS:
            return "; it is an option of the MVE fork; --allow-unknown keeps such keys"
        if key in specs(MergeOptions):
            return "; it is an option of dfl-tf merge"
        near = schema.did_you_mean(key, [*self.table, *self.elsewhere])
        return near or '; "dfl-tf options" lists all'

    def _keep_stored(self, layer: Layer, spec: OptionSpec, value: Value) -> None:
        error = schema.range_error(spec, value)
        text = f"{spec.key}={schema.show(value)} {error}"
        place = f"(from {layer.place(spec.key)})"
        if error and layer.kind == "defaults":
            self.warnings.append(f"{text}, and is not taken over {place}")
            return
        if error and _absurd(spec, value):
            self.errors.append(f"{text} by far: no model can have it {place}")
            return
        if error:
            self.warnings.append(f"{text}, but the model has it, so it stays {place}")
        self.base[spec.key] = value

    def _take_given(self, layer: Layer, spec: OptionSpec, value: Value) -> None:
        if layer.kind != "trusted":
            error = schema.range_error(spec, value)
            if error:
                text = f"{spec.key}={schema.show(value)} {error} (from {layer.place(spec.key)})"
                self.errors.append(text)
                self.wrong.add(spec.key)
                return
            down = schema.rounded(spec, value)
            if down != value:
                rule = spec.allowed().split(", ", 1)[1]
                self._adjust(spec.key, value, down, rule, layer.place(spec.key))
                value = down
        self.given[spec.key] = value

    def _adjust(self, key: str, old: Value, new: Value, reason: str, place: str = "") -> None:
        source = f" (from {place})" if place else ""
        self.adjustments.append(
            f"{key}={schema.show(old)} becomes {schema.show(new)}: {reason}{source}"
        )

    def _refuse_other_architecture(self) -> None:
        fixed: dict[str, Value] = {
            key: spec.default for key, spec in self.table.items()
        } | self.base
        asked = fixed | self.given
        for change in self.cls.reconcile(asked, new=True):
            if not change.error:
                asked[change.key] = change.value
        for key, spec in self.table.items():
            if spec.ask != "new" or key not in self.given:
                continue
            if key in self.base and asked[key] != self.base[key]:
                self.errors.append(
                    f"{key}={schema.show(self.given[key])} differs from the model's "
                    f"{schema.show(self.base[key])} and cannot change after the first iteration; "
                    f"leave it out or train a new model (from {self.origins[key]})"
                )
            elif key in self.base:
                self.given[key] = self.base[key]

    def _reconcile(self, merged: dict[str, Value]) -> None:
        """Apply the rules between options; where values are wrong, tell the errors only.

        A rule may not be about the default that stands for a wrong value.
        """
        wrong = self.wrong
        for change in self.cls.reconcile(merged, new=self.new, given=self.given):
            place = self.origins.get(change.key, "the defaults")
            if wrong and not (change.error and change.key in self.given):
                continue
            if any(key in change.reason for key in wrong):
                continue
            if change.error:
                self.errors.append(
                    f"{change.key}={schema.show(change.value)} {change.reason} (from {place})"
                )
                continue
            if change.key in self.given:
                self._adjust(change.key, merged[change.key], change.value, change.reason, place)
            else:
                self.warnings.append(
                    f"{change.key} is {schema.show(change.value)}: {change.reason}"
                )
            merged[change.key] = change.value

    def _derive(self, merged: dict[str, Value]) -> dict[str, Value]:
        """Fill dependent defaults; returns what a dialogue would have proposed."""
        fixed: dict[str, Value] = {key: spec.default for key, spec in self.table.items()}
        trusted = any(layer.kind == "trusted" for layer in self.layers)
        proposed = fixed | self.base
        for key, spec in self.table.items():
            if key in self.base:
                continue
            value = self.cls.derived(key, merged, fixed | self.base, self.machine)
            if value is not None:
                proposed[key] = schema.clip(spec, value)
                if key not in self.given:
                    merged[key] = value if trusted else proposed[key]
        return proposed

    def _round_batch(self, merged: dict[str, Value]) -> None:
        if not issubclass(self.cls, TrainingOptions):
            return
        batch = schema.whole(merged["batch_size"])
        merged["batch_size"] = batch_for_devices(batch, self.machine.devices)
        if merged["batch_size"] != batch:
            rule = f"a multiple of the {self.machine.devices} devices"
            self._adjust("batch_size", batch, merged["batch_size"], rule)

    def _outcome(self, merged: dict[str, Value], proposed: dict[str, Value]) -> Resolved[T]:
        was_pretraining = not self.new and bool(self.base.get("pretrain"))
        stored = (
            layer.order or tuple(layer.values) for layer in self.layers if layer.kind == "stored"
        )
        return Resolved(
            options=self.cls(**merged),
            unknown=self.unknown,
            adjustments=tuple(self.adjustments),
            warnings=tuple(self.warnings),
            origins=self.origins,
            new=self.new,
            gan_model_changed=any(merged.get(key) != proposed.get(key) for key in GAN_SHAPE),
            pretrain_just_disabled=was_pretraining and not merged["pretrain"],
            order=next(stored, ()),
        )


def _absurd(spec: OptionSpec, value: Value) -> bool:
    """Whether a stored size is so large that not even its shapes are to be worked out."""
    sizes = spec.ask == "new" or spec.key in GAN_SHAPE
    return (
        sizes
        and isinstance(value, int)
        and spec.maximum is not None
        and value > _ABSURD * spec.maximum
    )


class OptionErrors(OptionError):
    """All errors of one set of options; `errors` has one sentence each."""

    def __init__(self, errors: Sequence[str]) -> None:
        self.errors = tuple(errors)
        lines = "".join(f"\n  {error}" for error in errors)
        super().__init__(
            errors[0] if len(errors) == 1 else f"{len(errors)} errors in the options:{lines}"
        )


def _quote(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)


def environment_layer(environ: Mapping[str, str]) -> Layer:
    """Values of `DFL_TF_OPT_<KEY>` variables; the key is taken in lower case."""
    names = [name for name in environ if name.upper().startswith(ENVIRONMENT_PREFIX)]
    keys = {name[len(ENVIRONMENT_PREFIX) :].lower(): name for name in sorted(names)}
    return Layer(
        values={key: environ[name] for key, name in keys.items()},
        origin="the environment",
        places={key: f"environment variable {name}" for key, name in keys.items()},
    )


def from_mapping(
    cls: type[T],
    values: Mapping[str, object],
    *,
    origin: str,
    unknown: Literal["error", "keep"] = "error",
) -> tuple[T, dict[str, object]]:
    """Validate one mapping; returns the options and the keys that are not ours.

    With `unknown="keep"` the mapping is one that a model has stored: old spellings are converted
    (options.md 5) and values out of range stay, with a logged warning.
    """
    from .legacy import legacy_layer

    kept = unknown == "keep"
    layer = legacy_layer(cls, values, origin=origin) if kept else Layer(values, origin)
    outcome = resolve(cls, [layer])
    for text in (*outcome.adjustments, *outcome.warnings):
        log.warning("%s", text)
    return outcome.options, outcome.unknown


def default(cls: type[T], **overrides: Any) -> T:
    """Options of a new model with some values set by code: types are checked, ranges are not.

    Dependent defaults follow: `gan_patch_size` is an eighth of the resolution.
    """
    unknown = overrides.keys() - specs(cls).keys()
    if unknown:
        raise TypeError(f"{cls.__name__} has no {', '.join(sorted(unknown))}")
    return resolve(cls, [Layer(overrides, "the program", kind="trusted")], new=True).options


def to_legacy(
    options: Options, *, order: Collection[str] = (), unknown: Mapping[str, object] | None = None
) -> dict[str, object]:
    """Write the legacy dictionary, in plain Python types.

    Keys that the model had before (`order`) keep their place, the others follow in the order of a
    first run. Our own options are written only where they differ from their default, so that a
    dictionary of DeepFaceLab stays one.
    """
    kept = dict(unknown or {})
    table = specs(type(options))
    own = [
        key
        for key, spec in table.items()
        if key not in options.STORED
        and (getattr(options, key) != spec.default or (key in KEPT_WHEN_DEFAULT and key in order))
    ]
    written = [*options.STORED, *own]
    result: dict[str, object] = {}
    for key in [*order, *written, *kept]:
        if key in kept:
            result[key] = kept[key]
        elif key in written:
            value = getattr(options, key)
            result[key] = list(value) if isinstance(value, tuple) else value
    return result


def effective(options: T) -> Effective[T]:
    """Options as training uses them: pretraining and architecture override some (options.md 4)."""
    changed = {
        key: (value, reason)
        for key, (value, reason) in options.overrides().items()
        if getattr(options, key) != value
    }
    values: dict[str, object] = {key: value for key, (value, _) in changed.items()}
    return Effective(
        options=replace(options, **values),
        reasons={key: reason for key, (_, reason) in changed.items()},
    )


def effective_dict(options: Options) -> dict[str, object]:
    """The effective values of all options by key, as plain JSON-able types."""
    used = effective(options).options
    return {key: getattr(used, key) for key in specs(type(options))}
