"""Forms of jobs: which controls there are, and the words that their values make."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from dfl_tf.disk.guarded import parse_json
from dfl_tf.disk.tree_schema import ANYTHING, Array, Boolean, Number, Optional, Record, Table, Text
from dfl_tf.options.schema import did_you_mean
from dfl_tf.web.answers import WebError
from dfl_tf.web.job_kinds import KINDS, JobKind

_SECONDS = 120.0
_LONGEST_LIST = 64
_KINDS = ("bool", "int", "float", "str", "tuple", "path")
_ENTRY = Record(
    {
        "key": Text(),
        "flag": Text(),
        "negative": Text(),
        "kind": Text(_KINDS),
        "help": Text(),
        "details": Text(),
        "group": Text(),
        "default": ANYTHING,
        "minimum": Optional(Number()),
        "maximum": Optional(Number()),
        "choices": Array(Text()),
        "unit": Text(),
        "multiple": Boolean(),
        "of": Text(),
    }
)


def describe_command() -> list[str]:
    """The words that start the process which knows what commands take."""
    return [sys.executable, "-m", "dfl_tf.cli.command_forms"]


@dataclass(frozen=True)
class Control:
    """One field of a form.

    Attributes
    ----------
    key, flag : str
    negative : str
        The flag for "no"; empty where there is none.
    kind : {"bool", "int", "float", "str"}
    help, details, group, unit : str
    default : object
        What holds where nothing is given: a plain value, or None.
    minimum, maximum : float or None
    choices : tuple of str
        Empty for numbers and free text.
    multiple : bool
        Whether several values may be given.
    pattern : str
        Of a free text.
    """

    key: str
    flag: str
    negative: str
    kind: str
    help: str
    details: str
    group: str
    unit: str
    default: object
    minimum: float | None
    maximum: float | None
    choices: tuple[str, ...]
    multiple: bool
    pattern: str = ""

    def words(self, value: object) -> list[str]:
        """The words of a command line for a value.

        Raises
        ------
        ValueError
            It is not one that the field takes; the text says which are.
        """
        if self.kind == "bool":
            if not isinstance(value, bool):
                raise ValueError("true or false")
            flag = self.flag if value else self.negative
            return [flag] if flag else []
        if self.multiple:
            if not isinstance(value, list) or len(value) > _LONGEST_LIST:
                raise ValueError(f"a list of at most {_LONGEST_LIST} values")
            return [f"{self.flag}={self._text(each)}" for each in value]
        return [f"{self.flag}={self._text(value)}"]

    def _text(self, value: object) -> str:
        if self.kind in ("int", "float"):
            whole = isinstance(value, int) and not isinstance(value, bool)
            if not (whole or (self.kind == "float" and isinstance(value, float))):
                raise ValueError("a whole number" if self.kind == "int" else "a number")
            number = cast("float", value)
            low, high = self.minimum, self.maximum
            if (low is not None and number < low) or (high is not None and number > high):
                ends = ("" if end is None else f"{end:g}" for end in (low, high))
                raise ValueError(" … ".join(ends).strip())
            return repr(value)
        if not isinstance(value, str):
            raise ValueError("text")
        if self.choices:
            if value not in self.choices:
                raise ValueError(f"one of {', '.join(self.choices)}")
        elif re.fullmatch(self.pattern, value, re.ASCII) is None:
            raise ValueError(f"text such as {self.default or '10:20'}")
        return value


class JobForms:
    """The forms of all kinds of jobs; the commands are asked once."""

    def __init__(self) -> None:
        self._described: Mapping[str, Sequence[Mapping[str, object]]] | None = None
        self._lock = threading.Lock()

    def controls(self, kind: JobKind, model_class: str = "") -> list[Control]:
        """The fields of a kind; for a class of models where that matters.

        Raises
        ------
        WebError
            The commands cannot be asked.
        """
        entries = self._commands()[kind.command]
        by_key = {entry["key"]: entry for entry in entries if not entry["of"]}
        wanted = [by_key[key] for key in kind.own]
        classes = kind.fields_of(model_class)
        wanted += [entry for entry in entries if entry["of"] in classes]
        return [control for entry in wanted if (control := _control(kind, entry)) is not None]

    def words(self, kind: JobKind, model_class: str, values: Mapping[str, object]) -> list[str]:
        """The words of a command line that give these values.

        Raises
        ------
        WebError
            With all that is wrong with them.
        """
        controls = {control.key: control for control in self.controls(kind, model_class)}
        words, wrong = [], []
        for key in sorted(values.keys() - controls.keys()):
            wrong.append(f"{key[:60]} is not an option here{did_you_mean(key[:60], controls)}")
        for key, control in controls.items():
            if key not in values:
                continue
            try:
                words += control.words(values[key])
            except ValueError as allowed:
                wrong.append(f"{key}={str(values[key])[:60]}: give {allowed}")
        if wrong:
            raise WebError("; ".join(wrong) + ".")
        return words

    def _commands(self) -> Mapping[str, Sequence[Mapping[str, object]]]:
        with self._lock:
            if self._described is None:
                self._described = _describe()
            return self._described


def _describe() -> Mapping[str, Sequence[Mapping[str, object]]]:
    commands = sorted({kind.command for kind in KINDS})
    try:
        said = subprocess.run(
            [*describe_command(), *commands],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS,
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        told = getattr(error, "stderr", None) or b""
        reason = told.decode(errors="replace").strip().rpartition("\n")[2] or str(error)
        raise WebError(f"the options of the commands are not known: {reason}", 500) from None
    schema = Table(Array(_ENTRY))
    found: Mapping[str, Sequence[Mapping[str, object]]] = parse_json(
        said, what="the options of the commands", kind="JSON", schema=schema, error=WebError
    )
    return found


def _control(kind: JobKind, entry: Mapping[str, object]) -> Control | None:
    """The field for what a command takes; None where a page does not offer it.

    Paths are never offered, nor is any text that could be one: only texts whose form is known.
    """
    key, choices = str(entry["key"]), tuple(cast("list[str]", entry["choices"]))
    free = entry["kind"] in ("str", "tuple") and not choices
    if entry["kind"] == "path" or (free and key not in kind.texts):
        return None
    default = entry["default"]
    if isinstance(default, list):
        default = ",".join(map(str, default))
    switch = entry["kind"] == "bool"
    return Control(
        key=key,
        flag=str(entry["flag"]),
        negative=str(entry["negative"]),
        kind="str" if entry["kind"] == "tuple" else str(entry["kind"]),
        help=str(entry["help"]),
        details=str(entry["details"]),
        group=str(entry["group"]),
        unit=str(entry["unit"]),
        default=bool(default) if switch else default,
        minimum=cast("float | None", entry["minimum"]),
        maximum=cast("float | None", entry["maximum"]),
        choices=choices,
        multiple=bool(entry["multiple"]),
        pattern=kind.texts.get(key, ""),
    )
