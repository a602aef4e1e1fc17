"""How one option is declared, read, checked and written: the single source of everything else.

A model's options are a frozen dataclass whose fields are made by `option`. The field's metadata
feeds flags, YAML, prompts, the legacy dictionary and the generated documentation.
"""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

Value = bool | int | float | str | tuple[str, ...] | None
Ask = Literal["new", "any", "never"]
Values = Mapping[str, Value]
"""Options by key, each read and of the type that it declares."""
OnlyIf = Callable[[Values], bool]

TRUE_WORDS = ("y", "yes", "true", "on", "1")
FALSE_WORDS = ("n", "no", "false", "off", "0")
_SPECS: dict[type, Mapping[str, OptionSpec]] = {}
OTHER_SPELLINGS = {
    "fp16": "float16",
    "bf16": "bfloat16",
    "fp32": "float32",
    "fp64": "float64",
    "yes": "y",
    "true": "y",
    "no": "n",
    "false": "n",
}
"""Of choices, where the choice itself is one of those that an option has."""
KIND_NAMES = {bool: "yes or no", int: "a whole number", float: "a number", str: "text"}


@dataclass(frozen=True, kw_only=True)
class OptionSpec:
    """All that is known about one option.

    `ask` says when the value may be chosen: "new" only before the first iteration (the shapes of
    the weights depend on it), "any" at every start, "never" in no dialogue.
    `even` adds one to an odd number, `multiple_of` rounds down; both after the range check.
    `check` says why a text is not a value, or None.
    What a `lasting` switch of the run does is stored with the model, so it has an opposite.
    """

    key: str
    kind: type
    default: Value
    help: str
    details: str = ""
    label: str = ""
    group: str = ""
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    multiple_of: int | None = None
    even: bool = False
    ask: Ask = "any"
    only_if: OnlyIf | None = None
    optional: bool = False
    numbered: bool = False
    lowercase: bool = False
    unit: str = ""
    legacy_range: str = ""
    flags: tuple[str, ...] = ()
    placeholder: str = ""
    form: str = ""
    check: Callable[[str], str | None] | None = None
    lasting: bool = False

    @property
    def flag(self) -> str:
        """The command line flag, `--ae-dims` for `ae_dims`."""
        return "--" + self.key.replace("_", "-")

    def control(self) -> dict[str, object]:
        """What a form needs to know of it, JSON-able."""
        return {
            "key": self.key,
            "kind": self.kind.__name__,
            "help": self.help,
            "details": self.details,
            "group": self.group,
            "default": self.default,
            "minimum": self.minimum,
            "maximum": self.maximum,
            "choices": self.choices,
            "unit": self.unit,
        }

    @property
    def question(self) -> str:
        """The label of the legacy dialogue, or the key where there was no question."""
        return self.label or self.key

    def allowed(self) -> str:
        """Say the allowed values in words: `32 … 2048, even` or `n, y, cpu`."""
        if self.choices:
            return ", ".join(self.choices)
        if self.kind is bool:
            return "yes, no"
        if self.form:
            return self.form
        text = ""
        if self.minimum is not None and self.maximum is not None:
            text = f"{number(self.minimum)} … {number(self.maximum)}"
        elif self.minimum is not None:
            text = f"{number(self.minimum)} or more"
        if self.multiple_of:
            text += f", multiple of {self.multiple_of}"
        if self.even:
            text += ", even"
        return text or KIND_NAMES.get(self.kind, "a list of names")


def option(default: Value, help: str, **declared: object) -> Any:
    """Declare a dataclass field as an option; keywords are the fields of `OptionSpec`."""
    return dataclasses.field(
        default=default, metadata={"option": {"default": default, "help": help, **declared}}
    )


@dataclass(frozen=True)
class Machine:
    """What the defaults of a run depend on: devices in use and the memory of the weakest GPU."""

    devices: int = 1
    weakest_gpu_gib: float | None = None


@dataclass(frozen=True)
class Change:
    """One value that a rule replaces, and why; `error` marks what only the user can solve."""

    key: str
    value: Value
    reason: str
    error: bool = False


@dataclass(frozen=True, kw_only=True)
class Options:
    """What every set of options has: its name, its legacy key order and its own rules."""

    NAME: ClassVar[str] = ""
    STORED: ClassVar[tuple[str, ...]] = ()
    """Keys of the legacy dictionary in the order in which a first run stores them."""
    QUESTIONS: ClassVar[tuple[str, ...]] = ()
    """Keys in the order of the legacy dialogue."""
    OWN_DEFAULT: ClassVar[frozenset[str]] = frozenset()
    """Keys that never take their proposal from `<Class>_default_options.dat` (options.md 1)."""
    RESTARTABLE: ClassVar[bool] = False
    """Whether the legacy dialogue offers to start the training over."""

    @classmethod
    def derived(
        cls,
        key: str,
        values: Values,
        proposed: Values,
        machine: Machine,
    ) -> Value:
        """Default of `key` where other values or the machine decide it; None = the fixed one."""
        return None

    @classmethod
    def reconcile(
        cls, values: Values, *, new: bool, given: typing.Collection[str] = ()
    ) -> list[Change]:
        """Roundings and conflicts that involve more than one option; `given` = values given now."""
        return []

    def overrides(self) -> dict[str, tuple[Value, str]]:
        """Values that other options force while they are set, with the reason (options.md 4)."""
        return {}


def whole(value: Value) -> int:
    """Return the value of an option whose type is int."""
    assert isinstance(value, int)
    return value


def words(text: str) -> tuple[str, ...]:
    """Split a list of keys written as one text."""
    return tuple(text.split())


