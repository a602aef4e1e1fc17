"""The old command lines as a table: each command of DeepFaceLab's main.py and each of its flags.

Data only; `legacy_argv` applies it. Both can be deleted as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

NO_WINDOW = (
    "extract {name} is not implemented: it needs a window. Leave it out to have the faces found, "
    "then place others by hand on the page of dfl-tf web WORKSPACE; or give boxes or landmarks "
    "that another tool made: dfl-tf extract FRAMES FACES --faces FILE.json"
)
NOT_BY_HAND = (
    "it needs a window. The frames without a face are listed at the end; on the page of dfl-tf web "
    "WORKSPACE faces are placed in them by hand, and dfl-tf extract --faces FILE.json takes boxes "
    "or landmarks for them"
)
INSTEAD_OF_PROGRAMS = (
    "nothing of it is run. --save-every MINUTES, --backup-every HOURS, --stop-after SECONDS or "
    "--target-iter N do what such programs mostly did; "
    '--after-save "COMMAND ARG ..." runs a program after each save'
)
NO_DEVICE = "CUDA_VISIBLE_DEVICES in the environment chooses the GPU, or none"
NO_SERVER = (
    "a training starts no server. dfl-tf web WORKSPACE shows previews and losses in a browser, on "
    "this machine only and with a token; they are files as well (--preview-every, --tensorboard)"
)
NO_PAK_NAME = (
    "{name} is not implemented: a faceset is faceset.pak in a folder of its own; "
    "give the folder with {new}"
)
NO_DEBUG = (
    "train --debug is not implemented; --no-save with --preview-every 1 shows the samples of a run "
    "without touching the model"
)


@dataclass(frozen=True)
class Flag:
    """What becomes of an old flag: `new` with its value, a position, or a refusal.

    `ignored` is a warning for a flag that is left out; `gpu` marks what `--cpu` replaces, with a
    warning, where there is no GPU. `refused` are values that cannot be had, unless the line has the
    flag `lifted` as well, which leaves the value out. `says` is a note. Of a value that is a folder
    the file `inside` is meant.
    """

    new: str = ""
    takes: int = 1
    position: int | None = None
    refuse: str = ""
    ignored: str = ""
    gpu: bool = False
    values: Mapping[str, str] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    lifted: str = ""
    says: str = ""
    inside: str = ""


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


def _same(*names: str, takes: int = 1) -> dict[str, Flag]:
    return {name: Flag(name, takes=takes) for name in names}


ORIGINALS_STAY = "note: the originals stay; DeepFaceLab offered to delete them"
FACES_STAY = (
    "note: a run with the same options continues; faces of another one go to the trash folder "
    "beside them"
)
TRASH_GROWS = (
    "note: what the method rejects is added to the trash folder beside, which DeepFaceLab emptied "
    "first; dfl-tf faceset sort FOLDER --undo takes the sort back"
)
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
            "--config-training-file": Flag("--config", inside="def_conf_file.yaml"),
            "--reduce-clutter": DROPPED,
            "--start-tensorboard": Flag(takes=0, ignored=NO_SERVER),
            "--flask-preview": Flag(takes=0, ignored=NO_SERVER),
            "--auto-gen-config": Flag(
                takes=0, ignored="no file of options is written; train --print-options prints them"
            ),
            "--gen-snapshot": Flag(
                takes=0,
                refuse="--gen-snapshot is not implemented: no losses of single faces are written. "
                "Faces whose loss stands out are named while it trains (see --quarantine); "
                "dfl-tf evaluate measures a model and draws its worst faces (--sheet)",
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
            "--detector": Flag(
                "--detector",
                values={"s3fd": "auto"},
                refused={"manual": NO_WINDOW.format(name="--detector manual")},
                lifted="--manual-output-debug-fix",
                says="note: the detector s3fd is taken where an installation of DeepFaceLab is "
                "named (--dfl-home or DFL_HOME), else the open one",
            ),
            "--face-type": Flag(
                "--face-type", values={"half_face": "h", "full_face": "f", "whole_face": "wf"}
            ),
            "--max-faces-from-image": Flag("--max-faces"),
            "--output-debug": Flag("--debug-images", takes=0),
            "--no-output-debug": Flag("--no-debug-images", takes=0),
            "--manual-fix": Flag(takes=0, ignored=NOT_BY_HAND),
            "--manual-output-debug-fix": Flag(
                "--redo-missing-debug",
                takes=0,
                says="note: these frames are looked at again more closely, without a window; "
                "--faces FILE.json takes boxes or landmarks for them",
            ),
            "--manual-window-size": Flag(ignored="there is no window"),
            "--force-gpu-idxs": Flag(gpu=True, ignored="the first GPU is used"),
            "--cpu-only": Flag("--cpu", takes=0),
            # MVE
            "--extract-from-video": DROPPED,
            "--input-video": Flag(
                position=0,
                says="note: frames count from 1, as in the frames that `video extract` writes",
            ),
            "--fps": Flag(ignored="every frame is taken; --every N takes one of N"),
            "--chunk-size": Flag(),
            **_same("--image-size", "--jpeg-quality"),
        },
        required=("--output-dir",),
        whole=("--output-dir", "--resume-or-trash"),
    ),
    ("sort",): Verb(
        ("faceset", "sort"),
        {"--input-dir": FIRST, **_same("--by")},
        required=("--input-dir",),
        unless={"--by": "--by=hist"},
        says=TRASH_GROWS,
    ),
    ("facesettool", "resize"): Verb(
        ("faceset", "resize"),
        {"--input-dir": FIRST},
        required=("--input-dir",),
        says="note: DeepFaceLab asked for the size and the face type: 512 and the same are taken "
        "(--size and --face-type of dfl-tf faceset resize). The originals go to the folder "
        "_originals beside",
    ),
    ("facesettool", "enhance"): Verb(
        ("faceset", "enhance"),
        {
            "--input-dir": FIRST,
            "--cpu-only": Flag(takes=0, ignored=NO_DEVICE),
            "--force-gpu-idxs": Flag(ignored=NO_DEVICE),
        },
        required=("--input-dir",),
        says="note: the originals go to the folder _originals beside",
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
        refuse="xseg editor needs a window. Draw the polygons with the same keys on the page of "
        "dfl-tf web WORKSPACE (docs/web.md); those of DeepFaceLab's editor are read as well"
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
        ("video", "denoise"),
        {"--input-dir": FIRST, **_same("--factor")},
        required=("--input-dir",),
        says="note: DeepFaceLab asked for the factor (7 is taken) and replaced the frames; the "
        "originals go to the folder _originals beside",
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
    ("ampconverter",): Verb(
        refuse="ampconverter is not implemented: it makes models that only MVE opens. AMP models "
        "of DeepFaceLab are opened as they are"
    ),
    ("latent",): Verb(refuse="latent is an internal command of MVE and is not implemented"),
    ("dev_test",): Verb(
        refuse="dev_test is an internal command of DeepFaceLab and is not implemented"
    ),
}
"""Old commands but `util`, whose flags are the commands."""

UTIL: dict[str, tuple[str, ...]] = {
    "--add-landmarks-debug-images": ("faceset", "landmarks-images"),
    "--recover-original-aligned-filename": ("faceset", "recover-names"),
    "--save-faceset-metadata": ("faceset", "save-metadata"),
    "--restore-faceset-metadata": ("faceset", "restore-metadata"),
    "--pack-faceset": ("faceset", "pack"),
    "--unpack-faceset": ("faceset", "unpack"),
    "--export-faceset-mask": ("faceset", "export-masks"),
}
"""Flags of the old `util` in the order in which it carried them out."""

UTIL_FOLDER = Verb(
    flags={
        "--input-dir": FIRST,
        "--archive-type": Flag(
            refused={
                "zip": "util --archive-type zip is not implemented: a faceset is packed into "
                "faceset.pak (leave the flag out), which DeepFaceLab and MVE read too"
            },
        ),
    },
    required=("--input-dir",),
)

SHARED_VERBS = ("train", "merge", "xseg", "extract")
"""Words that are commands here too: there a line is old if it has an old flag."""
