"""Extraction in parts (`--shard I/N`), each in a folder of its own, and their joining.

Jobs of an array share no file: shard 2 of 4 of `aligned` lies in `aligned_shards/2-of-4`, with a
journal of its own. Joining moves the faces, joins the journals and goes on as an undivided run,
which finds everything done; the folder is the same, byte for byte. With ``smooth`` shards only look
for faces: they are stored when all are known, which is when they are joined.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from dfl_tf.disk.checksums import forget
from dfl_tf.disk.durable import move_files, remove_folder, remove_quietly
from dfl_tf.disk.listing import IMAGE_SUFFIXES, list_folder
from dfl_tf.errors import UsageError, WorkspaceError
from dfl_tf.extract.frame_work import Folders, move_to_trash
from dfl_tf.extract.journal import FILE, Extraction, read_journal, write_journal
from dfl_tf.extract.plan import faces_by_hand
from dfl_tf.jobs.shard import Shard, check_complete, lacking, total_of


def shards_folder(output: Path) -> Path:
    """Where the shards of a folder of faces lie."""
    return output.with_name(f"{output.name}_shards")


def shard_folder(output: Path, shard: Shard) -> Path:
    """Where a shard stores its faces."""
    return shards_folder(output) / shard.name


def join_shards(
    output: Path, names: Sequence[str], *, resume: bool = False, overwrite: bool = False
) -> None:
    """Make one folder of all shards, with one journal; an interrupted joining is completed.

    Parameters
    ----------
    output : Path
        Folder of the faces.
    names : sequence of str
        The chosen frames, in order.
    resume : bool
        Join although frames are missing; the run that follows extracts them.
    overwrite : bool
        Delete the faces of an earlier extraction that are in the folder.

    Raises
    ------
    WorkspaceError
        There are no shards, or some are missing or not finished: all of them are named.
    UsageError
        Shards were made with different options, or other faces are in the folder.
    """
    root = shards_folder(output)
    if not root.is_dir():
        if read_journal(output) is None:
            raise WorkspaceError(
                f"{root}: there is no such folder; run the shards first (--shard 1/N … N/N)"
            )
        return  # they were joined before
    total = total_of((path.name for path in root.iterdir()), root)
    found = {shard: read_journal(root / shard.name) for shard in Shard.all_of(total)}
    problems = []
    for shard, journal in found.items():
        done = None if journal is None else (*journal.frames, *journal.found)
        problems.append(lacking(shard, shard.share(names), done))
    check_complete(problems or ["no shard has begun"], root, resume=resume)
    journals = {shard: journal for shard, journal in found.items() if journal is not None}
    _check_alike(root, journals)
    parts = {
        shard: {face.file for record in journal.frames.values() for face in record.faces}
        for shard, journal in journals.items()
    }
    _make_room(output, root, parts, overwrite=overwrite)
    for shard in journals:
        own, joined = Folders(root / shard.name), Folders(output)
        for source, target in (
            (own.faces, joined.faces),
            (own.debug, joined.debug),
            (own.trash, joined.trash),
        ):
            if source.is_dir():
                images = list_folder(source, IMAGE_SUFFIXES).files
                move_files(source, target, [path.name for path in images])
    write_journal(output, joined_journal(list(journals.values())))
    remove_folder(root)


def joined_journal(journals: Sequence[Extraction]) -> Extraction:
    """One journal of several whose frames differ."""
    joined = Extraction()
    for journal in journals:
        runs = {number: joined.enter(run) for number, run in enumerate(journal.runs)}
        for records, target in (
            (journal.frames, joined.frames),
            (journal.found, joined.found),
            (journal.again, joined.again),
        ):
            for name, record in records.items():
                target[name] = replace(record, run=runs.get(record.run, 0))
    return joined


def _check_alike(root: Path, journals: Mapping[Shard, Extraction]) -> None:
    """Refuse to join what was extracted in different ways, or from different sources."""
    runs = {shard: each.last_run for shard, each in journals.items() if each.last_run is not None}
    first, *others = runs
    for shard in others:
        for what in ("settings", "source"):
            one, other = runs[first][what], runs[shard][what]
            keys = [key for key in {**one, **other} if one.get(key) != other.get(key)]
            if keys:
                raise UsageError(
                    f"{root}: shards {first} and {shard} were extracted with another "
                    f"{', '.join(keys)}; run one of them again with --overwrite"
                )


def _make_room(
    output: Path, root: Path, parts: Mapping[Shard, set[str]], *, overwrite: bool
) -> None:
    """Delete the faces of an earlier extraction, but none that a broken off joining has moved."""
    if not output.is_dir():
        return
    moved = {
        name
        for shard, names in parts.items()
        for name in names
        if not (root / shard.name / name).exists()
    }
    others = [p for p in list_folder(output, IMAGE_SUFFIXES).files if p.name not in moved]
    if not others:
        return
    if not overwrite:
        raise UsageError(
            f"{output} holds {len(others)} images that are of none of the shards "
            f"({others[0].name}); --overwrite deletes them"
        )
    by_hand = faces_by_hand(output)
    remove_quietly(output / FILE)
    for path in others:
        if path.name in by_hand:
            move_to_trash(path, Folders(output).trash)
        else:
            path.unlink()
    forget(output, [path.name for path in others])
