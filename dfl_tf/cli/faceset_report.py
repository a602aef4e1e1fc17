"""`dfl-tf faceset report`: a page to look at before training."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dfl_tf.cli.face_tracks import tracks_of
from dfl_tf.cli.faceset_folder import FolderCommand
from dfl_tf.cli.paths import EITHER
from dfl_tf.errors import DflTfError, UsageError
from dfl_tf.jobs.progress import ProgressBar

if TYPE_CHECKING:
    from dfl_tf.extract.records import FrameRecord
    from dfl_tf.facesets.report.facts import Facts
    from dfl_tf.facesets.report.page import FrameStrip
    from dfl_tf.imaging.files import ByteImage

FILE = click.Path(path_type=Path, dir_okay=False)
_TOLD = 3


@click.command(cls=FolderCommand)
@click.argument("src", type=EITHER)
@click.argument("dst", type=EITHER, required=False)
@click.option("-o", "--output", type=FILE, help="The page; default report.html beside SRC.")
@click.option("--json", "json_file", type=FILE, help="All numbers as JSON; - prints them.")
@click.option("--no-page", is_flag=True, help="With --json: write no page.")
@click.option("--no-identity", is_flag=True, help="Do not tell persons apart (the slowest part).")
@click.option("--embedder", type=FILE, help="An ONNX network of your own for that.")
@click.option(
    "--models-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the fetched models.",
)
def command(
    src: Path,
    dst: Path | None,
    output: Path | None,
    json_file: Path | None,
    no_page: bool,
    no_identity: bool,
    embedder: Path | None,
    models_dir: Path | None,
) -> None:
    """Measure the faces of SRC (and DST) and write one page to look at before training.

    Each is a folder of aligned faces or a pak. The page is one file and needs no network. What was
    measured before is not measured again.
    """
    from dfl_tf.disk.durable import write_file
    from dfl_tf.facesets.report.page import page
    from dfl_tf.facesets.report.sentences import sentences

    if no_page and json_file is None:
        raise UsageError("--no-page leaves nothing to write: add --json FILE, or leave it out.")
    printed = str(json_file) == "-"
    facts = _facts(src, dst, no_identity, embedder, models_dir, quiet=printed)
    told = sentences(facts)
    if json_file is not None:
        text = json.dumps(facts.as_dict() | {"sentences": told}, indent=1) + "\n"
        if printed:
            click.echo(text, nl=False)
        else:
            write_file(json_file, text.encode("utf-8", "surrogateescape"))
    grouped = [side.grouping for side in facts.sides.values() if side.grouping is not None]
    for line in dict.fromkeys(line for grouping in grouped for line in grouping.notes()):
        click.echo(line, err=True)
    for line in told[:_TOLD] or ["nothing stands out"]:
        click.echo(line, err=printed)
    if not no_page:
        output = output or (src if src.is_dir() else src.parent).resolve().parent / "report.html"
        strips = [
            strip for name, side in facts.sides.items() if (strip := _strip(name, side.place))
        ]
        text = page(facts, frames=[strip for strip in strips if strip is not None])
        write_file(output, text.encode("utf-8", "replace"))
        click.echo(f"{output}: the page, {len(text) / 2**20:.1f} MiB", err=printed)


def _facts(
    src: Path,
    dst: Path | None,
    no_identity: bool,
    embedder: Path | None,
    models_dir: Path | None,
    *,
    quiet: bool,
) -> Facts:
    from dfl_tf.data.identity import make_embedder
    from dfl_tf.facesets.measure_cache import MeasureCache
    from dfl_tf.facesets.report.facts import collect

    network, identity = None, "not asked for (--no-identity)"
    if not no_identity:
        network = make_embedder(embedder, models_dir)
        identity = network.name
        try:
            network.ready()
        except UsageError as missing:
            if embedder is not None or models_dir is not None:
                raise
            network, identity = None, str(missing)
            click.echo(f"note: {missing}", err=True)
    with ProgressBar("measuring", "faces", quiet=quiet) as step:
        return collect(
            src,
            dst,
            cache=MeasureCache.of_user(),
            embedder=network,
            identity=identity,
            tracks_of=tracks_of,
            progress=step,
        )


def _strip(name: str, place: Path) -> FrameStrip | None:
    """What was noticed in the frames that the faces come from; None where that is not known."""
    from dfl_tf.extract.coverage import measure_coverage, weak_score
    from dfl_tf.extract.journal import read_journal
    from dfl_tf.extract.thumbnails import coverage_strip
    from dfl_tf.facesets.report.page import FrameStrip
    from dfl_tf.imaging import encode_image

    folder = place if place.is_dir() else place.parent
    try:
        journal = read_journal(folder)
    except DflTfError as error:
        click.echo(f"note: the frames of {name} are left out: {error}", err=True)
        return None
    if journal is None or not journal.records:
        return None
    run = journal.last_run
    detector = "" if run is None else str(run["settings"].get("detector", ""))
    coverage = measure_coverage(journal.records, weak_below=weak_score(detector))
    image = coverage_strip(coverage, _frame_reader(folder.resolve().parent))
    strips = [] if image is None else [("Examples", encode_image(image, ".jpg", quality=85))]
    return FrameStrip(name, coverage.lines(), strips)


def _frame_reader(folder: Path) -> Callable[[FrameRecord], ByteImage | None]:
    """Read the frames beside a folder of faces, as far as they are still there."""
    from dfl_tf.imaging import read_image

    def read(frame: FrameRecord) -> ByteImage | None:
        path = folder / Path(frame.name).name
        try:
            return read_image(path) if path.is_file() else None
        except DflTfError:
            return None

    return read
