import ast
import subprocess
import sys
from pathlib import Path

import dfl_tf_ops

FOLDER = Path(dfl_tf_ops.__file__).parent

# Both threads start with a kernel module of their own, while nothing of numba is loaded.
RACE = """
import importlib, sys, threading
sys.setswitchinterval(1e-6)
names = ["dfl_tf_ops.warp", "dfl_tf_ops.cubic_warp", "dfl_tf_ops.color_transfer"]
start, faults = threading.Barrier(len(names)), []

def load(name):
    start.wait()
    try:
        importlib.import_module(name)
    except BaseException as error:
        faults.append(f"{name}: {error!r}")

threads = [threading.Thread(target=load, args=(name,)) for name in names]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(*faults, sep="\\n", end="")
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
