"""The tool itself: a few kills, and an error that it must see."""

from __future__ import annotations

import kill_facesets
import pytest
from kill_facesets import kill_often

from dfl_tf.data import identity


@pytest.fixture(autouse=True)
def _made_up_persons(monkeypatch, tmp_path):
    monkeypatch.setattr(identity, "DlibEmbedder", kill_facesets.ColorEmbedder)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.slow
@pytest.mark.parametrize("name", kill_facesets.OPERATIONS)
def test_no_face_is_lost_and_the_rerun_completes_it(name, tmp_path):
    row = kill_often(tmp_path / "work", name, kills=4, faces=30, seed=1)
    assert (row.kills, row.losses) == (4, [])


@pytest.mark.slow
def test_a_lost_face_is_seen(tmp_path, monkeypatch):
    real = kill_facesets.look

    def look(place, faces, operation):
        min(p for p in place.iterdir() if p.suffix in (".jpg", ".moving")).unlink()
        return real(place, faces, operation)

    monkeypatch.setattr(kill_facesets, "look", look)
    row = kill_often(tmp_path / "work", "sort", kills=1, faces=10, seed=1)
    assert "1 faces are lost after the kill" in row.losses[0]
