"""Files and folders that a command reads. A missing one is a failure, not wrong usage."""

from __future__ import annotations

import os
from pathlib import Path

import click

from dfl_tf.errors import WorkspaceError
from dfl_tf.formats.models.nearby import model_folder
from dfl_tf.formats.sessions.workspace import user_path


class Existing(click.Path):
    """A path that exists; `~` is the user's home.

    Raises
    ------
    WorkspaceError
        It does not exist (exit code 1, as for all missing data).
    """

    def convert(
        self,
        value: str | os.PathLike[str],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> Path:
        """The path, looked at."""
        path = user_path(os.fsdecode(value))
        if not path.exists():
            kind = "folder" if not self.file_okay else "file" if not self.dir_okay else "path"
            raise WorkspaceError(f"{path}: there is no such {kind}.")
        return Path(os.fsdecode(super().convert(path, param, ctx)))


class ModelFolder(Existing):
    """A folder of models; for a workspace, the one in it."""

    def convert(
        self,
        value: str | os.PathLike[str],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> Path:
        """The folder in which the models are."""
        return model_folder(super().convert(value, param, ctx))


FOLDER = Existing(path_type=Path, file_okay=False)
FILE = Existing(path_type=Path, dir_okay=False)
EITHER = Existing(path_type=Path)
MODEL_FOLDER = ModelFolder(path_type=Path, file_okay=False)
