"""Interrupted, failing, damaged saves; `tools/crash_saves.py` tries every call and many kills."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

import crash_saves
import pytest

from dfl_tf.formats.models import read_write

KINDS = ("legacy", "native")
ONE_SLOW = ("legacy", pytest.param("native", marks=pytest.mark.slow))


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("ERROR", logger=read_write.__name__)


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder in memory if there is one: thousands of fsyncs prove nothing here but patience."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield Path(folder)


def _clean(tally: crash_saves.Tally, tried: int) -> None:
    assert tally.errors == []
    assert tally.tried >= tried


@pytest.mark.parametrize("kind", KINDS)
def test_save_that_ends_at_a_call_leaves_the_old_or_the_new_set(kind: str, place: Path) -> None:
    tally = crash_saves.try_steps(place, kind, ("before", "half"), every=12)
    _clean(tally, 10)
    assert tally.old > 2
    assert tally.new > 2


@pytest.mark.parametrize("kind", KINDS)
def test_failing_call_leaves_the_old_or_the_new_set(kind: str, place: Path) -> None:
    _clean(crash_saves.try_steps(place, kind, ("enospc",), every=10), 6)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_interrupted_backup_and_restore_leave_model_and_backups_whole(
    kind: str, place: Path
) -> None:
    made = crash_saves.try_backups(place, kind, every=9)
    _clean(made, 5)
    assert made.old > 1
    restored = crash_saves.try_restores(place, kind, every=18)
    _clean(restored, 8)
    assert restored.old > 1
    assert restored.new > 1


@pytest.mark.parametrize("kind", ONE_SLOW)
def test_interrupted_snapshots_are_whole_or_not_there(kind: str, place: Path) -> None:
    made = crash_saves.try_snapshots(place, kind, every=16)
    _clean(made, 12)
    assert made.old > 3
    assert made.new > 0
    if kind == "legacy":
        _clean(crash_saves.try_snapshot_kills(place, kind, 2, random.Random(5)), 2)


@pytest.mark.parametrize("kind", KINDS)
def test_killed_saves_leave_a_whole_set(kind: str, place: Path) -> None:
    _clean(crash_saves.try_kills(place, kind, 4, random.Random(3)), 4)


@pytest.mark.parametrize("kind", KINDS)
def test_full_disk_and_read_only_folder_cost_nothing(kind: str, place: Path) -> None:
    _clean(crash_saves.try_disk(place, kind), 6)
    _clean(crash_saves.try_read_only(place, kind), 1)


@pytest.mark.parametrize("kind", KINDS)
def test_damage_of_any_file_is_noticed_and_named(kind: str, place: Path) -> None:
    corrupt, delete = crash_saves.try_damage(place, kind, random.Random(4), 1)
    _clean(corrupt, 7)
    _clean(delete, 7)


@pytest.mark.slow
def test_harness_notices_a_save_without_transaction(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The harness itself is tested: with renames one by one and no record it must complain."""
    from dfl_tf.formats.models import transaction

    monkeypatch.setattr(transaction, "_commit", lambda place, manifest: None)
    monkeypatch.setattr(
        transaction.os, "replace", lambda a, b: Path(a).rename(b) if Path(a).exists() else None
    )
    tally = crash_saves.try_steps(place, "legacy", ("before",), every=6)
    assert tally.errors
