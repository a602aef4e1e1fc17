"""What a later extraction takes from an earlier one: its options, and its results as JSON."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict
from pathlib import Path

from dfl_tf import __version__
from dfl_tf.extract.faces_json import Source, Tool, write_faces
from dfl_tf.extract.frame_work import Folders
from dfl_tf.extract.journal import read_journal
from dfl_tf.extract.networks import ExtractNetworks
from dfl_tf.extract.run import ExtractReport
from dfl_tf.options import ExtractOptions, from_mapping
from dfl_tf.options.extract import ROTATIONS

_OF_THE_FOLDER = ("face_type", "image_size", "jpeg_quality", "max_faces", "min_size")


def closer_options(
    options: ExtractOptions, given: Collection[str], folders: Folders
) -> ExtractOptions:
    """Options for frames whose faces were not found well: those of the folder, but more thorough.

    Parameters
    ----------
    options : ExtractOptions
    given : collection of str
        Keys of what is given now, which wins.
    folders : Folders
    """
    journal = read_journal(folders.faces)
    run = None if journal is None else journal.last_run
    before = {} if run is None else run["settings"]
    kept = {key: before[key] for key in _OF_THE_FOLDER if key in before and key not in given}
    thorough = {"rotations": ROTATIONS, "tiles": 2, "debug_images": True}
    kept |= {key: value for key, value in thorough.items() if key not in given}
    values, _ = from_mapping(ExtractOptions, asdict(options) | kept, origin=str(folders.faces))
    return values


def write_found(
    path: Path, report: ExtractReport, networks: ExtractNetworks, source: Source
) -> None:
    """Write the boxes and landmarks of an extraction as JSON; `source` says of what."""
    write_faces(
        path,
        report.records,
        source=source,
        detector=Tool(networks.detector.name, networks.detector.version),
        landmarker=Tool(networks.landmarker.name, networks.landmarker.version),
        written_by=f"dfl_tf {__version__}",
    )
