"""The frame loop: files in and out in threads, the network in batches."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, groupby
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from dfl_tf.disk.left_out import LeftOut
from dfl_tf.errors import DflTfError, WorkspaceError
from dfl_tf.face import FaceType
from dfl_tf.jobs.pool import Outcome, ordered
from dfl_tf.jobs.progress import Progress
from dfl_tf.merge.batched import Answer, ask
from dfl_tf.merge.colors import frame_draws
from dfl_tf.merge.crop import FaceCrop
from dfl_tf.merge.destination import Destination, Finished
from dfl_tf.merge.frame import FrameCrops, MergedFrame, lost_of, merge_frame, unmerged_frame
from dfl_tf.merge.networks import MergeNetworks
from dfl_tf.merge.pixels import FramePixels, read_frame
from dfl_tf.merge.plan import MergeTask
from dfl_tf.merge.video_output import MadeVideo

log = logging.getLogger(__name__)


@dataclass
class MergeReport:
    """What a run did; times in seconds, `worker_seconds` is processor time of the workers.

    `deep` and `alpha` count the frames written with 16 bits and with an alpha channel; `left_out`
    what of them could not be kept. `video` is the video that was made instead of images.
    """

    frames: int = 0
    merged: int = 0
    without_face: int = 0
    several_faces: int = 0
    skipped: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)
    deep: int = 0
    alpha: int = 0
    left_out: LeftOut = field(default_factory=LeftOut)
    seconds: float = 0.0
    network_seconds: float = 0.0
    worker_seconds: dict[str, float] = field(default_factory=dict)
    interrupted: bool = False
    video: MadeVideo | None = None


@dataclass(frozen=True)
class MergeRun:
    """How frames are merged.

    Attributes
    ----------
    networks : MergeNetworks
        `segment` and `enhance` are called from the worker threads, for what the networks in
        batches have not answered.
    face_type : FaceType
        Of the model.
    output : Destination
        Folders of images (`Output`), or videos (`VideoOutput`).
    seed : int
        Of the random color transfers; each frame has its own stream.
    workers : int
        Threads that read, compose and write.
    batch : int
        Faces that the network sees at once. Always that many: unused places are zeros, and a face
        has a fixed place, so that a resumed run asks the network for exactly the same.
    keep_going : bool
        Copy a frame that fails unmerged, instead of stopping. A frame that cannot be read never
        stops the others.
    """

    networks: MergeNetworks
    face_type: FaceType
    output: Destination
    seed: int = 0
    workers: int = 1
    batch: int = 4
    keep_going: bool = False


def merge_frames(
    tasks: Sequence[MergeTask],
    run: MergeRun,
    *,
    session: Finished | None = None,
    identity: str = "",
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> MergeReport:
    """Merge frames and write them.

    Parameters
    ----------
    tasks : sequence of MergeTask
    run : MergeRun
    session : Finished, optional
        Started; frames that it knows as finished are skipped, finished ones are noted.
    identity : str
        See `MergeTask.key`.
    progress : callable, optional
        Called with (frames done now, frames to do now).
    stop : threading.Event, optional
        When set, frames in work are finished and the rest is left.

    Raises
    ------
    WorkspaceError
        If a frame fails and `run.keep_going` is not set; at the end if it could not be read.

    References
    ----------
    merge.md 5 and 8.
    """
    start = time.perf_counter()
    loop = _MergeLoop(tasks, run, session, identity, progress, stop or threading.Event())
    with _single_threaded_opencv():
        try:
            loop.go()
        finally:
            if session is not None:
                session.save()
    loop.report.seconds = time.perf_counter() - start
    return loop.report


@contextlib.contextmanager
def _single_threaded_opencv() -> Iterator[None]:
    """Leave the cores to our own threads."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def _failure(name: str, reason: str, more: str = "") -> WorkspaceError:
    return WorkspaceError(
        f"{name}: merging this frame failed ({reason}); --keep-going copies such frames "
        f"unmerged.{more}"
    )


def merge_task(
    task: MergeTask,
    crops: FrameCrops,
    answers: Sequence[Answer],
    networks: MergeNetworks,
    seed: int,
) -> MergedFrame:
    """Merge the faces of a frame, for which the networks have been asked.

    Parameters
    ----------
    task : MergeTask
    crops : FrameCrops
        Their settings hold.
    answers : sequence of Answer
        One for each face.
    networks : MergeNetworks
    seed : int
        Of the random color transfers.
    """
    return merge_frame(
        crops,
        [answer.prediction for answer in answers],
        networks,
        motion=task.motion,
        draws=frame_draws(seed, task.index),
        seen=[answer.seen for answer in answers],
    )


class _Cut(NamedTuple):
    """A frame with what the networks made of its faces, or why it could not be read."""

    task: MergeTask
    crops: FrameCrops | None
    answers: list[Answer]
    error: Exception | None = None


