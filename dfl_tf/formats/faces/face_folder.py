"""Where the faces of a folder are: loose images or a pak, and which of its files are faces.

References: data.md 1.5, 2.4, 3.1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from dfl_tf.disk import moves
from dfl_tf.disk.left_out import LeftOut
from dfl_tf.disk.listing import IMAGE_SUFFIXES, Listing, list_folder
from dfl_tf.errors import DflTfError, FacesetError
from dfl_tf.formats.faces.dfljpg import read_metadata
from dfl_tf.formats.faces.face_metadata import FaceMetadata
from dfl_tf.formats.faces.faceset_pak import PAK_NAME
from dfl_tf.formats.faces.mask_record import RECORD
from dfl_tf.jobs.progress import Progress

NO_METADATA = "images without face metadata"
NOT_JPEG = "images that are not JPEG files"
EMPTY_LABELS = "labels that enclose nothing"
BESIDE_PAK = f"loose images beside {PAK_NAME}, which is used"
_SCRATCH = frozenset(
    (
        "meta.dat",
        "xseg_apply.journal",
        RECORD,
        "extraction.jsonl",
        ".dfl_tf-extraction.lock",
        ".dfl_tf-trash.jsonl",
        moves.PLAN,
        moves.PLACING,
        moves.DONE,
    )
)


def list_faces(folder: Path, *, known: tuple[str, ...] = ()) -> Listing:
    """List the images of a folder of faces, and count what is none.

    Only JPEG files carry metadata; other images are listed all the same, so that they are named.

    Raises
    ------
    FacesetError
        The folder is missing.
    """
    return list_folder(
        folder,
        IMAGE_SUFFIXES,
        what="aligned faces",
        known=(*known, *_SCRATCH),
        error=FacesetError,
    )


def pak_of(path: Path) -> Path | None:
    """The pak that `path` is or holds."""
    pak = path / PAK_NAME if path.is_dir() else path
    return pak if pak.suffix == ".pak" and pak.is_file() else None


def find_faces(place: Path) -> tuple[Path | None, Listing]:
    """Find the pak that `place` is or holds, or else the images in it.

    Returns
    -------
    (Path or None, Listing)
        With a pak nothing else is used: the listing has no files and counts loose images.

    Raises
    ------
    FacesetError
        There is no such folder or pak.
    """
    if place.is_file():
        return place, Listing(place.parent)
    pak = pak_of(place)
    if pak is None:
        return None, list_faces(place)
    listing = list_faces(place, known=(PAK_NAME,))
    for loose in listing.files:
        listing.left_out.add(BESIDE_PAK, loose.name)
    listing.files.clear()
    return pak, listing


def read_face(source: Path | bytes, name: str, left_out: LeftOut) -> FaceMetadata | None:
    """Read the metadata of one face.

    Parameters
    ----------
    source : Path or bytes
        The image file, or its content.
    name : str
        What messages call it.
    left_out : LeftOut
        Counts it if it is not a face or cannot be read.

    Returns
    -------
    FaceMetadata or None
        None if it was left out.
    """
    try:
        metadata = read_metadata(source, what=name)
    except DflTfError as error:
        left_out.skip(name, error)
        return None
    if metadata is None:
        left_out.add(NO_METADATA, name, "not a DFL image")
    return metadata


def read_faces(
    files: Mapping[str, Path], left_out: LeftOut, progress: Progress | None = None
) -> Iterator[tuple[str, FaceMetadata]]:
    """Yield name and metadata of every face among loose images; count the rest in `left_out`.

    Parameters
    ----------
    files : mapping of str to Path
        By the name under which a file is counted.
    left_out : LeftOut
    progress : Progress, optional
        Called after each file, once the caller is done with it.
    """
    for number, (name, path) in enumerate(files.items(), 1):
        metadata = read_face(path, name, left_out)
        if metadata is not None:
            yield name, metadata
        if progress is not None:
            progress(number, len(files))
