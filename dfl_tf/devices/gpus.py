"""The NVIDIA GPUs of this machine, asked of their driver; imports no TensorFlow.

TensorFlow tells neither how much memory a GPU has nor how much of it is free before it takes it.
"""

from __future__ import annotations

import csv
import ctypes
import functools
import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_FIELDS = ("index", "uuid", "name", "memory.total", "memory.free")
LIBRARIES = {
    "libcudart.so.12": "nvidia-cuda-runtime-cu12",
    "libcublas.so.12": "nvidia-cublas-cu12",
    "libcublasLt.so.12": "nvidia-cublas-cu12",
    "libcufft.so.11": "nvidia-cufft-cu12",
    "libcusolver.so.11": "nvidia-cusolver-cu12",
    "libcusparse.so.12": "nvidia-cusparse-cu12",
    "libcudnn.so.9": "nvidia-cudnn-cu12",
}
"""What TensorFlow 2.21 loads, and the package that brings it."""


@dataclass(frozen=True)
class Gpu:
    """A GPU as its driver describes it.

    Attributes
    ----------
    uuid, name : str
    total_gib, free_gib : float
        Its memory, and what of it is free now.
    """

    uuid: str
    name: str
    total_gib: float
    free_gib: float


def find_gpus(environ: Mapping[str, str] = os.environ) -> tuple[Gpu, ...]:
    """Return the GPUs that this process may use, in the order in which TensorFlow counts them.

    Empty without an NVIDIA driver.
    """
    found = list(_ask_driver())
    visible = environ.get("CUDA_VISIBLE_DEVICES")
    return tuple(found if visible is None else _visible(found, visible))


def forget_gpus() -> None:
    """Let the next question go to the driver again: what is free has changed."""
    _ask_driver.cache_clear()


@functools.cache
def _ask_driver() -> tuple[Gpu, ...]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    question = f"--query-gpu={','.join(_FIELDS)}"
    try:
        done = subprocess.run(
            [program, question, "--format=csv,noheader,nounits"],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ()
    return parse_answer(done.stdout)


def parse_answer(text: str) -> tuple[Gpu, ...]:
    """Read what ``nvidia-smi --query-gpu`` prints; lines that tell no GPU are left out."""
    found = []
    for row in csv.reader(text.splitlines(), skipinitialspace=True):
        try:
            _, uuid, name, total, free = row
            found.append(Gpu(uuid, name, float(total) / 1024, float(free) / 1024))
        except ValueError:  # "No devices were found", or a card that does not tell its memory
            continue
    return tuple(found)


def _visible(found: Sequence[Gpu], wanted: str) -> list[Gpu]:
    """What ``CUDA_VISIBLE_DEVICES`` leaves: up to the first entry that names no GPU."""
    chosen: list[Gpu] = []
    for entry in (part.strip() for part in wanted.split(",")):
        if entry.isdigit() and int(entry) < len(found):
            chosen.append(found[int(entry)])
        elif match := [gpu for gpu in found if entry and gpu.uuid.startswith(entry)]:
            chosen.append(match[0])
        else:
            break
    return chosen


def usable_gpus() -> tuple[Gpu, ...]:
    """Return the GPUs that the installed TensorFlow can use, as far as can be told without it."""
    found = find_gpus()
    return found if found and _installed("tensorflow") else ()


def best_gpu(count: int) -> int:
    """Return the number of the GPU with the most free memory among the first `count`."""
    forget_gpus()
    free = [gpu.free_gib for gpu in find_gpus()[:count]]
    return free.index(max(free)) if free else 0


def missing_parts() -> list[str]:
    """Say what keeps TensorFlow from the GPUs of this machine; empty if nothing is missing."""
    if not _installed("tensorflow"):
        return [
            "tensorflow-cpu is installed, which has no GPU support "
            "(pip uninstall tensorflow-cpu; pip install 'dfl-tf[gpu]')"
        ]
    found = []
    for library, package in LIBRARIES.items():
        if not _loads(library):
            found.append(f"{library} is missing (pip install {package}, or 'dfl-tf[gpu]' for all)")
    if not _loads("libcuda.so.1"):
        found.append("libcuda.so.1 is missing: it is part of the NVIDIA driver")
    return found


def _installed(package: str) -> bool:
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _loads(library: str) -> bool:
    """Whether a library is in one of NVIDIA's packages or can be loaded by its name."""
    spec = importlib.util.find_spec("nvidia")
    folders = [] if spec is None else list(spec.submodule_search_locations or ())
    for folder in folders:
        # "lib" in a package a library
        if any((Path(folder) / part / "lib" / library).is_file() for part in _PARTS):
            return True
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


_PARTS = ("cuda_runtime", "cublas", "cufft", "cusolver", "cusparse", "cudnn")
