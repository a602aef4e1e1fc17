"""The exception tree: every error that a user can cause or meet.

The command line prints such an error as one message and leaves with its `exit_code`
(design decision 27); programming mistakes stay `ValueError` and `TypeError`.
"""

from __future__ import annotations

from typing import NamedTuple


class ExitCode(NamedTuple):
    """What an exit code of a command means.

    Attributes
    ----------
    code : str
        One number, or several.
    meaning : str
    again : str
        Whether a job runner may start the same command again.
    """

    code: str
    meaning: str
    again: str


EXIT_CODES = (
    ExitCode(
        "0", "done: target reached, recipe finished, `--stop-after` over, stop asked for", "no"
    ),
    ExitCode(
        "1",
        "failed: data missing or damaged (no such folder is always 1), disk full, a worker lost, a "
        "proof failed, some frames failed",
        "at most a few times: nothing is lost, but what does not pass by itself gives 1 again",
    ),
    ExitCode(
        "2",
        "wrong usage or options, or a choice that is yours (`--resume` or `--overwrite`, changed "
        "model files)",
        "no: change the command",
    ),
    ExitCode(
        "3",
        "stopped by a guard: losses are NaN or collapsed; the last good save is kept",
        "no: change the options, or `--on-collapse rollback`",
    ),
    ExitCode(
        "129, 130, 143",
        "stopped by SIGHUP, SIGINT or SIGTERM: finished what was in work and saved; where "
        "`--save-deadline` ran out, the last save is the one before",
        "yes",
    ),
    ExitCode(
        "134, 137, 139",
        "killed from outside (137: SIGKILL, or no memory left) or crashed in a library; what was "
        "saved last is whole",
        "yes; 137 without a SIGKILL of yours: with more memory",
    ),
)
"""Of all commands: the one table, which docs/clusters.md shows (decision 27)."""


class DflTfError(Exception):
    """Something that the user can act on; the text says what, what was received and what to do."""

    exit_code = 1


class OptionError(DflTfError):
    """One or more option values are unknown, out of range or in conflict."""

    exit_code = 2


class UsageError(DflTfError):
    """The request itself makes no sense (wrong command, wrong model name, conflicting flags)."""

    exit_code = 2


class WorkspaceError(DflTfError):
    """A folder or file of the workspace is missing, unreadable or not writable."""


UNUSABLE = "damaged or unusable faces"
"""What such a face is counted as, where it is left out."""


class FacesetError(WorkspaceError):
    """A faceset (folder or pak) or a face file in it is unusable.

    Attributes
    ----------
    kind : str
        What such a face is counted as when it is left out; a plural.
    """

    def __init__(self, message: str, *, kind: str = UNUSABLE) -> None:
        super().__init__(message)
        self.kind = kind


class ModelFileError(DflTfError):
    """A model file is missing, damaged or does not fit."""


class ForeignChange(ModelFileError):
    """The model on disk is not the one that this run wrote last; nothing was overwritten."""


class ModelFilesChanged(ModelFileError):
    """Files of a model were removed or replaced since its last save: the user has to choose."""

    exit_code = 2


class LegacyFormatError(ModelFileError):
    """A file of the legacy program does not have the form that it must have."""


class UnsafePickleError(LegacyFormatError):
    """A pickle names something that is not on the short list of what model and face files hold."""


class ExportError(DflTfError):
    """An export could not be made or did not pass its verification."""


class TrainingDiverged(DflTfError):
    """The loss became NaN, infinite or collapsed; the last good save was kept."""

    exit_code = 3
