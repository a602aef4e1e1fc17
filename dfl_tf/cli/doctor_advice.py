"""What to do about what `dfl-tf doctor` finds: one line for each thing that is not as it should."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

Facts = Mapping[str, Any]
LITTLE_MEMORY_GIB, LITTLE_DISK_GIB = 4.0, 10.0
OPENCV = (
    "opencv-python",
    "opencv-python-headless",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
)
TENSORFLOW = ("tensorflow", "tensorflow-cpu")


def advice(facts: Facts) -> list[str]:
    """Lines about facts of `dfl-tf doctor`, the most important first."""
    return [text for rule in RULES for text in rule(facts)]


def _two_packages(facts: Facts) -> Iterator[str]:
    for names, keep in ((OPENCV, "opencv-python-headless"), (TENSORFLOW, "")):
        there = [name for name in names if facts["rivals"].get(name)]
        if len(there) > 1:
            kept = keep or "the one that you want"
            yield (
                f"{' and '.join(there)} hold the same module and overwrite each other: "
                f"pip uninstall {' '.join(there)}, then pip install {kept}"
            )


def _gpu(facts: Facts) -> Iterator[str]:
    if ": not used, " in facts["gpu"]:
        why = facts["gpu"].partition(": not used, ")[2]
        yield f"a GPU is there, but TensorFlow does not use it: {why}"


def _native(facts: Facts) -> Iterator[str]:
    state = facts["native_ops"]
    if state.startswith("native") or "DFL_TF_NATIVE=off" in state:
        return
    if facts["compiler"] is None:
        yield (
            "the C++ operations are not built, and there is no compiler: install g++ (apt install "
            "g++), then dfl-tf doctor --build-ops"
        )
    else:
        yield "the C++ operations are not built: dfl-tf doctor --build-ops (half a minute)"


def _folders(facts: Facts) -> Iterator[str]:
    for what, place in facts["writable"].items():
        if place.startswith("no"):
            slow = "; until then each start compiles again" if what == "cache" else ""
            why = place.removeprefix("no ")
            yield f"the {what} folder cannot be written {why}: set {_VARIABLES[what]}{slow}"


_VARIABLES = {"cache": "XDG_CACHE_HOME", "data": "XDG_DATA_HOME", "temporary": "TMPDIR"}


def _models(facts: Facts) -> Iterator[str]:
    for name, state in facts["open_models"].items():
        if not state.startswith("in "):
            more = "" if name == "faces" else f" {name}"
            what = state.partition(" (")[0]
            yield f"the models of {name} are {what}: dfl-tf extract --get-models{more}"


def _room(facts: Facts) -> Iterator[str]:
    available = facts["process"].get("available_gib")
    if available is not None and available < LITTLE_MEMORY_GIB:
        yield (
            f"{available:g} GiB of memory are free: end other programs, or train with smaller dims "
            "and batches (dfl-tf train WORKSPACE --plan says what is needed)"
        )
    for place, free in facts["disk_free_gib"].items():
        if free < LITTLE_DISK_GIB:
            yield f"{free:g} GiB are free at {place}: a model with its backups takes several"


RULES: tuple[Callable[[Facts], Iterator[str]], ...] = (
    _two_packages,
    _gpu,
    _native,
    _folders,
    _models,
    _room,
)
