"""What of an extraction is done, what is to be done, and what only the user can decide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from dfl_tf.disk.checksums import forget
from dfl_tf.disk.durable import make_folder, remove_quietly, sync_folder
from dfl_tf.disk.listing import IMAGE_SUFFIXES, list_folder
from dfl_tf.errors import DflTfError, UsageError
from dfl_tf.extract.frame_work import Folders, move_to_trash
from dfl_tf.extract.journal import FILE, Extraction, read_journal
from dfl_tf.extract.networks import ExtractNetworks
from dfl_tf.extract.records import FrameRecord
from dfl_tf.extract.sources import FrameSource
from dfl_tf.formats.faces.dfljpg import read_metadata
from dfl_tf.options import ExtractOptions

_NOT_COMPARED = ("debug_images", "detector", "landmarker")
_WAYS = (
    "Use --resume to continue all the same, or --overwrite to start over "
    "(existing faces are deleted)."
)


class NotTheSame(UsageError):
    """What is there was made otherwise: the user says whether to go on or to start over.

    Parameters
    ----------
    reason, ways : str
        What differs, and what can be done.
    """

    def __init__(self, reason: str, ways: str) -> None:
        super().__init__(f"{reason}. {ways}")
        self.reason = reason


@dataclass(frozen=True)
class ExtractPlan:
    """Where a run begins.

    Attributes
    ----------
    content : Extraction
        What the journal says; frames that are to be extracted again stand in `again`.
    numbers : list of int
        Frames to work on.
    done : int
        Chosen frames that are finished.
    suspects : set of str
        Finished frames that may have changed.
    notes : list of str
        Notes for the user.
    """

    content: Extraction
    numbers: list[int]
    done: int = 0
    suspects: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)


def settings_of(options: ExtractOptions, networks: ExtractNetworks) -> dict[str, object]:
    """All that the faces of a frame depend on, but for the frame."""
    values = {key: value for key, value in asdict(options).items() if key not in _NOT_COMPARED}
    values["rotations"] = list(options.rotations)
    for key, network in (("detector", networks.detector), ("landmarker", networks.landmarker)):
        values[key] = network.name
        values[f"{key}_version"] = network.version
    return values


def make_plan(
    source: FrameSource,
    folders: Folders,
    settings: Mapping[str, object],
    chosen: Sequence[int],
    *,
    resume: bool = False,
    overwrite: bool = False,
    redo: Sequence[int] = (),
    given: Mapping[str, int] | None = None,
) -> ExtractPlan:
    """Look at what earlier runs made and say what is to be done.

    Parameters
    ----------
    source, folders
    settings : dict
        See `settings_of`.
    chosen : sequence of int
        Numbers of the frames that the user wants.
    resume : bool
        Go on with whatever is there.
    overwrite : bool
        Delete the faces that are there.
    redo : sequence of int
        Extract these frames again, and no others.
    given : dict of str to int
        Checksums of the faces that the user gives for some frames, by the names of the frames.

    Raises
    ------
    UsageError
        The user has to choose between `resume` and `overwrite`.
    """
    make_folder(folders.faces)
    if overwrite:
        clear(folders)
    content = read_journal(folders.faces) or Extraction()
    notes: list[str] = []
    if not content.runs:
        _adopt(source, folders, content, resume, notes)
    elif content.last_run is not None and not (resume or redo):
        _check_same(content.last_run["settings"], settings, folders)
    suspects = _suspects(source, folders, content, resume, notes)
    names = source.names
    wanted = list(redo) or list(chosen)
    again = [names[number - 1] for number in redo]
    for name, checksum in (given or {}).items():
        record = content.frames.get(name)
        if record is not None and record.given != checksum:
            again.append(name)
    content.repeat(again)
    finished = {name for name in content.frames if name not in suspects}
    numbers = [number for number in wanted if names[number - 1] not in finished]
    return ExtractPlan(content, numbers, len(wanted) - len(numbers), suspects, notes)


def clear(folders: Folders, *, to_trash: bool = False) -> int:
    """Delete the faces, debug images and notes of earlier runs; the journal first.

    With `to_trash` faces move to the trash folder beside; those that somebody has put there do so
    always. Returns the number of faces.

    What a kill leaves are faces without a journal, which the next run does not take for its own.
    """
    by_hand = faces_by_hand(folders.faces)
    remove_quietly(folders.faces / FILE)
    sync_folder(folders.faces)
    faces = list_folder(folders.faces, IMAGE_SUFFIXES).files
    for path in faces:
        if to_trash or path.name in by_hand:
            move_to_trash(path, folders.trash)
        else:
            path.unlink()
    forget(folders.faces, [path.name for path in faces])
    if folders.debug.is_dir():
        for path in list_folder(folders.debug, IMAGE_SUFFIXES).files:
            path.unlink()
    return len(faces)


def faces_by_hand(folder: Path) -> set[str]:
    """Names of the faces that somebody has put there (`placing`), as the journal knows them."""
    try:
        content = read_journal(folder)
    except DflTfError:
        content = None
    records = () if content is None else (*content.frames.values(), *content.again.values())
    return {face.file for record in records for face in record.faces if face.by_hand and face.file}


def _adopt(
    source: FrameSource,
    folders: Folders,
    content: Extraction,
    resume: bool,
    notes: list[str],
) -> None:
    """Take over a folder of faces without a journal: a frame that a face names is done."""
    images = list_folder(folders.faces, IMAGE_SUFFIXES).files
    if not images:
        return
    if not resume:
        raise NotTheSame(
            f"{folders.faces} holds {len(images)} images and no journal of their extraction",
            "--resume extracts the frames of which no face is there, --overwrite deletes the "
            "images and starts over.",
        )
    places = {Path(name).stem: number for number, name in enumerate(source.names, start=1)}
    for path in images:
        try:
            metadata = read_metadata(path)
        except DflTfError:
            continue
        if metadata is None or not metadata.source_filename:
            continue
        number = places.get(Path(metadata.source_filename).stem)
        if number is not None:
            name = source.names[number - 1]
            content.frames.setdefault(name, FrameRecord(name, number, 0, 0))
    notes.append(
        f"{len(content.frames)} frames count as done, since a face in {folders.faces} names them"
    )


def _check_same(
    before: Mapping[str, object], settings: Mapping[str, object], folders: Folders
) -> None:
    differences = [
        f"{key} was {_shown(before.get(key))} and is {_shown(settings.get(key))}"
        for key in {**before, **settings}
        if before.get(key) != settings.get(key)
    ]
    if differences:
        raise NotTheSame(
            f"{folders.faces} was extracted with other options: {'; '.join(differences)}", _WAYS
        )


def _shown(value: object) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value))
    return str(value) or "unknown"


def _suspects(
    source: FrameSource,
    folders: Folders,
    content: Extraction,
    resume: bool,
    notes: list[str],
) -> set[str]:
    """Finished frames that may have changed; refuses to guess what the user wants of them."""
    if not content.runs:
        return set()
    before = (content.last_run or content.runs[-1])["source"]
    if before.get("kind") != source.about["kind"]:
        words = {"frames": "a folder of frames", "video": "a video"}
        if not resume:
            raise NotTheSame(
                f"{folders.faces} was extracted from {words.get(str(before.get('kind')))}, and "
                f"{words[str(source.about['kind'])]} is given now",
                _WAYS,
            )
        return set()
    there = set(source.names)
    missing = [record.name for record in content.records if record.name not in there]
    new = [name for name in source.names if name not in content.frames]
    present = [record for record in content.records if record.name in there]
    changed = source.changed(before, present)
    errors = []
    if changed:
        errors.append(f"{_counted(changed)} changed")
    if missing and new:
        errors.append(
            f"{_counted(missing)} vanished and others are new (for example {new[0]}), as if "
            "frames had been renamed"
        )
    elif missing:
        notes.append(f"{_counted(missing)} vanished since they were extracted; their faces stay")
    if errors and not resume:
        raise NotTheSame(
            f"since {folders.faces} was extracted, {'; '.join(errors)}",
            "--resume extracts what changed and what is new, --overwrite starts over (and deletes "
            "what is there).",
        )
    notes += errors
    return set(changed)


def _counted(names: Sequence[str]) -> str:
    if len(names) == 1:
        return f"1 frame ({names[0]})"
    return f"{len(names)} frames (for example {names[0]})"


def frames_without_debug_image(source: FrameSource, folders: Folders) -> list[int]:
    """Numbers of the frames whose debug image is not there.

    Raises
    ------
    UsageError
        There is no folder of debug images.
    """
    if not folders.debug.is_dir():
        raise UsageError(
            f"{folders.debug}: there is no such folder of debug images. Extract with "
            "--debug-images, delete the debug images of bad frames, then --redo-missing-debug."
        )
    stems = {path.stem for path in list_folder(folders.debug, IMAGE_SUFFIXES).files}
    return [n for n, name in enumerate(source.names, start=1) if Path(name).stem not in stems]
