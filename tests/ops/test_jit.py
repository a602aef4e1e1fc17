import ast
import os
import subprocess
import sys
from pathlib import Path

import dfl_tf_ops
import numba
import pytest
from dfl_tf_ops import jit

FOLDER = Path(dfl_tf_ops.__file__).parent

# Both threads start with a kernel module of their own, while nothing of numba is loaded.
RACE = """
import importlib, sys, threading
sys.setswitchinterval(1e-6)
names = ["dfl_tf_ops.warp", "dfl_tf_ops.cubic_warp", "dfl_tf_ops.color_transfer"]
start, errors = threading.Barrier(len(names)), []

def load(name):
    start.wait()
    try:
        importlib.import_module(name)
    except BaseException as error:
        errors.append(f"{name}: {error!r}")

threads = [threading.Thread(target=load, args=(name,)) for name in names]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(*errors, sep="\\n", end="")
"""


def imported(path: Path) -> set[str]:
    """Names of all modules that a file imports, at its top or within functions."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names


def test_numba_has_one_door():
    users = {
        str(path.relative_to(FOLDER))
        for path in FOLDER.rglob("*.py")
        if imported(path) & {"numba", "llvmlite"}
    }
    assert users == {"jit.py"}


def test_threads_may_load_kernels_at_once():
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", RACE], capture_output=True, text=True, check=True
        )
        assert done.stdout == ""


def double(value: int) -> int:
    return 2 * value


@pytest.fixture
def fresh(monkeypatch, tmp_path):
    """A cache folder of its own, and nothing said so far."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(jit, "_told", [])
    return tmp_path


def test_kernels_are_kept_on_disk(fresh):
    assert jit.njit(double)(2) == 4
    assert {path.suffix for path in fresh.rglob("*.nb*")} == {".nbi", ".nbc"}
    again = jit.njit(double)
    assert again(2) == 4
    assert sum(again.stats.cache_hits.values()) == 1
    assert Path(jit.cache_folder()).is_relative_to(fresh)


@pytest.mark.parametrize("content", [b"", b"\x80", b"\x80\x04\x95 torn", b"no pickle"])
def test_a_torn_cache_is_made_again(fresh, content):
    jit.njit(double)(2)
    kept = [path for path in fresh.rglob("*.nb*")]
    for path in kept:
        path.write_bytes(content)
    assert jit.njit(double)(2) == 4
    again = jit.njit(double)
    assert again(2) == 4
    assert sum(again.stats.cache_hits.values()) == 1


def test_a_full_disk_stops_no_kernel_and_is_said_once(fresh, monkeypatch, caplog):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(jit.FunctionCache, "save_overload", full)
    assert jit.njit(double)(2) == 4
    assert jit.njit(double)(2.5) == 5.0
    (record,) = caplog.records
    assert "No space left on device" in record.getMessage()
    assert "compiled in memory" in record.getMessage()


# Files where folders would be made: nobody can write there, not even root.
def test_without_any_place_kernels_compile_in_memory_said_once(tmp_path):
    package = tmp_path / "dfl_tf_ops"
    package.mkdir()
    for path in FOLDER.glob("*.py"):
        (package / path.name).write_bytes(path.read_bytes())
    (package / "__pycache__").write_text("no folder")
    home = {"HOME": "/dev/null", "XDG_CACHE_HOME": "/dev/null/cache", "PYTHONPATH": str(tmp_path)}
    code = (
        "import numpy as np\nfrom dfl_tf_ops import jit, value_range\n"
        "print(jit.__file__, jit.cache_folder())\n"
        "def triple(x): return 3 * x\nprint(jit.njit(triple)(4))\n"
    )
    script = tmp_path / "use.py"
    script.write_text(code)
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, env=os.environ | home
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{package / 'jit.py'} None\n12\n"
    assert done.stderr.count("compiled in memory") == 1
    assert len(done.stderr.splitlines()) == 1


def test_a_kernel_is_compiled_once_for_all_constants():
    @jit.njit_inner
    def below(value, limit):
        return value < limit

    @jit.njit
    def count(value):
        return below(value, 1) + below(value, 2) + below(value, value)

    assert count(1) == 1
    assert len(below.signatures) == 1
