"""Merging in parts (`--shard I/N`) and their joining.

All shards write their frames into the folders of an undivided run, each frame one of its own
files; what a shard has finished stands in a session of its own beside that of the model. Joining
makes one session of them and goes on as a run that is resumed, which finds everything finished.
A shard takes whole groups of frames: those whose faces the network sees at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from glob import escape
from itertools import groupby
from pathlib import Path

from dfl_tf.disk.durable import remove_quietly
from dfl_tf.errors import WorkspaceError
from dfl_tf.jobs.shard import Shard, check_complete, lacking, total_of
from dfl_tf.merge.plan import MergeTask
from dfl_tf.merge.session import MergeJournal


def shard_tasks(tasks: Sequence[MergeTask], shard: Shard, batch: int) -> list[MergeTask]:
    """The frames of a shard, so that no group of `batch` frames is divided."""
    groups = [list(group) for _, group in groupby(tasks, key=lambda task: task.index // batch)]
    return [task for group in shard.share(groups) for task in group]


def shard_session(session: Path, shard: Shard) -> Path:
    """The session of a shard, beside that of an undivided run."""
    return session.with_name(f"{session.stem}.{shard.name}{session.suffix}")


def shard_sessions(session: Path) -> list[Path]:
    """The sessions of all shards that have begun."""
    name = f"{escape(session.stem)}.*-of-*{session.suffix}"
    return sorted(session.parent.glob(name))


def forget_shards(session: Path) -> None:
    """Remove the sessions of shards that were joined."""
    for path in shard_sessions(session):
        remove_quietly(path)
        remove_quietly(path.with_name(f"{path.name}.journal"))


def joined_frames(
    session: Path, tasks: Sequence[MergeTask], batch: int, *, resume: bool
) -> dict[str, dict[str, object]]:
    """What all shards have finished, as a session has it.

    Parameters
    ----------
    session : Path
        That of an undivided run.
    tasks : sequence of MergeTask
        All frames.
    batch : int
        Faces that the network sees at once.
    resume : bool
        Join although frames are missing; the run that follows merges them.

    Raises
    ------
    WorkspaceError
        There are no shards, or some are missing or not finished: all of them are named.
    """
    names = [path.stem.removeprefix(f"{session.stem}.") for path in shard_sessions(session)]
    total = total_of(names, session.parent)
    if not total:
        if MergeJournal.read(session) is None:
            raise WorkspaceError(
                f"{session.parent}: there is no shard of a merge; run the shards first "
                "(--shard 1/N … N/N)"
            )
        return {}  # they were joined before
    frames: dict[str, dict[str, object]] = {}
    problems = []
    for shard in Shard.all_of(total):
        stored = MergeJournal.read(shard_session(session, shard))
        share = [task.path.name for task in shard_tasks(tasks, shard, batch)]
        problems.append(lacking(shard, share, None if stored is None else stored["frames"]))
        frames.update({} if stored is None else stored["frames"])
    check_complete(problems, session.parent, resume=resume)
    return frames
