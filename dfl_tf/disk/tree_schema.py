"""What a tree read from JSON or YAML must hold: a schema is an expression of the classes here.

    SESSION = Record(
        {"format": Text(("dfl_tf merge session",)), "version": Integer(1, 1)},
        {"frames": Table(Record({"key": Text(), "sizes": Row(Integer(0), Integer(0))}))},
        others=ANYTHING,
    )
    errors_of(tree, SESSION)  # ["frames.00001.png is 5; it must be an object"]

Why not the package jsonschema: it brings four other packages (one in Rust), checks the rows
of a large face index much more slowly, and lets JSON's NaN and 100,000-digit numbers pass.
msgspec is fast, but refuses the lone surrogates that stand for bytes in file names.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

MAX_ERRORS = 20
_SHOWN = 3
_KEY_LENGTH = 60

TreePath = tuple[str | int, ...]
"""Keys and indices from the root to a value."""

MAX_DEPTH = 64
MAX_DIGITS = 64
"""Of any tree that is read, and of a number in it."""


class Schema(Protocol):
    """What a value must be."""

    def check(self, value: object, place: TreePath, errors: list[str]) -> None:
        """Append one sentence for each error of `value`, which stands at `place`."""


def errors_of(tree: object, schema: Schema) -> list[str]:
    """All errors of a tree (at most some 20), one clause each; empty if it fits."""
    errors: list[str] = []
    schema.check(tree, (), errors)
    return errors


def joined(errors: Sequence[str]) -> str:
    """The first errors as one text, and how many there are."""
    more = len(errors) - _SHOWN
    text = "; ".join(errors[:_SHOWN])
    return text if more <= 0 else f"{text}; and {more} more"


@dataclass(frozen=True)
class Anything:
    """Every value; its own reader checks it."""

    def check(self, value: object, place: TreePath, errors: list[str]) -> None:
        """Find no error."""


ANYTHING = Anything()


@dataclass(frozen=True)
class Text:
    """A string without NUL: one of the `choices`, or wholly of the regular expression `pattern`.

    `form` says the pattern in words.
    """

    choices: tuple[str, ...] = ()
    longest: int = 1 << 16
    pattern: str = ""
    form: str = "text"

    def check(self, value: object, place: TreePath, errors: list[str]) -> None:
        """See `Schema`."""
        if type(value) is not str:
            errors.append(_wrong(value, place, self.form))
        elif self.choices and value not in self.choices:
            errors.append(_wrong(value, place, f"one of {', '.join(self.choices)}"))
        elif len(value) > self.longest:
            errors.append(f"{_path(place)} has {len(value)} characters; at most {self.longest}")
        elif self.pattern and re.fullmatch(self.pattern, value, re.ASCII) is None:
            errors.append(_wrong(value, place, self.form))
        elif "\0" in value:
            errors.append(f"{_path(place)} holds a NUL character")


@dataclass(frozen=True)
class Integer:
    """A whole number from `low` to `high`; true and false are none."""

    low: int = -(2**63)
    high: int = 2**63 - 1

    def check(self, value: object, place: TreePath, errors: list[str]) -> None:
        """See `Schema`."""
        if type(value) is not int or not self.low <= value <= self.high:
            errors.append(_wrong(value, place, f"a whole number{_range(self.low, self.high)}"))


@dataclass(frozen=True)
class Number:
    """A finite number from `low` to `high`, whole or not; true and false are none."""

    low: float = -math.inf
    high: float = math.inf

    def check(self, value: object, place: TreePath, errors: list[str]) -> None:
        """See `Schema`."""
        if (
            not isinstance(value, int | float)
            or isinstance(value, bool)
            or not self.low <= value <= self.high
            or not math.isfinite(value)
        ):
            errors.append(_wrong(value, place, f"a finite number{_range(self.low, self.high)}"))


@dataclass(frozen=True)
class Boolean:
    """True or false; with `or_digit` also 0 and 1."""

    or_digit: bool = False

    def check(self, value: object, place: TreePath, errors: list[str]) -> None:
        """See `Schema`."""
        if type(value) is not bool and not (self.or_digit and value in (0, 1)):
            errors.append(_wrong(value, place, "true or false"))


@dataclass(frozen=True)
class Optional:
    """Null, or what `inner` says."""

    inner: Schema

    def check(self, value: object, place: TreePath, errors: list[str]) -> None:
        """See `Schema`."""
        if value is not None:
            self.inner.check(value, place, errors)


class Either:
    """What one of these says; the errors are those of the last."""

    def __init__(self, *choices: Schema) -> None:
        self.choices = choices

    def check(self, value: object, place: TreePath, errors: list[str]) -> None:
        """See `Schema`."""
        for choice in self.choices[:-1]:
            if not errors_of(value, choice):
                return
        self.choices[-1].check(value, place, errors)


class Row:
    """A list of exactly these values, in this order."""

    def __init__(self, *items: Schema) -> None:
        self.items = items

    def check(self, value: object, place: TreePath, errors: list[str]) -> None:
        """See `Schema`."""
        if type(value) is not list or len(value) != len(self.items):
            errors.append(_wrong(value, place, f"a list of {len(self.items)}"))
            return
        for index, (schema, item) in enumerate(zip(self.items, value, strict=True)):
            schema.check(item, (*place, index), errors)


@dataclass(frozen=True)
class Array:
    """A list of any length up to `longest` whose values are all `item`."""

    item: Schema
    longest: int = 1 << 32

    def check(self, value: object, place: TreePath, errors: list[str]) -> None:
        """See `Schema`."""
        if type(value) is not list:
            errors.append(_wrong(value, place, "a list"))
            return
        if len(value) > self.longest:
            errors.append(f"{_path(place)} has {len(value)} items; at most {self.longest}")
            return
        for index, item in enumerate(value):
            self.item.check(item, (*place, index), errors)
            if len(errors) >= MAX_ERRORS:
                return


@dataclass(frozen=True)
class Table:
    """An object with any keys whose values are all `value`."""

    value: Schema
    key: Schema = field(default_factory=Text)

    def check(self, value: object, place: TreePath, errors: list[str]) -> None:
        """See `Schema`."""
        if type(value) is not dict:
            errors.append(_wrong(value, place, "an object"))
            return
        for key, item in value.items():
            self.key.check(key, place, errors)
            self.value.check(item, (*place, key), errors)
            if len(errors) >= MAX_ERRORS:
                return


@dataclass(frozen=True)
class Record:
    """An object with these keys; `others` says what further keys hold (None: there are none)."""

    required: Mapping[str, Schema] = field(default_factory=dict)
    optional: Mapping[str, Schema] = field(default_factory=dict)
    others: Schema | None = None

    def check(self, value: object, place: TreePath, errors: list[str]) -> None:
        """See `Schema`."""
        if type(value) is not dict:
            errors.append(_wrong(value, place, "an object"))
            return
        missing = [key for key in self.required if key not in value]
        if missing:
            errors.append(f"{_path(place)} lacks {', '.join(missing)}")
        for key, item in value.items():
            schema = self.required.get(key) or self.optional.get(key) or self.others
            if schema is None:
                errors.append(f"{_path((*place, key))} is not known")
            else:
                schema.check(item, (*place, key), errors)
            if len(errors) >= MAX_ERRORS:
                return


def _wrong(value: object, place: TreePath, wanted: str) -> str:
    return f"{_path(place)} is {_shown(value)}; it must be {wanted}"


def _path(place: TreePath) -> str:
    text = ""
    for part in place:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += "." * bool(text) + (part[:_KEY_LENGTH] + "…" * (len(part) > _KEY_LENGTH))
    return text or "the whole"


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return f"an object of {len(value)}"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, str):
        return f'"{value[:40]}"' + "…" * (len(value) > 40)
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    return repr(value)[:40]


def _range(low: float, high: float) -> str:
    if (low, high) in ((-math.inf, math.inf), (-(2**63), 2**63 - 1)):
        return ""
    if high in (math.inf, 2**63 - 1):
        return f" of at least {low}"
    return f" from {low} to {high}"
