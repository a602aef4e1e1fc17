from __future__ import annotations

import pytest

from dfl_tf.formats import read_model

from .support.workspaces import DEMO, call

pytestmark = pytest.mark.filterwarnings(
    "ignore:optimizer steps and convolutions run on plain:RuntimeWarning"
)


def test_the_demo_trains_shows_and_resumes(tmp_path, capsys):
    folder = tmp_path / "a demo"
    code, out, err = call(capsys, "demo", "--seconds=3", "--output", folder)
    assert code == 0, err
    first = read_model(folder / "model", "demo", "SAEHD").iteration
    assert first >= 1
    for name in ("SAEHD.jpg", "SAEHD masked.jpg", "loss.png"):
        path = folder / "model" / "demo_SAEHD_preview" / name
        assert str(path) in out
        assert path.stat().st_size > 5000
    assert f'dfl-tf train "{folder}"' in out
    code, out, err = call(capsys, "demo", "--seconds=2", "--output", folder)
    assert code == 0, err
    assert f"Training iteration {first}" in err
    assert read_model(folder / "model", "demo", "SAEHD").iteration > first


def test_its_faces_and_clips_are_small():
    files = [path for path in DEMO.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 2_500_000
    assert "ICT-FaceKit" in (DEMO / "CREDITS.txt").read_text()
