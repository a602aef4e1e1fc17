"""Which snapshots a training makes of its model, and which of them it keeps.

One is made when a phase of a recipe ends (`keep_phase`), when the model is the best so far
(`best_so_far`), and every so often for roll-backs (`next_regular`). What is made is written by
`formats.models.snapshots`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dfl_tf.disk.plain_file import read_plain
from dfl_tf.errors import DflTfError
from dfl_tf.formats import ModelLock, ModelState
from dfl_tf.formats.models import run_record
from dfl_tf.formats.models.files import model_files, prefix_of
from dfl_tf.formats.models.rescue import recover
from dfl_tf.formats.models.restore import read_whole
from dfl_tf.formats.models.snapshot_rules import (
    Rules,
    beyond,
    refuse_beyond,
    surplus,
    total,
)
from dfl_tf.formats.models.snapshots import (
    Fill,
    Kind,
    Label,
    Snapshot,
    check_snapshot_name,
    free_name,
    label_of,
    list_snapshots,
    make_snapshot,
    remove_snapshot,
    same_set,
    snapshot_folder,
    usable_name,
)
from dfl_tf.jobs.events import Events
from dfl_tf.options import RunOptions
from dfl_tf.options.metrics import is_better_higher
from dfl_tf.train import events
from dfl_tf.train.previews import jpeg_bytes
from dfl_tf.train.validation import read_stored

STORED_AS: Final = "snapshots"
"""Key in `ModelState.run`: names and iterations of the regular snapshots that this model came
through, the newest last. Roll-backs go to these and to no others, so that neither a stretch that
was undone nor one that a restore left behind is ever taken for the model's own past."""
QUIET = 1000
"""Iterations without a collapse after which a save counts as good; see `rollback`."""


@dataclass(frozen=True)
class Wanted:
    """A snapshot that is to be made of the next save.

    Attributes
    ----------
    kind : str
        See `formats.models.snapshots.Kind`.
    name : str
        If it is taken, a number is added.
    note, recipe, phase, metric, key : str
        See `Label`.
    """

    kind: Kind
    name: str
    note: str = ""
    recipe: str = ""
    phase: str = ""
    metric: str = ""
    key: str = ""

    def label(self, state: ModelState) -> Label:
        """The description of the snapshot of a state."""
        known = {key: value for key, value in asdict(self).items() if value and key != "name"}
        return replace(label_of(state), **known)


def ended_phase(recipe: str, phase: str, iteration: int, why: str) -> Wanted:
    """The snapshot of a phase that ends."""
    name = f"{usable_name(phase)}-{iteration}"
    return Wanted("phase", name, f"phase {phase} ended: {why}", recipe, phase)


@dataclass(frozen=True)
class Shown:
    """The last previews of a model.

    Attributes
    ----------
    images : mapping of str to ndarray, shape (h, w, 3), uint8, BGR
    """

    images: Mapping[str, NDArray[np.uint8]]

    @property
    def files(self) -> dict[str, bytes]:
        """The images as JPEG files, by name."""
        return {f"preview_{name}.jpg": jpeg_bytes(image) for name, image in self.images.items()}


def rules_of(run: RunOptions) -> Rules:
    """How many snapshots a run keeps."""
    return Rules(run.snapshots_keep, round(run.snapshots_max_gb * 1e9))


def planned(run: RunOptions, *, phases: bool, measured: bool, found: Sequence[Snapshot]) -> str:
    """Which snapshots a run makes, in words; empty if none are made and none are there.

    Parameters
    ----------
    run : RunOptions
    phases : bool
        Whether there is a recipe.
    measured : bool
        Whether the quality is measured while it trains.
    found : sequence of Snapshot
        Those that are there.
    """
    made, period = [], regular_period(run)
    if period:
        made.append(f"every {period:,} iterations (the last {run.snapshots_keep} are kept)")
    if phases and not run.no_save:
        made.append("one a phase")
    if run.keep_best != "none":
        never = "" if measured else ", though nothing is measured: set validate_every"
        made.append(f"the best by {run.keep_best}{never}")
    if not made and not found:
        return ""
    limit = f"; at most {run.snapshots_max_gb:g} GB" if run.snapshots_max_gb else ""
    there = f"; {len(found)} with {total(found) / 1e9:.3g} GB are there" if found else ""
    return f"snapshots: {', '.join(made) or 'none are made'}{limit}{there}"


