"""`meta.dat`: the metadata of a folder of faces in one file, to survive an image editor.

References: data.md 2.5.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import cv2

from dfl_tf.disk import durable
from dfl_tf.disk.checksums import Rewriting
from dfl_tf.disk.folder_lock import only_writer
from dfl_tf.disk.left_out import LeftOut
from dfl_tf.disk.listing import FACE_SUFFIXES
from dfl_tf.disk.plain_file import read_plain
from dfl_tf.disk.write_errors import explain_write_errors
from dfl_tf.errors import DflTfError, FacesetError
from dfl_tf.formats.faces.dfljpg import MAX_IMAGE_BYTES, embed_metadata
from dfl_tf.formats.faces.face_folder import list_faces, read_faces
from dfl_tf.formats.faces.face_metadata import FaceMetadata, metadata_from_dict, metadata_to_dict
from dfl_tf.formats.pickles.safe_pickle import dumps_legacy, load_file
from dfl_tf.imaging import decode_image, size_error, to_bgr
from dfl_tf.jobs.progress import Progress

META_NAME = "meta.dat"
_NOT_SAVED = f"not in {META_NAME}"


@dataclass
class FolderReport:
    """What was done to a folder.

    Attributes
    ----------
    done : list of str
        File names.
    left_out : LeftOut
    """

    done: list[str] = field(default_factory=list)
    left_out: LeftOut = field(default_factory=LeftOut)

    @property
    def skipped(self) -> list[tuple[str, str]]:
        """Name and reason of every file that should be a face and is not a usable one."""
        return self.left_out.skipped


def face_files(folder: Path) -> list[Path]:
    """The `.jpg`/`.jpeg` files (any letter case) of a folder in the order of sample indices.

    Raises
    ------
    FacesetError
        The folder is missing.
    """
    return [path for path in list_faces(folder).files if path.suffix.lower() in FACE_SUFFIXES]


def save_metadata(folder: Path, *, progress: Progress | None = None) -> FolderReport:
    """Write `meta.dat` with the metadata of every face in `folder`.

    Raises
    ------
    FacesetError
        No file has metadata; nothing is written.
    """
    listing = list_faces(folder)
    report = FolderReport(left_out=listing.left_out)
    files = {path.name: path for path in listing.files}
    stored: dict[str, object] = {}
    for name, metadata in read_faces(files, report.left_out, progress):
        stored[name] = (metadata.shape, metadata_to_dict(metadata))
        report.done.append(name)
    if not stored:
        raise FacesetError(f"{folder}: no face with metadata is here; nothing was saved.")
    durable.write_file(folder / META_NAME, dumps_legacy(stored, protocol=4))
    return report


def read_metadata_file(path: Path) -> dict[str, FaceMetadata]:
    """The content of a `meta.dat`: file base name to metadata (its `shape` is the saved size).

    Raises
    ------
    LegacyFormatError, FacesetError
    """
    stored = load_file(path)
    if not isinstance(stored, dict):
        raise FacesetError(f"{path}: holds a {type(stored).__name__}, not a dictionary.")
    result: dict[str, FaceMetadata] = {}
    for name, entry in stored.items():
        what = f"{path} ({ascii(name)[:80]})"
        try:
            shape, values = entry
            height, width, channels = (int(n) for n in shape)
        except (TypeError, ValueError):
            raise FacesetError(f"{what}: is not a pair of size and metadata.") from None
        if not (0 < height <= 65535 and 0 < width <= 65535) or not isinstance(values, dict):
            raise FacesetError(f"{what}: is not a pair of size and metadata.")
        result[str(name)] = metadata_from_dict(values, shape=(height, width, channels), what=what)
    return result


def restore_metadata(folder: Path, *, progress: Progress | None = None) -> FolderReport:
    """Put the metadata of `meta.dat` back into the faces of `folder`, then remove `meta.dat`.

    An image of another size is resized to the saved one (Lanczos, quality 100); otherwise the
    pixels are not touched. If a face fails or is not here, `meta.dat` stays.

    Raises
    ------
    FacesetError, LegacyFormatError
    """
    meta = folder / META_NAME
    saved = read_metadata_file(meta)
    listing = list_faces(folder)
    report, files = FolderReport(left_out=listing.left_out), listing.files
    failed = set(saved) - {path.name for path in files}
    for name in sorted(failed):
        report.left_out.add(f"faces of {META_NAME} that are not here", name, "no such file")
    with Rewriting(folder) as sums:
        for number, path in enumerate(files, 1):
            if path.name not in saved:
                report.left_out.add(f"faces without metadata in {META_NAME}", path.name, _NOT_SAVED)
                continue
            try:
                with only_writer(folder):
                    _restore(path, saved[path.name], sums)
                report.done.append(path.name)
            except DflTfError as error:
                failed.add(path.name)
                report.left_out.skip(path.name, error)
            if progress is not None:
                progress(number, len(files))
    if not failed:
        with explain_write_errors(meta, safe="All faces have their metadata."):
            meta.unlink()
            durable.sync_folder(folder)
    return report


def _restore(path: Path, metadata: FaceMetadata, sums: Rewriting) -> None:
    try:
        data = read_plain(path, limit=MAX_IMAGE_BYTES)
    except OSError as error:
        raise FacesetError(f"{path}: cannot be read ({error.strerror}).") from None
    old = data
    height, width = metadata.shape[:2]
    problem = size_error(height, width)
    if problem:
        raise FacesetError(f"{path}: the size in {META_NAME} cannot be restored: {problem}")
    image = to_bgr(decode_image(data, what=str(path)))
    if image.shape[:2] != (height, width):
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_LANCZOS4)
        done, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 100])
        if not done:
            raise FacesetError(f"{path}: cannot be encoded again.")
        data = encoded.tobytes()
    new = embed_metadata(data, metadata, what=str(path))
    sums.replace(path.name, old=old, new=new)
    durable.write_file(path, new)
