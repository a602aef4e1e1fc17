"""`dfl-tf merge`: from a trained model and frames to finished frames."""

from __future__ import annotations

import json
import threading
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dfl_tf.cli.from_options import CommandInputs, OptionCommand, option_flags
from dfl_tf.cli.merge_settings import describe_session, frame_settings
from dfl_tf.cli.model_choice import class_option
from dfl_tf.cli.shard_flag import shard_flag
from dfl_tf.cli.sheet_flags import sheet_flags, sheet_request
from dfl_tf.cli.speaking import WordChoice
from dfl_tf.cli.stopping import stopping
from dfl_tf.cli.video_flags import BITRATE, encoding_flags
from dfl_tf.errors import UsageError
from dfl_tf.jobs.progress import ProgressBar
from dfl_tf.jobs.shard import Sharding
from dfl_tf.merge.image_format import BITS, ImageFormat
from dfl_tf.merge.job import (
    MergeFolders,
    MergeRequest,
    advice_on,
    find_folders,
    open_model,
    plan_tasks,
    run_merge,
)
from dfl_tf.merge.opening import MergeModel
from dfl_tf.merge.plan import MergeTask
from dfl_tf.merge.run import MergeReport
from dfl_tf.merge.sheet import SheetRequest, draw_sheet
from dfl_tf.merge.video_output import MadeVideo, VideoTarget
from dfl_tf.options import MergeOptions, RunOptions, XSegOptions, default
from dfl_tf.video.places import find_reference
from dfl_tf.video.pyav import find_video
from dfl_tf.video.timestamps import parse_rate
from dfl_tf.video.write import Encoding

if TYPE_CHECKING:
    from dfl_tf.models.base import FaceModel

PATH = click.Path(path_type=Path)


@click.command(cls=OptionCommand)
@click.argument("workspace", type=PATH, required=False)
@class_option("One that swaps faces; default: that of the model saved last.")
@click.option(
    "--name",
    "--force-model-name",
    "name",
    metavar="NAME",
    help="Model to use; default: the one saved last.",
)
@click.option(
    "--snapshot",
    default="",
    metavar="SNAPSHOT|NUMBER|FOLDER",
    help="Use a snapshot or a backup of the model instead; dfl-tf model snapshots lists them. "
    "Default: the model itself.",
)
@click.option(
    "--ema", is_flag=True, help="The averaged weights of a model that is trained with ema."
)
@click.option("--frames-dir", type=PATH, help="Frames; default WORKSPACE/data_dst.")
@click.option(
    "--aligned-dir", type=PATH, help="Aligned faces of the frames; default: their folder's aligned."
)
@click.option("--model-dir", type=PATH, help="Folder of model files; default WORKSPACE/model.")
@click.option("--output-dir", type=PATH, help="Default: merged in the folder of frames.")
@click.option("--output-mask-dir", type=PATH, help="Default: merged_mask there.")
@click.option(
    "--frames",
    default="",
    metavar="A:B",
    help="Only these frames, counted from 1, both included; default: all.",
)
@click.option(
    "--frame-config",
    type=PATH,
    help="YAML of settings for single frames: name or A:B with options.",
)
@click.option(
    "--session",
    "legacy_session",
    type=PATH,
    help="Settings of a <model>_merger_session.dat of DeepFaceLab; --print-options shows them.",
)
@click.option("--resume", is_flag=True, help="Continue: finished frames are kept.")
@click.option("--overwrite", is_flag=True, help="Start over: existing merged frames are deleted.")
@click.option(
    "--keep-going",
    is_flag=True,
    help="Copy frames that fail unmerged and continue; exit code 1 at the end.",
)
@sheet_flags
@click.option(
    "--format",
    "kind",
    type=WordChoice(list(BITS)),
    default="png",
    show_default=True,
    help="Kind of the merged images; tif is not compressed, and the quickest to write.",
)
@click.option(
    "--level",
    type=int,
    metavar="N",
    help="Of png: compression, 0 to 9 (default: 1); of jpg: quality, 1 to 100 (default: 95).",
)
@click.option(
    "--bits",
    type=WordChoice(["8", "16"]),
    help="Bits of a color in merged images; default: those of each frame.",
)
@click.option(
    "--video",
    type=PATH,
    metavar="FILE",
    help="Encode merged frames into this video, and their masks into another; no images are made.",
)
@click.option(
    "--reference",
    type=PATH,
    help="Video whose times and sound the one of --video gets; default WORKSPACE/data_dst.*.",
)
@encoding_flags
@click.option(
    "--enhancer",
    type=PATH,
    metavar="FILE",
    help="ONNX network for super resolution: (n,h,w,3) to four times the side.",
)
@click.option(
    "--provenance/--no-provenance",
    default=True,
    show_default=True,
    help="Note in every image that it is composited, and by which model.",
)
@click.option(
    "--workers",
    type=click.IntRange(0),
    default=0,
    metavar="N",
    help="Threads for reading, composing and writing; 0: one a core.",
)
@click.option(
    "--batch",
    type=click.IntRange(1),
    default=4,
    show_default=True,
    metavar="N",
    help="Faces that the network sees at once.",
)
@click.option(
    "--seed",
    type=int,
    default=0,
    show_default=True,
    help="Of the random color transfers idt, sot and mix.",
)
@click.option("--cpu", is_flag=True, help="Use no GPU.")
@click.option(
    "--devices",
    default="",
    metavar="N",
    help="GPU to use; default: the one with the most free memory.",
)
@click.option(
    "--threads",
    type=click.IntRange(0),
    default=0,
    metavar="N",
    help="Threads of TensorFlow; 0: all cores.",
)
@shard_flag
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.option(
    "--advice/--no-advice", default=True, show_default=True, help="Remark on unusual settings."
)
@option_flags(MergeOptions)
def command(inputs: CommandInputs, **given: Any) -> int:
    """Put the predicted faces into the frames of WORKSPACE.

    Reads WORKSPACE/data_dst and data_dst/aligned, asks the model and writes data_dst/merged and
    data_dst/merged_mask, or a video. Each folder can be given by its own flag instead.
    """
    line = MergeLine(inputs=inputs, **given)
    request = line.request()
    sheet = line.sheet_request()
    if line.legacy_session is not None and inputs.print_options:
        plan = frame_settings(inputs, line.legacy_session, line.frame_config)
        click.echo(json.dumps(describe_session(plan), indent=1))
        return 0
    with inputs.errors_besides(MergeOptions):
        folders = find_folders(request)
    inputs.resolve(MergeOptions)  # tells all errors at once; obeys --print-options
    settings = frame_settings(inputs, line.legacy_session, line.frame_config)
    tasks = plan_tasks(request, folders, settings.resolve, partial(click.echo, err=True))
    for remark in advice_on(tasks) if line.advice and sheet is None else ():
        click.echo(f"advice: {remark}", err=True)
    further = () if sheet is None else sheet.settings(tasks)
    opened = open_model(request, folders, tasks, line.load, further=further)
    if sheet is not None:
        _draw_sheet(line, sheet, opened, tasks)
        return 0
    request = replace(request, video=line.video_target(folders))
    report, code = _run(line, request, folders, opened, tasks)
    _tell(line, folders, opened, report)
    return code