class _MergeLoop:
    def __init__(
        self,
        tasks: Sequence[MergeTask],
        run: MergeRun,
        session: Finished | None,
        identity: str,
        progress: Progress | None,
        stop: threading.Event,
    ):
        self.run, self.session, self.progress, self.stop = run, session, progress, stop
        self.report = MergeReport(frames=len(tasks))
        self._keys: dict[Path, str] = {}
        self._lock = threading.Lock()
        self._chunks: list[list[MergeTask]] = []
        self._todo: set[Path] = set()
        # The groups count all frames, finished ones too, so that faces keep their places.
        for _, group in groupby(tasks, key=lambda task: task.index // run.batch):
            chunk = list(group)
            todo = [task for task in chunk if not self._finished(task, identity)]
            self._todo.update(task.path for task in todo)
            if todo:
                self._chunks.append(chunk)
        self.report.skipped = len(tasks) - len(self._todo)
        self._done = 0

    def _finished(self, task: MergeTask, identity: str) -> bool:
        if self.session is None:
            return False
        key = self._keys[task.path] = task.key(identity)
        return self.session.finished(task.path, key)

    def go(self) -> None:
        run, groups = self.run, max(2, -(-self.run.workers // self.run.batch) + 1)
        with ThreadPoolExecutor(run.workers, thread_name_prefix="merge") as pool:
            share = partial(ordered, workers=run.workers, pool=pool)
            cuts = share(self._cut, chain.from_iterable(self._chunks), ahead=groups * run.batch)
            merged = share(self._merge, self._predicted(cuts), ahead=run.workers + 2 * run.batch)
            with closing(cuts), closing(merged):
                for outcome in merged:
                    self._collect(outcome)
        self._end()

    def _predicted(self, cuts: Iterator[Outcome[MergeTask, FrameCrops | None]]) -> Iterator[_Cut]:
        """Show all faces of a group to the networks, and give its frames out for composing."""
        for chunk in self._chunks:
            if self.stop.is_set():
                self.report.interrupted = True
                return
            read = [next(cuts) for _ in chunk]
            places: list[FaceCrop | None] = []
            for task, frame, _ in read:
                places += [None] * len(task.faces) if frame is None else frame.crops
            before = time.perf_counter()
            answers = ask(places, self.run.networks, self.run.batch)
            self.report.network_seconds += time.perf_counter() - before
            at = 0
            for task, frame, error in read:
                mine = [a for a in answers[at : at + len(task.faces)] if a is not None]
                at += len(task.faces)
                if frame is not None or error is not None:
                    yield _Cut(task, frame, mine, error)

    def _collect(self, outcome: Outcome[_Cut, object]) -> None:
        task = outcome.item.task
        if outcome.error is not None:
            unreadable = isinstance(outcome.item.error, WorkspaceError)
            self._fail(task, outcome.error, unreadable=unreadable)
            return
        self.run.output.take(task.path, outcome.result)
        if not task.faces:
            self.report.without_face += 1
        else:
            self.report.merged += 1
            self.report.several_faces += len(task.faces) > 1
        self._step()

    def _fail(self, task: MergeTask, error: Exception, *, unreadable: bool) -> None:
        reason = str(error) if isinstance(error, DflTfError) else f"{type(error).__name__}: {error}"
        output = self.run.output
        if not self.run.keep_going and (output.needs_all or not unreadable):
            raise _failure(task.path.name, reason) from error
        self.report.failed.append((task.path.name, reason))
        try:
            frame = read_frame(task.path, output.depth)
        except DflTfError:
            instead = "the frame before stands for it" if output.needs_all else "nothing is written"
            log.warning("%s: cannot be read, %s", task.path.name, instead)
            output.take(task.path, None)
        else:
            log.warning("%s: left unmerged (%s)", task.path.name, reason)
            plain = unmerged_frame(frame, task.settings, self.run.networks.size)
            output.take(task.path, output.make(task.path, plain))
        self._step()

    def _end(self) -> None:
        """Report frames that could not be read, after all the others."""
        if self.report.failed and not self.run.keep_going and not self.report.interrupted:
            more = len(self.report.failed) - 1
            others = f" So did {more} others." if more else ""
            raise _failure(
                *self.report.failed[0], f"{others} All frames that can be read are done."
            )

    def _step(self) -> None:
        self._done += 1
        if self.progress is not None:
            self.progress(self._done, len(self._todo))

    def _cut(self, task: MergeTask) -> FrameCrops | None:
        if task.path not in self._todo:
            return None
        start = time.thread_time()
        frame = read_frame(task.path, self.run.output.depth)
        read = time.thread_time()
        self._note(frame, task)
        cut = FrameCrops(
            frame, task.faces, task.settings, self.run.face_type, self.run.networks.size
        )
        self._count(read=read - start, crop=time.thread_time() - read)
        return cut

    def _merge(self, cut: _Cut) -> object:
        start, task = time.thread_time(), cut.task
        if cut.crops is None:
            assert cut.error is not None
            raise cut.error
        merged = merge_task(task, cut.crops, cut.answers, self.run.networks, self.run.seed)
        composed = time.thread_time()
        made = self.run.output.make(task.path, merged)
        if self.session is not None:
            self.session.note(task.path, self._keys[task.path], made)
        self._count(compose=composed - start, write=time.thread_time() - composed)
        return made

    def _note(self, frame: FramePixels, task: MergeTask) -> None:
        with self._lock:
            holds_alpha = self.run.output.holds_alpha
            self.report.deep += frame.dtype == np.uint16
            self.report.alpha += frame.alpha is not None and holds_alpha
            faces = len(task.faces)
            for kind in lost_of(frame, task.settings, faces, holds_alpha=holds_alpha):
                self.report.left_out.add(kind, task.path.name)

    def _count(self, **seconds: float) -> None:
        with self._lock:
            for stage, spent in seconds.items():
                total = self.report.worker_seconds
                total[stage] = total.get(stage, 0.0) + spent
