"""What this process may use, and uses: cores, memory, open files, folders. One reader of /proc.

In a container, under a batch system or `taskset`, the machine is larger than the process's
share of it, the home folder may not exist, and folders may be read-only. Everybody who needs
such a fact asks here; what a system does not tell is None, or empty.
"""

from __future__ import annotations

import contextlib
import locale
import math
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import platformdirs

__all__ = [
    "allow_open_files",
    "available_at_peak",
    "available_memory",
    "cores",
    "cpu_info",
    "memory_limit",
    "open_files",
    "peak_memory",
    "resident_memory",
    "running_seconds",
    "scratch_file",
    "temporary_folder",
    "terminal_encoding",
    "user_cache",
    "user_data",
]

_PROC = Path("/proc")
_CGROUPS = Path("/sys/fs/cgroup")
_WANTED_FILES = 65536


def cores() -> int:
    """Return how many cores this process may keep busy, at least 1.

    The smallest of the cores it may run on and the processor quotas of its control groups.
    """
    try:
        allowed = float(len(os.sched_getaffinity(0)))
    except (AttributeError, OSError):
        allowed = float(os.cpu_count() or 1)
    for folder in _control_groups("cpu"):
        allowed = min(allowed, _quota(folder))
    return max(1, math.ceil(allowed))


def memory_limit() -> int | None:
    """Return the most memory that this process may ever hold, in bytes; None if unknown.

    The smallest of the machine's memory, the limits of its control groups and its `ulimit`.
    """
    found = [limit for limit, _ in _memory_groups()] + [limit for limit, _ in _memory_ulimits()]
    total = _kilobytes(_PROC / "meminfo", "MemTotal")
    if total is None:
        with contextlib.suppress(ValueError, OSError, AttributeError):
            total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(found + ([] if total is None else [total]), default=None)


def available_memory() -> int | None:
    """Return how much more memory this process can get without swapping, in bytes, or None.

    As `memory_limit`, less what is in use. Files that a control group holds in memory count as
    free, as they do for the machine.
    """
    found = [limit - used for limit, used in (*_memory_groups(), *_memory_ulimits())]
    free = _kilobytes(_PROC / "meminfo", "MemAvailable")
    least = min(found + ([] if free is None else [free]), default=None)
    return None if least is None else max(0, least)


def resident_memory(pid: int | None = None) -> int | None:
    """Return how much memory a process (by default this one) holds now, in bytes."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        text = (_PROC / str(pid or "self") / "statm").read_text(encoding="ascii")
        return int(text.split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return None


def peak_memory() -> int | None:
    """Return the most memory that this process has held so far, in bytes."""
    return _kilobytes(_PROC / "self" / "status", "VmHWM")


def available_at_peak() -> int | None:
    """Return how much memory is left when this process holds again what it held at most.

    In bytes, at least 0; None if unknown. What a step of a training needs comes and goes.
    """
    free, peak, now = available_memory(), peak_memory(), resident_memory()
    if free is None or peak is None or now is None:
        return free
    return max(0, free - max(0, peak - now))


def running_seconds() -> float | None:
    """Return how long this process exists, from the system's books."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        # the name before the parenthesis may hold spaces
        text = (_PROC / "self" / "stat").read_text(encoding="utf-8", errors="replace")
        uptime = float((_PROC / "uptime").read_text(encoding="ascii").split()[0])
        started = int(text.rpartition(")")[2].split()[19])
        return uptime - started / os.sysconf("SC_CLK_TCK")
    return None


