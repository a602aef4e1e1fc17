"""Finds the C++ op library, loads it once, and builds it on request.

The library belongs to one TensorFlow version (its C++ interface changes with every release): the
file carries the version that it was built for and is not loaded into another one. `DFL_TF_NATIVE` =
`auto` (default: use it, built at its first use where a compiler is there; else say why not, once),
`found` (as `auto`, but build nothing), `off`, or `require` (its lack is an error). Nothing is built
when a package is imported.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import logging
import os
import re
import shutil
import subprocess
import threading
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

_PACKAGE = Path(__file__).resolve().parent
_FILE_NAME = "_native.so"
MODES = ("auto", "found", "off", "require")
log = logging.getLogger("dfl_tf.ops")  # a name whose messages commands show
_lock = threading.Lock()
_loaded: Backend | None = None
_opened: ModuleType | None = None


@dataclass(frozen=True)
class Backend:
    """Which implementation of optimizer steps and convolutions is in use, and why.

    Parameters
    ----------
    name : {"native", "fallback"}
    reason : str
        Path of the library, or what keeps it from being used.
    module : module or None
        The loaded ops.
    """

    name: str
    reason: str
    module: ModuleType | None = None

    def __str__(self) -> str:
        return f"{self.name} ({self.reason})"


class NativeUnavailableError(RuntimeError):
    """`DFL_TF_NATIVE=require`, but the library cannot be used."""


def library() -> ModuleType | None:
    """Return the module of fused ops, or None where the TensorFlow fallback must do."""
    return backend().module


def backend() -> Backend:
    """Load the library if that has not been tried yet, and say what is in use.

    Raises
    ------
    NativeUnavailableError
        If `DFL_TF_NATIVE=require` and it cannot be used.

    Warns
    -----
    RuntimeWarning
        Once, with the reason, when the fallback is used without having been asked for.
    """
    global _loaded
    with _lock:
        if _loaded is None:
            _loaded = _load()
        return _loaded


def has_winograd(dtype: str) -> bool:
    """Whether the library is in use and its convolutions are the fastest for `dtype` on this CPU.

    float32 takes AVX2 with FMA; bfloat16 takes AVX-512 with its products of bfloat16, but no AMX,
    which is faster in TensorFlow's own convolutions.
    """
    named = dtype in ("float32", "bfloat16") and library() is not None
    return named and _asks(backend().reason, f"dfl_tf_winograd_{dtype}")


@functools.cache
def _asks(path: str, question: str) -> bool:
    return bool(getattr(ctypes.CDLL(path), question)())


def forget() -> None:
    """Let the next call look for the library again (after a build; in tests)."""
    global _loaded
    with _lock:
        _loaded = None


def _load() -> Backend:
    mode = os.environ.get("DFL_TF_NATIVE", "auto")
    if mode not in MODES:
        raise NativeUnavailableError(f"DFL_TF_NATIVE={mode!r} is none of {', '.join(MODES)}.")
    if mode == "off":
        return Backend("fallback", "DFL_TF_NATIVE=off")
    found, reasons = _find()
    if found is None and mode == "auto":
        reasons.append(_build_at_first_use())
        found, again = _find()
        reasons += [each for each in again if each not in reasons]
    if found is not None:
        return found
    reason = "; ".join(each for each in reasons if each) or "the C++ library has not been built"
    if mode == "require":
        raise NativeUnavailableError(f"{reason} (DFL_TF_NATIVE=require).")
    warnings.warn(
        "optimizer steps and convolutions run on plain TensorFlow ops, slower than in C++: "
        f"{reason}. Build it with `dfl-tf doctor --build-ops`, or silence this by "
        "DFL_TF_NATIVE=off.",
        RuntimeWarning,
        stacklevel=4,
    )
    return Backend("fallback", reason)


def _find() -> tuple[Backend | None, list[str]]:
    """The first library that fits, and why those before it do not."""
    import tensorflow as tf

    reasons: list[str] = []
    for path in _candidates(tf.__version__):
        try:
            misfit = _misfit(path, tf.__version__)
            if misfit == "":
                return Backend("native", str(path), _open(path)), reasons
        except (tf.errors.OpError, OSError, UnicodeError) as error:
            # unreadable, or in a folder whose name is not UTF-8, which TensorFlow cannot take
            misfit = f"{path} cannot be loaded: {error}"
        reasons.append(misfit)
    return None, reasons


def _build_at_first_use() -> str:
    """Build into the user's cache, once for all processes; why that could not be."""
    import tensorflow as tf

    compiler = find_compiler()
    if compiler is None:
        return "the C++ library has not been built, and there is no C++ compiler (g++)"
    try:
        target = _cache_path(tf.__version__, compiler)
        with _alone(target.parent):
            if not target.is_file():  # another process has built it meanwhile
                log.info(
                    "building the C++ operations for TensorFlow %s: half a minute, once (%s)",
                    tf.__version__,
                    target,
                )
                _compile(target, compiler, ())
    except (NativeUnavailableError, OSError) as error:
        return f"the C++ library could not be built: {error}"
    return ""


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let one process at a time into the block; where files cannot be locked, all."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "building.lock", "wb") as handle:
        with contextlib.suppress(ImportError, OSError):
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _open(path: Path) -> ModuleType:
    """Load the ops; a process can register them once only, from whichever copy of the library."""
    global _opened
    if _opened is None:
        import tensorflow as tf

        _opened = tf.load_op_library(str(path))
    return _opened


