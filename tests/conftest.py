"""What holds for all tests: the machine, the terminal and the user they run under are no matter."""

from __future__ import annotations

import gc
import os
import signal
import tempfile
from collections.abc import Generator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

import dfl_tf  # noqa: F401  (before TensorFlow, whose kernels it chooses)
from dfl_tf.imaging import plots
from dfl_tf.train import loss_plot

# a busy machine is not an error
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

OWN = ("DFL_TF_OPT_", "DFL_TF_MAX_", "TF_CONFIG", "CUDA_VISIBLE_DEVICES", "LC_", "LANG")
"""Variables of the user that would change what is tested, by how their names begin."""


def pytest_configure(config: pytest.Config) -> None:
    """Give tests and their child processes the same surroundings everywhere.

    Signals have their ordinary meaning (`nohup` ignores SIGHUP, a job in the background of a
    script SIGINT, and children inherit that), the locale is C.UTF-8, the time zone UTC. A home
    folder or cache that cannot be written is replaced by an empty one.
    """
    gc.disable()  # while tests are collected, and import TensorFlow
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) == signal.SIG_IGN:
            interrupt = number == signal.SIGINT
            signal.signal(number, signal.default_int_handler if interrupt else signal.SIG_DFL)
    for name in [name for name in os.environ if name.startswith(OWN)]:
        del os.environ[name]
    os.environ.setdefault("DFL_TF_NATIVE", "found")  # a stale library is an error, not a build
    os.environ["DFL_TF_CONVOLUTIONS"] = "rule"  # a measurement takes time, and can end differently
    for name in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"):
        os.environ.pop(name, None)
    os.environ |= {"LC_ALL": "C.UTF-8", "TZ": "UTC", "TERM": "dumb"}
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    existing = next(folder for folder in (cache, *cache.parents) if folder.exists())
    if not os.access(existing, os.W_OK):
        home = tempfile.TemporaryDirectory(prefix="dfl-tf-test-home-")
        config.add_cleanup(home.cleanup)
        os.environ |= {"HOME": home.name, "XDG_CACHE_HOME": str(Path(home.name) / ".cache")}


def pytest_collection_finish() -> None:
    """Take what was imported out of the search for garbage: each one took a second."""
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True, scope="session")
def blank_loss_plots() -> Generator[None, None, None]:
    """Leave out the pixels of loss plots, half of the time of the trainer's tests.

    A test that looks at them asks for `drawn_loss_plots`.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loss_plot, "draw", lambda _: np.zeros((480, 960, 3), np.uint8))
        yield


@pytest.fixture
def drawn_loss_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw loss plots as they are."""
    monkeypatch.setattr(loss_plot, "draw", plots.draw)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Leave tests of the C++ library out where it is off; else its lack is a failure."""
    if item.get_closest_marker("native") and os.environ.get("DFL_TF_NATIVE") == "off":
        pytest.skip("DFL_TF_NATIVE=off")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Escape what is not UTF-8 in reports: pytest-xdist ends at names of files as they are."""
    report = yield
    report.sections = [(name, _encodable(text)) for name, text in report.sections]
    if report.longrepr is not None and _encodable(str(report.longrepr)) != str(report.longrepr):
        report.longrepr = _encodable(str(report.longrepr))
    return report


def _encodable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()
