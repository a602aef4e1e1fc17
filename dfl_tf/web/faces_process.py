"""The process that measures faces for the page: ``python -m dfl_tf.web.faces_process``.

It reads one line of JSON from its stdin, the request, writes lines of JSON to stdout (progress,
then the numbers of all faces), and ends when stdin is closed, that is with the server. What it
measures is remembered in the user's cache, so nothing is lost when it is ended.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
from dfl_tf_ops.process import cores

from dfl_tf.data.identity import make_embedder
from dfl_tf.disk.guarded import parse_json
from dfl_tf.disk.tree_schema import Array, Number, Record, Text
from dfl_tf.errors import DflTfError, FacesetError
from dfl_tf.extract.journal import read_journal
from dfl_tf.facesets.face_tracks import match_tracks
from dfl_tf.facesets.measure_cache import MeasureCache
from dfl_tf.facesets.measuring import face_files, measure_faces
from dfl_tf.facesets.people import find_people
from dfl_tf.facesets.sort import plan_sort
from dfl_tf.facesets.sorting import MeasuredFaces
from dfl_tf.formats.faces.face_folder import pak_of
from dfl_tf.web.answers import plain_values
from dfl_tf.web.faces_catalog import (
    COLUMNS,
    DISTANCE,
    LABELED,
    PERSON,
    PERSONS,
    PITCH,
    PIXELS,
    SIZE,
    TRACK,
    YAW,
    rank_of,
    rejected_by,
)

Floats = npt.NDArray[np.float64]
Columns = dict[str, Floats]

REQUEST = Record(
    {
        "place": Text(),
        "columns": Array(Text()),
        "method": Text(),
        "strictness": Number(0, 1),
    }
)
_CHUNK = 2_000
_SECONDS = 0.25
_LONGEST = 1 << 20


def main() -> None:
    """Answer the request."""
    line = sys.stdin.buffer.readline(_LONGEST)
    threading.Thread(target=_end_with_stdin, name="stdin", daemon=True).start()
    try:
        asked = parse_json(line, what="the request", kind="a request to measure", schema=REQUEST)
        measure(asked)
    except DflTfError as error:
        _tell({"error": str(error)})


def _end_with_stdin() -> None:
    while os.read(sys.stdin.fileno(), 1 << 10):
        pass
    os._exit(1)


def _tell(values: Mapping[str, object]) -> None:
    text = json.dumps(plain_values(values), allow_nan=False, separators=(",", ":"))
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


class _Progress:
    """Tells how far it is, a few times a second."""

    def __init__(self) -> None:
        self._told = 0.0

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if done == total or now - self._told > _SECONDS:
            self._told = now
            _tell({"progress": [done, total]})


def measure(asked: Mapping[str, object]) -> None:
    """Find what a request wants to know, and tell it.

    Raises
    ------
    DflTfError
        It cannot be found here.
    """
    place, method = Path(str(asked["place"])), str(asked["method"])
    stamps = _stamps(place)
    cache = MeasureCache.of_user()
    if not method:
        found = _measures(place, cast("list[str]", asked["columns"]), cache)
    elif method == PERSONS:
        found = _persons(place, float(cast("float", asked["strictness"])), cache)
    else:
        found = _arranged(place, method, cache)
    names, columns = _with_unreadable(place, found.names, found.columns)
    _tell({"notes": found.notes})
    for start in range(0, len(names), _CHUNK):
        part = slice(start, start + _CHUNK)
        _tell(
            {
                "names": names[part],
                "stamps": [stamps.get(name, (0, 0)) for name in names[part]],
                "columns": {name: values[part].tolist() for name, values in columns.items()},
            }
        )


@dataclass(frozen=True)
class _Found:
    """Columns of faces, with what should be known of them."""

    names: Sequence[str]
    columns: Columns
    notes: Sequence[str] = ()


def _measures(place: Path, names: Sequence[str], cache: MeasureCache) -> _Found:
    wanted = [each for each in COLUMNS if each.name in names]
    measures = [each.measured_by for each in wanted]
    faces, _ = measure_faces(place, measures, cache=cache, workers=_workers(), progress=_Progress())
    columns = {each.name: _shown(each.name, faces.columns[each.measured_by]) for each in wanted}
    columns[LABELED] = faces.labeled.astype(np.float64)
    columns[PIXELS] = np.sqrt(faces.pixels.astype(np.float64))
    return _Found(faces.names, columns)


def _persons(place: Path, strictness: float, cache: MeasureCache) -> _Found:
    people = find_people(
        place, make_embedder(), strictness=strictness, cache=cache, progress=_Progress()
    )
    columns = {name: np.full(len(people.names), np.nan) for name in (PERSON, DISTANCE)}
    for group in people.grouping.groups:
        columns[PERSON][group.members] = group.number
        columns[DISTANCE][group.members] = group.distances
    return _Found(people.names, columns, people.grouping.notes())


def _arranged(place: Path, method: str, cache: MeasureCache) -> _Found:
    plan = plan_sort(
        place,
        method,
        cache=cache,
        tracks_of=partial(_tracks_of, place),
        workers=_workers(),
        progress=_Progress(),
    )
    names = [*plan.faces.names, *plan.unreadable]
    nothing = not plan.order.kept and not plan.order.trash  # it has nothing to reject
    kept = list(range(len(names))) if nothing else plan.order.kept
    rank, rejected = np.full(len(names), np.nan), np.zeros(len(names))
    rank[kept] = np.arange(len(kept))
    rejected[plan.order.trash] = 1
    rejected[len(plan.faces.names) :] = 1
    columns = {rank_of(method): rank, rejected_by(method): rejected}
    if method == TRACK:
        columns[TRACK] = np.full(len(names), np.nan)
        for i, number in plan.order.values.items():
            columns[TRACK][i] = float(number)
    return _Found(names, columns, plan.order.notes)


def _workers() -> int:
    """Half of the cores: a training beside the page comes first."""
    return max(1, cores() // 2)


def _tracks_of(place: Path, faces: MeasuredFaces) -> list[int | None]:
    folder = place if place.is_dir() else place.parent
    journal = read_journal(folder)
    if journal is None:
        raise FacesetError(
            "the tracks of these faces are not known: dfl-tf extract notes them beside the faces "
            "that it makes, and here is no such journal."
        )
    return match_tracks(journal.records, faces.source_filenames, faces.columns["source_box"])


def _with_unreadable(
    place: Path, names: Sequence[str], columns: Columns
) -> tuple[Sequence[str], Columns]:
    """Add the files that cannot be read, which have no values: they were looked at."""
    known = set(names)
    others = [file.name for file in face_files(place)[0] if file.name not in known]
    nothing = np.full(len(others), np.nan)
    return [*names, *others], {n: np.concatenate([v, nothing]) for n, v in columns.items()}


def _shown(name: str, values: Floats) -> Floats:
    """A measure in the unit in which the page has it; shape (n,), float64."""
    if name == SIZE:
        return np.sqrt(values)
    return np.degrees(values) if name in (YAW, PITCH) else values


def _stamps(place: Path) -> dict[str, tuple[int, int]]:
    """Size and time of change of each file before it is read; of a pak, those of the pak."""
    pak = pak_of(place)
    status = None if pak is None else pak.stat()
    stamps = {}
    for file in face_files(place)[0]:
        try:
            now = file.path.stat() if file.path is not None else status
        except OSError:
            continue
        if now is not None:
            stamps[file.name] = now.st_size, now.st_mtime_ns
    return stamps


if __name__ == "__main__":
    main()
