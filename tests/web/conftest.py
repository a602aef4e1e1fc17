"""One server for all tests that do not change it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from chromium import Chromium, Tab, find_chromium

from .support.facing import fill_faces
from .support.served import Served, serving
from .support.trainings import make_workspace


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models with logs and previews that nobody changes."""
    return make_workspace(tmp_path_factory.mktemp("web") / "project")


@pytest.fixture(scope="session")
def served(workspace: Path) -> Iterator[Served]:
    """A server of that workspace."""
    with serving(workspace, hosts=("gpu-box",)) as server:
        yield server


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A workspace with faces of src that a test changes."""
    fill_faces(tmp_path / "project" / "data_src" / "aligned", 6)
    return tmp_path / "project"


@pytest.fixture(scope="session")
def browser() -> Iterator[Chromium]:
    """One browser for all tests."""
    if find_chromium() is None:
        assert os.environ.get("DFL_TF_BROWSER") != "require", "CI needs a Chromium"
        pytest.skip("there is no Chromium here: the tests in a browser were not run")
    with Chromium() as started:
        yield started


@pytest.fixture
def tabs(browser: Chromium) -> Iterator[Callable[[], Tab]]:
    """Opens tabs that share the cookies of one profile."""
    with browser.profile() as opening:
        yield opening
