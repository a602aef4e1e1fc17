"""A command that goes on when whoever started it ends, with its log and its record beside it.

    python -m dfl_tf.jobs.detached PLACE

runs the command that `PLACE.json` names and writes its exit code there. What it and the command
say goes to `PLACE.log`, whose lock they hold: as long as one of them lives, the job runs.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from dfl_tf.disk.durable import write_file
from dfl_tf.disk.guarded import read_json
from dfl_tf.disk.tree_schema import Array, Integer, Number, Optional, Record, Text
from dfl_tf.disk.write_errors import explain_write_errors
from dfl_tf.errors import UsageError, WorkspaceError
from dfl_tf.jobs.progress import LINE_SECONDS

_RECORD = Record(
    {
        "command": Array(Text()),
        "folder": Text(),
        "began": Number(),
        "group": Integer(0),
        "code": Optional(Integer()),
        "ended": Optional(Number()),
    }
)
# as `jobs.progress` writes it
_PROGRESS = re.compile(r"^.* (\d+)/(\d+) · (?:.*? (\d+):(\d\d) left)?", re.MULTILINE)
_TAIL = 4096


@dataclass(frozen=True)
class JobRecord:
    """What is known of a job.

    Attributes
    ----------
    command : tuple of str
    folder : str
        In which it runs.
    began, ended : float
        Seconds of the clock.
    group : int
        Of processes; 0 until it has begun.
    code : int or None
        Exit code; None until it has ended.
    """

    command: tuple[str, ...]
    folder: str
    began: float
    group: int = 0
    code: int | None = None
    ended: float | None = None


@dataclass(frozen=True)
class JobState:
    """How a job is.

    Attributes
    ----------
    state : {"none", "running", "done", "failed", "stopped", "died"}
        A stopped one was interrupted; one that died has left no exit code.
    record : JobRecord or None
    done, total : int
        Of the last line of progress; 0 where there is none.
    left : int or None
        Seconds that it will still take, by the same line.
    log : str
        Its last lines.
    """

    state: str
    record: JobRecord | None = None
    done: int = 0
    total: int = 0
    left: int | None = None
    log: str = ""


class DetachedJob:
    """A job by the place of its files.

    Parameters
    ----------
    place : Path
        Without the suffixes ``.json`` and ``.log``.
    """

    def __init__(self, place: Path):
        self.record, self.log = (place.with_name(place.name + end) for end in (".json", ".log"))
        self._place = place

    def start(self, command: Sequence[str], folder: Path) -> None:
        """Start a command.

        Raises
        ------
        UsageError
            The job before it still runs.
        WorkspaceError
            Its files cannot be written.
        """
        import fcntl

        with explain_write_errors(self.log):
            handle = os.open(self.log, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        with open(handle, "r+b") as log:
            try:
                fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UsageError(f"{self.log}: this job runs already.") from None
            log.truncate()
            _write(self.record, JobRecord(tuple(command), str(folder), time.time()))
            runner = subprocess.Popen(
                [sys.executable, "-m", __name__, str(self._place)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=folder,
                env={**os.environ, LINE_SECONDS: "1"},
                start_new_session=True,
            )
        _REAPED.append(runner)

    def stop(self) -> None:
        """Ask it to end as Ctrl+C does; a command of ours finishes what it has begun."""
        record = self._read()
        if self._runs() and record is not None and record.group:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(record.group, signal.SIGINT)

    def state(self) -> JobState:
        """How it is."""
        for runner in list(_REAPED):  # no process stays behind as a zombie
            if runner.poll() is not None:
                _REAPED.remove(runner)
        running = self._runs()
        record = self._read()
        if record is None:
            return JobState("none")
        text = self._tail()
        done, total, minutes, seconds = [("0", "0", "", ""), *_PROGRESS.findall(text)][-1]
        left = 60 * int(minutes) + int(seconds) if running and minutes else None
        state = "running" if running else _outcome(record.code)
        return JobState(state, record, int(done), int(total), left, text)

    def _runs(self) -> bool:
        import fcntl

        try:
            with open(self.log, "rb") as log:
                fcntl.flock(log, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def _read(self) -> JobRecord | None:
        found = read_json(self.record, kind="the record of a job", schema=_RECORD, missing_ok=True)
        return None if found is None else JobRecord(**found | {"command": tuple(found["command"])})

    def _tail(self) -> str:
        try:
            with open(self.log, "rb") as log:
                size = log.seek(0, os.SEEK_END)
                log.seek(max(0, size - _TAIL))
                return log.read().decode(errors="replace")
        except OSError:
            return ""


_REAPED: list[subprocess.Popen[bytes]] = []


def _outcome(code: int | None) -> str:
    if code is None:
        return "died"
    return "done" if code == 0 else "stopped" if code in (130, 143) else "failed"


def _write(path: Path, record: JobRecord) -> None:
    write_file(path, json.dumps(asdict(record), indent=1).encode())


def run_job(place: Path) -> int:
    """Run the command of a record, in this process's session, and note how it ended.

    Raises
    ------
    WorkspaceError
        There is no such record.
    """
    job = DetachedJob(place)
    record = job._read()
    if record is None:
        raise WorkspaceError(f"{job.record}: there is no such record.")
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, lambda *_: None)  # the command gets it too, and ends in its own way
    record = replace(record, group=os.getpid())
    _write(job.record, record)
    with subprocess.Popen(record.command) as command:
        code = command.wait()
    code = 128 - code if code < 0 else code
    _write(job.record, replace(record, code=code, ended=time.time()))
    return code


if __name__ == "__main__":
    sys.exit(run_job(Path(sys.argv[1])))
