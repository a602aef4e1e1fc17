"""Snapshots of a model: whole copies with a name, in ``<model>_snapshots/NAME``.

A snapshot holds the files of the model as they were saved, previews and a record
(``snapshot.json``): why it was made, iteration, phase, options, what was measured. It is filled
under a temporary name and gets its own when all of it is on the disk, so that it is there whole or
not at all. Files are copied, never linked: what the user does to a snapshot touches nothing else.

Numbered backups (``<model>_autobackups``) stay what they are for the legacy program; `find_kept`
of `restore` takes both.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Required, TypedDict, get_args

from dfl_tf.disk import durable
from dfl_tf.disk.guarded import read_json
from dfl_tf.disk.temporary_names import is_temporary
from dfl_tf.disk.text import is_plain_name
from dfl_tf.disk.tree_schema import ANYTHING, Array, Integer, Number, Optional, Record, Table, Text
from dfl_tf.disk.write_errors import check_space, explain_write_errors
from dfl_tf.errors import DflTfError, ModelFileError, UsageError
from dfl_tf.formats.models.files import find_models, model_files, prefix_of
from dfl_tf.formats.models.manifest import read_manifest
from dfl_tf.formats.models.rescue import backup_iteration, place_of
from dfl_tf.formats.models.state import ModelState
from dfl_tf.options.metrics import METRICS

RECORD = "snapshot.json"
VERSION = 1
Kind = Literal["manual", "phase", "best", "regular", "replaced", "rescued", "folder"]
"""Why there is a snapshot: it was asked for, a phase ended, it is the best by a metric, one is
kept for roll-backs every so often, a restore replaced it, or another program changed the model
meanwhile. ``folder``: one with a model, but without a record of ours."""
AUTOMATIC: tuple[Kind, ...] = ("regular", "phase", "best")
"""Kinds that training makes by itself, and that go by the rules of `snapshot_rules`."""
LONGEST_NAME = 100
_RESERVED = ("previous", "best")
_SPARE = 1 << 16

_SCHEMA = Record(
    {"version": Integer(1, VERSION), "kind": Text(get_args(Kind)), "iteration": Integer(0)},
    {
        "note": Text(),
        "created": Text(longest=40),
        "recipe": Text(),
        "phase": Text(),
        "metric": Text(("", *METRICS)),
        "key": Text(),
        "metrics": Table(Optional(Number())),
        "options": Table(ANYTHING),
        "previews": Array(Text()),
    },
    others=ANYTHING,
)


@dataclass(frozen=True, kw_only=True)
class Label:
    """The description of a snapshot.

    Attributes
    ----------
    kind : str
        See `Kind`.
    iteration : int
    note : str
        The user's, or why it was made.
    recipe, phase : str
        Where the model stood in a recipe.
    metrics : mapping of str to float or None
        What was measured last.
    metric, key : str
        Of the best one: by which metric, and what it may be compared with.
    options : mapping
        Of the model, as JSON values.
    """

    kind: Kind
    iteration: int
    note: str = ""
    recipe: str = ""
    phase: str = ""
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    metric: str = ""
    key: str = ""
    options: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Snapshot:
    """A snapshot on disk.

    Attributes
    ----------
    name : str
    folder : Path
    label : Label
    created : str
        Time in ISO form, UTC; empty if it is not known.
    bytes : int
        Of all its files.
    previews : tuple of str
        Names of image files in it.
    """

    name: str
    folder: Path
    label: Label
    created: str
    bytes: int
    previews: tuple[str, ...] = ()

    def facts(self) -> dict[str, object]:
        """All of it as JSON values."""
        return {
            "name": self.name,
            "folder": str(self.folder),
            **asdict(self.label),
            "created": self.created,
            "bytes": self.bytes,
            "previews": list(self.previews),
        }


class _Stored(TypedDict, total=False):
    """A record, checked by `_SCHEMA`."""

    kind: Required[Kind]
    iteration: Required[int]
    note: str
    created: str
    recipe: str
    phase: str
    metric: str
    key: str
    metrics: dict[str, float | None]
    options: dict[str, object]
    previews: list[str]


def snapshot_folder(directory: Path, name: str, model_class: str) -> Path:
    """Where the snapshots of a model lie."""
    return directory / f"{prefix_of(name, model_class)}_snapshots"


def check_snapshot_name(name: str) -> None:
    """Refuse a name that cannot be a folder's everywhere, or that means something else.

    Raises
    ------
    UsageError
    """
    bad = any(c in name for c in '/\\\0:*?"<>|') or not is_plain_name(name) or name != name.strip()
    if not name or bad or name.startswith((".", "-")) or len(name.encode()) > LONGEST_NAME:
        raise UsageError(
            f"snapshot name {name!r} cannot be used as the name of a folder; take letters, digits, "
            f"blanks, dots and dashes, {LONGEST_NAME} bytes at most."
        )
    if name.isdigit() or name in _RESERVED:
        raise UsageError(
            f"snapshot name {name!r} means something else: numbers are backups, previous is the "
            "set before the last save, best the best snapshot. Take another name."
        )


def usable_name(text: str) -> str:
    """A name that `check_snapshot_name` accepts, near to any text."""
    plain = "".join(c if is_plain_name(c) else "-" for c in text)
    plain = re.sub(r'[/\\\0:*?"<>|\s]+', "-", plain).lstrip(".-")
    while len(plain.encode()) > LONGEST_NAME - 24:  # a number follows
        plain = plain[:-1]
    return plain or "snapshot"


def free_name(folder: Path, wanted: str) -> str:
    """`wanted`, or with a number behind it if that is taken."""
    number, name = 1, wanted
    while (folder / name).exists() or (folder / name).is_symlink():
        number += 1
        name = f"{wanted}-{number}"
    return name


def label_of(state: ModelState) -> Label:
    """What a state says of itself: iteration, place in a recipe, options, the last measurement."""
    recipe, rows = state.run.get("recipe"), state.run.get("validation")
    stands = recipe if isinstance(recipe, Mapping) else {}
    last = rows[-1] if isinstance(rows, list) and rows else None
    metrics = last.get("metrics") if isinstance(last, Mapping) else None
    return Label(
        kind="manual",
        iteration=state.iteration,
        recipe=str(stands.get("recipe", "")),
        phase=str(stands.get("phase", "")),
        metrics=dict(metrics) if isinstance(metrics, Mapping) else {},
        options=json_values(state.options),
    )


def json_values(options: Mapping[str, object]) -> dict[str, object]:
    """Options as JSON has them; text for what it does not know."""
    return {str(key): _json_value(value) for key, value in options.items()}


def _json_value(value: object) -> object:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, list | tuple):
        return [_json_value(each) for each in value]
    return str(value)


# -- looking ---------------------------------------------------------------------------------------
def list_snapshots(directory: Path, name: str, model_class: str) -> list[Snapshot]:
    """The snapshots of a model, the oldest first; folders without a model are left out."""
    folder = snapshot_folder(directory, name, model_class)
    if not folder.is_dir():
        return []
    inside = [path for path in folder.iterdir() if path.is_dir() and not is_temporary(path.name)]
    found = [each for path in inside if (each := read_snapshot(path, model_class)) is not None]
    return sorted(found, key=lambda each: (each.created, each.label.iteration, each.name))


def leftovers(folder: Path) -> list[Path]:
    """What interrupted copies left there; the next snapshot removes it."""
    return [path for path in folder.glob(".*") if is_temporary(path.name)]


def read_snapshot(folder: Path, model_class: str) -> Snapshot | None:
    """The snapshot in a folder; None if it holds no model of that class."""
    if not find_models(folder, model_class):
        return None
    try:
        size = bytes_of(folder)
    except OSError:
        return None  # it is being removed
    try:
        tree: _Stored | None = read_json(
            folder / RECORD,
            kind="the record of a snapshot",
            schema=_SCHEMA,
            error=ModelFileError,
            missing_ok=True,
        )
    except DflTfError as error:
        note = f"its record cannot be read: {error}"
        return Snapshot(folder.name, folder, _unknown(folder, model_class, note), "", size)
    if tree is None:
        return Snapshot(folder.name, folder, _unknown(folder, model_class), "", size)
    label = Label(
        kind=tree["kind"],
        iteration=tree["iteration"],
        note=tree.get("note", ""),
        recipe=tree.get("recipe", ""),
        phase=tree.get("phase", ""),
        metrics=tree.get("metrics", {}),
        metric=tree.get("metric", ""),
        key=tree.get("key", ""),
        options=tree.get("options", {}),
    )
    previews = tuple(tree.get("previews", ()))
    return Snapshot(folder.name, folder, label, tree.get("created", ""), size, previews)


def bytes_of(folder: Path) -> int:
    """Of all files in a folder and below it."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _unknown(folder: Path, model_class: str, note: str = "") -> Label:
    iteration = backup_iteration(folder, model_class)
    return Label(kind="folder", iteration=iteration or 0, note=note)


