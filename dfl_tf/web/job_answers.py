"""Jobs that outlive page and server, as every view shows them: `dfl_tf.jobs.detached`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from dfl_tf.disk.plain_file import lies_in
from dfl_tf.disk.text import printable
from dfl_tf.formats.sessions.workspace import Workspace
from dfl_tf.jobs.detached import DetachedJob, JobState
from dfl_tf.web.answers import WebError


def program() -> list[str]:
    """The words that run this program, as ``dfl-tf`` does."""
    return [sys.executable, "-m", "dfl_tf"]


def own_file(workspace: Workspace, path: Path) -> Path:
    """A file that may be read, if it is there.

    Raises
    ------
    WebError
        It is a link that leads out of workspace and model folder.
    """
    there = os.path.lexists(path)
    if there and lies_in(path, (workspace.root, workspace.model)) is None:
        raise WebError(f"{path.name}: is a link that leads out of the workspace.", 409)
    return path


def job_in_models(workspace: Workspace, name: str) -> DetachedJob:
    """The job whose files lie under a name in the model folder.

    Raises
    ------
    WebError
        As `own_file`.
    """
    job = DetachedJob(workspace.model / name)
    own_file(workspace, job.record)
    own_file(workspace, job.log)
    return job


def job_answer(state: JobState) -> dict[str, object]:
    """How a job is, for the page."""
    record = state.record
    return {
        "state": state.state,
        "done": state.done,
        "total": state.total,
        "left": state.left,
        "log": printable(state.log, lines=True),
        "began": None if record is None else record.began,
        "ended": None if record is None else record.ended,
        "code": None if record is None else record.code,
    }