@dataclass(frozen=True)
class MergeLine:
    """All that the command line says."""

    inputs: CommandInputs
    workspace: Path | None
    model_class: str | None
    name: str | None
    snapshot: str
    ema: bool
    frames_dir: Path | None
    aligned_dir: Path | None
    model_dir: Path | None
    output_dir: Path | None
    output_mask_dir: Path | None
    frames: str
    frame_config: Path | None
    legacy_session: Path | None
    resume: bool
    overwrite: bool
    keep_going: bool
    sheet: Path | None
    sheet_modes: str
    sheet_masks: str
    sheet_size: int
    sweep: tuple[str, ...]
    sheet_count: int
    kind: str
    level: int | None
    bits: str | None
    video: Path | None
    reference: Path | None
    rate: str
    audio: bool
    lossless: bool
    bitrate: float
    enhancer: Path | None
    provenance: bool
    workers: int
    batch: int
    seed: int
    cpu: bool
    devices: str
    threads: int
    shard: Sharding
    as_json: bool
    advice: bool

    def request(self) -> MergeRequest:
        """What of it the job is given."""
        given = {
            each.name: getattr(self, each.name)
            for each in fields(MergeRequest)
            if each.name not in ("format", "video")
        }
        form = ImageFormat(self.kind, self.level, int(self.bits or 0))
        return MergeRequest(**given, format=form)

    def video_target(self, folders: MergeFolders) -> VideoTarget | None:
        """Return what it says about a video, if it asks for one.

        Raises
        ------
        UsageError
            It says something about a video, but asks for none.
        """
        if self.video is None:
            of_videos = [
                name
                for name, given in (
                    ("--reference", self.reference),
                    ("--fps", self.rate),
                    ("--no-audio", not self.audio),
                    ("--lossless", self.lossless),
                    ("--bitrate", self.bitrate != BITRATE),
                )
                if given
            ]
            if of_videos:
                raise UsageError(f"{', '.join(of_videos)}: only with --video FILE")
            return None
        rate, reference = parse_rate(self.rate), self.reference
        if reference is None:
            reference = find_reference(folders.root)
        else:
            reference, rate = find_video(reference), None
        encoding = Encoding(self.bitrate, self.lossless)
        return VideoTarget(self.video, reference, rate, self.audio, encoding)

    def sheet_request(self) -> SheetRequest | None:
        """What it says about a sheet, if it asks for one."""
        return sheet_request(
            self.sheet,
            sweeps=self.sweep,
            modes=self.sheet_modes,
            masks=self.sheet_masks,
            count=self.sheet_count,
            cell=self.sheet_size,
        )

    def load(self, folder: Path, name: str, model_class: str) -> FaceModel:
        """Open a model on the devices of this line."""
        from dfl_tf.api import load_model

        run = default(RunOptions, cpu=self.cpu, devices=self.devices, threads=self.threads)
        ema = self.ema and model_class != XSegOptions.NAME
        return load_model(folder, name, model_class, training=False, run=run, ema=ema)