def find_snapshot(directory: Path, name: str, model_class: str, text: str) -> Snapshot | None:
    """The snapshot of that name; ``best`` is the newest of that kind. None if there is none."""
    found = list_snapshots(directory, name, model_class)
    fitting = [each for each in found if each.name == text]
    if text == "best":
        fitting += [each for each in reversed(found) if each.label.kind == "best"]
    return fitting[0] if fitting else None


# -- making and removing ---------------------------------------------------------------------------
Fill = Callable[[Path], object]
"""Puts the files of a model into an empty folder, durably."""


def make_snapshot(
    directory: Path,
    name: str,
    model_class: str,
    called: str,
    label: Label,
    *,
    previews: Mapping[str, bytes] | None = None,
    fill: Fill | None = None,
    say: Callable[[str], object] = lambda text: None,
) -> Snapshot:
    """Copy a model as it lies there into a new snapshot, in one step.

    The caller holds the lock of the model, or is the only one to save it.

    Parameters
    ----------
    directory : Path
    name, model_class : str
    called : str
        Name of the snapshot.
    label : Label
    previews : mapping of file name to bytes, optional
    fill : callable, optional
        What fills it instead of a copy.
    say : callable
        Gets a line about what interrupted copies had left there.

    Raises
    ------
    UsageError
        The name cannot be used, or is taken.
    WorkspaceError
        It does not fit on the disk, or cannot be written. Nothing is left of the attempt.
    """
    check_snapshot_name(called)
    parent, images = snapshot_folder(directory, name, model_class), dict(previews or {})
    durable.make_folder(parent, follow=False)
    target = parent / called
    if target.exists() or target.is_symlink():
        raise UsageError(f"{parent}: a snapshot {called} already exists. Take another name.")
    cleared = durable.clear_leftovers(parent)
    if cleared:
        say(f"{parent}: leftovers of an interrupted snapshot were removed ({len(cleared)})")
    files = model_files(directory, name, model_class) if fill is None else []
    check_space(parent, sum(path.stat().st_size for path in files) + _SPARE)
    safe = "The model and the other snapshots are intact."
    with explain_write_errors(parent, safe=safe), durable.filling_folder(parent) as fresh:
        if fill is None:
            copy_files(files, directory, fresh)
        else:
            fill(fresh)
        for file, data in images.items():
            durable.write_file(fresh / file, data)
        durable.write_file(fresh / RECORD, _record(label, list(images)))
        durable.sync_tree(fresh)
        durable.rename(fresh, target)
    made = read_snapshot(target, model_class)
    if made is None:
        raise ModelFileError(f"{target}: the snapshot holds no model.")
    return made


