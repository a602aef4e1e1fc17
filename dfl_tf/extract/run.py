"""The extraction of a whole folder or video: frames in parallel, the journal in order."""

from __future__ import annotations

import contextlib
import json
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
from dfl_tf_ops.process import cores

from dfl_tf.disk import checksums
from dfl_tf.disk.durable import make_folder, sync_folder
from dfl_tf.disk.left_out import LeftOut
from dfl_tf.disk.lock_file import locked_file
from dfl_tf.errors import DflTfError, UsageError
from dfl_tf.extract.coverage import Coverage, measure_coverage, weak_score
from dfl_tf.extract.frame_work import ExtractTask, Folders, FrameResult, FrameWork
from dfl_tf.extract.journal import LOCK, WRITING, Extraction, ExtractionJournal
from dfl_tf.extract.networks import ExtractNetworks, load_networks
from dfl_tf.extract.plan import ExtractPlan, NotTheSame, clear, make_plan, settings_of
from dfl_tf.extract.records import FrameRecord, GivenFace
from dfl_tf.extract.shards import join_shards, shard_folder
from dfl_tf.extract.smoothing import smooth_tracks
from dfl_tf.extract.sources import FrameSource, SourceFrame, chosen_numbers
from dfl_tf.extract.tracks import assign_tracks
from dfl_tf.jobs.pool import ordered
from dfl_tf.jobs.progress import Progress
from dfl_tf.jobs.shard import Shard, Sharding
from dfl_tf.options import ExtractOptions, default


@dataclass(frozen=True)
class ExtractRequest:
    """What of a source is extracted, and what happens to what is there.

    Attributes
    ----------
    frames : str
        ``A:B``, counted from 1, both included; empty = all.
    every : int
        One frame of so many.
    resume, overwrite : bool
        Go on with whatever is in the folder; or delete its faces first.
    resume_or_trash : bool
        Go on where options and frames are those of before; else move the faces that are there to
        the trash folder and start over.
    redo : sequence of int
        Extract these frames again, by number, and no others; older faces go to the trash folder.
    given : dict
        Faces that the user gives, by the name of the frame.
    shard : Shard, "join" or None
        Work on one of several parts of the chosen frames, or join the parts (`extract.shards`).

    Examples
    --------
    Every fifth of the first hundred frames:

    >>> request = ExtractRequest(frames="1:100", every=5)
    >>> request.resume, request.overwrite
    (False, False)
    """

    frames: str = ""
    every: int = 1
    resume: bool = False
    overwrite: bool = False
    resume_or_trash: bool = False
    redo: Sequence[int] = ()
    given: Mapping[str, Sequence[GivenFace]] = field(default_factory=dict)
    shard: Sharding = None


@dataclass
class ExtractReport:
    """What an extraction did.

    Attributes
    ----------
    folder : Path
        Of the faces.
    frames : int
        Frames that were worked on now.
    done_before : int
        Chosen frames that were finished.
    faces, without_face : int
        Faces stored now, and frames in which there was none.
    failed : list of (str, str)
        Frames that could not be extracted, and why.
    left_out : LeftOut
        What was not used of the source, of frames and of what was found in them.
    notes : list of str
        Further notes for the user.
    replaced : int
        Older faces that went to the trash folder.
    seconds : float
    stage_seconds : Counter
        Of all workers together: read, find, align, write.
    records : list of FrameRecord
        All finished frames, also of earlier runs, by number.
    coverage : Coverage or None
        What to look at in them.
    interrupted : bool
        Whether the run was stopped before its end.
    """

    folder: Path
    frames: int = 0
    done_before: int = 0
    faces: int = 0
    without_face: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)
    left_out: LeftOut = field(default_factory=LeftOut)
    notes: list[str] = field(default_factory=list)
    replaced: int = 0
    seconds: float = 0.0
    stage_seconds: Counter[str] = field(default_factory=Counter)
    records: list[FrameRecord] = field(default_factory=list)
    coverage: Coverage | None = None
    interrupted: bool = False


