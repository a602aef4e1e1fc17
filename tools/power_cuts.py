"""Cut the power at every moment of every operation on files: old or new, whole, each time.

    python tools/power_cuts.py --all [--most N] [--only NAME] [--json]

Each operation runs once while `disk_states` records what it asks of the disk. From that the
states are made that a power cut may leave: at each moment, what was not yet fsynced is dropped,
torn or reordered. In each state the result must be the old or the new one, whole; and once the
operation has returned, the new one. One state in ten is then used further (the next save).
Printed are the calls, the states and the losses of each operation; the exit code is 1 if there
was a loss.
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "ops"), str(ROOT / "tools")]

from crash_harness import CLASS, NAME, back_up, bring_back, is_whole, save  # noqa: E402
from disk_states import Recorder, State, states  # noqa: E402
from merge_operations import merge_operations  # noqa: E402
from operation import Operation, need  # noqa: E402

from dfl_tf.disk import durable  # noqa: E402
from dfl_tf.facesets.rearranging import (  # noqa: E402
    Rearrangement,
    finish_moves,
    numbered,
    rearrange,
    take_back,
)
from dfl_tf.facesets.xseg_store import ApplyJournal, open_store  # noqa: E402
from dfl_tf.formats import ModelState, read_metadata, read_model, read_pak  # noqa: E402
from dfl_tf.formats.faces import faceset_files, metadata_file  # noqa: E402
from dfl_tf.formats.faces.dfljpg import strip_metadata  # noqa: E402
from dfl_tf.formats.faces.faceset_sums import compare, make_list  # noqa: E402
from dfl_tf.formats.faces.metadata_file import face_files  # noqa: E402
from dfl_tf.formats.models import convert as model_convert  # noqa: E402
from dfl_tf.formats.models import rescue as model_rescue  # noqa: E402
from dfl_tf.formats.models.files import find_models  # noqa: E402

DEMO = ROOT / "dfl_tf" / "demo_data" / "data_src" / "aligned" / "faceset.pak"
FACES = 3


@dataclass
class Row:
    """One line of the table."""

    operations: int = 0
    states: int = 0
    old: int = 0
    new: int = 0
    losses: list[str] = field(default_factory=list)


# -- models --------------------------------------------------------------------------------------
def whole(folder: Path, name: str = NAME) -> ModelState:
    """The model, which must be exactly one generation."""
    state = read_model(folder, name, CLASS)
    need(is_whole(state), f"generation {state.iteration} is not whole")
    return state


def _model(old: int, new: int, folder: Path) -> str:
    number = whole(folder).iteration
    need(number in (old, new), f"generation {number} instead of {old} or {new}")
    return "new" if number == new else "old"


def _first(folder: Path) -> str:
    place = folder / "workspace" / "model"
    if not place.is_dir() or not find_models(place):
        return "old"
    return _model(0, 1, place)


def _backups(folder: Path) -> set[int]:
    places = model_rescue.backups(folder, NAME, CLASS)
    return {whole(place).iteration for place in places}


def _backed_up(folder: Path) -> str:
    need(whole(folder).iteration == 2, "the model has changed")
    found = _backups(folder)
    need(found in ({1}, {1, 2}), f"backups {found}")
    return "new" if found == {1, 2} else "old"


def _restored(folder: Path) -> str:
    need(_backups(folder) == {1}, "the backup is lost")
    return _model(2, 1, folder)


def _prepare(kind: str, folder: Path, *, backup: bool = False) -> None:
    save(folder, 1, kind)
    if backup:
        back_up(folder, 1, kind)
    save(folder, 2, kind)


def _renamed(folder: Path) -> str:
    names = [model.name for model in find_models(folder, CLASS)]
    need(names and set(names) <= {NAME, "other"}, f"models {names}")
    need(2 in [_generation(folder, name) for name in names], "no name has the model")
    return "new" if names == ["other"] else "old"


def _generation(folder: Path, name: str) -> int:
    try:
        return whole(folder, name).iteration
    except Exception:  # one of two names may be half of a renaming that goes on at the next call
        return 0


def _converted(to: str, folder: Path) -> str:
    found = {model.format for model in find_models(folder, CLASS) if model.name == NAME}
    need(whole(folder).iteration == 2, "the model has changed")
    return "new" if to in found else "old"


def model_operations() -> Iterator[tuple[str, Operation]]:
    """Everything that is done with the files of a model, for both formats."""
    for kind, other in (("legacy", "native"), ("native", "legacy")):
        ready, more = partial(_prepare, kind), partial(_next_save, kind)
        backed = partial(_prepare, kind, backup=True)
        bring, again = partial(bring_back, number=0, kind=kind), partial(_next_save, kind)
        yield (
            f"save, {kind}",
            Operation(ready, partial(save, number=3, kind=kind), partial(_model, 2, 3), more),
        )
        yield (
            f"first save, {kind}",
            Operation(
                lambda folder: None,
                lambda folder, kind=kind: save(folder / "workspace" / "model", 1, kind),
                _first,
            ),
        )
        yield (
            f"backup, {kind}",
            Operation(
                backed,
                partial(back_up, number=2, kind=kind),
                _backed_up,
                partial(_next_backup, kind),
            ),
        )
        yield f"restore, {kind}", Operation(backed, bring, _restored, again)
        yield f"rename, {kind}", Operation(ready, _rename, _renamed, _rename_again)
        yield (
            f"convert, {kind} to {other}",
            Operation(
                ready,
                partial(_convert, other),
                partial(_converted, other),
            ),
        )


def _next_save(kind: str, folder: Path) -> None:
    save(folder, 7, kind)
    need(whole(folder).iteration == 7, "the next save is not there")


def _next_backup(kind: str, folder: Path) -> None:
    back_up(folder, 2, kind)
    need(_backups(folder) == {1, 2}, "the next backup is not there")


def _rename(folder: Path) -> None:
    model_convert.rename_model(folder, NAME, "other", CLASS)


def _rename_again(folder: Path) -> None:
    if any(model.name == NAME for model in find_models(folder, CLASS)):
        _rename(folder)
    need(whole(folder, "other").iteration == 2, "the renaming could not be finished")


def _convert(to: str, folder: Path) -> None:
    found = model_convert.convert(folder, folder, NAME, CLASS, to=to)  # type: ignore[arg-type]
    need(found["passed"], "the conversion did not pass")


# -- faces ---------------------------------------------------------------------------------------
def _jpegs() -> dict[str, bytes]:
    pak = read_pak(DEMO)
    return {pak[i].filename: pak.jpeg(i) for i in range(FACES)}


def _faces(folder: Path) -> None:
    for name, jpeg in _jpegs().items():
        durable.write_file(folder / name, jpeg)


def _there(folder: Path) -> int:
    """How many faces have their names; each must be whole."""
    found = 0
    for name, jpeg in _jpegs().items():
        if (folder / name).exists():
            need((folder / name).read_bytes() == jpeg, f"{name} is torn")
            found += 1
    return found


def _packed(folder: Path) -> bool:
    if not (folder / "faceset.pak").exists():
        return False
    pak = read_pak(folder / "faceset.pak")
    held = {pak[i].filename: pak.jpeg(i) for i in range(len(pak))}
    need(held == _jpegs(), "the pak is not whole")
    return True


def _pack(folder: Path) -> None:
    _, originals = faceset_files.pack_folder(folder)
    faceset_files.remove_packed(folder, originals)


def _pack_state(folder: Path) -> str:
    loose, packed = _there(folder), _packed(folder)
    need(packed or loose == FACES, f"{loose} faces and no pak")
    return "new" if packed and loose == 0 else "old"


def _unpack_state(folder: Path) -> str:
    loose, packed = _there(folder), _packed(folder)
    need(packed or loose == FACES, f"{loose} faces and no pak")
    return "old" if packed else "new"


def _stripped(folder: Path) -> None:
    _faces(folder)
    metadata_file.save_metadata(folder)
    for name, jpeg in _jpegs().items():
        durable.write_file(folder / name, strip_metadata(jpeg))


def _restore_metadata(folder: Path) -> None:
    report = metadata_file.restore_metadata(folder)
    need(len(report.done) == FACES, f"not restored: {report}")


def _metadata_state(folder: Path) -> str:
    known = [read_metadata(folder / name) is not None for name in _jpegs()]
    pixels = {strip_metadata((folder / n).read_bytes()) == strip_metadata(j)
              for n, j in _jpegs().items()}  # fmt: skip
    need(pixels == {True}, "a face is torn")
    if not (folder / metadata_file.META_NAME).exists():
        need(all(known), "meta.dat is gone before all faces have their metadata")
        return "new"
    need(len(metadata_file.read_metadata_file(folder / metadata_file.META_NAME)) == FACES, "meta")
    return "old"


MASK = cv2.imencode(".png", np.full((16, 16), 255, np.uint8))[1].tobytes()


def _apply(folder: Path) -> None:
    """What `xseg apply` does to the files: a journal, and a changed face or pak."""
    store = open_store(folder)
    journal = ApplyJournal(store, "weights")
    for index, name in enumerate(store.names):
        jpeg = store.face(index)[1]
        store.change(index, mask=MASK)
        journal.add(name, jpeg, MASK)
    store.finish()
    journal.close(finished=True)


def _applied(folder: Path) -> str:
    store = open_store(folder)
    need(len(store) == FACES, f"{len(store)} faces")
    masks = []
    for index, name in enumerate(store.names):
        metadata, jpeg = store.face(index)
        need(strip_metadata(jpeg) == strip_metadata(_jpegs()[name]), f"{name} is torn")
        masks.append(metadata.xseg_mask_bytes == MASK)
    if store.path.suffix == ".pak":
        need(len(set(masks)) == 1, "the pak is mixed")
    journal = ApplyJournal(store, "weights")  # reads what there is, without an error
    for index, name in enumerate(store.names):
        need(journal.mask_of(name, store.face(index)[1]) in (None, MASK), "a wrong mask")
    journal.close(finished=False)
    return "new" if all(masks) else "old"


def _pak(folder: Path) -> None:
    _faces(folder)
    _pack(folder)


# -- moves ---------------------------------------------------------------------------------------
def _aligned(folder: Path) -> Path:
    """Faces with a list of checksums, in a folder that has room for its trash beside it."""
    place = folder / "aligned"
    place.mkdir()
    _faces(place)
    make_list(place)
    return place


def _aligned_pak(folder: Path) -> None:
    faceset_files.remove_packed(place := _aligned(folder), faceset_files.pack_folder(place)[1])


def _sort(folder: Path) -> None:
    """What `faceset sort` does to the files: the first face goes, the others change places."""
    first, *others = sorted(_jpegs())
    rearrange(Rearrangement(folder / "aligned", "sort", numbered(others[::-1]), [first]))


def _held(place: Path) -> dict[str, bytes]:
    pak = place / "faceset.pak"
    if pak.exists():
        faceset = read_pak(pak)
        return {faceset[i].filename: faceset.jpeg(i) for i in range(len(faceset))}
    return {path.name: path.read_bytes() for path in face_files(place)}


def _sorted_state(folder: Path) -> str:
    place, trash, jpegs = folder / "aligned", folder / "aligned_trash", _jpegs()
    finish_moves(place)
    need(not compare(place), f"the checksums do not fit: {compare(place)}")
    held = _held(place)
    if held == jpegs:
        return "old"
    first, *others = sorted(jpegs)
    after = {new: jpegs[old] for old, new in numbered(others[::-1])}
    need(held == after, f"the faces are {sorted(held)}")
    lost = {p.name: p.read_bytes() for p in trash.iterdir() if p.suffix == ".jpg"}
    kept = _held(trash) if (trash / "faceset.pak").exists() else lost
    need(kept.get(first) == jpegs[first], "the face in the trash is lost")
    return "new"


def _sort_further(folder: Path) -> None:
    place = folder / "aligned"
    if _sorted_state(folder) == "old":
        _sort(folder)
        need(_sorted_state(folder) == "new", "the sort could not be done again")
    take_back(place)
    need(_held(place) == _jpegs(), "the undo did not bring the faces back")
    need(not compare(place), "the checksums do not fit after the undo")


def operations() -> dict[str, Operation]:
    """All operations by name."""
    unpack = partial(faceset_files.unpack_folder, keep_pak=False)
    return dict(model_operations()) | merge_operations() | {
        "faceset pack": Operation(_faces, _pack, _pack_state),
        "faceset unpack": Operation(_pak, unpack, _unpack_state),
        "faceset sort": Operation(_aligned, _sort, _sorted_state, _sort_further),
        "faceset sort, pak": Operation(_aligned_pak, _sort, _sorted_state, _sort_further),
        "save metadata": Operation(
            _faces,
            metadata_file.save_metadata,
            lambda folder: "new" if (folder / "meta.dat").exists() and _metadata_state(folder)
            else "old",
        ),
        "restore metadata": Operation(_stripped, _restore_metadata, _metadata_state),
        "xseg apply, folder": Operation(_faces, _apply, _applied, _apply),
        "xseg apply, pak": Operation(_pak, _apply, _applied, _apply),
    }  # fmt: skip


# -- trying --------------------------------------------------------------------------------------
def try_operation(operation: Operation, base: Path, *, most: int, further: int = 10) -> Row:
    """Record one operation, make the states, and look at each of them."""
    row = Row()
    folder = base / "recorded"
    folder.mkdir()
    operation.prepare(folder)
    recorder = Recorder(folder)
    with recorder.watching():
        operation.run(folder)
    need(operation.check(folder) == "new", "the operation did nothing")
    made = states(recorder, most=most)
    row.operations, row.states = recorder.operations, len(made)
    shutil.rmtree(folder)
    for number, state in enumerate(made):
        _try_state(operation, state, base / f"state{number}", row, number % further == 0)
    return row


def _try_state(operation: Operation, state: State, folder: Path, row: Row, more: bool) -> None:
    folder.mkdir()
    state.write(folder)
    try:
        found = operation.check(folder)
        need(found == "new" or not state.at_end, "it had returned, and the old one is there")
        row.new += found == "new"
        row.old += found == "old"
        if more:
            operation.further(folder)
    except Exception as error:  # whatever comes out is what is looked for
        row.losses.append(f"{type(error).__name__}: {error} ({[n for n, _ in state.names][:12]})")
    shutil.rmtree(folder)


@contextmanager
def workplace() -> Iterator[Path]:
    """A folder in memory if there is one: the fsyncs are only counted here."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield Path(folder)


