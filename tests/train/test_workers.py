"""Two real processes over loopback: a lost worker, a restart, a signal to one of them.

All three in one story, for every start of TensorFlow costs seconds.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dfl_tf
from dfl_tf.formats import ModelState, read_model
from tests.devices.ports import free_ports

ROOT = Path(__file__).parents[2]
DEMO = Path(dfl_tf.__file__).parent / "demo_data"
TINY = (
    "--resolution=64", "--face-type=wf", "--archi=df", "--ae-dims=32", "--e-dims=16", "--d-dims=16",
    "--d-mask-dims=16", "--batch-size=4", "--clipgrad", "--lr-dropout=y", "--seed=11",
    "--threads=1", "--workers=1", "--no-preview", "--log-every=1", "--target-iter=100000",
)  # fmt: skip


def workspace(root: Path) -> Path:
    for side in ("data_src", "data_dst"):
        shutil.copytree(DEMO / side, root / side)
    return root


class Run:
    """One `dfl-tf train` with what it prints in a file."""

    def __init__(self, root: Path, name: str, *arguments: str) -> None:
        self.output = root.parent / f"{name}.txt"
        self.losses = root.parent / f"{name}.jsonl"
        command = [sys.executable, "-m", "dfl_tf", "train", str(root), *TINY, *arguments]
        with self.output.open("w") as output:
            self.process = subprocess.Popen(
                [*command, f"--log-json={self.losses}"], cwd=ROOT, stdout=output, stderr=output
            )

    def text(self) -> str:
        return self.output.read_text()

    def events(self, kind: str) -> list[dict[str, Any]]:
        lines = self.losses.read_text().splitlines() if self.losses.exists() else []
        return [entry for line in lines[:-1] if (entry := json.loads(line))["event"] == kind]

    def iteration(self) -> int:
        return len(self.events("iteration"))

    def wait_for(self, iterations: int) -> None:
        while self.iteration() < iterations:
            assert self.process.poll() is None, self.text()
            time.sleep(0.05)

    def code(self) -> int:
        return self.process.wait()


def cluster(root: Path, name: str) -> list[Run]:
    """The chief and worker 1 on free ports. The worker has no log of its own."""
    cluster = "--cluster=" + ",".join(f"127.0.0.1:{port}" for port in free_ports(2))
    return [Run(root, f"{name}{index}", cluster, f"--worker-index={index}") for index in range(2)]


@pytest.fixture
def started():
    """Runs to end, whatever happens."""
    runs: list[Run] = []
    yield runs
    for run in runs:
        if run.process.poll() is None:
            run.process.kill()
            run.process.wait()


def model(root: Path) -> ModelState:
    return read_model(root / "model", "new", "SAEHD")


@pytest.mark.slow
def test_a_lost_worker_a_restart_and_other_options_meanwhile_leave_the_weights_of_one_process(
    tmp_path, started
):
    root = workspace(tmp_path / "cluster")
    chief, worker = cluster(root, "first")
    started += [chief, worker]
    chief.wait_for(3)
    worker.process.kill()
    assert chief.code() == 1, chief.text()
    assert "error: worker 1 (127.0.0.1:" in chief.text()
    assert "Traceback" not in chief.text()
    lost = model(root)
    assert f"The model is saved at iteration {lost.iteration}." in chief.text()
    assert lost.iteration == len(lost.loss_history) >= 3
    assert lost.run["positions"] == dict.fromkeys(("src", "dst"), 4 * lost.iteration)
    assert lost.tensors["src_dst_opt"]["iters:0"] == lost.iteration

    chief, worker = cluster(root, "second")
    started += [chief, worker]
    chief.wait_for(1)
    request = root / "model" / "new_SAEHD_options.request"
    request.write_text("random_warp: false\nbatch_size: 2\n")
    while not chief.events("segment"):
        assert chief.process.poll() is None, chief.text()
        time.sleep(0.05)
    switched = chief.events("segment")[0]["iteration"]
    chief.wait_for(switched - lost.iteration + 2)
    worker.process.send_signal(signal.SIGTERM)
    assert (chief.code(), worker.code()) == (143, 143), chief.text() + worker.text()
    assert "[#" not in worker.text()  # the chief tells the losses
    assert not worker.losses.exists()
    state = model(root)
    assert state.iteration >= switched + 2
    assert not request.exists()
    assert (state.options["random_warp"], state.options["batch_size"]) == (False, 2)

    alone = workspace(tmp_path / "alone")
    later = ("--no-random-warp", "--batch-size=2")
    for target, options in ((switched, ()), (state.iteration, later)):
        arguments = ("--devices=cpu:0,cpu:1", f"--target-iter={target}", *options)
        one = Run(alone, f"alone{target}", *arguments)
        started.append(one)
        assert one.code() == 0, one.text()
    other = model(alone)
    assert other.loss_history == state.loss_history
    assert other.run == state.run
    for part, arrays in other.tensors.items():
        for key, array in arrays.items():
            np.testing.assert_array_equal(array, state.tensors[part][key], f"{part} {key}")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("index", "missing"),
    [(0, "worker 1"), (1, "the chief")],
)
def test_a_process_without_the_other_says_so_and_leaves(tmp_path, started, index, missing):
    root = workspace(tmp_path / "alone")
    ports = free_ports(2)
    cluster = "--cluster=" + ",".join(f"127.0.0.1:{port}" for port in ports)
    run = Run(root, "one", cluster, f"--worker-index={index}", "--worker-timeout=11")
    started.append(run)
    assert run.code() == 1
    place = f"{missing} (127.0.0.1:{ports[1 - index]})"
    assert f"waiting for {place}" in run.text()
    assert f"error: {place} did not arrive within 11 s (--worker-timeout)" in run.text()
    assert "Traceback" not in run.text()
    assert not any((root / "model").glob("*SAEHD*"))
