"""Apply, remove, fetch and count the masks of a set of faces.

References
----------
tools.md 7; data.md 2.6.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dfl_tf.errors import DflTfError, FacesetError
from dfl_tf.facesets.xseg_masker import XSegMasker, crop
from dfl_tf.facesets.xseg_store import FaceStore, Journal
from dfl_tf.formats.atomic import write_file
from dfl_tf.formats.dfljpg import embed_metadata

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
    skipped : list of (str, str)
        Files that are no faces, or could not be changed, and why.
    """

    faces: int = 0
    changed: int = 0
    resumed: int = 0
    skipped: list[tuple[str, str]] = field(default_factory=list)


def apply_masks(store: FaceStore, masker: XSegMasker, step: Step = lambda *_: None) -> XSegReport:
    """Give every face the mask that the network makes of it.

    An interrupted run goes on where it stopped: what is done is noted in a journal beside the
    faces. A face that can not be used is skipped and named.
    """
    report = XSegReport(faces=len(store), skipped=list(store.skipped))
    journal = Journal(store, masker.work)
    finished = False
    try:
        report.resumed = _take_up(store, journal)
        todo = [index for index, name in enumerate(store.names) if name not in journal.done]
        for start in range(0, len(todo), _BATCH):
            _apply_batch(store, masker, journal, todo[start : start + _BATCH], report)
            step(report.resumed + min(start + _BATCH, len(todo)), len(store))
        store.finish()
        finished = True
    finally:
        journal.close(finished=finished)
    return report


def _take_up(store: FaceStore, journal: Journal) -> int:
    resumed = 0
    for index, name in enumerate(store.names):
        if name in journal.done:
            resumed += 1
            if not store.path.is_dir():  # a pak is written at the end
                store.change(index, mask=journal.done[name])
    return resumed


def _apply_batch(
    store: FaceStore,
    masker: XSegMasker,
    journal: Journal,
    indices: Iterable[int],
    report: XSegReport,
) -> None:
    crops = {}
    for index in indices:
        name = store.names[index]
        try:
            metadata, jpeg = store.face(index)
            crops[index] = crop(metadata, jpeg, masker.face_type, name)
        except (DflTfError, OSError, ValueError) as error:
            report.skipped.append((name, str(error)))
    if not crops:
        return
    for index, mask in zip(crops, masker.masks(list(crops.values())), strict=True):
        try:
            store.change(index, mask=mask)
        except FacesetError as error:
            report.skipped.append((store.names[index], str(error)))
            continue
        journal.add(store.names[index], mask)
        report.changed += 1


def remove_masks(store: FaceStore, step: Step = lambda *_: None) -> XSegReport:
    """Take the applied masks away."""
    return _remove(store, step, lambda metadata: metadata.xseg_mask_bytes is not None, mask=None)


def remove_labels(store: FaceStore, step: Step = lambda *_: None) -> XSegReport:
    """Take the hand-drawn polygons away."""
    return _remove(store, step, lambda metadata: bool(metadata.seg_ie_polys), polygons=[])


def _remove(store: FaceStore, step: Step, has: Callable[..., bool], **change: object) -> XSegReport:
    report = XSegReport(faces=len(store), skipped=list(store.skipped))
    for index, metadata, _ in store:
        if has(metadata):
            store.change(index, **change)  # type: ignore[arg-type]
            report.changed += 1
        step(index + 1, len(store))
    store.finish()
    return report


def fetch_labeled(
    store: FaceStore, target: Path, *, delete_originals: bool = False, step: Step = lambda *_: None
) -> XSegReport:
    """Copy the faces with polygons to another folder.

    Originals are deleted, if asked for, only after all copies were written; never out of a pak.
    """
    report = XSegReport(faces=len(store), skipped=list(store.skipped))
    copied = []
    for index, metadata, jpeg in store:
        if metadata.seg_ie_polys:
            name = Path(store.names[index])
            (target / name.parent).mkdir(parents=True, exist_ok=True)
            # In a pak the list, not the JPEG, is what counts.
            data = jpeg if store.path.is_dir() else embed_metadata(jpeg, metadata, what=str(name))
            write_file(target / name, data)
            copied.append(store.path / name)
        step(index + 1, len(store))
    if delete_originals and store.path.is_dir():
        for path in copied:
            path.unlink()
    report.changed = len(copied)
    return report


def count(store: FaceStore, step: Step = lambda *_: None) -> dict[str, Any]:
    """How many faces have masks, polygons, both or neither; face types; skipped files."""
    kinds: Counter[str] = Counter(masks=0, labels=0, both=0, neither=0)
    types: Counter[str] = Counter()
    for index, metadata, _ in store:
        masked, labeled = metadata.xseg_mask_bytes is not None, bool(metadata.seg_ie_polys)
        kinds["masks"] += masked
        kinds["labels"] += labeled
        kinds["both"] += masked and labeled
        kinds["neither"] += not masked and not labeled
        types[metadata.face_type] += 1
        step(index + 1, len(store))
    return {"faces": len(store), **kinds, "face_types": dict(types), "skipped": len(store.skipped)}
