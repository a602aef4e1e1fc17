#!/usr/bin/env python3
"""How long a training stands still at a save, previews included, and how slow the next steps are.

    python tools/bench_saves.py [--rounds N] [--resolution 128] [--dims 64] [--batch 4] [--after 4]

A SAEHD df-ud (54.5 million weights as it stands, 163 with its optimizer) trains on random faces.
The old way and the new one take turns. Old: every array is copied to fresh memory and looked
at twice (finite? how large?), the preview is drawn before the training goes on, and a thread of
ordinary priority writes. New: `Checkpointer.save`, as `dfl-tf train` calls it. Printed are the
pause in seconds, the time of the next `--after` steps over that of steps without a save, medians of
all rounds, whether both previews are the same to the byte, and how long writing took beside.
"""

from __future__ import annotations

import argparse
import hashlib
import statistics
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parents[1]
for entry in (ROOT / "ops", ROOT):
    if str(entry) not in sys.path:
        sys.path.insert(0, str(entry))

import numpy as np  # noqa: E402

from dfl_tf.data.batch import Batch  # noqa: E402
from dfl_tf.formats import write_model  # noqa: E402
from dfl_tf.formats.loss_history import LossHistory  # noqa: E402
from dfl_tf.jobs.events import Events  # noqa: E402
from dfl_tf.options import RunOptions, SAEHDOptions, default, to_legacy  # noqa: E402

if TYPE_CHECKING:
    from dfl_tf.models.base import FaceModel
    from dfl_tf.train.checkpoint import Checkpointer

QUIET = 3


@dataclass
class Row:
    """One save: its pause, the steps after it, and the seconds until its files were whole."""

    pause: float
    after: list[float]
    written: float


class Bench:
    """A model, its batches and a folder for its saves."""

    def __init__(self, folder: Path, args: argparse.Namespace) -> None:
        from types import SimpleNamespace

        from dfl_tf.devices.configure import configure_devices
        from dfl_tf.models.saehd.model import SAEHD
        from dfl_tf.train.checkpoint import Checkpointer, CheckpointLocation
        from dfl_tf.train.loss_graph import LossTrace

        run = default(RunOptions, preview_dir=str(folder / "new"))
        configure_devices(run)
        options = default(
            SAEHDOptions, resolution=args.resolution, batch_size=args.batch, archi="df-ud",
            ae_dims=4 * args.dims, e_dims=args.dims, d_dims=args.dims,
        )  # fmt: skip
        self.folder, self.model = folder, SAEHD(options, run)
        rng = np.random.default_rng(0)
        self.batches = tuple(
            Batch(
                {
                    name: rng.random((args.batch, spec_size, spec_size, channels), np.float32)
                    for name, (spec_size, channels) in _sizes(self.model).items()
                }
            )
            for _ in range(2)
        )
        self.model.loss_history = LossHistory.of(rng.random((2000, 2)).tolist())
        settings = SimpleNamespace(
            run=run, options=options, legacy=lambda: to_legacy(options),
            resolved=SimpleNamespace(unknown={}),
        )  # fmt: skip
        segment = SimpleNamespace(model=self.model, settings=settings)
        self.trace = LossTrace(self.model.loss_history)
        self.checkpoint: Checkpointer = Checkpointer(
            segment, CheckpointLocation(folder, "new", "SAEHD"), log=Events([]), trace=self.trace
        )  # type: ignore[arg-type]
        self.checkpoint.summary = lambda: "summary"  # type: ignore[method-assign]

    def steps(self, count: int) -> list[float]:
        """Seconds of some steps."""
        spent = []
        for _ in range(count):
            start = time.perf_counter()
            losses = self.model.train_step(*self.batches)
            np.asarray(losses["src"])
            spent.append(time.perf_counter() - start)
        return spent

    def old(self, after: int) -> Row:
        """Save as it was done: fresh memory, two looks at it, the preview in the foreground."""
        from dfl_tf.train.drawing import Showing

        start = time.perf_counter()
        state = self.model.state()
        state = replace(state, options=to_legacy(self.model.options))
        for arrays in state.tensors.values():
            for array in arrays.values():
                assert np.isfinite(array).all()
        for part in self.model.networks:
            sum(float(np.vdot(a.ravel(), a.ravel())) for a in state.tensors[part].values())
        written: list[float] = []

        def write() -> None:
            write_model(self.folder / "model", "new", state, summary="summary")
            written.append(time.perf_counter())

        thread = threading.Thread(target=write)
        thread.start()
        showing = Showing(
            self.model, self.model.iteration, self.batches, self.trace.array, (), (),
            self.checkpoint._book, "new_SAEHD", self.folder / "old",
        )  # fmt: skip
        showing.write(showing.images())
        return self._row(start, time.perf_counter(), after, lambda: (thread.join(), written[0])[1])

    def new(self, after: int) -> Row:
        """Save as `dfl-tf train` does it."""
        start = time.perf_counter()
        self.checkpoint.save({}, (), self.batches)
        pause = time.perf_counter()

        def written() -> float:
            self.checkpoint.wait()
            return time.perf_counter()

        return self._row(start, pause, after, written)

    def _row(self, start: float, pause: float, after: int, written: object) -> Row:
        spent = self.steps(after)
        assert callable(written)
        return Row(pause - start, spent, written() - start)


