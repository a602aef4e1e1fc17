"""Command lines of DeepFaceLab's main.py → ours, by the table in `legacy_table` (workspace.md 2).

Whatever is not implemented raises an error that names it. Nothing else knows the old spelling.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from dfl_tf.cli.legacy_table import (
    FACES_STAY,
    ORIGINALS_STAY,
    SHARED_VERBS,
    UTIL,
    UTIL_FOLDER,
    VERBS,
    Flag,
    Verb,
)
from dfl_tf.errors import UsageError


@dataclass(frozen=True)
class Translation:
    """A new command line, what the user is told about it, a line each, and further lines."""

    argv: list[str]
    notes: tuple[str, ...] = ()
    more: tuple[list[str], ...] = ()


def translate(argv: Sequence[str], *, count_gpus: Callable[[], int] = lambda: 1) -> Translation:
    """Turn an old command line into a new one; a new one is returned as it is, without notes.

    Parameters
    ----------
    argv : sequence of str
        Arguments without the program.
    count_gpus : callable
        Called for lines that name GPUs.

    Raises
    ------
    UsageError
        If the line is an old one and asks for what is not implemented.

    References: workspace.md 2, 5.3; old-windows.md 1, 2, 4.1.
    """
    words = list(argv)
    if not words:
        return Translation(words)
    if words[0] == "util":
        if _asks_for_help(words[1:]):
            return _noted(["faceset", "--help"])
        return _util(words[1:])
    for length in (2, 1):
        verb = VERBS.get(tuple(words[:length]))
        if verb is not None and (words[0] not in SHARED_VERBS or _is_old(verb, words)):
            if verb.refuse:
                raise UsageError(verb.refuse)
            rest = words[length:]
            if _asks_for_help(rest):
                return _noted([*verb.new, "--help"])
            line = _Line(" ".join(words[:length]), verb, count_gpus)
            return _noted([*verb.new, *line.arguments(rest)], *line.notes)
    group = sorted(" ".join(key) for key in VERBS if key[0] == words[0] and len(key) == 2)
    if group and words[0] not in SHARED_VERBS:
        if words[1:] and words[1] not in ("-h", "--help"):
            raise UsageError(
                f'"{" ".join(words[:2])}" is not a command; there are {", ".join(group)}'
            )
        raise UsageError(f"{words[0]} needs a command: {', '.join(group)}")
    return Translation(words)


def _asks_for_help(words: Sequence[str]) -> bool:
    return any(word in ("-h", "--help") for word in words)


def _noted(new: list[str], *notes: str) -> Translation:
    first = f"note: the old spelling was understood as: dfl-tf {shlex.join(new)}"
    return Translation(new, (first, *notes))


def _is_old(verb: Verb, words: Sequence[str]) -> bool:
    """Whether a line has something that only the old program spelled so."""
    if verb.refuse or words[:2] == ["xseg", "remove_labels"]:
        return True
    names = [word.partition("=")[0] for word in words]
    return any(name in verb.flags and verb.flags[name].new != name for name in names)


@dataclass
class _Line:
    """One old command line on its way to the new spelling."""

    name: str
    verb: Verb
    count_gpus: Callable[[], int] = lambda: 1
    positions: dict[int, str] = field(default_factory=dict)
    flags: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    words: set[str] = field(default_factory=set)

    def arguments(self, words: Sequence[str]) -> list[str]:
        """Return the new arguments; `notes` holds what is to be said about them."""
        verb, rest = self.verb, list(words)
        self.words = {word.partition("=")[0] for word in words}
        while rest:
            word = rest.pop(0)
            name, equals, attached = word.partition("=")
            rule = verb.flags.get(name)
            if rule is None:
                if self.name.split()[0] not in SHARED_VERBS:
                    known = ", ".join(sorted(verb.flags))
                    raise UsageError(f'"{self.name}" has no {name}; it takes {known}')
                self.flags.append(word)
                self.seen.add(name)
                continue
            if rule.refuse:
                raise UsageError(rule.refuse)
            self.seen.add(name)
            values = [attached] if equals and rule.takes else []
            values += [rest.pop(0) for _ in range(min(rule.takes - len(values), len(rest)))]
            if len(values) < rule.takes:
                raise UsageError(f'"{self.name} {name}" needs a value')
            self._take(name, rule, values)
        missing = [name for name in verb.required if name not in self.seen]
        if missing:
            raise UsageError(f'"{self.name}" needs {", ".join(missing)}')
        self.flags += [
            *verb.always,
            *(new for old, new in verb.unless.items() if old not in self.seen),
        ]
        self._add_to_whole()
        if verb.says:
            self.notes.append(verb.says)
        return [*(self.positions[index] for index in sorted(self.positions)), *self.flags]

    def _take(self, name: str, rule: Flag, values: list[str]) -> None:
        if rule.inside and os.path.isdir(values[0]):
            values = [os.path.join(values[0], rule.inside)]
        value = values[0] if values else ""
        if value in rule.refused:
            if rule.lifted not in self.words:
                raise UsageError(rule.refused[value])
            return
        if rule.gpu and self.count_gpus() == 0:
            self.notes.append(f"warning: {name} {value}: no GPU was found; the CPU is used")
            self.flags.append("--cpu")
        elif rule.ignored:
            given = shlex.join([name, *values])
            self.notes.append(f"warning: {given} is ignored: {rule.ignored}")
        elif rule.position is not None:
            self.positions[rule.position] = value
        elif rule.new:
            self.flags += [rule.new, *(rule.values.get(value, value) for value in values)]
        if rule.says:
            self.notes.append(rule.says)

    def _add_to_whole(self) -> None:
        """Give an old line its old meaning: it replaces its outputs, or asks (decision 44)."""
        mark, added = self.verb.whole
        if mark not in self.seen or {"--resume", "--overwrite", "--redo-missing-debug", added} & {
            *self.seen,
            *self.flags,
        }:
            return
        self.flags.append(added)
        if added == "--resume-or-trash":
            self.notes.append(FACES_STAY)
        if added == "--overwrite":
            resume = "; --resume continues it" if self.name == "merge" else ""
            self.notes.append(f"note: an earlier output of this line is replaced{resume}")


def _util(words: Sequence[str]) -> Translation:
    rest = [word for word in words if word not in UTIL]
    line = _Line("util", UTIL_FOLDER)
    folder = line.arguments(rest)
    actions = [action for name, action in UTIL.items() if name in words]
    if not actions:
        raise UsageError(f"util needs one of {', '.join(UTIL)}")
    first, *more = ([*action, *folder] for action in actions)
    notes = [ORIGINALS_STAY] if "--pack-faceset" in words else []
    notes += [f"note: and then: dfl-tf {shlex.join(one)}" for one in more]
    return replace(_noted(first, *line.notes, *notes), more=tuple(more))
