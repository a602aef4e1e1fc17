"""Command lines of DeepFaceLab's main.py → ours: one pure table (workspace.md 2).

Whatever is not there raises an error that names it. Nothing else knows the old spelling, so this
file can be deleted as one.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from dfl_tf.errors import UsageError

NO_EXTRACT = (
    "extract is not there: face detection needs networks that are not part of this project. "
    "Extract with DeepFaceLab; its aligned folders are used as they are"
)
NO_PROGRAMS = (
    "--execute-program is refused, since it runs any Python that a command line holds. Use "
    "--stop-after SECONDS, --save-every MINUTES, --backup-every HOURS or --target-iter N"
)
NO_DEBUG = (
    "train --debug is not there; --no-save with --preview-every 1 shows the samples of a run "
    "without touching the model"
)


@dataclass(frozen=True)
class Flag:
    """What becomes of an old flag: `new` with its value, a position, or a refusal."""

    new: str = ""
    takes: int = 1
    position: int | None = None
    refuse: str = ""
    values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Verb:
    """An old command: the new words for it and its flags.

    `always` is added to every line, `unless` where the old flag is absent (other defaults here).
    """

    new: tuple[str, ...] = ()
    flags: Mapping[str, Flag] = field(default_factory=dict)
    refuse: str = ""
    required: tuple[str, ...] = ()
    always: tuple[str, ...] = ()
    unless: Mapping[str, str] = field(default_factory=dict)


def _same(*names: str, takes: int = 1) -> dict[str, Flag]:
    return {name: Flag(name, takes=takes) for name in names}


FIRST = Flag(position=0)
SECOND = Flag(position=1)
DROPPED = Flag(takes=0)
DEVICES = {
    "--cpu-only": Flag("--cpu", takes=0),
    "--force-gpu-idxs": Flag("--devices"),
}
NAME = {"--force-model-name": Flag("--name")}

VERBS: dict[tuple[str, ...], Verb] = {
    ("train",): Verb(
        ("train",),
        {
            "--training-data-src-dir": Flag("--src"),
            "--training-data-dst-dir": Flag("--dst"),
            "--pretraining-data-dir": Flag("--pretrain-dir"),
            "--silent-start": DROPPED,
            "--execute-program": Flag(takes=2, refuse=NO_PROGRAMS),
            "--debug": Flag(takes=0, refuse=NO_DEBUG),
            **_same("--model-dir", "--model", "--pretrained-model-dir"),
            **_same("--no-preview", takes=0),
            **NAME,
            **DEVICES,
        },
    ),
    ("merge",): Verb(
        ("merge",),
        {
            "--input-dir": Flag("--frames-dir"),
            **_same("--output-dir", "--output-mask-dir", "--aligned-dir", "--model-dir", "--model"),
            **NAME,
            **DEVICES,
        },
    ),
    ("exportdfm",): Verb(
        ("export", "dfm"),
        {"--model-dir": FIRST, "--model": Flag("--class")},
        required=("--model-dir", "--model"),
    ),
    ("extract",): Verb(refuse=NO_EXTRACT),
    ("sort",): Verb(
        refuse="sort is not there: sort the faces with DeepFaceLab; the order of files does not "
        "matter to training"
    ),
    ("facesettool", "resize"): Verb(
        refuse="facesettool resize is not there: faces are resized to the model's resolution while "
        "they are read, so nothing needs to be resized before"
    ),
    ("facesettool", "enhance"): Verb(
        refuse="facesettool enhance is not there: it needs FaceEnhancer.npy, which is not part of "
        "this project. Use DeepFaceLab for it; the folder that it writes is used as it is"
    ),
    ("xseg", "apply"): Verb(
        ("xseg", "apply"),
        {"--input-dir": FIRST, **_same("--model-dir")},
        required=("--input-dir", "--model-dir"),
    ),
    # what the old program removed after one press of Enter; apply brings masks back
    ("xseg", "remove"): Verb(("xseg", "remove"), {"--input-dir": FIRST}, always=("--yes",)),
    ("xseg", "fetch"): Verb(("xseg", "fetch"), {"--input-dir": FIRST}),
    ("xseg", "remove_labels"): Verb(
        ("xseg", "remove-labels"), {"--input-dir": FIRST}, required=("--input-dir",)
    ),
    ("xseg", "editor"): Verb(
        refuse="xseg editor is not there: it needs a window. Draw the polygons with DeepFaceLab's "
        "editor; they are read from the faces"
    ),
    ("videoed", "extract-video"): Verb(
        ("video", "extract"),
        {
            "--input-file": FIRST,
            "--output-dir": SECOND,
            "--output-ext": Flag("--format", values={"jpeg": "jpg"}),
            "--fps": Flag("--fps", values={"0": ""}),
        },
        required=("--input-file", "--output-dir"),
        always=("--overwrite",),
    ),
    ("videoed", "cut-video"): Verb(
        ("video", "cut"),
        {
            "--input-file": FIRST,
            **_same("--from-time", "--to-time", "--audio-track-id", "--bitrate"),
        },
        required=("--input-file",),
    ),
    ("videoed", "denoise-image-sequence"): Verb(
        refuse="videoed denoise-image-sequence is not there; filter the frames with ffmpeg's "
        "hqdn3d, or use merge --image-denoise-power"
    ),
    ("videoed", "video-from-sequence"): Verb(
        ("video", "merge"),
        {
            "--input-dir": FIRST,
            "--output-file": Flag("--output"),
            "--reference-file": Flag("--reference"),
            "--include-audio": Flag("--audio", takes=0),
            "--ext": Flag(),
            **_same("--fps", "--bitrate"),
            **_same("--lossless", takes=0),
        },
        required=("--input-dir", "--output-file"),
        unless={"--include-audio": "--no-audio"},
    ),
    ("dev_test",): Verb(refuse="dev_test is an internal command of DeepFaceLab and is not there"),
}
"""Old commands but `util`, whose flags are the commands."""

UTIL: dict[str, tuple[str, ...]] = {
    "--save-faceset-metadata": ("faceset", "save-metadata"),
    "--restore-faceset-metadata": ("faceset", "restore-metadata"),
    "--pack-faceset": ("faceset", "pack"),
    "--unpack-faceset": ("faceset", "unpack"),
}
"""Flags of the old `util` in the order in which it carried them out."""

UTIL_REFUSED = (
    "--add-landmarks-debug-images",
    "--recover-original-aligned-filename",
    "--export-faceset-mask",
)
"""Flags of the old `util` for which there is no command."""

SHARED_VERBS = ("train", "merge", "xseg")
"""Words that are commands here too: there a line is old if it has an old flag."""


def translate(argv: Sequence[str]) -> tuple[list[str], str | None]:
    """Turn an old command line into a new one; a new one is returned as it is.

    Parameters
    ----------
    argv : sequence of str
        Arguments without the program.

    Returns
    -------
    argv : list of str
    note : str or None
        What to tell the user, once, if something was translated.

    Raises
    ------
    UsageError
        If the line is an old one and asks for what is not there.

    References: workspace.md 2, 5.3.
    """
    words = list(argv)
    if not words:
        return words, None
    if words[0] == "util":
        if _asks_for_help(words[1:]):
            return _noted(["faceset", "--help"])
        return _noted(_util(words[1:]))
    for length in (2, 1):
        verb = VERBS.get(tuple(words[:length]))
        if verb is not None and (words[0] not in SHARED_VERBS or _is_old(verb, words)):
            if verb.refuse:
                raise UsageError(verb.refuse)
            rest = words[length:]
            if _asks_for_help(rest):
                return _noted([*verb.new, "--help"])
            new = [*verb.new, *_arguments(" ".join(words[:length]), verb, rest)]
            return _noted(new)
    group = sorted(" ".join(key) for key in VERBS if key[0] == words[0] and len(key) == 2)
    if group and words[0] not in SHARED_VERBS:
        if words[1:] and words[1] not in ("-h", "--help"):
            raise UsageError(f'"{" ".join(words[:2])}" is no command; there are {", ".join(group)}')
        raise UsageError(f"{words[0]} needs a command: {', '.join(group)}")
    return words, None


def _asks_for_help(words: Sequence[str]) -> bool:
    return any(word in ("-h", "--help") for word in words)


def _noted(new: list[str]) -> tuple[list[str], str]:
    return new, f"note: the old spelling was understood as: dfl-tf {shlex.join(new)}"


def _is_old(verb: Verb, words: Sequence[str]) -> bool:
    """Whether a line has something that only the old program spelled so."""
    if verb.refuse or words[:2] == ["xseg", "remove_labels"]:
        return True
    names = [word.partition("=")[0] for word in words]
    return any(name in verb.flags and verb.flags[name].new != name for name in names)


def _arguments(verb_text: str, verb: Verb, words: Sequence[str]) -> list[str]:
    positions: dict[int, str] = {}
    flags: list[str] = []
    seen = set()
    rest = list(words)
    while rest:
        word = rest.pop(0)
        name, equals, attached = word.partition("=")
        rule = verb.flags.get(name)
        if rule is None:
            if verb_text.split()[0] not in SHARED_VERBS:
                known = ", ".join(sorted(verb.flags))
                raise UsageError(f'"{verb_text}" has no {name}; it takes {known}')
            flags.append(word)
            continue
        if rule.refuse:
            raise UsageError(rule.refuse)
        seen.add(name)
        values = [attached] if equals else [rest.pop(0) for _ in range(min(rule.takes, len(rest)))]
        if len(values) < rule.takes:
            raise UsageError(f'"{verb_text} {name}" needs a value')
        values = [rule.values.get(value, value) for value in values]
        if rule.position is not None:
            positions[rule.position] = values[0]
        elif rule.new:
            flags += [rule.new, *values]
    missing = [name for name in verb.required if name not in seen]
    if missing:
        raise UsageError(f'"{verb_text}" needs {", ".join(missing)}')
    flags += [*verb.always, *(new for old, new in verb.unless.items() if old not in seen)]
    return [*(positions[index] for index in sorted(positions)), *flags]


def _util(words: Sequence[str]) -> list[str]:
    refused = [name for name in UTIL_REFUSED if name in words]
    if refused:
        raise UsageError(f"util {', '.join(refused)} is not there; use DeepFaceLab for it")
    actions = [name for name in UTIL if name in words]
    rest = [word for word in words if word not in UTIL]
    verb = Verb(flags={"--input-dir": FIRST}, required=("--input-dir",))
    folder = _arguments("util", verb, rest)
    if not actions:
        raise UsageError(f"util needs one of {', '.join(UTIL)}")
    if len(actions) > 1:
        lines = "; ".join(f"dfl-tf {shlex.join([*UTIL[name], *folder])}" for name in actions)
        raise UsageError(f"util does one thing at a time here; run {lines}")
    return [*UTIL[actions[0]], *folder]
