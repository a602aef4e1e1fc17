"""Merging as one job: places, plan, networks, run; what `dfl-tf merge` and `dfl_tf.merge` share."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from dfl_tf_ops.process import cores

from dfl_tf.disk.durable import sha256_of
from dfl_tf.errors import UsageError, WorkspaceError
from dfl_tf.formats.sessions.workspace import Workspace
from dfl_tf.jobs.progress import Progress
from dfl_tf.jobs.shard import Shard, Sharding
from dfl_tf.merge.destination import Destination
from dfl_tf.merge.image_format import ImageFormat
from dfl_tf.merge.landmarks import read_frame_faces
from dfl_tf.merge.opening import LoadModel, MergeModel, MergeModels, open_networks
from dfl_tf.merge.output import Output
from dfl_tf.merge.plan import MergeTask, list_frames, plan_frames, select
from dfl_tf.merge.provenance import video_tags
from dfl_tf.merge.run import MergeReport, MergeRun, merge_frames
from dfl_tf.merge.session import MergeJournal
from dfl_tf.merge.shards import forget_shards, joined_frames, shard_session, shard_tasks
from dfl_tf.merge.video_output import VideoOutput, VideoTarget
from dfl_tf.options import MergeOptions
from dfl_tf.options.advice import RunFacts, remarks

SettingsOf = Callable[[list[Path]], Sequence[MergeOptions]]
"""Paths of the frames to the options of each."""

Say = Callable[[str], None]


def quiet(line: str) -> None:
    """Say nothing."""


@dataclass(frozen=True)
class MergeRequest:
    """What is merged, with which model, and where it goes.

    Attributes
    ----------
    workspace : Path or None
        Gives every folder that is not named by itself.
    model_class, name : str or None
        Which model; without them the one that was saved last.
    frames_dir, aligned_dir, model_dir, output_dir, output_mask_dir : Path or None
    snapshot : str
        Take a snapshot or a backup of the model instead: its name, number or folder.
    ema : bool
        Take the averaged weights of the model.
    frames : str
        ``A:B``: only these frames, counted from 1, both included; empty: all.
    resume, overwrite : bool
        Go on with an earlier run; replace its output.
    keep_going : bool
        Copy a frame that fails unmerged and go on.
    enhancer : Path or None
        ONNX network for super resolution.
    format : ImageFormat
        Kind of the images.
    video : VideoTarget or None
        Make this video, and no images.
    provenance : bool
        Note in every image, or in the video, that it is composited.
    workers : int
        Threads; 0: one a core.
    batch : int
        Faces that the network sees at once.
    seed : int
        Of the random color transfers.
    shard : Shard, "join" or None
        Merge one of several parts of the frames, or join the parts (`merge.shards`).
    """

    workspace: Path | None = None
    model_class: str | None = None
    name: str | None = None
    snapshot: str = ""
    ema: bool = False
    frames_dir: Path | None = None
    aligned_dir: Path | None = None
    model_dir: Path | None = None
    output_dir: Path | None = None
    output_mask_dir: Path | None = None
    frames: str = ""
    resume: bool = False
    overwrite: bool = False
    keep_going: bool = False
    enhancer: Path | None = None
    format: ImageFormat = field(default_factory=ImageFormat)
    video: VideoTarget | None = None
    provenance: bool = True
    workers: int = 0
    batch: int = 4
    seed: int = 0
    shard: Sharding = None

    def __post_init__(self) -> None:
        if self.resume and self.overwrite:
            raise UsageError("--resume and --overwrite exclude each other")
        if self.shard == "join" and self.overwrite:
            raise UsageError("--shard join replaces nothing; give --overwrite to the shards")


@dataclass(frozen=True)
class MergeFolders:
    """The folders of one run."""

    root: Path
    frames: Path
    aligned: Path
    model: Path
    images: Path
    masks: Path


def find_folders(request: MergeRequest) -> MergeFolders:
    """The folders of a request.

    Raises
    ------
    UsageError, WorkspaceError
        One is missing, or two are the same.
    """
    if request.workspace is None and (request.frames_dir is None or request.model_dir is None):
        raise UsageError("give WORKSPACE, or --frames-dir and --model-dir")
    if request.workspace is not None:
        root = request.workspace
        found = Workspace.open(root, dst=request.aligned_dir, model=request.model_dir, need=())
        root, aligned, model = found.root, found.dst, found.model
        frames = request.frames_dir or found.dst_frames
        if request.frames_dir is not None and request.aligned_dir is None:
            aligned = frames / "aligned"
    else:
        assert request.frames_dir is not None
        assert request.model_dir is not None
        frames, model = request.frames_dir, request.model_dir
        root, aligned = frames.parent, request.aligned_dir or frames / "aligned"
    beside = aligned if aligned.is_dir() else aligned.parent
    found_folders = MergeFolders(
        root,
        frames,
        aligned,
        model,
        request.output_dir or frames / "merged",
        request.output_mask_dir or frames / "merged_mask",
    )
    folders = [
        p.resolve()
        for p in (found_folders.images, found_folders.masks, found_folders.frames, beside)
    ]
    if len(set(folders[:2])) < 2 or set(folders[:2]) & set(folders[2:]):
        raise UsageError(
            "frames, aligned faces, merged frames and masks must be in four different folders; "
            f"received {', '.join(str(folder) for folder in folders)}"
        )
    return found_folders


def plan_tasks(
    request: MergeRequest, places: MergeFolders, settings_of: SettingsOf, say: Say = quiet
) -> list[MergeTask]:
    """Which frames are merged, with which faces and options.

    Raises
    ------
    WorkspaceError
        No face belongs to a frame.
    """
    beside = (places.aligned, places.images, places.masks)
    paths = list_frames(places.frames, [p.name for p in beside if p.parent == places.frames])
    settings = settings_of(paths)
    faces = read_frame_faces(places.aligned)
    missing = faces.without_frame(paths)
    tasks = plan_frames(paths, faces, lambda i, _: settings[i])
    if not any(task.faces for task in tasks):
        raise WorkspaceError(
            f"{places.aligned}: nothing to merge: none of its faces belongs to a frame in "
            f"{places.frames}; {', '.join(missing.lines())}. Extract the faces of these frames, or "
            "name the right folders by --frames-dir and --aligned-dir."
        )
    for line in missing.lines():
        say(f"{places.aligned}: {line}")
    several = sum(len(task.faces) > 1 for task in tasks)
    if several:
        say(
            f"{several} frames contain several faces. All faces will be merged; motion blur is "
            "disabled."
        )
    return select(tasks, request.frames) if request.frames else tasks


def advice_on(tasks: Sequence[MergeTask]) -> list[str]:
    """Remarks on the options of a merge (`dfl_tf.options.advice`)."""
    frames = Counter(task.settings.color_transfer_mode for task in tasks if task.faces)
    found = [
        remarks(RunFacts(options={"color_transfer_mode": mode}, stored={}, frames=count))
        for mode, count in frames.items()
    ]
    return [text for each in found for text in each.values()]


def models_of(request: MergeRequest, places: MergeFolders, load: LoadModel) -> MergeModels:
    """The models of a request, none of them loaded yet.

    Raises
    ------
    UsageError, ModelFileError
        No such model.
    """
    return MergeModels(
        places.model,
        load,
        name=request.name,
        model_class=request.model_class,
        snapshot=request.snapshot,
        enhancer=request.enhancer,
    )


def open_model(
    request: MergeRequest,
    places: MergeFolders,
    tasks: Sequence[MergeTask],
    load: LoadModel,
    *,
    further: Collection[MergeOptions] = (),
) -> MergeModel:
    """Load the model, and XSeg and the enhancer if any frame needs them.

    Parameters
    ----------
    load : callable
    further : collection of MergeOptions
        Settings that are wanted beside those of the tasks.

    Raises
    ------
    UsageError, ModelFileError, WorkspaceError
        No such model, or a network that a frame needs is missing.
    """
    return open_networks(models_of(request, places, load), tasks, further=further)


def run_merge(
    request: MergeRequest,
    places: MergeFolders,
    opened: MergeModel,
    tasks: Sequence[MergeTask],
    *,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> MergeReport:
    """Merge the frames.

    Parameters
    ----------
    progress : callable, optional
        Gets the numbers of frames done and to do.
    stop : threading.Event, optional
        Once it is set the run ends after the frames in work; `resume` goes on from there.
    """
    packet = opened.provenance().packet() if request.provenance else None
    identity = _identity(request, opened, packet)
    if request.video is not None:
        return _run_video(request, places, opened, tasks, identity, progress, stop)
    output = Output(places.images, places.masks, packet, request.format)
    tasks, session = _begin(request, places, opened, tasks, output)
    run = _run_of(request, opened, output)
    return merge_frames(
        tasks, run, session=session, identity=identity, progress=progress, stop=stop
    )


def _identity(request: MergeRequest, opened: MergeModel, packet: bytes | None) -> str:
    """What is the same for all frames, and their results depend on."""
    form = request.format
    return json.dumps(
        [
            opened.checksum,
            opened.face_type.legacy,
            request.seed,
            request.batch,
            "" if request.enhancer is None else sha256_of(request.enhancer),
            None if packet is None else packet.decode(),
            *([] if form == ImageFormat() else [asdict(form)]),
        ]
    )


def _begin(
    request: MergeRequest,
    places: MergeFolders,
    opened: MergeModel,
    tasks: Sequence[MergeTask],
    output: Output,
) -> tuple[Sequence[MergeTask], MergeJournal]:
    """The frames of this run and their session, begun; the folders are ready."""
    settings, shard = asdict(tasks[0].settings), request.shard
    path = places.model / f"{opened.name}_{opened.model_class}_merge_session.json"
    joined: dict[str, dict[str, object]] = {}
    resume = request.resume or shard == "join"
    if isinstance(shard, Shard):
        tasks = shard_tasks(tasks, shard, request.batch)
    elif shard is not None:
        joined = joined_frames(path, tasks, request.batch, resume=request.resume)
    apart = isinstance(shard, Shard)
    frames = [task.path for task in tasks]
    output.prepare(
        resume=resume,
        overwrite=request.overwrite,
        keep=bool(request.frames) or apart,
        frames=frames,
        apart=apart,
    )
    about = {
        "model": opened.name,
        "model_class": opened.model_class,
        "iteration": opened.iteration,
        "weights": opened.checksum,
        "frames_dir": str(places.frames),
        "output_dir": str(places.images),
        "seed": request.seed,
        "provenance": request.provenance,
        "settings": settings,
    }
    session = MergeJournal(
        shard_session(path, shard) if isinstance(shard, Shard) else path, about, output
    )
    if request.frames and not resume:
        session.start(resume=True, redo=frames)
    else:
        session.start(resume=resume, joined=joined)
    if shard == "join":
        forget_shards(path)
    return tasks, session


def _run_of(request: MergeRequest, opened: MergeModel, output: Destination) -> MergeRun:
    return MergeRun(
        opened.networks,
        opened.face_type,
        output,
        request.seed,
        request.workers or cores(),
        request.batch,
        request.keep_going,
    )


def _run_video(
    request: MergeRequest,
    places: MergeFolders,
    opened: MergeModel,
    tasks: Sequence[MergeTask],
    identity: str,
    progress: Progress | None,
    stop: threading.Event | None,
) -> MergeReport:
    """Merge the frames into a video."""
    target = request.video
    assert target is not None
    if request.shard is not None:
        raise UsageError(
            "--shard merges into images; make the video of them when they are joined "
            "(dfl-tf video merge)"
        )
    if request.format != ImageFormat():
        raise UsageError("--format, --level and --bits are of images; --video writes none")
    if request.provenance:
        tags = video_tags(opened.provenance().fields)
        target = replace(target, encoding=replace(target.encoding, tags=tags))
    output = VideoOutput(
        target,
        [task.path for task in tasks],
        [task.index for task in tasks],
        [task.key(identity) for task in tasks],
        places.model / f"{opened.name}_{opened.model_class}_merge_video.json",
    )
    made = output.prepare(resume=request.resume, overwrite=request.overwrite)
    if made is not None:
        return MergeReport(frames=len(tasks), skipped=len(tasks), video=made)
    run = _run_of(request, opened, output)
    report = merge_frames(
        tasks, run, session=output, identity=identity, progress=progress, stop=stop
    )
    if not report.interrupted:
        report.video = output.finish()
    return report
