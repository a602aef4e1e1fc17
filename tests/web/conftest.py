"""One server for all tests that do not change it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

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
