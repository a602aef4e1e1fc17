"""Killed extractions; `tools/full.sh` kills many more."""

from __future__ import annotations

import json

import kill_extract
import pytest


def test_killed_extractions_become_whole(monkeypatch, capsys) -> None:
    monkeypatch.setattr("sys.argv", ["kill_extract", "--kills", "2", "--frames", "8", "--json"])
    monkeypatch.setattr(kill_extract.logging, "disable", lambda level: None)
    assert kill_extract.main() == 0
    *_, last = capsys.readouterr().out.splitlines()
    facts = json.loads(last)
    assert (facts["kills"], facts["losses"]) == (4, 0)


def test_a_face_that_the_journal_names_and_nobody_finds_is_a_loss(tmp_path) -> None:
    run = kill_extract.of_frames(
        tmp_path, kill_extract.argparse.Namespace(frames=3, seed=1, workers=1, smooth=False)
    )
    out = tmp_path / "aligned"
    run(out)
    faces = sorted(out.glob("*.jpg"))
    assert kill_extract.look(out) == len(faces) > 0
    faces[0].unlink()
    with pytest.raises(AssertionError, match="is in the journal and not there"):
        kill_extract.look(out)
