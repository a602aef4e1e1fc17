"""`dfl-tf video`: frames out of videos and videos out of frames."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path

import click

from dfl_tf.cli.model_choice import json_flag, print_json
from dfl_tf.cli.speaking import CommandGroup, WordChoice
from dfl_tf.cli.video_flags import encoding_flags
from dfl_tf.jobs.progress import ProgressBar
from dfl_tf.merge.provenance import tags_of_frames
from dfl_tf.video.cut import Piece, cut, parse_time
from dfl_tf.video.encode import Encoded, encode
from dfl_tf.video.extract import FrameFiles, extract
from dfl_tf.video.info import read_info
from dfl_tf.video.places import cut_name, find_reference, merged_folder
from dfl_tf.video.pyav import find_video
from dfl_tf.video.timestamps import parse_rate
from dfl_tf.video.write import Encoding

PATH = click.Path(path_type=Path)


@click.group(cls=CommandGroup)
def command() -> None:
    """Split videos into frames and make videos of frames (needs dfl-tf[video])."""


@command.command("info")
@click.argument("video", type=PATH)
@json_flag
def info_command(video: Path, as_json: bool) -> None:
    """Say what a video holds: size as shown, frames, rate, length, sound (all is decoded)."""
    with ProgressBar("read", "frames") as step:
        about = read_info(find_video(video), step).as_dict()
    if as_json:
        print_json(about)
        return
    for key, value in about.items():
        click.echo(f"{key:14} {value}")


@command.command("extract")
@click.argument("video", type=PATH)
@click.argument("folder", type=PATH, required=False)
@click.option(
    "--format",
    "kind",
    type=WordChoice(["png", "jpg"]),
    default="png",
    show_default=True,
    help="Image format; PNG loses nothing.",
)
@click.option(
    "--bits",
    type=WordChoice(["8", "16"]),
    default="8",
    show_default=True,
    help="Bits of a color in PNG; 16 keep all of a 10-bit video.",
)
@click.option(
    "--tone-map", is_flag=True, help="Bring HDR to SDR (curve of ITU-R BT.2390, 203 cd/m² white)."
)
@click.option(
    "--every", type=int, default=1, show_default=True, metavar="N", help="Keep one frame of N."
)
@click.option(
    "--fps",
    "rate",
    default="",
    metavar="RATE",
    help="Frames a second to keep, by time; default: all.",
)
@click.option(
    "--quality",
    type=click.IntRange(1, 100),
    default=95,
    show_default=True,
    help="Of JPEG images.",
)
@click.option("--overwrite", is_flag=True, help="Replace existing frames.")
@click.option(
    "--workers",
    type=click.IntRange(1),
    default=2,
    show_default=True,
    help="Threads that write images.",
)
@json_flag
def extract_command(
    video: Path,
    folder: Path | None,
    kind: str,
    bits: str,
    tone_map: bool,
    every: int,
    rate: str,
    quality: int,
    overwrite: bool,
    workers: int,
    as_json: bool,
) -> None:
    """Write the frames of VIDEO as 00001.png, 00002.png, … into FOLDER.

    FOLDER is by default the video's name without suffix: workspace/data_dst.mp4 goes to
    workspace/data_dst. `name.*` stands for the first file of that name. The exact time stamps are
    kept in timestamps.json.
    """
    source = find_video(video)
    target = source.with_suffix("") if folder is None else folder
    with ProgressBar("extract", "frames") as step:
        done = extract(
            source,
            target,
            every=every,
            rate=parse_rate(rate),
            files=FrameFiles(kind, int(bits), quality, overwrite, workers, tone_map),
            progress=step,
        )
    if as_json:
        print_json({"frames": done.frames, "rate": done.rate, "folder": done.folder})
        return
    click.echo(f"{done.frames} frames, {done.rate} a second: {done.folder}")


@command.command("merge")
@click.argument("place", type=PATH)
@click.option("-o", "--output", type=PATH, help="Video file; default: WORKSPACE/result.mp4.")
@click.option(
    "--reference",
    type=PATH,
    help="Video that gives rate, time stamps and sound; default: data_dst.* there.",
)
@encoding_flags
@click.option("--mask", is_flag=True, help="Make result_mask.* of the masks as well.")
@click.option(
    "--provenance/--no-provenance",
    default=True,
    show_default=True,
    help="Note in the file that it is composited by a model.",
)
@json_flag
def merge_command(
    place: Path,
    output: Path | None,
    reference: Path | None,
    rate: str,
    audio: bool,
    lossless: bool,
    bitrate: float,
    mask: bool,
    provenance: bool,
    as_json: bool,
) -> None:
    """Make a video of merged frames.

    PLACE is a workspace (its data_dst/merged is taken) or a folder of images. A
    --reference gives the rate, whatever --fps says.
    """
    frames, root = merged_folder(place)
    if output is None:
        output = root / "result.mp4"
    fixed = parse_rate(rate)
    if reference is None:
        reference = find_reference(root)
    else:
        reference, fixed = find_video(reference), None
    source = VideoSource(reference, fixed)
    how = Encoding(bitrate, lossless)
    made = [make_video(frames, output, source, audio, how, provenance)]
    if mask:
        masks = frames.with_name(frames.name + "_mask")
        target = output.with_name(f"{output.stem}_mask{output.suffix}")
        made.append(make_video(masks, target, source, False, how, provenance))
    if as_json:
        print_json({"videos": [asdict(each) for each in made]})
        return
    for each in made:
        click.echo(summary(each))


@dataclass(frozen=True)
class VideoSource:
    """Where the timing of a video and its images come from."""

    reference: Path | None
    rate: Fraction | None = None


def summary(made: Encoded) -> str:
    """Return one line on a video that was made."""
    sound = "with sound" if made.audio else "without sound"
    return f"{made.frames} frames, {made.rate} a second, {sound}: {made.path}"


def make_video(
    frames: Path,
    output: Path,
    source: VideoSource,
    audio: bool,
    how: Encoding,
    provenance: bool,
) -> Encoded:
    """Encode a folder; what the frames say about their making goes into the file too."""
    tags: dict[str, str] = {}
    if provenance:
        tags = tags_of_frames(frames)
    else:
        click.echo("provenance: switched off, the video does not say how it was made", err=True)
    with ProgressBar("video", "frames") as step:
        return encode(
            frames,
            output,
            reference=source.reference,
            rate=source.rate,
            audio=audio,
            encoding=Encoding(how.bitrate, how.lossless, tags),
            progress=step,
        )


@command.command("cut")
@click.argument("video", type=PATH)
@click.option(
    "--from-time", default="", metavar="TIME", help="HH:MM:SS.mmm or seconds; default: the start."
)
@click.option(
    "--to-time", default="", metavar="TIME", help="As --from-time, not included; default: the end."
)
@click.option(
    "--audio-track-id",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Which sound track to keep.",
)
@click.option("--bitrate", type=float, default=25.0, show_default=True, help="Megabits a second.")
@click.option("--tone-map", is_flag=True, help="Bring HDR to SDR, as `video extract` does.")
@click.option("-o", "--output", type=PATH, help="Default: <name>_cut with the same suffix.")
@json_flag
def cut_command(
    video: Path,
    from_time: str,
    to_time: str,
    audio_track_id: int,
    bitrate: float,
    tone_map: bool,
    output: Path | None,
    as_json: bool,
) -> None:
    """Cut a part out of VIDEO and encode it again."""
    source = find_video(video)
    target = output
    if target is None:
        target, kept = cut_name(source)
        if not kept:
            kind = source.suffix or "no suffix"
            click.echo(f"{kind}: holds no H.264, so .mp4 is written", err=True)
    piece = Piece(
        parse_time(from_time) if from_time else None,
        parse_time(to_time) if to_time else None,
        audio_track_id,
        tone_map,
    )
    with ProgressBar("cut", "frames") as step:
        frames = cut(source, target, piece, bitrate=bitrate, progress=step)
    if as_json:
        print_json({"frames": frames, "path": target})
        return
    click.echo(f"{frames} frames: {target}")


@command.command("denoise")
@click.argument("folder", type=PATH)
@click.option(
    "--factor",
    type=click.FloatRange(1, 20),
    default=7.0,
    show_default=True,
    help="Strength, in levels of 0 to 255: larger differences are edges and movements.",
)
@click.option("-o", "--output", type=PATH, help="A new folder for the results.")
@click.option("--undo", is_flag=True, help="Bring the originals back.")
@json_flag
def denoise_command(
    folder: Path, factor: float, output: Path | None, undo: bool, as_json: bool
) -> None:
    """Remove the noise of the frames in FOLDER, over space and time.

    The originals go to FOLDER_originals, once all results are there; --undo brings them back.
    """
    from dfl_tf.video.denoise import denoise, take_back

    if undo:
        what, gone = take_back(folder)
        if as_json:
            print_json({"undone": what, "removed_since": gone})
            return
        click.echo(f"undone: {what}")
        if gone:
            click.echo(f"{len(gone)} files were removed since ({gone[0]})", err=True)
        return
    with ProgressBar("denoise", "frames") as step:
        frames, originals, left_out = denoise(folder, factor, output=output, progress=step)
    if as_json:
        facts = {"frames": frames, "results": output or folder, "originals": originals}
        print_json(facts | {"left_out": left_out.as_dict()})
        return
    for line in left_out.lines():
        click.echo(line, err=True)
    where = f"results are in {output}" if originals is None else f"originals are in {originals}"
    click.echo(f"{frames} frames were denoised; the {where}")