def extract_faces(
    source: FrameSource,
    output: str | Path,
    options: ExtractOptions | None = None,
    *,
    networks: ExtractNetworks | None = None,
    request: ExtractRequest | None = None,
    workers: int = 0,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> ExtractReport:
    """Find the faces of frames and store them, aligned, as DeepFaceLab does.

    Each face becomes ``<frame>_<k>.jpg`` with its metadata. A journal in the folder says which
    frames are done, so a later call with the same options goes on where this one stopped, and
    the folder is the same in the end for any number of workers and interruptions.

    Parameters
    ----------
    source : FrameSource
        `FolderFrames` for a folder of images.
    output : path
        Folder of the faces; made if it is missing.
    options : ExtractOptions, optional
    networks : ExtractNetworks, optional
        By default what `load_networks` finds.
    request : ExtractRequest, optional
        By default all frames; what is there is kept.
    workers : int
        Threads; 0 = one a core.
    progress : callable, optional
        Called with (frames done, frames to do).
    stop : threading.Event, optional
        When set, frames in work are finished and the rest is left.

    Returns
    -------
    ExtractReport
        A frame that fails stands in `failed` and stops no other.

    Raises
    ------
    UsageError
        Faces of other options, of other frames or of another program are in the folder.
    WorkspaceError
        The folder cannot be written.

    Examples
    --------
    >>> source = FolderFrames(Path("workspace/data_src"))  # doctest: +SKIP
    >>> report = extract_faces(source, "workspace/data_src/aligned")  # doctest: +SKIP
    >>> report.faces, report.failed  # doctest: +SKIP
    (72, [])
    """
    start = time.perf_counter()
    options = options or default(ExtractOptions)
    request = request or ExtractRequest()
    if request.resume + request.overwrite + request.resume_or_trash > 1:
        raise UsageError("--resume, --overwrite and --resume-or-trash exclude each other")
    networks = networks or load_networks(options)
    settings = settings_of(options, networks)
    given = {name: tuple(faces) for name, faces in request.given.items()}
    chosen = chosen_numbers(source.names, request.frames, request.every)
    folders, chosen, request = _divided(Path(output), source, chosen, request)
    make_folder(folders.faces)
    with locked_file(folders.faces / LOCK, doing=WRITING):
        plan = _plan(source, folders, settings, chosen, request, _checksums(given))
        content, redo = plan.content, bool(request.redo)
        run = content.enter({"settings": settings, "source": source.about, "redo": redo})
        work = FrameWork(networks, options, folders, run=run)
        only_look = isinstance(request.shard, Shard) and options.smooth
        report = ExtractReport(folders.faces, done_before=plan.done, notes=list(plan.notes))
        report.left_out.extend(source.left_out)
        _go(
            work,
            lambda journal: _ExtractLoop(
                source, plan, given, report, journal, workers or cores(), progress, stop, only_look
            ),
            content,
        )
    report.records = content.records
    weak = weak_score(networks.detector.name)
    report.coverage = measure_coverage(report.records, weak_below=weak)
    report.seconds = time.perf_counter() - start
    return report


def _go(
    work: FrameWork,
    make_loop: Callable[[ExtractionJournal], _ExtractLoop],
    content: Extraction,
) -> None:
    """Work on all frames, with a journal that is whole afterwards however the work ends."""
    folders = work.folders
    if work.options.debug_images:
        make_folder(folders.debug)
    journal = ExtractionJournal(
        folders.faces, content, before_sync=lambda: sync_folder(folders.faces)
    )
    loop = make_loop(journal)
    try:
        with _modest_opencv():
            loop.go(work)
    finally:
        _finish(folders, content, journal, loop.set_aside)


def _divided(
    output: Path, source: FrameSource, chosen: Sequence[int], request: ExtractRequest
) -> tuple[Folders, list[int], ExtractRequest]:
    """Folders, frames and request of a shard, or of a run that joins shards, or as they are."""
    shard = request.shard
    if isinstance(shard, Shard):
        if request.redo:
            raise UsageError("--redo and --shard exclude each other; join the shards first")
        return Folders(shard_folder(output, shard)), shard.share(chosen), request
    if shard is not None:
        names = [source.names[number - 1] for number in chosen]
        join_shards(output, names, resume=request.resume, overwrite=request.overwrite)
        request = replace(request, overwrite=False, resume_or_trash=False)
    return Folders(output), list(chosen), request


def _plan(
    source: FrameSource,
    folders: Folders,
    settings: Mapping[str, object],
    chosen: Sequence[int],
    request: ExtractRequest,
    given: Mapping[str, int],
) -> ExtractPlan:
    def plan() -> ExtractPlan:
        return make_plan(
            source,
            folders,
            settings,
            chosen,
            resume=request.resume,
            overwrite=request.overwrite,
            redo=request.redo,
            given=given,
        )

    try:
        return plan()
    except NotTheSame as error:
        if not request.resume_or_trash:
            raise
        number = clear(folders, to_trash=True)
        made = plan()
        made.notes.append(f"{error.reason}: {number} faces went to {folders.trash}")
        return made


def _finish(
    folders: Folders, content: Extraction, journal: ExtractionJournal, set_aside: Sequence[str]
) -> None:
    content.frames = {record.name: record for record in assign_tracks(content.records)}
    journal.finish()
    written = {
        face.file: face.sha256
        for record in content.frames.values()
        for face in record.faces
        if face.file and (folders.faces / face.file).exists()
    }
    gone = [name for name in set_aside if not (folders.faces / name).exists()]
    if gone:
        checksums.forget(folders.faces, gone)
    checksums.add(folders.faces, written)


def _checksums(given: Mapping[str, Sequence[GivenFace]]) -> dict[str, int]:
    return {name: checksum_of(faces) for name, faces in given.items()}


def checksum_of(faces: Sequence[GivenFace]) -> int:
    """Checksum of the faces that the user gives for a frame; never 0."""
    tree = [
        (face.box, None if face.landmarks is None else face.landmarks.tolist()) for face in faces
    ]
    return zlib.crc32(json.dumps(tree).encode()) or 1


@dataclass
class _ExtractLoop:
    """Gives frames to the workers and takes their results in order."""

    source: FrameSource
    plan: ExtractPlan
    given: Mapping[str, tuple[GivenFace, ...]]
    report: ExtractReport
    journal: ExtractionJournal
    workers: int
    progress: Progress | None = None
    stop: threading.Event | None = None
    only_look: bool = False
    set_aside: list[str] = field(default_factory=list)
    _smooth: dict[str, FrameRecord] = field(default_factory=dict)
    _done: int = 0
    _total: int = 0

    def go(self, work: FrameWork) -> None:
        """Work on all frames; with ``smooth`` all are looked at before the first is stored."""
        numbers = set(self.plan.numbers)
        if not work.options.smooth:
            self._work(work, numbers, self._store)
            return
        found = self.plan.content.found
        for name in self.plan.suspects:
            found.pop(name, None)
        names = self.source.names
        unknown = {number for number in numbers if names[number - 1] not in found}
        self._total = len(unknown) + len(numbers)
        self._work(replace(work, store=False), unknown, self._look)
        if self.only_look:
            note = "--smooth: the faces of a shard are stored when all shards are joined"
            self.report.notes.append(note)
        elif not self.report.interrupted:
            smooth = smooth_tracks(assign_tracks(list(found.values())))
            self._smooth = {record.name: record for record in smooth}
            known = {number for number in numbers if names[number - 1] in self._smooth}
            self._work(work, known, self._store)

    def _work(
        self, work: FrameWork, numbers: set[int], take: Callable[[FrameResult], None]
    ) -> None:
        if not numbers:
            return
        total = self._total or len(numbers)
        tasks = (self._task(frame) for frame in self._frames(numbers))
        for outcome in ordered(work, tasks, workers=self.workers):
            if outcome.error is not None:
                self._fail(outcome.item.frame.name, outcome.error)
            else:
                result = outcome.get()
                self.report.stage_seconds.update(result.seconds)
                if work.store:
                    self.report.left_out.extend(result.left_out)
                take(result)
            self._done += 1
            if self.progress is not None:
                self.progress(self._done, total)

    def _frames(self, numbers: set[int]) -> Iterator[SourceFrame]:
        for frame in self.source.frames(numbers):
            if self.stop is not None and self.stop.is_set():
                self.report.interrupted = True
                return
            yield frame

    def _task(self, frame: SourceFrame) -> ExtractTask:
        content, given = self.plan.content, self.given.get(frame.name)
        earlier = content.frames.get(frame.name)
        found = self._smooth.get(frame.name)
        suspect = frame.name in self.plan.suspects and found is None
        return ExtractTask(
            frame,
            given=given,
            given_checksum=0 if given is None else checksum_of(given),
            done=earlier if suspect else None,
            before=content.again.get(frame.name) or earlier,
            found=found,
        )

    def _look(self, result: FrameResult) -> None:
        self.report.frames += self.only_look
        if not result.kept:
            self.journal.note_found(result.record)

    def _store(self, result: FrameResult) -> None:
        report = self.report
        report.frames += 1
        report.replaced += len(result.set_aside)
        self.set_aside += result.set_aside
        self.journal.note(result.record)
        if result.kept:
            return
        stored = sum(bool(face.file) for face in result.record.faces)
        report.faces += stored
        report.without_face += not stored

    def _fail(self, name: str, error: Exception) -> None:
        reason = str(error) if isinstance(error, DflTfError) else f"{type(error).__name__}: {error}"
        self.report.failed.append((name, reason.removeprefix(f"{name}: ")))


@contextlib.contextmanager
def _modest_opencv() -> Iterator[None]:
    """Leave the cores to our own threads, and what is wrong with a frame to our own messages."""
    threads, level = cv2.getNumThreads(), cv2.utils.logging.getLogLevel()
    cv2.setNumThreads(1)
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)
        cv2.utils.logging.setLogLevel(level)
