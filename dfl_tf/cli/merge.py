"""`dfl-tf merge`: from a trained model and frames to finished frames."""

from __future__ import annotations

import json
import logging
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
from dfl_tf_ops.process import cores

from dfl_tf.cli.from_options import OptionCommand, OptionInputs, option_flags
from dfl_tf.cli.merge_settings import describe_session, frame_settings
from dfl_tf.cli.stopping import stopping
from dfl_tf.cli.video import Progress, VideoSource, find_reference, make_video, summary
from dfl_tf.disk.durable import make_folder_for, sha256_of, write_file
from dfl_tf.errors import UsageError, WorkspaceError
from dfl_tf.face import FaceType
from dfl_tf.formats import find_models
from dfl_tf.formats.workspace import Workspace
from dfl_tf.imaging import encode_image
from dfl_tf.merge.compose import Networks
from dfl_tf.merge.enhancer import load_enhancer
from dfl_tf.merge.landmarks import read_frame_faces
from dfl_tf.merge.output import Output
from dfl_tf.merge.plan import FrameTask, list_frames, plan_frames, select
from dfl_tf.merge.predictor import networks_of, weights_checksum
from dfl_tf.merge.provenance import Provenance, embed
from dfl_tf.merge.run import MergeReport, Run, merge_frames
from dfl_tf.merge.session import MergeSession
from dfl_tf.merge.sheet import contact_sheet
from dfl_tf.options import MergeOptions, RunOptions, default
from dfl_tf.options.merge import MASK_MODES, MODES
from dfl_tf.video.write import Encoding

log = logging.getLogger(__name__)

PATH = click.Path(path_type=Path)
MODEL_CLASSES = ("SAEHD", "AMP", "Quick96")
SHEET_SUFFIXES = (".jpg", ".jpeg", ".png")
SHEET_MODES = "overlay,hist-match,seamless,seamless-hist-match"
SHEET_MASKS = "dst,learned-prd,learned-dst,learned-prd*learned-dst"


@dataclass(frozen=True)
class Opened:
    """A model ready for merging, and what is said about it."""

    name: str
    model_class: str
    iteration: int
    face_type: FaceType
    networks: Networks
    checksum: str


