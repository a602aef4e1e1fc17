"""Power cuts at some moments of each operation; `tools/power_cuts.py --all` tries all of them."""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path

import power_cuts
import pytest
from disk_states import Recorder, states

from dfl_tf.disk import durable


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)


@pytest.mark.parametrize("name", power_cuts.operations())
def test_a_power_cut_leaves_the_old_or_the_new(name: str) -> None:
    with power_cuts.workplace() as base:
        row = power_cuts.try_operation(power_cuts.operations()[name], base, most=12)
    assert row.losses == []
    assert row.states >= 5
    assert row.new > 0


@pytest.mark.slow
def test_an_operation_that_is_not_synced_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """The harness itself is tested: without fsync of folders, or of files, it must complain."""

    def copy(source: Path, target: Path) -> None:
        shutil.copy2(source, target)

    for name, error in (("sync_folder", lambda folder: None), ("copy_file", copy)):
        monkeypatch.setattr(durable, name, error)
        with power_cuts.workplace() as base:
            backup = power_cuts.operations()["backup, legacy"]
            assert power_cuts.try_operation(backup, base, most=400).losses
        monkeypatch.undo()


def test_states_of_a_write_without_and_with_fsync(tmp_path: Path) -> None:
    def found(sync: bool) -> set[tuple[tuple[str, bytes], ...]]:
        folder = tmp_path / str(sync)
        folder.mkdir()
        (folder / "a").write_bytes(b"old!")
        recorder = Recorder(folder)
        with recorder.watching():
            with (folder / "b").open("wb") as file:
                file.write(b"new!")
                file.flush()
                if sync:
                    os.fsync(file.fileno())
            os.replace(folder / "b", folder / "a")
            if sync:
                durable.sync_folder(folder)
        made = set()
        for number, state in enumerate(states(recorder, most=1000)):
            if not state.at_end:
                continue
            place = tmp_path / f"{sync}{number}"
            place.mkdir()
            state.write(place)
            made.add(tuple((p.name, p.read_bytes()) for p in sorted(place.iterdir())))
        return made

    assert found(True) == {(("a", b"new!"),)}
    torn = found(False)
    assert {(("a", b"old!"),), (("a", b"new!"),), (("a", b""),), (("a", b"ne"),)} <= torn
