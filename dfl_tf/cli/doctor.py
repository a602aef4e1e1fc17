"""`dfl-tf doctor`: what is installed, what it runs on, and are the fast operations right."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import platform
import shutil
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import click
from dfl_tf_ops import process

from dfl_tf.cli.doctor_advice import OPENCV, TENSORFLOW, advice
from dfl_tf.cli.paths import FOLDER
from dfl_tf.cli.speaking import Command
from dfl_tf.disk.storage_check import check_storage
from dfl_tf.errors import DflTfError, UsageError

_PACKAGES = (
    "tensorflow",
    "keras",
    "numpy",
    "numba",
    "opencv-python-headless",
    "scipy",
    "scikit-image",
    "matplotlib",
    "pillow",
)
_OPTIONAL = ("tensorboard", "onnx", "onnxruntime", "av", "ai-edge-litert", "dlib-bin")


class SelfTestFailed(DflTfError):
    """A fast operation differs from its reference on this machine."""


@click.command(cls=Command)
@click.option("--self-test", is_flag=True, help="Compare the fast operations with plain NumPy.")
@click.option("--build-ops", is_flag=True, help="Compile the C++ operations for this machine.")
@click.option(
    "--storage",
    type=FOLDER,
    metavar="FOLDER",
    help="Try in this folder what saves and locks rest on, as for a network disk.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(self_test: bool, build_ops: bool, storage: Path | None, as_json: bool) -> None:
    """Show versions, devices and backends, and what to do about what is not as it should be."""
    if build_ops:
        path = _build()
        click.echo(f"built {path}", err=as_json)
    facts = gather()
    if storage is not None:
        facts["storage"] = check_storage(storage)
    failed = []
    if self_test:
        from dfl_tf.cli.self_test import comparisons

        results = list(comparisons())
        failed = [result.name for result in results if not result.passed]
        facts["self_test"] = {
            result.name: {
                "error": result.error,
                "tolerance": result.tolerance,
                "passed": result.passed,
            }
            for result in results
        }
    click.echo(json.dumps(facts, indent=2) if as_json else text(facts))
    if failed:
        raise SelfTestFailed(
            f"not equal to the reference on this machine: {', '.join(failed)}. "
            "DFL_TF_NATIVE=off avoids the C++ operations; please report this."
        )


def _build() -> Path:
    from dfl_tf_ops import native

    try:
        return native.build_into_cache()
    except native.NativeUnavailableError as error:
        raise DflTfError(f"the C++ operations were not built: {error}") from error


def gather() -> dict[str, object]:
    """All facts as plain values."""
    from dfl_tf_ops import native

    import dfl_tf

    facts: dict[str, object] = {
        "dfl_tf": dfl_tf.__version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "cpu": {"name": _cpu_name(), "cores": os.cpu_count()},
        "process": _process(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "extras": {name: _version(name) for name in _OPTIONAL},
        "open_models": _open_models(),
        "devices": _devices(),
        "gpu": _gpu(),
        "native_ops": _native(),
        "bfloat16": _bfloat16(),
        "kernel_cache": _kernel_cache(),
        "convolutions": _convolutions(),
        "rivals": {name: _version_of(name) for name in (*OPENCV, *TENSORFLOW)},
        "compiler": native.find_compiler(),
        "writable": _writable(),
        "disk_free_gib": _disk_free(),
    }
    return {**facts, "advice": advice(facts)}


def text(facts: dict[str, Any]) -> str:
    """The facts for people, one a line."""
    lines = []
    for key, value in facts.items():
        if key in _SHOWN_BY_ADVICE:
            continue
        if key == "self_test":
            lines += [
                f"{'ok' if row['passed'] else 'FAILED':<7} {name}: worst error "
                f"{row['error']:.2g}, allowed {row['tolerance']:.2g}"
                for name, row in value.items()
            ]
            continue
        shown = value
        if isinstance(value, dict):
            shown = ", ".join(f"{name} {'-' if v is None else v}" for name, v in value.items())
        elif isinstance(value, list):
            shown = "; ".join(value)
        lines.append(f"{key:<12} {shown}")
    lines += [f"to do        {text}" for text in facts.get("advice", [])]
    return "\n".join(lines)


_SHOWN_BY_ADVICE = ("advice", "rivals", "compiler")


def _writable() -> dict[str, str]:
    """Of each folder of the user's: where it is, or why it cannot be written."""
    places = {
        "cache": process.user_cache(),
        "data": process.user_data(),
        "temporary": process.temporary_folder(),
    }
    return {what: _can_be_written(place) for what, place in places.items()}


