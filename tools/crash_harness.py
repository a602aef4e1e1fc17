"""A small model whose saves are interrupted: what the tools that crash processes have in common.

A generation of the model is whole or not (`is_whole`); `fork` runs work in a child that `intercept`
ends, or lets fail, at a call that writes.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from dfl_tf.errors import DflTfError
from dfl_tf.formats import ModelState, model_files, read_model, write_model
from dfl_tf.formats.models.restore import find_kept, restore
from dfl_tf.train.backup import make_backup
from dfl_tf.train.snapshots import snapshot_model

NAME, CLASS = "crash_test", "SAEHD"
BACKUPS = "crash_test_SAEHD_autobackups"
WRITING = ("wb", "xb", "x+b", "r+b")
CALLS = ("write", "fsync", "replace", "rename", "link", "unlink", "mkdir", "rmdir")


@dataclass
class Tally:
    """One row of the table."""

    tried: int = 0
    old: int = 0
    new: int = 0
    errors: list[str] = field(default_factory=list)


# -- the model -----------------------------------------------------------------------------------
def generation(number: int) -> ModelState:
    """A model whose every tensor tells its generation; one part never changes."""
    rng = np.random.default_rng(number)
    tensors = {
        "encoder": {"a/weight:0": rng.random((3, 3, 4, 8), np.float32), "a/bias:0": np.zeros(8)},
        "inter": {"dense1/weight:0": rng.random((64, 16), np.float32)},
        "decoder_src": {"x/weight:0": np.full((500,), number, np.float32)},
        "decoder_dst": {"x/weight:0": np.full((500,), -number, np.float32)},
        "frozen": {"dense2/weight:0": np.arange(100, dtype=np.float32)},
        "src_dst_opt": {"iters:0": np.int64(number), "ms_encoder/a": rng.random(50, np.float32)},
    }
    return ModelState(
        model_class=CLASS,
        iteration=number,
        options={"resolution": 64, "archi": "df-ud"},
        loss_history=[[1.0 / (i + 1), 2.0 / (i + 1)] for i in range(number)],
        tensors=tensors,
        extra={"sample_for_preview": None, "choosed_gpu_indexes": None},
        run={"seed": number},
    )


def is_whole(state: ModelState) -> bool:
    """Whether a read state is exactly the generation that it says."""
    wanted = generation(state.iteration)
    return (
        state.loss_history == wanted.loss_history
        and state.run == wanted.run
        and set(state.tensors) == set(wanted.tensors)
        and all(
            np.array_equal(state.tensors[part][key], value)
            for part, tensors in wanted.tensors.items()
            for key, value in tensors.items()
        )
    )


def save(folder: Path, number: int, kind: str) -> None:
    """Save generation `number`."""
    write_model(folder, NAME, generation(number), format=kind, summary=f"generation {number}")


Action = Callable[[Path, int, str], object]


def back_up(folder: Path, number: int, kind: str) -> None:
    """Make the next numbered backup."""
    make_backup(folder / BACKUPS, folder, model_files(folder, NAME, CLASS), {})


def bring_back(folder: Path, number: int, kind: str) -> None:
    """Restore the newest backup."""
    restore(folder, NAME, CLASS, find_kept(folder, NAME, CLASS, "01"))


def snap(folder: Path, number: int, kind: str) -> None:
    """Make the snapshot `kept-N`."""
    snapshot_model(folder, NAME, CLASS, f"kept-{number}")


# -- the child -----------------------------------------------------------------------------------
def intercept(at: int, action: Callable[[str, Callable[..., Any], Any, Any], Any]) -> list[int]:
    """Replace the system calls that matter; the `at`-th goes to `action`. Returns the counter."""
    count = [0]

    def wrap(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            count[0] += 1
            if count[0] == at:
                return action(name, real, args, kwargs)
            return real(*args, **kwargs)

        return call

    for name in CALLS:
        if name == "write":
            _intercept_open(wrap)
        else:
            setattr(os, name, wrap(name, getattr(os, name)))
    return count


def _intercept_open(wrap: Callable[..., Any]) -> None:
    import builtins

    real_open = builtins.open

    def opened(*args: Any, **kwargs: Any) -> Any:
        file = real_open(*args, **kwargs)
        mode = args[1] if len(args) > 1 else kwargs.get("mode", "r")
        return _Counted(file, wrap("write", file.write)) if mode in WRITING else file

    builtins.open = opened


class _Counted:
    """A file whose writes are counted; unbuffered, so that a death leaves what was written."""

    def __init__(self, file: Any, write: Callable[[Any], Any]) -> None:
        self._file, self._write = file, write

    def write(self, data: Any) -> Any:
        result = self._write(data)
        self._file.flush()
        return result

    def __enter__(self) -> _Counted:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def child_steps(
    folder: Path, number: int, kind: str, at: int, mode: str, action: Action = save
) -> int:
    """Save one generation with something happening at call `at`."""

    def act(name: str, real: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        if mode == "before":
            os._exit(99)
        if mode == "after":
            real(*args, **kwargs)
            os._exit(99)
        if mode == "half" and name == "write":
            data = memoryview(args[0]).cast("B")
            real(data[: len(data) // 2])
            os._exit(99)
        code = errno.EIO if mode == "eio" else errno.ENOSPC
        raise OSError(code, os.strerror(code))

    intercept(at, act)
    try:
        action(folder, number, kind)
    except (DflTfError, OSError):
        return 98
    return 0


def fork(work: Callable[[], int]) -> int:
    """Run `work` in a forked child (no new interpreter each time); its exit code."""
    pid = os.fork()
    if pid == 0:
        code = 97
        try:
            with open(os.devnull, "w") as null:
                os.dup2(null.fileno(), 2)
            code = work()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


# -- the judge -----------------------------------------------------------------------------------
def judge(
    tally: Tally, folder: Path, kind: str, old: int, what: str, *, noted: bool = False
) -> None:
    """Read the set: generation old or old+1, whole, with its error named; then save once more."""
    tally.tried += 1
    try:
        state = read_model(folder, NAME, CLASS)
    except Exception as error:  # whatever comes out of a reader here is what is looked for
        tally.errors.append(f"{what}: {type(error).__name__}: {error}")
        return
    if state.iteration not in (old, old + 1) or not is_whole(state):
        tally.errors.append(f"{what}: read generation {state.iteration}, not whole")
    elif state.iteration == old:
        tally.old += 1
    else:
        tally.new += 1
    save(folder, old + 5, kind)
    again = read_model(folder, NAME, CLASS)
    leftovers = [p.name for p in folder.rglob("*.dfl_tf-new") if ".replaced" not in str(p)]
    if again.iteration != old + 5 or again.notes or not is_whole(again) or leftovers:
        tally.errors.append(f"{what}: the next save was not clean {leftovers} {again.notes}")


@contextlib.contextmanager
def prepared(base: Path, kind: str, *, backups: int = 0) -> Iterator[Path]:
    """A fresh folder with generations 1 and 2 saved, and backups of the first ones."""
    folder = Path(tempfile.mkdtemp(dir=base))
    for number in (1, 2):
        save(folder, number, kind)
        if number <= backups:
            back_up(folder, number, kind)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def calls_of(base: Path, kind: str, action: Action = save, backups: int = 0) -> int:
    """How many of the watched calls a save (or a backup, or bringing one back) makes."""
    with prepared(base, kind, backups=backups) as folder:
        read, write = os.pipe()

        def work() -> int:
            count = intercept(-1, lambda *_: None)
            action(folder, 3, kind)
            os.write(write, str(count[0]).encode())
            return 0

        fork(work)
        os.close(write)
        return int(os.read(read, 20))
