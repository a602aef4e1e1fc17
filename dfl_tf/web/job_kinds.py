"""The commands that can be started from the page: a fixed list, and what a form has of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from dfl_tf.formats.models.files import prefix_of
from dfl_tf.formats.sessions.workspace import Workspace
from dfl_tf.merge.tuner.tuning_file import CONFIG, FRAME_CONFIG
from dfl_tf.options import KINDS as MODEL_KINDS
from dfl_tf.options import RunOptions

FRAMES = "[0-9]{1,9}(:[0-9]{0,9})?|:[0-9]{1,9}"
RATE = "[0-9]{1,6}([./][0-9]{1,6})?"
NUMBERS = "[0-9]{1,3}(,[0-9]{1,3}){0,15}"
NAMES = "[A-Za-z0-9_,-]{1,200}"
_RUN_TEXTS = {"freeze": NAMES, "archi": "[A-Za-z0-9-]{1,20}", "devices": NUMBERS}


@dataclass(frozen=True)
class Subject:
    """What a job is about.

    Attributes
    ----------
    side : {"", "src", "dst"}
    name, model_class : str
        Of a model; empty where the job is about none.
    """

    side: str = ""
    name: str = ""
    model_class: str = ""

    @property
    def key(self) -> str:
        """Tells it from other subjects, as a part of a file name."""
        return self.side or (prefix_of(self.name, self.model_class) if self.name else "")


@dataclass(frozen=True)
class JobKind:
    """A command, and what of it the page offers.

    Attributes
    ----------
    name : str
        In addresses and file names.
    title, help : str
    command : str
    subject : {"side", "model", "new model", "workspace"}
        "new model": a model that is there, or one that is made.
    own : tuple of str
        Flags of the command itself, by key, in the order of the form.
    texts : mapping of str to str
        Regular expressions of the free texts that are offered, by key; others are not.
    plan : tuple of str
        Words that make the command say what it would do; empty without such a thing.
    resumed : mapping of str to bool, or None
        What is set, or left out (False), when the job is resumed; None: it can only start again.
    changes : tuple of str
        What it writes, of its subject: two jobs that write the same do not run together.
    asks : str
        What is asked before it starts, since it cannot be taken back.
    model_class : str
        The only class that it is about.
    """

    name: str
    title: str
    help: str
    command: str
    subject: Literal["side", "model", "new model", "workspace"]
    own: tuple[str, ...] = ()
    texts: Mapping[str, str] = field(default_factory=dict)
    plan: tuple[str, ...] = ()
    resumed: Mapping[str, bool] | None = None
    changes: tuple[str, ...] = ()
    asks: str = ""
    model_class: str = ""

    def fields_of(self, model_class: str) -> tuple[str, ...]:
        """Names of the classes of options of which the form has the options."""
        if self.subject == "new model":
            return model_class, RunOptions.NAME
        return (self.command,)


KINDS = (
    JobKind(
        "video-extract",
        "Frames out of a video",
        "Write the frames of data_src.* or data_dst.* as images.",
        "video extract",
        "side",
        own=("kind", "bits", "tone_map", "every", "rate", "quality", "overwrite", "workers"),
        texts={"rate": RATE},
        changes=("frames",),
    ),
    JobKind(
        "extract",
        "Extract faces",
        "Find the faces in all frames, and align them. What is done stays done.",
        "extract",
        "side",
        own=("wanted", "every", "tone_map", "resume", "overwrite", "resume_or_trash",
             "redo_missing_debug", "workers", "cpu"),
        texts={"wanted": FRAMES, "rotations": NUMBERS},
        resumed={"overwrite": False, "resume_or_trash": False},
        changes=("faces",),
    ),
    JobKind(
        "sort",
        "Sort faces",
        "Rename the faces in an order. dfl-tf faceset sort --undo takes it back.",
        "faceset sort",
        "side",
        own=("method", "target", "dissimilar"),
        plan=("--dry-run",),
        resumed={},
        changes=("faces",),
    ),
    JobKind(
        "group",
        "Group faces by person",
        "Find out who is who. With keep, the faces of all other groups move to the trash.",
        "faceset group",
        "side",
        own=("strictness", "keep"),
        plan=("--dry-run",),
        resumed={},
        changes=("faces",),
    ),
    JobKind(
        "report",
        "Report on the faces",
        "Measure the faces of src and dst, and write report.html to look at before training.",
        "faceset report",
        "workspace",
        own=("no_identity",),
        resumed={},
        changes=("report",),
    ),
    JobKind(
        "xseg-train",
        "Train XSeg",
        "Train the masks on the faces that are labeled.",
        "train",
        "new model",
        own=("restart",),
        texts=_RUN_TEXTS,
        plan=("--plan",),
        resumed={"restart": False},
        changes=("model",),
        model_class="XSeg",
    ),
    JobKind(
        "xseg-apply",
        "Apply XSeg masks",
        "Store the mask that the trained XSeg makes of each face.",
        "xseg apply",
        "side",
        own=("generic", "face_type", "cpu"),
        resumed={},
        changes=("faces",),
    ),
    JobKind(
        "xseg-fetch",
        "Fetch labeled faces",
        "Copy the faces with polygons to a folder beside, named as theirs with _xseg.",
        "xseg fetch",
        "side",
        resumed={},
        changes=("fetched",),
    ),
    JobKind(
        "xseg-remove",
        "Remove XSeg masks",
        "Remove the applied masks; polygons stay.",
        "xseg remove",
        "side",
        resumed={},
        changes=("faces",),
        asks="The applied masks are removed from all faces of this side.",
    ),
    JobKind(
        "train",
        "Train",
        "Train a model, or a new one. Watch shows how it goes.",
        "train",
        "new model",
        texts=_RUN_TEXTS,
        plan=("--plan",),
        resumed={},
        changes=("model",),
    ),
    JobKind(
        "merge",
        "Merge",
        "Put the predicted faces into all frames of dst.",
        "merge",
        "model",
        own=("frames", "resume", "overwrite", "keep_going", "kind", "level", "bits", "batch",
             "workers", "seed", "ema", "cpu", "threads", "provenance"),
        texts={"frames": FRAMES},
        resumed={"overwrite": False, "resume": True},
        changes=("merged",),
    ),
    JobKind(
        "video-merge",
        "Video of the merged frames",
        "Make result.mp4 of data_dst/merged, with the sound of the dst video.",
        "video merge",
        "workspace",
        own=("rate", "audio", "lossless", "bitrate", "mask", "provenance"),
        texts={"rate": RATE},
        resumed={},
        changes=("video",),
    ),
)  # fmt: skip
"""In the order in which a project needs them."""

BY_NAME: Mapping[str, JobKind] = {kind.name: kind for kind in KINDS}


def words_of(kind: JobKind, place: Workspace, subject: Subject) -> list[str]:
    """The words of a command line that its subject and the folders give.

    Parameters
    ----------
    kind : JobKind
    place : Workspace
    subject : Subject
        One that fits `kind.subject`.
    """
    root, words = place.root, kind.command.split()
    faces = {"src": place.src, "dst": place.dst}
    if kind.name == "extract":
        return [*words, str(root), "--side", subject.side]
    if kind.name == "video-extract":
        return [*words, f"{root / f'data_{subject.side}'}.*"]
    if kind.name == "report":
        return [*words, str(place.src), str(place.dst)]
    if kind.name == "video-merge":
        return [*words, str(root)]
    if kind.subject == "side":
        more = ["--yes"] if kind.name == "xseg-remove" else []
        return [*words, str(faces[subject.side]), *more]
    words += [str(root), "--class", subject.model_class]
    if MODEL_KINDS[subject.model_class].named:
        words += ["--name", subject.name]
    if place.model != root / "model":
        words += ["--model-dir", str(place.model)]
    return words


def saved_settings_words(root: Path) -> list[str]:
    """The words that name the settings which the merge tuner has saved."""
    flags = {"--config": root / CONFIG, "--frame-config": root / FRAME_CONFIG}
    return [word for flag, path in flags.items() if path.is_file() for word in (flag, str(path))]