def cpu_info(*names: str) -> str:
    """Return what the system says of its first processor under one of some names, or ``""``."""
    with contextlib.suppress(OSError):
        for line in (_PROC / "cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() in names:
                return value.strip()
    return ""


def allow_open_files() -> None:
    """Raise this process's soft limit of open files towards its hard limit; never lowers it."""
    try:
        import resource
    except ImportError:
        return
    with contextlib.suppress(ValueError, OSError):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = _WANTED_FILES if hard == resource.RLIM_INFINITY else min(hard, _WANTED_FILES)
        if soft != resource.RLIM_INFINITY and soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def open_files() -> int | None:
    """Return how many files this process may hold open; None if there is no limit."""
    try:
        import resource
    except ImportError:
        return None
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft


def user_cache() -> Path | None:
    """Return the user's cache folder of dfl_tf, or None without a home.

    ``$XDG_CACHE_HOME/dfl_tf`` or ``~/.cache/dfl_tf`` on Linux. It may not exist, and whoever
    writes there must be able to go on without: what lies there can be made again.
    """
    folder = platformdirs.user_cache_path("dfl_tf", appauthor=False)
    return folder if folder.is_absolute() else None  # without a home the tilde is still there


def user_data() -> Path | None:
    """Return the user's folder for data of dfl_tf that took time to get, or None without a home.

    ``$XDG_DATA_HOME/dfl_tf`` or ``~/.local/share/dfl_tf`` on Linux. It may not exist.
    """
    folder = platformdirs.user_data_path("dfl_tf", appauthor=False)
    return folder if folder.is_absolute() else None


def temporary_folder() -> str | None:
    """Return the folder for temporary files, or None where none can be written."""
    try:
        return tempfile.gettempdir()
    except OSError:
        return None


def terminal_encoding(stream: IO[str]) -> str:
    """Return the encoding that the reader of a text stream can be expected to understand.

    In the C locale Python writes UTF-8 all the same (PEP 540), to a terminal that may know
    ASCII only. A locale or `PYTHONIOENCODING` that somebody has set is taken at its word.
    """
    declared = getattr(stream, "encoding", None) or "utf-8"
    asked_for = os.environ.get("PYTHONIOENCODING") or os.environ.get("PYTHONUTF8") == "1"
    if sys.flags.utf8_mode and not asked_for and not sys.flags.ignore_environment:
        return locale.getencoding()
    return str(declared)


def scratch_file() -> IO[bytes]:
    """Open a temporary file without a name, in memory where no folder for it can be written."""
    try:
        return tempfile.TemporaryFile()
    except OSError:
        if not hasattr(os, "memfd_create"):
            raise
        return os.fdopen(os.memfd_create("dfl_tf"), "w+b")


def _quota(folder: Path) -> float:
    """Cores by the processor quota of one control group, of either version; inf without one."""
    with contextlib.suppress(OSError, ValueError, ZeroDivisionError):
        quota, period = (folder / "cpu.max").read_text(encoding="ascii").split()
        return float("inf") if quota == "max" else int(quota) / int(period)
    quota_us, period_us = (_integer(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period"))
    return quota_us / period_us if quota_us and period_us and quota_us > 0 else float("inf")


def _memory_groups() -> Iterator[tuple[int, int]]:
    """(limit, memory in use) of each control group that has a limit."""
    for folder in _control_groups("memory"):
        for limit_file, used_file in (
            ("memory.max", "memory.current"),
            ("memory.high", "memory.current"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes"),
        ):
            limit = _integer(folder / limit_file)
            # version 1 writes "no limit" as the largest multiple of a page
            if limit is not None and limit < 1 << 60:
                used = _integer(folder / used_file) or 0
                files = _statistic(folder / "memory.stat", ("inactive_file", "active_file"))
                yield limit, max(0, used - files)


def _memory_ulimits() -> Iterator[tuple[int, int]]:
    """(limit, memory in use) of the process's own limits, where it has any."""
    try:
        import resource
    except ImportError:
        return
    for name, used in (("RLIMIT_AS", "VmSize"), ("RLIMIT_DATA", "VmData")):
        soft, _ = resource.getrlimit(getattr(resource, name))
        if soft != resource.RLIM_INFINITY:
            yield soft, _kilobytes(_PROC / "self" / "status", used) or 0


def _control_groups(controller: str) -> Iterator[Path]:
    """Folders of the groups that this process is in, from its own up to the root."""
    if sys.platform != "linux":
        return
    try:
        lines = (_PROC / "self" / "cgroup").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    for line in lines.splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers and controller not in controllers.split(","):
            continue
        roots = (controllers, controller) if controllers else ("", "unified")
        for root in dict.fromkeys(_CGROUPS / name for name in roots):
            folder = root / path.lstrip("/")
            while folder != root and root in folder.parents:
                yield folder
                folder = folder.parent
            yield root


def _integer(file: Path) -> int | None:
    with contextlib.suppress(OSError, ValueError):
        return int(file.read_text(encoding="ascii"))
    return None


def _statistic(file: Path, names: tuple[str, ...]) -> int:
    """Sum of some rows ``name number``."""
    with contextlib.suppress(OSError, ValueError):
        rows = (line.split() for line in file.read_text(encoding="ascii").splitlines())
        return sum(int(row[1]) for row in rows if len(row) == 2 and row[0] in names)
    return 0


def _kilobytes(file: Path, name: str) -> int | None:
    """A row ``Name:  1234 kB`` in bytes."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
    return None