def _candidates(tensorflow_version: str) -> Iterator[Path]:
    """Files to try: beside this package, then in the user's cache, newest first."""
    beside = _PACKAGE / _FILE_NAME
    if os.path.isfile(beside):  # False where this user may not look
        yield beside
    root = _user_cache()
    if root is None:
        return
    built = root.glob(f"{_cache_prefix(tensorflow_version)}-*/{_FILE_NAME}")
    with contextlib.suppress(OSError):  # a folder that this user may not read
        yield from sorted(built, key=lambda path: path.stat().st_mtime, reverse=True)


def _misfit(path: Path, tensorflow_version: str) -> str:
    """Say why a library does not belong to this TensorFlow or to these sources ("" = it does)."""
    content = path.read_bytes()
    built_for, built_from = _mark(content, b"BUILT_FOR"), _mark(content, b"BUILT_FROM")
    if built_for != tensorflow_version:
        return f"{path} was built for TensorFlow {built_for}, this is {tensorflow_version}"
    if built_from != source_hash():
        return f"{path} was built from other sources than those installed"
    return ""


def _mark(content: bytes, name: bytes) -> str:
    found = re.search(rb"DFL_TF_%s=([^;\0]{1,40});" % name, content)
    return found.group(1).decode("ascii", "replace") if found else "unknown"


def source_directory() -> Path:
    """Folder of the C++ sources: in the wheel inside the package, in a checkout beside it."""
    inside = _PACKAGE / "cc"
    return inside if inside.is_dir() else _PACKAGE.parent / "cc"


def sources() -> list[Path]:
    """All C++ files, headers too, sorted."""
    return sorted(p for p in source_directory().glob("*") if p.suffix in (".cc", ".h"))


def source_hash() -> str:
    """Sixteen hexadecimal digits that change with any C++ file."""
    digest = hashlib.sha256()
    for path in sources():
        digest.update(path.name.encode() + b"\0" + path.read_bytes().replace(b"\r\n", b"\n"))
    return digest.hexdigest()[:16]


def compile_flags(tensorflow_version: str) -> list[str]:
    """Flags beside those that TensorFlow asks for (setup.py takes them from here).

    No contraction: a step gives the same bits on every machine, and the same as the fallback.
    """
    return [
        "-O3",
        "-g0",
        "-fno-math-errno",
        "-fno-trapping-math",
        "-ffp-contract=off",
        "-Wno-deprecated-declarations",
        "-Wno-interference-size",
        f'-DDFL_TF_BUILT_FOR="{tensorflow_version}"',
        f'-DDFL_TF_BUILT_FROM="{source_hash()}"',
    ]


def find_compiler() -> str | None:
    """Path of the C++ compiler: `$CXX`, else g++, else c++."""
    for name in (os.environ.get("CXX", ""), "g++", "c++"):
        if name and (path := shutil.which(name)) is not None:
            return path
    return None


def _user_cache() -> Path | None:
    # Imported here: setup.py loads this file by its path, where the package is not installed yet.
    from dfl_tf_ops.process import user_cache

    return user_cache()


def _cache_prefix(tensorflow_version: str) -> str:
    return f"tensorflow-{tensorflow_version}-{source_hash()}"


def _cache_path(tensorflow_version: str, compiler: str) -> Path:
    """Where the library belongs: keyed by TensorFlow version, source hash and compiler."""
    version = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=False)
    key = hashlib.sha256(f"{compiler}\n{version.stdout}".encode()).hexdigest()[:8]
    root = _user_cache()
    if root is None:
        raise NativeUnavailableError("there is no home folder. Set HOME or XDG_CACHE_HOME.")
    return root / f"{_cache_prefix(tensorflow_version)}-{key}" / _FILE_NAME


def build_into_cache(*, extra_flags: Sequence[str] = ()) -> Path:
    """Compile the ops for the installed TensorFlow into the user's cache; takes half a minute.

    Returns
    -------
    Path
        The library; `backend()` finds it from now on.

    Raises
    ------
    NativeUnavailableError
        If there is no compiler, there are no sources, or the compiler fails (with its errors).
    """
    import tensorflow as tf

    compiler = find_compiler()
    if compiler is None:
        raise NativeUnavailableError("no C++ compiler found. Install g++, or name one in CXX.")
    target = _cache_path(tf.__version__, compiler)
    _compile(target, compiler, extra_flags)
    forget()
    return target


def _compile(target: Path, compiler: str, extra_flags: Sequence[str]) -> None:
    import tensorflow as tf

    main_file = source_directory() / "library.cc"
    if not main_file.is_file():
        raise NativeUnavailableError(f"no C++ sources in {main_file.parent}. Reinstall dfl-tf.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise NativeUnavailableError(
            f"{target.parent} cannot be written ({error.strerror}). Set HOME or XDG_CACHE_HOME."
        ) from error
    unfinished = target.with_suffix(f".{os.getpid()}.tmp")
    command = [compiler, "-shared", "-fPIC", *tf.sysconfig.get_compile_flags()]
    command += [*compile_flags(tf.__version__), *extra_flags, str(main_file), "-o", str(unfinished)]
    command += tf.sysconfig.get_link_flags()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        unfinished.unlink(missing_ok=True)
        errors = [line for line in done.stderr.splitlines() if "error" in line.lower()]
        raise NativeUnavailableError(
            f"{compiler} failed: " + "\n".join((errors or done.stderr.splitlines())[-8:])
        )
    os.replace(unfinished, target)
