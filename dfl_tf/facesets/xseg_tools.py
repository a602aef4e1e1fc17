"""Apply, remove, fetch and count the masks of a set of faces.

References
----------
tools.md 7; data.md 2.6.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2

from dfl_tf.disk.durable import make_folder, sha256_of, write_file
from dfl_tf.disk.folder_lock import only_writer
from dfl_tf.disk.left_out import LeftOut
from dfl_tf.disk.write_errors import explain_write_errors
from dfl_tf.errors import DflTfError, FacesetError
from dfl_tf.face.polygons import encloses
from dfl_tf.facesets.xseg_masker import Masker, crop
from dfl_tf.facesets.xseg_store import ApplyJournal, FaceStore, same_image
from dfl_tf.formats.faces.dfljpg import embed_metadata
from dfl_tf.formats.faces.face_folder import EMPTY_LABELS
from dfl_tf.formats.faces.mask_record import remove_mask_record, write_mask_record

Step = Callable[[int, int], None]
_BATCH = 8


@dataclass
class XSegReport:
    """What was done, in numbers of faces.

    Attributes
    ----------
    faces, changed : int
    resumed : int
        Faces that an interrupted run had done already.
    left_out : LeftOut
        Files that are not faces, or could not be changed, and whatever else lies there.
    """

    faces: int = 0
    changed: int = 0
    resumed: int = 0
    left_out: LeftOut = field(default_factory=LeftOut)

    @property
    def skipped(self) -> list[tuple[str, str]]:
        """Name and reason of every file that should be a face and could not be used."""
        return self.left_out.skipped


def apply_masks(store: FaceStore, masker: Masker, step: Step = lambda *_: None) -> XSegReport:
    """Give every face the mask that the network makes of it.

    An interrupted run goes on where it stopped: what is done is noted in a journal beside the
    faces. A face that can not be used is skipped and named. The model is recorded beside the faces.
    """
    report = XSegReport(faces=len(store), left_out=LeftOut(store.left_out))
    if masker.record is not None:
        write_mask_record(store.path, masker.record)
    journal = ApplyJournal(store, masker.work)
    finished = False
    try:
        todo = [index for index in range(len(store)) if not _taken_up(store, journal, index)]
        report.resumed = len(store) - len(todo)
        for start in range(0, len(todo), _BATCH):
            _apply_batch(store, masker, journal, todo[start : start + _BATCH], report)
            step(report.resumed + min(start + _BATCH, len(todo)), len(store))
        store.finish()
        if masker.record is not None:
            done = report.resumed + report.changed
            write_mask_record(store.path, replace(masker.record, faces=done, complete=True))
        finished = True
    finally:
        journal.close(finished=finished)
    return report


def _taken_up(store: FaceStore, journal: ApplyJournal, index: int) -> bool:
    """Use what an interrupted run made of a face; False if there is nothing usable."""
    name = store.names[index]
    if name not in journal:
        return False
    try:
        mask = journal.mask_of(name, store.face(index)[1])
        return mask is not None and store.restore(index, mask)
    except FacesetError:
        return False  # it is named when its turn comes


def _apply_batch(
    store: FaceStore,
    masker: Masker,
    journal: ApplyJournal,
    indices: Iterable[int],
    report: XSegReport,
) -> None:
    crops, images = {}, {}
    for index in indices:
        name = store.names[index]
        try:
            metadata, jpeg = store.face(index)
            crops[index] = crop(metadata, jpeg, masker.face_type, name)
            images[index] = jpeg
        except (DflTfError, ValueError, cv2.error) as error:
            report.left_out.skip(name, error)
    if not crops:
        return
    for index, mask in zip(crops, masker.masks(list(crops.values())), strict=True):
        try:
            store.change(index, mask=mask)
        except FacesetError as error:
            report.left_out.skip(store.names[index], error)
            continue
        journal.add(store.names[index], images[index], mask)
        report.changed += 1


def remove_masks(store: FaceStore, step: Step = lambda *_: None) -> XSegReport:
    """Take the applied masks away."""
    report = _remove(store, step, lambda metadata: metadata.xseg_mask_bytes is not None, mask=None)
    remove_mask_record(store.path)
    return report


def remove_labels(store: FaceStore, step: Step = lambda *_: None) -> XSegReport:
    """Take the hand-drawn polygons away."""
    return _remove(store, step, lambda metadata: bool(metadata.seg_ie_polys), polygons=[])


def _remove(store: FaceStore, step: Step, has: Callable[..., bool], **change: object) -> XSegReport:
    report = XSegReport(faces=len(store), left_out=LeftOut(store.left_out))
    for index, name in enumerate(store.names):
        try:
            if has(store.face(index)[0]):
                store.change(index, **change)  # type: ignore[arg-type]
                report.changed += 1
        except FacesetError as error:
            report.left_out.skip(name, error)
        step(index + 1, len(store))
    store.finish()
    return report


def fetch_labeled(
    store: FaceStore, target: Path, *, delete_originals: bool = False, step: Step = lambda *_: None
) -> XSegReport:
    """Copy the faces with polygons to another folder.

    Originals are deleted, if asked for, only after all copies were written; never out of a pak.

    Raises
    ------
    FacesetError
        Other images lie in the target under the same names (of another person, say): they are
        named, nothing is copied.
    """
    report = XSegReport(faces=len(store), left_out=LeftOut(store.left_out))
    labeled = _labeled(store, report, step)
    taken = [
        str(target / store.names[index])
        for index in labeled
        if not same_image(target / store.names[index], store.face(index)[1])
    ]
    if taken:
        raise FacesetError(
            f"{target}: {len(taken)} other images have the names of faces to copy: "
            f"{', '.join(taken[:5])}. Nothing was copied; choose another --output."
        )
    for index in labeled:
        metadata, jpeg = store.face(index)
        path = target / store.names[index]
        # names of persons come from the pak
        make_folder(target)
        make_folder(path.parent, follow=path.parent == target)
        # In a pak the list, not the JPEG, is what counts.
        data = jpeg if store.path.is_dir() else embed_metadata(jpeg, metadata, what=path.name)
        write_file(path, data)
    if delete_originals and store.path.is_dir():
        for index in labeled:
            path = store.path / store.names[index]
            with only_writer(store.path), explain_write_errors(path):
                if sha256_of(path) == sha256_of(target / store.names[index]):
                    path.unlink()
                else:
                    report.left_out.skip(path.name, FacesetError("was labeled again, and stays"))
    report.changed = len(labeled)
    return report


def _labeled(store: FaceStore, report: XSegReport, step: Step) -> list[int]:
    """Return the faces with polygons; those that cannot be read are noted."""
    labeled = []
    for index, name in enumerate(store.names):
        try:
            if store.face(index)[0].seg_ie_polys:
                labeled.append(index)
        except FacesetError as error:
            report.left_out.skip(name, error)
        step(index + 1, len(store))
    return labeled


def count(store: FaceStore, step: Step = lambda *_: None) -> dict[str, Any]:
    """How many faces have masks, polygons, both or neither; face types; what is left out.

    Polygons that enclose nothing of the image are not labels, and said.
    """
    kinds: Counter[str] = Counter(masks=0, labels=0, both=0, neither=0)
    types: Counter[str] = Counter()
    left_out = LeftOut(store.left_out)
    for index in range(len(store)):
        step(index + 1, len(store))
        try:
            metadata, _ = store.face(index)
        except FacesetError as error:
            left_out.skip(store.names[index], error)
            continue
        masked, labeled = metadata.xseg_mask_bytes is not None, bool(metadata.seg_ie_polys)
        if labeled and not encloses(metadata.shape, metadata.seg_ie_polys):
            left_out.add(EMPTY_LABELS, store.names[index])
            labeled = False
        kinds["masks"] += masked
        kinds["labels"] += labeled
        kinds["both"] += masked and labeled
        kinds["neither"] += not masked and not labeled
        types[metadata.face_type] += 1
    faces = sum(types.values())
    return {
        "faces": faces,
        **kinds,
        "face_types": dict(types),
        "skipped": len(left_out.skipped),
        "left_out": left_out,
    }