def run(names: list[str], most: int) -> dict[str, Row]:
    """The rows of some operations."""
    rows = {}
    for name in names:
        with workplace() as base:
            rows[name] = row = try_operation(operations()[name], base, most=most)
        losses = len(row.losses)
        print(
            f"{name:28}{row.operations:7}{row.states:8}{row.old:7}{row.new:7}{losses:8}",
            flush=True,
        )
        for loss in row.losses[:5]:
            print(f"    {loss}")
    return rows


def main() -> int:
    """Print the table; 1 if anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--all", action="store_true", help="all operations")
    parser.add_argument("--only", action="append", default=[], help="those that begin so")
    parser.add_argument("--most", type=int, default=3000, help="states of an operation")
    parser.add_argument("--json", action="store_true", help="print one line of JSON at the end")
    options = parser.parse_args()
    chosen = [n for n in operations() if options.all or any(map(n.startswith, options.only))]
    if not chosen:
        parser.error(f"give --all, or --only with one of: {', '.join(operations())}")
    logging.disable(logging.WARNING)
    print(f"{'':28}{'calls':>7}{'states':>8}{'old':>7}{'new':>7}{'losses':>8}")
    rows = run(chosen, options.most)
    total = sum(row.states for row in rows.values())
    losses = sum(len(row.losses) for row in rows.values())
    print(f"{len(rows)} operations, {total} states, {losses} losses")
    if options.json:
        print(json.dumps({
            "tool": "power_cuts", "operations": len(rows), "states": total, "losses": losses,
            "rows": {name: asdict(row) for name, row in rows.items()},
        }))  # fmt: skip
    return 1 if losses else 0


if __name__ == "__main__":
    raise SystemExit(main())
