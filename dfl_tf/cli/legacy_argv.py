"""Command lines of DeepFaceLab's main.py → ours: one pure table (workspace.md 2).

Whatever is not there raises an error that names it. Nothing else knows the old spelling, so this
file can be deleted as one.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from dfl_tf.errors import UsageError

NO_WINDOW = (
    "extract {name} is not there: it needs a window. Give boxes or landmarks with --faces FILE.json"
    ", or delete the debug images of bad frames and run --redo-missing-debug"
)
INSTEAD_OF_PROGRAMS = (
    "--save-every MINUTES, --backup-every HOURS, --stop-after SECONDS or --target-iter N do what "
    'such programs mostly did; --after-save "COMMAND ARG ..." runs a program after each save'
)
NO_SERVER = (
    "starts no server: previews and losses are files (--preview-every, --log-json, --tensorboard)"
)
NO_PAK_NAME = (
    "{name} is not there: a faceset is faceset.pak in a folder of its own; "
    "give the folder with {new}"
)
NO_DEBUG = (
    "train --debug is not there; --no-save with --preview-every 1 shows the samples of a run "
    "without touching the model"
)


@dataclass(frozen=True)
class Flag:
    """What becomes of an old flag: `new` with its value, a position, or a refusal.

    `ignored` is a warning for a flag that is left out; `gpu` marks what `--cpu` replaces, with a
    warning, where there is no GPU.
    """

    new: str = ""
    takes: int = 1
    position: int | None = None
    refuse: str = ""
    ignored: str = ""
    gpu: bool = False
    values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Verb:
    """An old command: the new words for it and its flags.

    `always` is added to every line, `unless` where the old flag is absent (other defaults here).
    `whole` is the old flag that no line of the old program lacks, and what is added to such a line
    (and not to a line of the new spelling with one old flag). `says` is one more note.
    """

    new: tuple[str, ...] = ()
    flags: Mapping[str, Flag] = field(default_factory=dict)
    refuse: str = ""
    required: tuple[str, ...] = ()
    always: tuple[str, ...] = ()
    unless: Mapping[str, str] = field(default_factory=dict)
    whole: tuple[str, str] = ("", "")
    says: str = ""


@dataclass(frozen=True)
class Translation:
    """A new command line, and what the user is told about it, a line each."""

    argv: list[str]
    notes: tuple[str, ...] = ()


def _same(*names: str, takes: int = 1) -> dict[str, Flag]:
    return {name: Flag(name, takes=takes) for name in names}


ORIGINALS_STAY = "note: the originals stay; DeepFaceLab offered to delete them"
FIRST = Flag(position=0)
SECOND = Flag(position=1)
DROPPED = Flag(takes=0)
DEVICES = {
    "--cpu-only": Flag("--cpu", takes=0),
    "--force-gpu-idxs": Flag("--devices", gpu=True),
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
            "--execute-program": Flag(takes=2, ignored=INSTEAD_OF_PROGRAMS),
            "--debug": Flag(takes=0, refuse=NO_DEBUG),
            # MVE
            "--saving-time": Flag("--save-every"),
            "--tensorboard-logdir": Flag("--tensorboard"),
            "--config-training-file": Flag("--config"),
            "--reduce-clutter": DROPPED,
            "--start-tensorboard": Flag(takes=0, ignored=NO_SERVER),
            "--flask-preview": Flag(takes=0, ignored=NO_SERVER),
            "--auto-gen-config": Flag(
                takes=0, ignored="no file of options is written; train --print-options prints them"
            ),
            "--gen-snapshot": Flag(
                takes=0, refuse="--gen-snapshot is not there; dfl-tf model show --help says what is"
            ),
            "--src-pak-name": Flag(refuse=NO_PAK_NAME.format(name="--src-pak-name", new="--src")),
            "--dst-pak-name": Flag(refuse=NO_PAK_NAME.format(name="--dst-pak-name", new="--dst")),
            **_same("--model-dir", "--model", "--pretrained-model-dir"),
            **_same("--no-preview", takes=0),
            **NAME,
            **DEVICES,
        },
        whole=("--training-data-src-dir", "--ask-new"),
    ),
    ("merge",): Verb(
        ("merge",),
        {
            "--input-dir": Flag("--frames-dir"),
            "--reduce-clutter": DROPPED,
            "--pak-name": Flag(refuse=NO_PAK_NAME.format(name="--pak-name", new="--aligned-dir")),
            **_same("--output-dir", "--output-mask-dir", "--aligned-dir", "--model-dir", "--model"),
            **NAME,
            **DEVICES,
        },
        whole=("--input-dir", "--overwrite"),
    ),
    ("exportdfm",): Verb(
        ("export", "dfm"),
        {"--model-dir": FIRST, "--model": Flag("--class")},
        required=("--model-dir", "--model"),
    ),
    ("extract",): Verb(
        ("extract",),
        {
            "--input-dir": FIRST,
            "--output-dir": SECOND,
            "--face-type": Flag(
                "--face-type", values={"half_face": "h", "full_face": "f", "whole_face": "wf"}
            ),
            "--max-faces-from-image": Flag("--max-faces"),
            "--output-debug": Flag("--debug-images", takes=0),
            "--no-output-debug": Flag("--no-debug-images", takes=0),
            "--manual-fix": Flag(takes=0, refuse=NO_WINDOW.format(name="--manual-fix")),
            "--manual-output-debug-fix": Flag("--redo-missing-debug", takes=0),
            "--manual-window-size": Flag(),
            "--cpu-only": Flag("--cpu", takes=0),
            "--force-gpu-idxs": Flag(ignored="extraction uses the first GPU"),
            **_same("--image-size", "--jpeg-quality", "--detector"),
        },
        required=("--input-dir", "--output-dir"),
        whole=("--input-dir", "--resume"),
    ),
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
    ("xseg", "fetch"): Verb(("xseg", "fetch"), {"--input-dir": FIRST}, says=ORIGINALS_STAY),
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
        whole=("--output-dir", "--overwrite"),
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

SHARED_VERBS = ("train", "merge", "xseg", "extract")
"""Words that are commands here too: there a line is old if it has an old flag."""


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
        If the line is an old one and asks for what is not there.

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
            raise UsageError(f'"{" ".join(words[:2])}" is no command; there are {", ".join(group)}')
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

    def arguments(self, words: Sequence[str]) -> list[str]:
        """Return the new arguments; `notes` holds what is to be said about them."""
        verb, rest = self.verb, list(words)
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
            self._take(name, rule, [rule.values.get(value, value) for value in values])
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
        if rule.ignored:
            given = shlex.join([name, *values])
            self.notes.append(f"warning: {given} is left out, nothing of it is run: {rule.ignored}")
        elif rule.position is not None:
            self.positions[rule.position] = values[0]
        elif rule.gpu and self.count_gpus() == 0:
            self.notes.append(f"warning: {name} {values[0]}: no GPU was found; the CPU is used")
            self.flags.append("--cpu")
        elif rule.new:
            self.flags += [rule.new, *values]

    def _add_to_whole(self) -> None:
        """Give an old line its old meaning: it replaces its outputs, or asks (decision 44)."""
        mark, added = self.verb.whole
        if mark not in self.seen or {"--resume", added} & self.seen:
            return
        self.flags.append(added)
        if added == "--overwrite":
            resume = "; --resume goes on with it" if self.name == "merge" else ""
            self.notes.append(f"note: an earlier output of this line is replaced{resume}")


def _util(words: Sequence[str]) -> Translation:
    refused = [name for name in UTIL_REFUSED if name in words]
    if refused:
        raise UsageError(f"util {', '.join(refused)} is not there; use DeepFaceLab for it")
    actions = [name for name in UTIL if name in words]
    rest = [word for word in words if word not in UTIL]
    folder = _Line("util", Verb(flags={"--input-dir": FIRST}, required=("--input-dir",))).arguments(
        rest
    )
    if not actions:
        raise UsageError(f"util needs one of {', '.join(UTIL)}")
    if len(actions) > 1:
        lines = "; ".join(f"dfl-tf {shlex.join([*UTIL[name], *folder])}" for name in actions)
        raise UsageError(f"util does one thing at a time here; run {lines}")
    notes = [ORIGINALS_STAY] if actions == ["--pack-faceset"] else []
    return _noted([*UTIL[actions[0]], *folder], *notes)