def number(value: float) -> str:
    """Write 2048 for 2048.0 and 0.3 for 0.3."""
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def specs(cls: type[Options]) -> Mapping[str, OptionSpec]:
    """All options of a class by key, in the order of declaration."""
    if cls not in _SPECS:
        hints = typing.get_type_hints(cls)
        found = {}
        for item in dataclasses.fields(cls):
            declared = item.metadata["option"]
            kind, optional = _kind(hints[item.name])
            found[item.name] = OptionSpec(key=item.name, kind=kind, optional=optional, **declared)
        _SPECS[cls] = types.MappingProxyType(found)  # the same for all callers
    return _SPECS[cls]


def _kind(hint: type | types.UnionType) -> tuple[type, bool]:
    if isinstance(hint, types.UnionType):
        (kind,) = (part for part in typing.get_args(hint) if part is not type(None))
        return kind, True
    origin = typing.get_origin(hint)
    return (origin or hint), False


def plain(value: object) -> object:
    """Turn a NumPy scalar (legacy files are full of them) into the plain Python value."""
    return value.item() if hasattr(value, "item") and getattr(value, "ndim", 1) == 0 else value


def parse(spec: OptionSpec, value: object) -> Value:
    """Read a value of any spelling as the plain type of the option.

    Raises
    ------
    ValueError
        With "is not …" as text, if the value cannot be understood or is not an allowed choice.
    """
    value = plain(value)
    if value is None or (spec.optional and str(value).strip().lower() in ("", "none", "null")):
        if spec.optional:
            return None
        raise ValueError(f"is empty; give {spec.allowed()}")
    if spec.kind is bool:
        return parse_bool(value)
    if spec.kind in (int, float):
        return _parse_number(spec, value)
    if spec.kind is tuple:
        return _parse_names(value)
    return _parse_text(spec, value)


def parse_bool(value: object) -> bool:
    """A yes or no, by its usual words.

    Raises
    ------
    ValueError
        With "is neither …" as text.
    """
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word in TRUE_WORDS or value == 1:
        return True
    if word in FALSE_WORDS or value == 0:
        return False
    raise ValueError("is neither yes nor no (y/n, yes/no, true/false, on/off, 1/0)")


def _parse_number(spec: OptionSpec, value: object) -> int | float:
    wrong = f"is not {KIND_NAMES[spec.kind]}"
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError(wrong)
    try:
        as_float = float(value)
    except (ValueError, OverflowError):
        raise ValueError(wrong) from None
    if as_float != as_float or as_float in (float("inf"), float("-inf")):
        raise ValueError(wrong)
    if spec.kind is float:
        return as_float
    if isinstance(value, str) and value.strip().lstrip("+-").isdigit():
        return int(value)
    if not as_float.is_integer():
        raise ValueError(wrong)
    return int(as_float)


def _parse_names(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        value = value.split(",")
    if not isinstance(value, (list, tuple)):
        raise ValueError("is not a list of names")
    return tuple(name for name in (str(item).strip() for item in value) if name)


def _parse_text(spec: OptionSpec, value: object) -> str:
    if isinstance(value, bool):
        if {"n", "y"} <= set(spec.choices):
            return "y" if value else "n"
        if {"on", "off"} <= set(spec.choices):
            return "on" if value else "off"
        raise ValueError(f"is not one of {spec.allowed()}" if spec.choices else "is not text")
    if isinstance(value, (list, tuple, dict)):
        raise ValueError("is not text")
    text = str(value).strip()
    if spec.lowercase:
        text = text.lower()
    if spec.check is not None and (wrong := spec.check(text)):
        raise ValueError(wrong)
    if not spec.choices:
        return text
    by_lower = {choice.lower(): choice for choice in spec.choices}
    for spelled in (text.lower(), OTHER_SPELLINGS.get(text.lower(), "")):
        if spelled in by_lower:
            return by_lower[spelled]
    if spec.numbered and text.isdigit() and int(text) < len(spec.choices):
        return spec.choices[int(text)]
    raise ValueError(f"is not one of {spec.allowed()}{did_you_mean(text, spec.choices)}")


def range_error(spec: OptionSpec, value: Value) -> str | None:
    """Say why a parsed value is out of range, or None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    low, high = spec.minimum, spec.maximum
    if low is not None and high is not None and not low <= value <= high:
        return f"is outside {number(low)} … {number(high)}"
    if low is not None and value < low:
        return f"is less than {number(low)}"
    if high is not None and value > high:
        return f"is more than {number(high)}"
    return None


def clip(spec: OptionSpec, value: Value) -> Value:
    """Clip a parsed number to the range; everything else is returned as it is."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return value
    clipped = float(value)
    if spec.minimum is not None:
        clipped = max(clipped, spec.minimum)
    if spec.maximum is not None:
        clipped = min(clipped, spec.maximum)
    return spec.kind(clipped) if clipped != value else value


def rounded(spec: OptionSpec, value: Value) -> Value:
    """Apply the roundings of the legacy dialogue: down to a multiple, odd up to even."""
    if isinstance(value, bool) or not isinstance(value, int):
        return value
    if spec.multiple_of:
        value = value // spec.multiple_of * spec.multiple_of
    if spec.even and value % 2:
        value += 1
    return value


def show(value: Value) -> str:
    """Write a value as a user would type it; `parse` reads it back."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ",".join(value)
    return "none" if value is None else str(value)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Offer the nearest known word: `; did you mean "ae_dims"?`, or nothing."""
    normal = word.lower().replace("-", "_")
    by_normal = {name.lower().replace("-", "_"): name for name in known}
    close = difflib.get_close_matches(normal, by_normal, n=1, cutoff=0.6)
    return f'; did you mean "{by_normal[close[0]]}"?' if close else ""
