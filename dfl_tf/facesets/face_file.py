"""One face file of a folder: read, and rewritten whole or not at all."""

from __future__ import annotations

from pathlib import Path

from dfl_tf.disk.checksums import Rewriting
from dfl_tf.disk.durable import write_file
from dfl_tf.disk.plain_file import read_plain
from dfl_tf.errors import DflTfError, FacesetError
from dfl_tf.formats import FaceMetadata, read_metadata
from dfl_tf.formats.faces.dfljpg import MAX_IMAGE_BYTES, embed_metadata


def read_face_file(path: Path) -> tuple[FaceMetadata, bytes]:
    """Metadata and JPEG bytes of a face.

    Raises
    ------
    FacesetError
        It cannot be read, or is no face.
    """
    try:
        data = read_plain(path, limit=MAX_IMAGE_BYTES)
        metadata = read_metadata(data, what=str(path))
    except OSError as error:
        raise FacesetError(f"{path}: cannot be read ({error.strerror})") from None
    except DflTfError as error:
        raise FacesetError(str(error)) from None
    if metadata is None:
        raise FacesetError(f"{path}: holds no face metadata (any more)")
    return metadata, data


def rewrite_face_file(path: Path, metadata: FaceMetadata, *, old: bytes, sums: Rewriting) -> bytes:
    """Give a face other metadata; to be called within `folder_lock.only_writer`.

    Parameters
    ----------
    path : Path
    metadata : FaceMetadata
    old : bytes
        The file as it is now; its pixels are not encoded again.
    sums : Rewriting
        Of the folder.

    Returns
    -------
    bytes
        The file as it is then.

    Raises
    ------
    FacesetError
        The metadata do not fit into a JPEG; the file is untouched.
    WorkspaceError
        It cannot be written; the file is untouched.
    """
    new = embed_metadata(old, metadata, what=str(path))
    sums.replace(path.name, old=old, new=new)
    write_file(path, new)
    return new
