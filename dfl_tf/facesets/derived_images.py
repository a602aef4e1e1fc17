"""Images that are made from a faceset beside it: masks, and landmarks drawn into faces.

References
----------
tools.md 6; facesets.md 6.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from dfl_tf.disk.durable import make_folder, sync_folder, write_file
from dfl_tf.disk.write_errors import explain_write_errors
from dfl_tf.errors import DflTfError, FacesetError
from dfl_tf.face import hull_mask
from dfl_tf.face.polygons import polygon_mask
from dfl_tf.facesets.rearranging import beside, root_of
from dfl_tf.facesets.xseg_store import open_store
from dfl_tf.formats import FaceMetadata, read_metadata
from dfl_tf.formats.faces.metadata_file import FolderReport, face_files
from dfl_tf.imaging import decode_image, encode_image, to_bgr
from dfl_tf.imaging.files import to_bytes
from dfl_tf.jobs.progress import Progress

MASK, DEBUG = "_mask", "_debug"
LANDMARKS = "_landmarks"
_GREEN, _RED = (0, 255, 0), (0, 0, 255)
_LINES = (
    (range(17), False),
    (range(17, 22), False),
    (range(22, 27), False),
    ((*range(27, 36), 30), False),
    (range(36, 42), True),
    (range(42, 48), True),
    (range(48, 60), True),
    (range(60, 68), True),
)

Image = npt.NDArray[np.uint8]


def export_masks(
    place: Path, output: Path | None = None, *, progress: Progress | None = None
) -> FolderReport:
    """Write the mask of every face as ``<stem>_mask<suffix>``: 8 bits, quality 100.

    The XSeg mask in its own size, at 0.5; without one, the polygons in the size of the image.

    Parameters
    ----------
    place : Path
        Folder or pak.
    output : Path, optional
        By default the folder of the faces.
    progress : callable, optional

    Returns
    -------
    FolderReport
        Faces without a mask are left out, as are files with ``_mask`` in their stem.
    """

    def mask_of(jpeg: bytes, metadata: FaceMetadata) -> Image:
        mask = metadata.mask()
        if mask is not None:
            return np.where(mask[:, :, 0] >= 0.5, 255, 0).astype(np.uint8)
        if not metadata.seg_ie_polys:
            raise FacesetError("has neither an XSeg mask nor polygons", kind="faces without a mask")
        polygons = polygon_mask(metadata.shape, metadata.seg_ie_polys)
        return (polygons[:, :, 0] * 255).astype(np.uint8)

    folder = output or root_of(place)
    return _derive(place, folder, mask_of, MASK, quality=100, keep_suffix=True, progress=progress)


def landmark_images(
    place: Path, output: Path | None = None, *, progress: Progress | None = None
) -> FolderReport:
    """Draw the landmarks of every face into ``<stem>_debug.jpg``, quality 50.

    Parameters
    ----------
    place : Path
        Folder or pak.
    output : Path, optional
        By default the folder beside it that ends with ``_landmarks``.
    progress : callable, optional
    """

    def drawn(jpeg: bytes, metadata: FaceMetadata) -> Image:
        image = to_bytes(to_bgr(decode_image(jpeg, what="the image"))).copy()
        draw_landmarks(image, metadata)
        return image

    folder = output or beside(root_of(place), LANDMARKS)
    return _derive(place, folder, drawn, DEBUG, quality=50, keep_suffix=False, progress=progress)


def _derive(
    place: Path,
    output: Path,
    make: Callable[[bytes, FaceMetadata], Image],
    ending: str,
    *,
    quality: int,
    keep_suffix: bool,
    progress: Progress | None,
) -> FolderReport:
    store = open_store(place)
    report = FolderReport(left_out=store.left_out)
    make_folder(output)
    for index, name in enumerate(store.names):
        path = Path(name)
        suffix = path.suffix if keep_suffix else ".jpg"
        if ending in path.stem:
            report.left_out.add(f"files with {ending} in their names", name)
            continue
        try:
            metadata, jpeg = store.face(index)
            data = encode_image(make(jpeg, metadata), suffix, quality=quality)
        except (DflTfError, ValueError, cv2.error) as error:
            report.left_out.skip(name, error)
            continue
        target = output / path.with_name(f"{path.stem}{ending}{suffix}")
        make_folder(target.parent, follow=target.parent == output)
        write_file(target, data)
        report.done.append(target.name)
        if progress is not None:
            progress(index + 1, len(store))
    return report


def draw_landmarks(image: Image, metadata: FaceMetadata) -> None:
    """Draw the landmarks of an aligned face in place; the area of its hull becomes half as bright.

    Parameters
    ----------
    image : ndarray, shape (h, w, 3), uint8, BGR
    metadata : FaceMetadata

    References
    ----------
    extract.md 5.4.
    """
    points = metadata.landmarks
    if metadata.face_type == "mark_only" and metadata.source_rect is not None:
        left, top, right, bottom = metadata.source_rect
        cv2.rectangle(image, (left, top), (right, bottom), _RED, 2)
    else:
        image[hull_mask(image.shape, points)[:, :, 0] > 0] //= 2
    whole = np.rint(points).astype(np.int32)
    for part, closed in _LINES:
        cv2.polylines(image, [whole[list(part)]], closed, _GREEN, 1, lineType=cv2.LINE_AA)
    for number, (x, y) in enumerate(whole.tolist()):
        cv2.circle(image, (x, y), 2 if number < 17 else 1, _GREEN, -1, lineType=cv2.LINE_AA)


def remove_landmark_images(folder: Path) -> FolderReport:
    """Delete the ``<stem>_debug.jpg`` of a folder that lie beside their ``<stem>.jpg``.

    Images with face metadata are never deleted.
    """
    report, doomed = FolderReport(), []
    names = {path.name for path in face_files(folder)}
    for path in face_files(folder):
        if not path.stem.endswith(DEBUG):
            continue
        face = path.stem.removesuffix(DEBUG)
        if not any(f"{face}{suffix}" in names for suffix in (".jpg", ".jpeg", ".JPG", ".JPEG")):
            report.left_out.add("debug images without their face", path.name)
            continue
        try:
            if read_metadata(path) is None:
                doomed.append(path)
            else:
                report.left_out.add("faces with metadata", path.name)
        except DflTfError as error:
            report.left_out.skip(path.name, error)
    for path in doomed:
        with explain_write_errors(path):
            path.unlink()
        report.done.append(path.name)
    with explain_write_errors(folder):
        sync_folder(folder)
    return report