def _can_be_written(place: str | Path | None) -> str:
    if place is None:
        return "no (there is no home folder)"
    folder = Path(place)
    existing = next((each for each in (folder, *folder.parents) if each.exists()), folder)
    try:
        with tempfile.TemporaryFile(dir=existing):
            return str(folder)
    except OSError as error:
        return f"no ({folder}: {error.strerror})"


def _disk_free() -> dict[str, float]:
    """GiB that are free here, and where caches lie."""
    places = {str(Path.cwd()), str(process.temporary_folder() or "")}
    free = {}
    for place in sorted(each for each in places if each):
        with contextlib.suppress(OSError):
            free[place] = round(shutil.disk_usage(place).free / 2**30, 1)
    return free


def _version_of(package: str) -> str | None:
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(package)
    return None


def _version(package: str) -> str | None:
    found = _version_of(package)
    return _version_of("tensorflow-cpu") if package == "tensorflow" and found is None else found


def _open_models() -> dict[str, str]:
    """Of each set of models: where it is, or how to get it."""
    from dfl_tf.formats.weights.open_models import SETS, models_folder, read_model_file

    states = {}
    for name, models in SETS.items():
        fetch = "dfl-tf extract --get-models" + (f" {name}" if name != "faces" else "")
        try:
            for model in models:
                read_model_file(model)
            states[name] = f"in {models_folder()}"
        except UsageError:
            states[name] = f"not there ({fetch})"
        except DflTfError as damaged:
            states[name] = f"damaged ({damaged})"
    return states


def _cpu_name() -> str:
    return process.cpu_info("model name") or platform.processor() or platform.machine()


def _devices() -> list[str]:
    from dfl_tf_ops.native_output import import_tensorflow

    tf = import_tensorflow()
    names = []
    for device in tf.config.list_physical_devices():
        details = {}
        if device.device_type == "GPU":
            details = tf.config.experimental.get_device_details(device)
        name = details.get("device_name", "")
        names.append(f"{device.name.removeprefix('/physical_device:')} {name}".strip())
    return names


def _gpu() -> str:
    """What the NVIDIA driver knows, and what TensorFlow lacks to use it."""
    from dfl_tf.devices.configure import count_gpus
    from dfl_tf.devices.gpus import find_gpus, missing_parts

    found = find_gpus()
    if not found:
        return "no NVIDIA driver"
    names = ", ".join(
        f"{gpu.name} ({gpu.free_gib:.1f} of {gpu.total_gib:.1f} GiB free)" for gpu in found
    )
    if count_gpus():
        return names
    return f"{names}: not used, {'; '.join(missing_parts()) or 'TensorFlow does not find it'}"


def _native() -> str:
    from dfl_tf_ops import native

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return str(native.backend())
        except native.NativeUnavailableError as error:
            return f"missing ({error})"


def _bfloat16() -> str:
    """Whether the CPU multiplies bfloat16 itself; without it the precision is only emulated."""
    from dfl_tf.devices.cpu import cpu_bfloat16

    native = cpu_bfloat16()
    if native:
        return f"native ({', '.join(native)})"
    return "emulated on this CPU (no faster than float32)"


def _kernel_cache() -> str:
    from dfl_tf_ops.jit import cache_folder

    return cache_folder() or "none can be written: kernels are compiled in memory at each start"


def _convolutions() -> str:
    """How many shapes have forms that were measured on this machine, and where they are kept."""
    from dfl_tf_ops.convolution_forms import cache_file, kept_forms

    path = cache_file()
    if path is None:
        return "no home folder: forms are measured at each start"
    return f"forms of {len(kept_forms())} shapes were measured ({path})"


def _process() -> dict[str, object]:
    """What this process may use, which can be less than what the machine has."""
    limit = process.memory_limit()
    available = process.available_memory()
    cache = process.user_cache()
    return {
        "cores": process.cores(),
        "memory_gib": None if limit is None else round(limit / 2**30, 1),
        "available_gib": None if available is None else round(available / 2**30, 1),
        "open_files": process.open_files(),
        "cache": None if cache is None else str(cache),
        "temporary": process.temporary_folder(),
        "encoding": process.terminal_encoding(sys.stdout),
    }
