"""`meta.dat`: the metadata of a folder of faces in one file, to survive an image editor.

References: data.md 2.5.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from dfl_tf.disk import durable
from dfl_tf.errors import DflTfError, FacesetError
from dfl_tf.formats.dfljpg import (
    FaceMetadata,
    embed_metadata,
    metadata_from_dict,
    metadata_to_dict,
    read_metadata,
)
from dfl_tf.formats.safe_pickle import dumps_legacy, load_file

META_NAME = "meta.dat"
_EXTENSIONS = (".jpg", ".jpeg")

Progress = Callable[[int, int], object]


@dataclass
class FolderReport:
    """What was done to a folder.

    Attributes
    ----------
    done : list of str
        File names.
    skipped : list of (str, str)
        File names and why.
    """

    done: list[str] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)


def face_files(folder: Path) -> list[Path]:
    """The `.jpg`/`.jpeg` files (any letter case) of a folder in the order of sample indices.

    Raises
    ------
    FacesetError
        The folder is missing.
    """
    try:
        files = [p for p in folder.iterdir() if p.suffix.lower() in _EXTENSIONS and p.is_file()]
    except OSError as error:
        raise FacesetError(f"{folder}: cannot be read ({error.strerror}).") from None
    return sorted(files, key=str)


def save_metadata(folder: Path, *, progress: Progress | None = None) -> FolderReport:
    """Write `meta.dat` with the metadata of every face in `folder`.

    Raises
    ------
    FacesetError
        No file has metadata; nothing is written.
    """
    report = FolderReport()
    stored: dict[str, Any] = {}
    files = face_files(folder)
    for number, path in enumerate(files, 1):
        try:
            metadata = read_metadata(path)
        except DflTfError as error:
            report.skipped.append((path.name, str(error)))
            continue
        if metadata is None:
            report.skipped.append((path.name, "not a DFL image"))
            continue
        stored[path.name] = (metadata.shape, metadata_to_dict(metadata))
        report.done.append(path.name)
        if progress is not None:
            progress(number, len(files))
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
            raise FacesetError(f"{what}: is no pair of size and metadata.") from None
        if not (0 < height <= 65535 and 0 < width <= 65535) or not isinstance(values, dict):
            raise FacesetError(f"{what}: is no pair of size and metadata.")
        result[str(name)] = metadata_from_dict(values, shape=(height, width, channels), what=what)
    return result


def restore_metadata(folder: Path, *, progress: Progress | None = None) -> FolderReport:
    """Put the metadata of `meta.dat` back into the faces of `folder`, then remove `meta.dat`.

    An image of another size is resized to the saved one (Lanczos, quality 100); otherwise the
    pixels are not touched. If a face fails, `meta.dat` stays.

    Raises
    ------
    FacesetError, LegacyFormatError
    """
    meta = folder / META_NAME
    saved = read_metadata_file(meta)
    report = FolderReport()
    failed = False
    files = face_files(folder)
    for number, path in enumerate(files, 1):
        if path.name not in saved:
            report.skipped.append((path.name, f"not in {META_NAME}"))
            continue
        try:
            _restore(path, saved[path.name])
            report.done.append(path.name)
        except DflTfError as error:
            failed = True
            report.skipped.append((path.name, str(error)))
        if progress is not None:
            progress(number, len(files))
    if not failed:
        with durable.naming_the_fault(meta, safe="All faces have their metadata."):
            meta.unlink()
            durable.sync_folder(folder)
    return report


def _restore(path: Path, metadata: FaceMetadata) -> None:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise FacesetError(f"{path}: cannot be read ({error.strerror}).") from None
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise FacesetError(f"{path}: is no readable image.")
    height, width = metadata.shape[:2]
    if image.shape[:2] != (height, width):
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_LANCZOS4)
        done, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 100])
        if not done:
            raise FacesetError(f"{path}: cannot be encoded again.")
        data = encoded.tobytes()
    durable.write_file(path, embed_metadata(data, metadata, what=str(path)))
