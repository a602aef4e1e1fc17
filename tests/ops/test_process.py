"""Cores, memory and folders are those of this process, not of the machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from dfl_tf_ops import process

GIB = 2**30


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of 64 cores and 256 GiB, in a folder; nothing limits the process yet."""
    monkeypatch.setattr(process, "_PROC", tmp_path / "proc")
    monkeypatch.setattr(process, "_CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(process.sys, "platform", "linux")
    monkeypatch.setattr(process, "_memory_ulimits", lambda: [])
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)), raising=False)
    write(
        tmp_path / "proc/meminfo", f"MemTotal: {256 * 2**20} kB\nMemAvailable: {200 * 2**20} kB\n"
    )
    return tmp_path


def write(path: Path, text: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{text}\n")


def test_without_limits_it_is_the_machine(system: Path) -> None:
    assert process.cores() == 64
    assert process.memory_limit() == 256 * GIB
    assert process.available_memory() == 200 * GIB


def test_cores_are_those_the_process_may_run_on(
    system: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3, 5, 9})
    assert process.cores() == 3


def test_version_2_groups_limit_also_from_above(system: Path) -> None:
    write(system / "proc/self/cgroup", "0::/pod/box")
    for name in ("pod", "pod/box"):
        write(system / f"cgroup/{name}/cpu.max", "max 100000")
        write(system / f"cgroup/{name}/memory.max", "max")
    assert process.cores() == 64
    write(system / "cgroup/pod/cpu.max", "250000 100000")
    write(system / "cgroup/pod/memory.max", 8 * GIB)
    write(system / "cgroup/pod/memory.current", 5 * GIB)
    write(system / "cgroup/pod/memory.stat", f"anon {3 * GIB}\ninactive_file {2 * GIB}")
    assert process.cores() == 3
    assert process.memory_limit() == 8 * GIB
    assert process.available_memory() == 5 * GIB


def test_a_container_sees_its_own_group_as_the_root(system: Path) -> None:
    write(system / "proc/self/cgroup", "0::/")
    write(system / "cgroup/cpu.max", "50000 100000")
    assert process.cores() == 1


def test_version_1_groups_limit(system: Path) -> None:
    write(system / "proc/self/cgroup", "4:cpu,cpuacct:/box\n3:memory:/box\n2:cpuset:/box\n0::/x")
    write(system / "cgroup/cpu,cpuacct/box/cpu.cfs_quota_us", 400000)
    write(system / "cgroup/cpu,cpuacct/box/cpu.cfs_period_us", 100000)
    write(system / "cgroup/cpu,cpuacct/cpu.cfs_quota_us", -1)
    write(system / "cgroup/cpu,cpuacct/cpu.cfs_period_us", 100000)
    write(system / "cgroup/memory/box/memory.limit_in_bytes", 2 * GIB)
    write(system / "cgroup/memory/box/memory.usage_in_bytes", 3 * GIB)
    write(system / "cgroup/memory/memory.limit_in_bytes", 9223372036854771712)
    assert process.cores() == 4
    assert process.memory_limit() == 2 * GIB
    assert process.available_memory() == 0


def test_the_ulimit_counts(system: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_memory_ulimits", lambda: [(4 * GIB, 3 * GIB)])
    assert process.memory_limit() == 4 * GIB
    assert process.available_memory() == GIB


def test_nothing_known_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_PROC", tmp_path)
    monkeypatch.setattr(process, "_memory_ulimits", lambda: [])
    assert process.available_memory() is None
    write(tmp_path / "self/cgroup", "nonsense\n0::/../..\n:::")
    assert process.cores() >= 1


def test_the_limit_of_open_files_is_raised_and_never_lowered() -> None:
    import resource

    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
        process.allow_open_files()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        assert soft > 256
        assert hard == before[1]
        process.allow_open_files()
        assert process.open_files() == soft
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.parametrize("home", ["", "/", "/dev/null", None])
def test_a_home_that_is_none_gives_no_relative_cache(
    home: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", home) if home is not None else monkeypatch.delenv("HOME")
    folder = process.user_cache()
    assert folder is None or folder.is_absolute()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert process.user_cache() == tmp_path / "dfl_tf"


def test_scratch_needs_no_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*args: object, **more: object) -> None:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr(process.tempfile, "TemporaryFile", refused)
    monkeypatch.setattr(process.tempfile, "gettempdir", refused)
    assert process.temporary_folder() is None
    with process.scratch_file() as file:
        file.write(b"x")
        file.seek(0)
        assert file.read() == b"x"


def test_what_a_process_holds_and_how_long_it_exists(tmp_path: Path, monkeypatch) -> None:
    assert 1 << 20 < process.resident_memory() < 1 << 40
    assert process.resident_memory(os.getpid()) > 1 << 20
    assert 0 < process.running_seconds() < 1e6
    monkeypatch.setattr(process, "_PROC", tmp_path)
    assert process.resident_memory() is None
    assert process.running_seconds() is None
    assert process.cpu_info("model name") == ""
    write(tmp_path / "cpuinfo", "processor\t: 0\nmodel name\t: A: fast\nflags\t\t: fpu avx2\n\n")
    assert process.cpu_info("model name") == "A: fast"
    assert process.cpu_info("Features", "flags") == "fpu avx2"
    write(tmp_path / "self" / "stat", "7 (a b) c) " + " ".join(map(str, range(30))))
    write(tmp_path / "uptime", "100.0 50.0")
    assert process.running_seconds() == 100.0 - 19 / os.sysconf("SC_CLK_TCK")


def test_memory_that_comes_and_goes_is_not_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "available_memory", lambda: 10 << 30)
    monkeypatch.setattr(process, "resident_memory", lambda: 1 << 30)
    monkeypatch.setattr(process, "peak_memory", lambda: 4 << 30)
    assert process.available_at_peak() == 7 << 30
    monkeypatch.setattr(process, "available_memory", lambda: 2 << 30)
    assert process.available_at_peak() == 0
    monkeypatch.setattr(process, "peak_memory", lambda: None)
    assert process.available_at_peak() == 2 << 30


def test_a_process_knows_its_peak() -> None:
    peak, now = process.peak_memory(), process.resident_memory()
    assert (peak is None) == (now is None)
    if peak is not None and now is not None:
        assert peak >= now // 2
