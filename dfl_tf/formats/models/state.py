"""Everything a model is, as plain NumPy, and how its files compare with the last save.

References: models.md 5, workspace.md 3 and 4, design decisions 1, 2, 7, 28, 37.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dfl_tf.disk.temporary_names import staged
from dfl_tf.formats.models.manifest import Manifest, role_of
from dfl_tf.formats.models.survey import Survey

if TYPE_CHECKING:
    from dfl_tf.formats.models.tensor import Tensor

_SPARE = ("optimizer", "average")
"""Roles of files without which a model is whole: they can begin again."""


@dataclass(frozen=True, kw_only=True)
class ModelState:
    """A model at rest.

    Attributes
    ----------
    model_class : str
        "SAEHD", "AMP", "Quick96" or "XSeg".
    iteration : int
        Finished iterations.
    options : dict
        The stored legacy dictionary with plain Python values, order kept, unknown keys included.
    loss_history : sequence of sequences of float
        One entry an iteration; its length may differ from `iteration`. A read model has a
        `LossHistory`, which equals a list of lists.
    tensors : dict of part to dict of key to ndarray, any shape
        Part = file stem ("encoder", "src_dst_opt", "XSeg_256"); key exactly as in the file
        ("down1/downs_0/conv1/weight:0"); order as in the file. Optimizers hold "iters:0", an
        int64 scalar; "average" is described in `formats.models.average`.
    extra : dict
        Other entries of data.dat, carried along: "sample_for_preview", "choosed_gpu_indexes",
        what forks add.
    run : dict
        JSON-able; how the run stood (seed, stream positions, what else its parts store):
        `formats.models.run_record` declares the keys. Empty for a set of another program.
    notes : tuple of str
        What reading found that the user should know (rewritten elsewhere, an unreadable record).
    disk : DiskState or None
        How the files compare with the last save here; None for a state that was not read.
    """

    model_class: str
    iteration: int
    options: dict[str, object]
    loss_history: Sequence[Sequence[float]]
    tensors: dict[str, dict[str, Tensor]]
    extra: dict[str, object] = field(default_factory=dict)
    run: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    disk: DiskState | None = None


@dataclass(frozen=True)
class FileChange:
    """What happened to the file of a part since the last save here.

    Attributes
    ----------
    file : str
    kind : {"missing", "replaced", "unreadable"}
    text : str
        The same for people.
    """

    file: str
    kind: Literal["missing", "replaced", "unreadable"]
    text: str


@dataclass(frozen=True)
class DiskState:
    """The files that a state was read from, beside what the last save here wrote.

    Attributes
    ----------
    record : Manifest or None
        Of that save; None for a set of another program.
    present : Manifest
        The files as they lay there, for the comparison before the next save.
    changes : mapping of str to FileChange
        By part; of the history and other entries by file name.
    used : frozenset of str or None
        Parts that the last save here had in use; None without a record.
    trained_until : mapping of part to int or None
        The iteration of files that are as recorded; None if that is not known.
    foreign : bool
        Whether `data.dat` is another one: another program trained on, or options were edited.
    damaged : mapping of file name to str
        Records of ours (manifest, commit record) that cannot be read, with the error.
    whole : bool
        Whether nothing but optimizers and averages is missing, nothing unreadable, every file in
        its place.
    """

    record: Manifest | None
    present: Manifest
    changes: Mapping[str, FileChange]
    used: frozenset[str] | None
    trained_until: Mapping[str, int | None]
    foreign: bool
    whole: bool
    damaged: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        found: Survey,
        manifest: Manifest,
        *,
        folder: Path,
        unreadable: Mapping[str, str],
        part_of: Callable[[str], str | None],
        foreign: bool = False,
    ) -> DiskState:
        """Turn what a survey says of files into what is to be said of parts."""
        texts = {"missing": "is missing", "replaced": "is not the one that was saved"}
        changes: dict[str, FileChange] = {}
        for file, kind in found.changes.items():
            if not (foreign and kind == "replaced"):
                changes[part_of(file) or file] = FileChange(file, kind, f"{file} {texts[kind]}")
        for file, text in unreadable.items():
            changes[part_of(file) or file] = FileChange(file, "unreadable", text)
        places = {name: folder / name for name in found.files}
        moved = [f for f, path in found.files.items() if path not in (places[f], staged(places[f]))]
        entries = {file: entry for file, entry in found.entries.items() if file not in moved}
        lost = [file for file, kind in found.changes.items() if kind == "missing"]
        broken = unreadable or moved or any(role_of(file) not in _SPARE for file in lost)
        recorded = {} if found.record is None else found.record.files
        parts = {file: part for file in recorded if (part := part_of(file)) is not None}
        return cls(
            record=found.record,
            present=replace(manifest, files=entries, snapshot=""),
            changes=changes,
            used=None
            if found.record is None
            else frozenset(part for file, part in parts.items() if not recorded[file].off),
            trained_until={
                part: recorded[file].iteration
                for file, part in parts.items()
                if file in entries and entries[file].sha256 == recorded[file].sha256
            },
            foreign=foreign,
            whole=not broken,
            damaged=found.damaged,
        )


@dataclass(frozen=True)
class Reading:
    """What of a model is read, and how.

    Attributes
    ----------
    only : collection of str or None
        Parts to read; no other file is looked into, so that a native model comes without its
        loss history. None: all.
    tolerant : bool
        Note parts that cannot be read in `DiskState.changes` instead of raising.
    previous : bool
        Read the kept previous set instead.
    """

    only: Collection[str] | None = None
    tolerant: bool = False
    previous: bool = False

    @property
    def wants_history(self) -> bool:
        """Whether the losses are read where they lie in a file of their own."""
        return self.only is None

    def wants(self, part: str) -> bool:
        """Whether a part is read."""
        return self.only is None or part in self.only
