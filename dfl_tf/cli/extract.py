"""`dfl-tf extract`: from frames or a video to aligned faces."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from dfl_tf.cli.faceset_folder import complete_moves
from dfl_tf.cli.from_options import CommandInputs, OptionCommand, option_flags
from dfl_tf.cli.likeness import ChosenFaces, Named, choose_faces, likeness_flags
from dfl_tf.cli.shard_flag import shard_flag
from dfl_tf.cli.speaking import WordChoice
from dfl_tf.cli.stopping import stopping
from dfl_tf.disk.durable import make_folder_for, write_file
from dfl_tf.disk.listing import IMAGE_SUFFIXES, list_folder
from dfl_tf.disk.terminal import library_lines, native_output_apart
from dfl_tf.disk.text import printable
from dfl_tf.errors import UsageError
from dfl_tf.extract.again import closer_options, write_found
from dfl_tf.extract.coverage import read_redo
from dfl_tf.extract.faces_json import Source, match_faces, read_faces
from dfl_tf.extract.frame_work import Folders
from dfl_tf.extract.networks import NetworkFiles, load_networks
from dfl_tf.extract.plan import frames_without_debug_image
from dfl_tf.extract.records import GivenFace
from dfl_tf.extract.run import ExtractReport, ExtractRequest, extract_faces
from dfl_tf.extract.shards import shards_folder
from dfl_tf.extract.sources import FolderFrames, FrameSource, numbers_of
from dfl_tf.extract.video_frames import VideoFrames
from dfl_tf.formats.weights import open_models
from dfl_tf.jobs.progress import ProgressBar
from dfl_tf.jobs.shard import Shard, Sharding
from dfl_tf.options import ExtractOptions
from dfl_tf.video.pyav import find_video, videos_named

PATH = click.Path(path_type=Path)
SIDES = ("src", "dst")


@click.command(cls=OptionCommand)
@click.argument("place", type=PATH, required=False, metavar="WORKSPACE|FRAMES|VIDEO")
@click.argument("output", type=PATH, required=False)
@click.option(
    "--side",
    type=WordChoice(SIDES),
    help="Of a workspace: data_src or data_dst; faces go to its folder aligned.",
)
@click.option(
    "--frames",
    "wanted",
    default="",
    metavar="A:B",
    help="Only these frames, counted from 1, both included; default: all.",
)
@click.option(
    "--every",
    type=int,
    default=1,
    show_default=True,
    metavar="N",
    help="Only one frame of N.",
)
@click.option("--tone-map", is_flag=True, help="Bring HDR video to SDR, as `video extract` does.")
@click.option("--dfl-home", type=PATH, help="Your DeepFaceLab installation; default: DFL_HOME.")
@click.option("--models-dir", type=PATH, help="Folder of the open models.")
@click.option(
    "--get-models",
    is_flag=False,
    flag_value="faces",
    type=WordChoice([*open_models.SETS]),
    help="Download the open models of extraction (or identity: 100 MB) and exit.",
)
@click.option("--resume", is_flag=True, help="Continue although options or frames differ.")
@click.option("--overwrite", is_flag=True, help="Start over: existing faces are deleted.")
@click.option(
    "--resume-or-trash",
    is_flag=True,
    help="Continue where options and frames are the same; else move the existing faces to the "
    "trash folder beside them and start over.",
)
@click.option(
    "--redo",
    multiple=True,
    metavar="FRAME",
    help="Extract these frames again, by name or A:B, or those of a report in JSON; may be "
    "repeated. Older faces go to the trash folder beside.",
)
@click.option(
    "--redo-missing-debug",
    is_flag=True,
    help="Extract the frames again whose debug images you deleted, looking more closely.",
)
@click.option("--faces", "faces_file", type=PATH, help="JSON file of boxes and landmarks to use.")
@click.option("--write-faces", type=PATH, help="JSON file to write all boxes and landmarks to.")
@click.option(
    "--write-coverage",
    type=PATH,
    help="JSON file for the frames that are worth checking; --redo takes it.",
)
@likeness_flags
@shard_flag
@click.option(
    "--workers", type=click.IntRange(0), default=0, metavar="N", help="Threads; 0: one a core."
)
@click.option("--cpu", is_flag=True, help="Use no GPU.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@option_flags(ExtractOptions)
def command(inputs: CommandInputs, **given: Any) -> int:
    """Find faces in frames, align them and store them.

    WORKSPACE with --side src or dst, a folder of FRAMES with the folder OUTPUT of the faces, or a
    VIDEO (default OUTPUT: aligned in the folder named as the video). A later call with the same
    options continues where this one stopped.
    """
    line = ExtractLine(inputs=inputs, **given)
    if line.get_models is not None:
        open_models.get_models(line.get_models, line.models_dir, say=click.echo)
        return 0
    if line.place is not None:
        with inputs.errors_besides(ExtractOptions):
            check_place(line.place)
    options = inputs.resolve(ExtractOptions).resolved.options
    if line.cpu:
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    with native_output_apart() as messages:
        report, chosen, code = _extract(line, options)
    _tell(line, report, chosen, messages)
    if report.interrupted:
        click.echo("interrupted; the same command continues from here", err=True)
    return code


def _extract(
    line: ExtractLine, options: ExtractOptions
) -> tuple[ExtractReport, ChosenFaces | None, int]:
    """The report, whose faces were kept, and the exit code."""
    check_shard(line)
    source, folders, what = open_source(line)
    if folders.faces.is_dir():
        complete_moves(folders.faces)
    if line.redo_missing_debug:
        options = closer_options(options, line.inputs.keys, folders)
    networks = load_networks(
        options,
        NetworkFiles(line.dfl_home, line.models_dir),
        closer=line.redo_missing_debug,
        say=lambda text: click.echo(text, err=True),
    )
    named = Named(line.like, line.not_like, line.like_threshold, line.embedder, line.models_dir)
    person, unused = named.person(folders.faces, networks)
    request = _request(line, source, folders)
    stop = threading.Event()
    with stopping(stop) as received, ProgressBar("extract", "frames") as step:
        report = extract_faces(
            source,
            folders.faces,
            options,
            networks=networks,
            request=request,
            workers=line.workers,
            progress=step,
            stop=stop,
        )
    if line.write_faces is not None:
        write_found(line.write_faces, report, networks, what)
    if line.write_coverage is not None and report.coverage is not None:
        make_folder_for(line.write_coverage)
        write_file(line.write_coverage, json.dumps(report.coverage.as_dict(), indent=1).encode())
    if report.interrupted:
        return report, None, 128 + received[0] if received else 130
    chosen = None if person is None else choose_faces(folders.faces, person)
    if chosen is not None:
        chosen.left_out.extend(unused)
    return report, chosen, 1 if report.failed else 0


@dataclass(frozen=True)
class ExtractLine:
    """All that the command line says."""

    inputs: CommandInputs
    place: Path | None
    output: Path | None
    side: str | None
    wanted: str
    every: int
    tone_map: bool
    dfl_home: Path | None
    models_dir: Path | None
    get_models: str | None
    resume: bool
    overwrite: bool
    resume_or_trash: bool
    redo: tuple[str, ...]
    redo_missing_debug: bool
    faces_file: Path | None
    write_faces: Path | None
    write_coverage: Path | None
    like: tuple[Path, ...]
    not_like: tuple[Path, ...]
    like_threshold: float | None
    embedder: Path | None
    shard: Sharding
    workers: int
    cpu: bool
    as_json: bool


def check_shard(line: ExtractLine) -> None:
    """Refuse what can only be said of all faces, where a shard is extracted.

    Raises
    ------
    UsageError
        Naming it.
    """
    of_all = {
        "--like": line.like,
        "--not-like": line.not_like,
        "--write-faces": line.write_faces,
        "--write-coverage": line.write_coverage,
        "--redo": line.redo,
        "--redo-missing-debug": line.redo_missing_debug,
    }
    given = [name for name, value in of_all.items() if value]
    if given and isinstance(line.shard, Shard):
        raise UsageError(f"{', '.join(given)}: of all faces; give it with --shard join")


def check_place(place: Path) -> None:
    """Refuse missing files; ``name.*`` stands for a video.

    Raises
    ------
    WorkspaceError
        There is no such folder or file.
    """
    if not place.exists():
        find_video(place)


def open_source(line: ExtractLine) -> tuple[FrameSource, Folders, Source]:
    """The frames, the folders for their faces, and what the frames come from."""
    place, output = line.place, line.output
    if place is None:
        raise UsageError("give WORKSPACE --side src|dst, FRAMES OUTPUT, or a VIDEO")
    if line.side is not None:
        if output is not None:
            raise UsageError("--side names the folders of a workspace; leave OUTPUT out")
        root = place / "workspace" if (place / "workspace" / "data_src").is_dir() else place
        place = root / f"data_{line.side}"
        output = place / "aligned"
        videos = videos_named(root, place.name)
        if videos and not (place.is_dir() and list_folder(place, IMAGE_SUFFIXES).files):
            click.echo(f"{place} holds no frames: {videos[0].name} is read itself", err=True)
            place = videos[0]
    if place.is_dir():
        if output is None:
            raise UsageError(
                f"{place}: is it a workspace (give --side src or dst), or a folder of frames (give "
                "the folder of the faces as well)?"
            )
        folders = Folders(output)
        if output.absolute().resolve() == place.absolute().resolve():
            raise UsageError(f"{place}: frames and faces must be in different folders")
        beside = (folders.faces, folders.debug, folders.trash, shards_folder(output))
        known = [path.name for path in beside]
        source = FolderFrames(place, [*known, f"{output.name}.sha256"])
        return source, folders, Source(place.name, len(source.names))
    video = find_video(place)
    folders = Folders(output or video.with_suffix("") / "aligned")
    with ProgressBar("read", "frames") as step:
        frames = VideoFrames(video, tone_map=line.tone_map, progress=step)
    turn = frames.info.orientation
    if not turn.upright:
        turned = f"by {turn.degrees} degrees" + (" and mirrored" if turn.mirrored else "")
        click.echo(f"{video.name}: its frames are turned {turned}, as the file asks", err=True)
    about = Source(video.name, len(frames.names), str(frames.about["sha256"]))
    return frames, folders, about


def _redo(line: ExtractLine, source: FrameSource, folders: Folders) -> list[int]:
    wanted: list[str] = []
    for text in line.redo:
        report = Path(text)
        wanted += read_redo(report) if report.suffix == ".json" else [text]
    numbers = numbers_of(source.names, wanted)
    if line.redo_missing_debug:
        numbers += frames_without_debug_image(source, folders)
        if not numbers:
            raise UsageError(f"{folders.debug}: the debug image of every frame is there")
    return sorted(set(numbers))


def _given(line: ExtractLine, source: FrameSource) -> dict[str, tuple[GivenFace, ...]]:
    if line.faces_file is None:
        return {}
    numbered = [(name, number) for number, name in enumerate(source.names, start=1)]
    given = match_faces(read_faces(line.faces_file), numbered)
    for text in given.left_out.lines():
        click.echo(text, err=True)
    return given.by_name


def _request(line: ExtractLine, source: FrameSource, folders: Folders) -> ExtractRequest:
    return ExtractRequest(
        frames=line.wanted,
        every=line.every,
        resume=line.resume,
        overwrite=line.overwrite,
        resume_or_trash=line.resume_or_trash,
        redo=_redo(line, source, folders),
        given=_given(line, source),
        shard=line.shard,
    )


def _tell(
    line: ExtractLine, report: ExtractReport, chosen: ChosenFaces | None, messages: Sequence[str]
) -> None:
    if line.as_json:
        facts = _facts(report) | {"library_messages": messages}
        if chosen is not None:
            facts["likeness"] = chosen.as_dict()
        click.echo(json.dumps(facts, indent=1))
        return
    speed = report.frames / report.seconds if report.seconds else 0.0
    before = f", {report.done_before} frames were done before" if report.done_before else ""
    click.echo(
        f"{report.faces} faces of {report.frames} frames ({report.without_face} without a face, "
        f"{speed:.1f} frames/s){before}: {report.folder}"
    )
    if report.replaced:
        click.echo(f"{report.replaced} older faces went to {Folders(report.folder).trash}")
    for text in [*report.notes, *report.left_out.lines(see="the same command with --json")]:
        click.echo(text, err=True)
    if chosen is not None:
        for text in chosen.lines():
            click.echo(text)
        for text in chosen.left_out.lines():
            click.echo(text, err=True)
    for text in library_lines(messages):
        click.echo(text, err=True)
    if report.coverage is not None and report.coverage.found:
        click.echo("worth a look:")
        for text in report.coverage.lines():
            click.echo(f"  {text}")
    for name, reason in report.failed:
        click.echo(f"failed: {printable(name)}: {reason}", err=True)


def _facts(report: ExtractReport) -> dict[str, object]:
    return {
        "folder": str(report.folder),
        "frames": report.frames,
        "done_before": report.done_before,
        "faces": report.faces,
        "without_face": report.without_face,
        "failed": [{"name": name, "reason": reason} for name, reason in report.failed],
        "replaced": report.replaced,
        "notes": report.notes,
        "left_out": report.left_out.as_dict(),
        "coverage": None if report.coverage is None else report.coverage.as_dict(),
        "seconds": round(report.seconds, 3),
        "stage_seconds": {stage: round(s, 3) for stage, s in report.stage_seconds.items()},
        "interrupted": report.interrupted,
    }