def regular_period(run: RunOptions) -> int:
    """Iterations between regular snapshots; 0 = there are none."""
    if run.no_save:
        return 0
    return run.snapshot_every or (QUIET if run.rolls_back else 0)


class SnapshotMaker:
    """Makes snapshots of a model that was just saved; what goes wrong is reported but not fatal.

    Parameters
    ----------
    folder : Path
        Of the model.
    name, model_class : str
    log : Events
    """

    def __init__(self, folder: Path, name: str, model_class: str, log: Events) -> None:
        self._place = folder, name, model_class
        self._log = log

    def make(
        self,
        wanted: Wanted,
        state: ModelState,
        rules: Rules,
        shown: Shown | None = None,
        fill: Fill | None = None,
    ) -> Snapshot | None:
        """Copy the files of the last save, then remove what the rules do not keep.

        Parameters
        ----------
        wanted : Wanted
        state : ModelState
            What was saved; its tensors are not used.
        rules : Rules
        shown : Shown, optional
        fill : callable, optional
            What writes the files instead of a copy.

        Returns
        -------
        Snapshot or None
            None if it could not be made.
        """
        label, called = wanted.label(state), wanted.name or f"snapshot-{state.iteration}"
        say = self._log.say
        try:
            there = list_snapshots(*self._place)
            same = [e for e in there if e.label.kind == wanted.kind and e.name == called]
            if same and fill is None and same_set(*self._place[:1], same[0], *self._place[1:]):
                return same[0]  # a run that was killed after it had made it
            if fill is None:
                size = sum(path.stat().st_size for path in model_files(*self._place))
                refuse_beyond(there, size, rules, wanted.kind)
            called = free_name(snapshot_folder(*self._place), called)
            previews = {} if shown is None else shown.files
            made = make_snapshot(*self._place, called, label, previews=previews, fill=fill, say=say)
        except (DflTfError, OSError) as error:
            say(f"warning: no snapshot {called} was made: {error}")
            self._log.emit(events.SnapshotFailed(state.iteration, called, str(error)))
            return None
        self._log.emit(
            events.SnapshotMade(state.iteration, made.name, wanted.kind, str(made.folder))
        )
        self._told(made, self.clear(rules))
        return made

    def clear(self, rules: Rules) -> list[Snapshot]:
        """Remove what the rules do not keep; returns what went."""
        gone = []
        for each in surplus(list_snapshots(*self._place), rules):
            try:
                remove_snapshot(each)
            except (DflTfError, OSError) as error:
                self._log.say(f"warning: the snapshot {each.name} could not be removed: {error}")
            else:
                gone.append(each)
        return gone

    def drop(self, names: Sequence[str]) -> None:
        """Remove regular snapshots of a stretch that was undone."""
        for each in list_snapshots(*self._place):
            if each.name in names and each.label.kind == "regular":
                try:
                    remove_snapshot(each)
                except (DflTfError, OSError) as error:
                    self._log.say(f"warning: snapshot {each.name} could not be removed: {error}")

    def _told(self, made: Snapshot, gone: Sequence[Snapshot]) -> None:
        if made.label.kind == "regular" and not any(e.label.kind != "regular" for e in gone):
            return  # nobody asked for it
        every = list_snapshots(*self._place)
        went = f"; removed: {', '.join(each.name for each in gone)}" if gone else ""
        self._log.say(
            f"snapshot {made.name} of iteration {made.label.iteration} made{went} "
            f"({len(every)} snapshots have {total(every) / 2**20:.1f} MiB)"
        )