@click.command(cls=OptionCommand)
@click.argument("workspace", type=PATH, required=False)
@click.option(
    "--model",
    "model_class",
    metavar="CLASS",
    help="SAEHD, AMP or Quick96; default: that of the model saved last.",
)
@click.option(
    "--name",
    "--force-model-name",
    "name",
    metavar="NAME",
    help="Model to use; default: the one saved last.",
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
    "wanted",
    default="",
    metavar="A:B",
    help="Only these frames, counted from 1, both included.",
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
@click.option("--resume", is_flag=True, help="Go on: frames that are finished stay.")
@click.option("--overwrite", is_flag=True, help="Start anew: merged frames that are there go.")
@click.option(
    "--keep-going",
    is_flag=True,
    help="Copy a frame that fails unmerged and go on; exit code 1 at the end.",
)
@click.option(
    "--sheet",
    type=PATH,
    metavar="FILE",
    help="Only draw a sheet of frames × modes × mask modes, .jpg or .png.",
)
@click.option("--sheet-modes", default=SHEET_MODES, show_default=True, metavar="LIST")
@click.option("--sheet-masks", default=SHEET_MASKS, show_default=True, metavar="LIST")
@click.option(
    "--sheet-count",
    type=click.IntRange(1),
    default=3,
    show_default=True,
    help="Frames on the sheet, spread over those chosen.",
)
@click.option(
    "--video",
    type=PATH,
    metavar="FILE",
    help="Make a video as well, timed and with sound as WORKSPACE/data_dst.*.",
)
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
    help="Note in every picture that it is composited, and by which model.",
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
@click.option("--devices", default="", metavar="N", help="GPU to use.")
@click.option(
    "--threads",
    type=click.IntRange(0),
    default=0,
    metavar="N",
    help="Threads of TensorFlow; 0: all cores.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@option_flags(MergeOptions)
def command(inputs: OptionInputs, **given: Any) -> int:
    """Put the predicted faces into the frames of WORKSPACE.

    Reads WORKSPACE/data_dst and data_dst/aligned, asks the model and writes data_dst/merged and
    data_dst/merged_mask. Each folder can be given by its own flag instead.
    """
    request = Request(inputs=inputs, **given)
    if request.resume and request.overwrite:
        raise UsageError("--resume and --overwrite exclude each other")
    if request.sheet is not None:
        _check_sheet(request, request.sheet)
    if request.legacy_session is not None and inputs.print_options:
        plan = frame_settings(inputs, request.legacy_session, request.frame_config)
        click.echo(json.dumps(describe_session(plan), indent=1))
        return 0
    places = _places(request)
    tasks = _plan(request, places)
    opened = open_model(request, places, tasks)
    if request.sheet is not None:
        _draw_sheet(request, request.sheet, opened, tasks)
        return 0
    report, code = _run(request, places, opened, tasks)
    if code == 0 and request.video is not None:
        _make_video(request, places)
    _tell(request, places, opened, report)
    return code


@dataclass(frozen=True)
class Request:
    """All that the command line says."""

    inputs: OptionInputs
    workspace: Path | None
    model_class: str | None
    name: str | None
    frames_dir: Path | None
    aligned_dir: Path | None
    model_dir: Path | None
    output_dir: Path | None
    output_mask_dir: Path | None
    wanted: str
    frame_config: Path | None
    legacy_session: Path | None
    resume: bool
    overwrite: bool
    keep_going: bool
    sheet: Path | None
    sheet_modes: str
    sheet_masks: str
    sheet_count: int
    video: Path | None
    enhancer: Path | None
    provenance: bool
    workers: int
    batch: int
    seed: int
    cpu: bool
    devices: str
    threads: int
    as_json: bool


@dataclass(frozen=True)
class Places:
    """The folders of one run."""

    root: Path
    frames: Path
    aligned: Path
    model: Path
    images: Path
    masks: Path


def _places(request: Request) -> Places:
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
    places = Places(
        root,
        frames,
        aligned,
        model,
        request.output_dir or frames / "merged",
        request.output_mask_dir or frames / "merged_mask",
    )
    folders = [p.resolve() for p in (places.images, places.masks, places.frames, beside)]
    if len(set(folders[:2])) < 2 or set(folders[:2]) & set(folders[2:]):
        raise UsageError(
            "frames, aligned faces, merged frames and masks must be in four different folders; "
            f"received {', '.join(str(folder) for folder in folders)}"
        )
    return places


def _plan(request: Request, places: Places) -> list[FrameTask]:
    request.inputs.resolve(MergeOptions)  # tells all faults at once; obeys --print-options
    beside = (places.aligned, places.images, places.masks)
    paths = list_frames(places.frames, [p.name for p in beside if p.parent == places.frames])
    plan = frame_settings(request.inputs, request.legacy_session, request.frame_config)
    settings = plan.resolve(paths)
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
        click.echo(f"{places.aligned}: {line}", err=True)
    several = sum(len(task.faces) > 1 for task in tasks)
    if several:
        click.echo(
            f"{several} frames hold several faces: all are merged, motion blur is off", err=True
        )
    return select(tasks, request.wanted) if request.wanted else tasks


def open_model(request: Request, places: Places, tasks: list[FrameTask]) -> Opened:
    """Load the model, and XSeg and the enhancer if any frame needs them."""
    masks = {task.settings.mask_mode for task in tasks}
    if request.sheet is not None:
        masks |= set(_names(request.sheet_masks))
    name, model_class = _choose(request, places.model)
    needs_xseg = any("XSeg" in mode for mode in masks)
    if needs_xseg and not find_models(places.model, "XSeg"):
        raise WorkspaceError(
            f"{places.model}: holds no XSeg model (XSeg_256.npy), which the mask mode "
            f"{', '.join(sorted(m for m in masks if 'XSeg' in m))} needs; train or copy one there, "
            "or choose another --mask-mode"
        )
    enhance = None
    if any(task.settings.super_resolution_power for task in tasks):
        if request.enhancer is None:
            raise UsageError(
                "super resolution needs an enhancer network, and none comes with this program: "
                "give --enhancer FILE.onnx, or leave --super-resolution out"
            )
        enhance = load_enhancer(request.enhancer)
    from dfl_tf.api import load_model

    run = default(RunOptions, cpu=request.cpu, devices=request.devices, threads=request.threads)
    model = load_model(places.model, name, model_class, training=False, run=run)
    xseg = None
    if needs_xseg:
        xseg = load_model(places.model, "XSeg", "XSeg", training=False, run=run)
    morphs = {task.settings.morph for task in tasks}
    if len(morphs) > 1:
        raise UsageError("morph is one value for all frames")
    checksum = weights_checksum(model)
    if xseg is not None:
        checksum += weights_checksum(xseg)
    return Opened(
        name,
        model_class,
        model.iteration,
        FaceType.from_name(model.options.face_type),
        networks_of(model, morph=morphs.pop(), xseg=xseg, enhance=enhance),
        checksum,
    )


def _choose(request: Request, folder: Path) -> tuple[str, str]:
    """Return name and class of the model: as given, else what was saved last."""
    classes = {known.lower(): known for known in MODEL_CLASSES}
    wanted = request.model_class
    if wanted is not None and wanted.lower() not in classes:
        raise UsageError(f"--model {wanted}: merging takes {', '.join(MODEL_CLASSES)}")
    fitting = [
        found
        for found in (find_models(folder) if folder.is_dir() else [])
        if found.model_class in MODEL_CLASSES
        and (wanted is None or found.model_class == classes[wanted.lower()])
        and (request.name is None or found.name == request.name)
    ]
    if not fitting:
        what = f"{wanted or 'face'} model" + (f" named {request.name}" if request.name else "")
        raise WorkspaceError(f"{folder}: holds no {what}; train one first or give --model-dir")
    return fitting[0].name, fitting[0].model_class


def _run(
    request: Request, places: Places, opened: Opened, tasks: list[FrameTask]
) -> tuple[MergeReport, int]:
    packet = None
    if request.provenance:
        packet = Provenance(opened.name, opened.model_class, opened.iteration).packet()
    else:
        click.echo("provenance: switched off, pictures do not say how they were made", err=True)
    output = Output(places.images, places.masks, packet)
    output.prepare(
        resume=request.resume,
        overwrite=request.overwrite,
        keep=bool(request.wanted),
        frames=[task.path for task in tasks],
    )
    session = MergeSession(
        places.model / f"{opened.name}_{opened.model_class}_merge_session.json",
        {
            "model": opened.name,
            "model_class": opened.model_class,
            "iteration": opened.iteration,
            "weights": opened.checksum,
            "frames_dir": str(places.frames),
            "output_dir": str(places.images),
            "seed": request.seed,
            "provenance": request.provenance,
            "settings": asdict(tasks[0].settings),
        },
    )
    if request.wanted and not request.resume:
        session.start(resume=True, redo=[task.path for task in tasks])
    else:
        session.start(resume=request.resume)
    run = Run(
        opened.networks,
        opened.face_type,
        output,
        request.seed,
        request.workers or cores(),
        request.batch,
        request.keep_going,
    )
    identity = json.dumps(
        [
            opened.checksum,
            opened.face_type.legacy,
            request.seed,
            request.batch,
            "" if request.enhancer is None else sha256_of(request.enhancer),
            None if packet is None else packet.decode(),
        ]
    )
    stop = threading.Event()
    with stopping(stop) as received:
        report = merge_frames(
            tasks, run, session=session, identity=identity, progress=Progress("merge"), stop=stop
        )
    if report.interrupted:
        click.echo("interrupted; --resume goes on from here", err=True)
        return report, 128 + received[0] if received else 130
    return report, 1 if report.failed else 0


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _check_sheet(request: Request, path: Path) -> None:
    modes, masks = _names(request.sheet_modes), _names(request.sheet_masks)
    if path.suffix.lower() not in SHEET_SUFFIXES:
        raise UsageError(f"--sheet {path}: give a file name with {', '.join(SHEET_SUFFIXES)}")
    wrong = [m for m in modes if m not in MODES] + [m for m in masks if m not in MASK_MODES]
    if wrong or not modes or not masks:
        raise UsageError(
            f"--sheet-modes/--sheet-masks: {', '.join(wrong) or 'nothing given'}; modes are "
            f"{', '.join(MODES)}, mask modes {', '.join(MASK_MODES)}"
        )


def _draw_sheet(request: Request, path: Path, opened: Opened, tasks: list[FrameTask]) -> None:
    with_face = [task for task in tasks if task.faces]
    if not with_face:
        raise WorkspaceError("none of the chosen frames has a face")
    count = min(request.sheet_count, len(with_face))
    chosen = [with_face[(2 * i + 1) * len(with_face) // (2 * count)] for i in range(count)]
    sheet = contact_sheet(
        chosen,
        _names(request.sheet_modes),
        _names(request.sheet_masks),
        opened.networks,
        opened.face_type,
        seed=request.seed,
        progress=Progress("sheet"),
    )
    data = encode_image(sheet, path.suffix, quality=85)
    if request.provenance:
        note = Provenance(opened.name, opened.model_class, opened.iteration)
        data = embed(data, note.packet())
    else:
        click.echo("provenance: switched off, the sheet does not say how it was made", err=True)
    make_folder_for(path)
    write_file(path, data)
    click.echo(str(path))


def _make_video(request: Request, places: Places) -> None:
    assert request.video is not None
    made = make_video(
        places.images,
        request.video,
        VideoSource(find_reference(places.root)),
        True,
        Encoding(),
        request.provenance,
    )
    click.echo(summary(made), err=request.as_json)


def _tell(request: Request, places: Places, opened: Opened, report: MergeReport) -> None:
    if request.as_json:
        about = {
            "model": opened.name,
            "model_class": opened.model_class,
            "iteration": opened.iteration,
            "output": str(places.images),
            "masks": str(places.masks),
            "provenance": request.provenance,
            "video": None if request.video is None else str(request.video),
        }
        facts = asdict(report) | {"left_out": report.left_out.as_dict()}
        click.echo(json.dumps(about | facts, indent=1))
        return
    done = report.merged + report.without_face
    speed = done / report.seconds if report.seconds else 0.0
    click.echo(
        f"{report.merged} frames merged, {report.without_face} without a face, "
        f"{report.skipped} were finished, {speed:.1f} frames/s: {places.images}"
    )
    if report.deep:
        click.echo(f"{report.deep} frames have 16 bits, and so do their merged frames and masks")
    if report.alpha:
        click.echo(f"the alpha channel of {report.alpha} frames is carried over")
    for line in report.left_out.lines(see="the same command with --json"):
        click.echo(line, err=True)
    for name, reason in report.failed:
        click.echo(f"failed: {name}: {reason}", err=True)