def _record(label: Label, previews: list[str]) -> bytes:
    record = {
        "version": VERSION,
        "created": datetime.now(UTC).isoformat(timespec="microseconds"),
        "previews": previews,
        **asdict(label),
    }
    return json.dumps(record, indent=1, ensure_ascii=True).encode()


def copy_files(files: Iterable[Path], below: Path, target: Path) -> None:
    """Copy files durably; the copies keep their places relative to `below`."""
    for source in files:
        copy = target / source.relative_to(below)
        durable.make_folder(copy.parent)
        durable.copy_file(source, copy)


def same_set(directory: Path, snapshot: Snapshot, name: str, model_class: str) -> bool:
    """Whether a snapshot holds what the last save of the model wrote."""
    try:
        now = read_manifest(place_of(directory, name, model_class).manifest)
        kept = read_manifest(place_of(snapshot.folder, name, model_class).manifest)
    except DflTfError:
        return False
    if now is None or kept is None:
        return False
    one, two = ({f: e.sha256 for f, e in each.files.items()} for each in (now, kept))
    return one == two


def remove_snapshot(snapshot: Snapshot) -> None:
    """Remove a snapshot; a power cut leaves it whole or without its name.

    Raises
    ------
    WorkspaceError
    """
    with explain_write_errors(snapshot.folder, safe="It may be there still."):
        durable.remove_folder(snapshot.folder)