def _run(
    line: MergeLine,
    request: MergeRequest,
    folders: MergeFolders,
    opened: MergeModel,
    tasks: list[MergeTask],
) -> tuple[MergeReport, int]:
    if not line.provenance:
        what = "images do not say how they were"
        if line.video is not None:
            what = "the video does not say how it was"
        click.echo(f"provenance: switched off, {what} made", err=True)
    stop = threading.Event()
    with stopping(stop) as received, ProgressBar("merge", "frames") as step:
        report = run_merge(request, folders, opened, tasks, progress=step, stop=stop)
    if report.interrupted:
        click.echo("interrupted; --resume continues from here", err=True)
        return report, 128 + received[0] if received else 130
    return report, 1 if report.failed else 0


def _where(line: MergeLine, folders: MergeFolders) -> dict[str, str | None]:
    images = line.video is None
    return {
        "output": str(folders.images) if images else None,
        "masks": str(folders.masks) if images else None,
    }


def _video_facts(made: MadeVideo) -> dict[str, object]:
    return {
        "path": str(made.paths[0]),
        "masks": str(made.paths[1]),
        "frames": made.frames,
        "rate": str(made.rate),
        "audio": made.audio,
    }


def _draw_sheet(
    line: MergeLine, request: SheetRequest, opened: MergeModel, tasks: list[MergeTask]
) -> None:
    if not line.provenance:
        click.echo("provenance: switched off, the sheet does not say how it was made", err=True)
    with ProgressBar("sheet", "frames") as step:
        draw_sheet(
            request,
            tasks,
            opened.networks,
            opened.face_type,
            seed=line.seed,
            packet=opened.provenance().packet() if line.provenance else None,
            progress=step,
        )
    click.echo(str(request.file))


def _tell(line: MergeLine, folders: MergeFolders, opened: MergeModel, report: MergeReport) -> None:
    if line.as_json:
        about = {
            "model": opened.name,
            "model_class": opened.model_class,
            "iteration": opened.iteration,
            **_where(line, folders),
            "provenance": line.provenance,
        }
        facts = asdict(replace(report, video=None)) | {"left_out": report.left_out.as_dict()}
        made = None if report.video is None else _video_facts(report.video)
        click.echo(json.dumps(about | facts | {"video": made}, indent=1))
        return
    done = report.merged + report.without_face
    speed = done / report.seconds if report.seconds else 0.0
    click.echo(
        f"{report.merged} frames merged, {report.without_face} without a face, "
        f"{report.skipped} were finished, {speed:.1f} frames/s"
        f"{f': {folders.images}' if line.video is None else ''}"
    )
    if report.video is not None:
        video = report.video
        sound = "with sound" if video.audio else "without sound"
        click.echo(f"{video.frames} frames, {video.rate} a second, {sound}: {video.paths[0]}")
        click.echo(f"their masks: {video.paths[1]}")
    if report.deep and line.video is None:
        click.echo(f"{report.deep} merged frames and their masks have 16 bits")
    if report.alpha:
        click.echo(f"the alpha channel of {report.alpha} frames is carried over")
    for omitted in report.left_out.lines(see="the same command with --json"):
        click.echo(omitted, err=True)
    for name, reason in report.failed:
        click.echo(f"failed: {name}: {reason}", err=True)
