"""Numbered backups of a model: ``<model>_autobackups/01`` (newest) to ``24`` (oldest).

References
----------
workspace.md 6.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from dfl_tf.disk import durable
from dfl_tf.disk.write_errors import explain_write_errors
from dfl_tf.errors import ModelFileError
from dfl_tf.formats import ModelLock, model_files, read_model
from dfl_tf.formats.models.files import prefix_of
from dfl_tf.formats.models.rescue import recover
from dfl_tf.formats.models.snapshots import copy_files

KEPT = 24


def make_backup(
    folder: Path, model_folder: Path, files: Iterable[Path], extra: Mapping[str, bytes]
) -> Path:
    """Copy the files of a model into a fresh newest backup and move the older ones on.

    The copy is made beside, brought to the disk, and only then becomes ``01``: neither a full disk
    nor a power cut costs an older backup. In between there may be no ``01``; ``02`` is the newest
    then.

    Parameters
    ----------
    folder : Path
        The ``…_autobackups`` folder; created as needed.
    model_folder : Path
    files : iterable of Path
        Files to copy, in or below `model_folder`; the copy keeps their places relative to it.
    extra : mapping of file name to bytes
        Further files to write there (previews).

    Returns
    -------
    Path
        The folder ``01``.

    Raises
    ------
    WorkspaceError
        It cannot be written; the older backups are whole.
    """
    durable.make_folder(folder)
    newest = folder / "01"
    safe = "The older backups are intact."
    with explain_write_errors(folder, safe=safe), durable.filling_folder(folder) as fresh:
        copy_files(files, model_folder, fresh)
        for name, content in extra.items():
            durable.write_file(fresh / name, content)
        durable.sync_tree(fresh)
        rotate(folder)
        durable.rename(fresh, newest)
    return newest


def backup_model(directory: Path, name: str, model_class: str) -> tuple[Path, int]:
    """Copy a model that is not being trained into its newest backup.

    Returns
    -------
    (Path, int)
        The folder ``01``, and the iteration of the model.

    Raises
    ------
    ModelFileError
        The model is in use, or is not whole.
    """
    folder = directory / f"{prefix_of(name, model_class)}_autobackups"
    with ModelLock(directory, name, model_class):
        recover(directory, name, model_class)
        try:
            iteration = read_model(directory, name, model_class).iteration
        except ModelFileError as error:
            raise type(error)(f"{error}\nNothing was backed up.") from None
        return make_backup(
            folder, directory, model_files(directory, name, model_class), {}
        ), iteration


def rotate(folder: Path) -> None:
    """Move backup k to k+1 for k = 24 … 1, each durably before the next; the 24th is deleted."""
    for number in range(KEPT, 0, -1):
        place = folder / f"{number:02d}"
        if not place.exists():
            continue
        if number == KEPT:
            durable.remove_folder(place)
        else:
            durable.rename(place, folder / f"{number + 1:02d}")


class BackupClock:
    """When an automatic backup is due; asked after each save.

    Parameters
    ----------
    hours : float
        0 = never.
    started : float
        Seconds of a monotonic clock at the start of the run.
    """

    def __init__(self, hours: float, started: float) -> None:
        self._hours = hours
        self._since = started

    def due(self, now: float) -> bool:
        """True once for every `hours` that passed.

        For whole hours this is the legacy rule (whole hours since the last backup are a positive
        multiple of `hours`) without its skip when a multiple is missed.
        """
        if self._hours <= 0:
            return False
        passed = int((now - self._since) // (self._hours * 3600))
        if passed < 1:
            return False
        self._since += passed * self._hours * 3600
        return True