def snapshot_model(
    directory: Path,
    name: str,
    model_class: str,
    called: str,
    *,
    note: str = "",
    limit_gb: float = 0.0,
    say: Callable[[str], object] = lambda text: None,
) -> tuple[Snapshot, list[Snapshot]]:
    """Make a snapshot of a model that is not being trained.

    Parameters
    ----------
    directory : Path
        Folder of the model.
    name, model_class : str
    called : str
        Name of the snapshot.
    note : str
    limit_gb : float
        GB that all snapshots may take; the oldest of those that training made are deleted. 0 = no
        limit.
    say : callable
        Gets a line about leftovers that were removed.

    Returns
    -------
    (Snapshot, list of Snapshot)
        The new one, and those that went.

    Raises
    ------
    UsageError
        The name is taken or cannot be used, or it does not fit within the limit.
    ModelFileError
        The model is not whole.
    WorkspaceError
        The model is in use, or there is no space.
    """
    check_snapshot_name(called)
    place = directory, name, model_class
    rules = Rules(limit=round(limit_gb * 1e9), regular=sys.maxsize)
    with ModelLock(*place):
        recover(*place)
        state = read_whole(*place)
        found = list_snapshots(*place)
        refuse_beyond(found, sum(path.stat().st_size for path in model_files(*place)), rules)
        label = Wanted("manual", called, note).label(state)
        previews = previews_beside(directory, name, model_class)
        made = make_snapshot(*place, called, label, previews=previews, say=say)
        gone = beyond(list_snapshots(*place), rules)
        for each in gone:
            remove_snapshot(each)
    return made, gone


def previews_beside(directory: Path, name: str, model_class: str) -> dict[str, bytes]:
    """The previews of the last save, as they lie in their usual folder."""
    folder = directory / f"{prefix_of(name, model_class)}_preview"
    if not folder.is_dir():
        return {}
    images = [path for path in folder.iterdir() if path.suffix == ".jpg" and path.is_file()]
    found = sorted(images, key=lambda path: path.stem)
    return {f"preview_{path.name}": read_plain(path) for path in found}


def best_so_far(run: Mapping[str, object], iteration: int, metric: str) -> Wanted | None:
    """The snapshot of a model that was just measured; None if another one was better.

    It is compared with those on the same faces, in the same phase of a recipe; what is no number is
    never the best.

    Parameters
    ----------
    run : mapping
        `ModelState.run`.
    iteration : int
        Of the model.
    metric : str
        ``none`` = no snapshot is wanted.
    """
    rows, _ = read_stored(run)
    if metric == "none" or not rows or rows[-1]["iteration"] != iteration:
        return None
    key, value = rows[-1]["key"], rows[-1]["metrics"].get(metric)
    others = [row["metrics"].get(metric) for row in rows[:-1] if row["key"] == key]
    sign = 1 if is_better_higher(metric) else -1
    if value is None or any(o is not None and sign * o >= sign * value for o in others):
        return None
    note = f"best {metric} so far: {value:.4f}"
    return Wanted("best", f"best-{iteration}", note, metric=metric, key=key)


# -- regular snapshots, for roll-backs -------------------------------------------------------------
def past_of(run: Mapping[str, object]) -> list[tuple[str, int]]:
    """Names and iterations of the regular snapshots that a model came through, newest last.

    Raises
    ------
    ModelFileError
        If what is stored is none of ours.
    """
    return [(name, iteration) for name, iteration in run_record.stored(run, STORED_AS) or ()]


def regular_is_due(run: Mapping[str, object], iteration: int, period: int) -> bool:
    """Whether the newest regular snapshot is old enough for another one.

    After a reset of the count (when pretraining ends) one is due.
    """
    past = past_of(run)
    return not past or not 0 <= iteration - past[-1][1] < period


def with_regular(
    run: Mapping[str, object], folder: Path, iteration: int, kept: int
) -> tuple[Wanted, list[list[object]]]:
    """The next regular snapshot, and the list that a model stores which comes through it."""
    name = free_name(folder, f"regular-{iteration}")
    wanted = Wanted("regular", name, "kept for roll-backs")
    return wanted, [list(entry) for entry in [*past_of(run), (name, iteration)][-max(1, kept) :]]
