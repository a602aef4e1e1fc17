"""Golden training runs and their units: losses, gradients, weights and slots after each step."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from golden_kinds import training_units
from golden_kinds.arrays import load_arrays
from golden_kinds.check import Check

# The README of the format: inputs of the same folder, else these.
COMMON_INPUTS = Path(__file__).resolve().parents[2] / "tests/golden/training/inputs64.npz"


def cases(folder: Path) -> list[str]:
    """Every file but the inputs."""
    return sorted(p.stem for p in folder.glob("*.npz") if p.name != "inputs64.npz")


def run(folder: Path, case: str) -> list[Check]:
    """Run one file by what is in it."""
    data = load_arrays(folder / f"{case}.npz")
    inputs = _inputs(folder)
    if "meta_json" in data:
        from golden_kinds.training_runs import compare_run

        return compare_run(data, json.loads(str(data["meta_json"])), inputs)
    return training_units.compare(data, inputs)


def _inputs(folder: Path) -> dict[str, np.ndarray]:
    path = folder / "inputs64.npz"
    stored = load_arrays(path if path.exists() else COMMON_INPUTS)
    return {key: np.float32(stored[key]) / np.float32(255) for key in stored}