def _sizes(model: FaceModel) -> dict[str, tuple[int, int]]:
    spec = model.sample_specs()["src"]
    resolution = int(model.options.resolution)
    return {
        name: (resolution, 1 if getattr(output, "kind", "") in ("mask", "eyes_mouth") else 3)
        for name, output in spec.outputs.items()
    }


def median(values: list[float]) -> float:
    return statistics.median(values)


def files_of(folder: Path) -> dict[str, str]:
    found = sorted(folder.iterdir())
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--resolution", type=int, default=128)
    parser.add_argument("--dims", type=int, default=64)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--after", type=int, default=4, help="steps after a save")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), args)
        weights = sum(bench.model.parameter_counts().values()) / 1e6
        print(f"{weights:.1f} million weights, resolution {args.resolution}, batch {args.batch}")
        bench.steps(2)
        for way in (bench.old, bench.new):  # traces, allocates, imports
            way(1)
        rows: dict[str, list[Row]] = {"old": [], "new": []}
        ratios: dict[str, list[list[float]]] = {"old": [], "new": []}
        same = True
        for number in range(args.rounds):
            for name in sorted(rows, reverse=bool(number % 2)):
                quiet = median(bench.steps(QUIET))
                row = getattr(bench, name)(args.after)
                rows[name].append(row)
                ratios[name].append([seconds / quiet for seconds in row.after])
                if name == "new":
                    bench.checkpoint.wait()
            # both drawn of the same weights
            bench.old(0), bench.new(0)
            bench.checkpoint.wait()
            old, new = (files_of(bench.folder / name) for name in ("old", "new"))
            same = same and all(old[name] == new[name] for name in old if name.endswith(".jpg"))
            print(f"round {number + 1}: " + _round(rows), flush=True)
    for name, found in rows.items():
        after = [median([turn[i] for turn in ratios[name]]) for i in range(args.after)]
        print(
            f"{name}: pause {median([row.pause for row in found]):.2f} s   next steps "
            + " ".join(f"x{ratio:.2f}" for ratio in after)
            + f"   mean x{sum(after) / max(1, len(after)):.2f}   whole on disk after "
            f"{median([row.written for row in found]):.1f} s"
        )
    pairs = zip(rows["old"], rows["new"], strict=True)
    print(f"pause, old / new: x{median([a.pause / b.pause for a, b in pairs]):.1f}")
    print(f"previews are {'the same to the byte' if same else 'NOT the same'}")
    return 0 if same else 1


def _round(rows: dict[str, list[Row]]) -> str:
    return "   ".join(f"{name} pause {found[-1].pause:.2f} s" for name, found in rows.items())


if __name__ == "__main__":
    sys.exit(main())
