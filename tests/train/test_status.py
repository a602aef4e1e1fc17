"""How trainings go, from what they leave in their folder."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from dfl_tf.cli.main import run
from dfl_tf.errors import WorkspaceError
from dfl_tf.formats.models.files import ModelLock, lock_file
from dfl_tf.train.status import status_of

NOW = 1_000_000.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    data = tmp_path / "model" / "a_SAEHD_data.dat"
    data.parent.mkdir()
    data.touch()
    os.utime(data, (NOW - 90, NOW - 90))
    return data.parent


def log(folder: Path, *entries: dict, gap: float = 10.0, ago: float = 5.0) -> None:
    """Write a log whose last line is some seconds old."""
    lines = []
    for number, entry in enumerate(reversed(entries)):
        lines.insert(0, json.dumps({"time": NOW - ago - gap * number, **entry}))
    text = "\n".join(['cut off"}', *lines, '{"event": "iter'])
    (folder / "a_SAEHD_log.jsonl").write_text(text)


def iteration(number: int, ms: float = 100.0) -> dict:
    return {
        "event": "iteration", "iteration": number, "ms": ms,
        "losses": {"src": 0.25, "dst": 0.5}, "left_s": [60.0, 3600.0],
    }  # fmt: skip


def only(folder: Path):
    (status,) = status_of(folder, now=NOW)
    return status


def test_a_model_without_a_log_never_ran(folder):
    status = only(folder)
    assert (status.name, status.model_class, status.state) == ("a", "SAEHD", "never run")
    assert (status.iteration, status.ms, status.heartbeat_seconds_ago) == (None, None, None)
    assert status.saved_seconds_ago == 90.0


def test_a_running_training(folder):
    log(
        folder,
        {"event": "start"},
        *(iteration(n, ms) for n, ms in ((50, 900), (100, 80), (150, 120))),
    )
    with ModelLock(folder, "a", "SAEHD"):
        status = only(folder.parent)  # the workspace
    assert (status.state, status.reason, status.health) == ("running", "", "good")
    assert (status.iteration, status.ms) == (150, 120)
    assert status.losses == {"src": 0.25, "dst": 0.5}
    assert status.seconds_left == [60.0, 3600.0]
    assert status.heartbeat_seconds_ago == 5.0


def test_one_on_another_host_is_silent_after_some_time(folder):
    lock_file(folder, "a", "SAEHD").write_text("4194305 elsewhere\n")
    log(folder, iteration(1), iteration(2), ago=299)
    assert only(folder).state == "running"
    log(folder, iteration(1), iteration(2), ago=301)
    assert (only(folder).state, only(folder).reason) == ("silent", "no line in its log for 301 s")
    log(folder, iteration(1), iteration(2), gap=200, ago=999)
    assert only(folder).state == "running"  # five times its usual gap are not over


def test_one_that_was_killed_here(folder):
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    lock_file(folder, "a", "SAEHD").write_text(f"{child.pid} {platform.node()}\n")
    log(folder, iteration(7))
    assert only(folder).state == "interrupted"
    lock_file(folder, "a", "SAEHD").write_text(f"{os.getpid()} {platform.node()}\n")
    assert only(folder).state == "running"


def test_one_that_ended(folder):
    end = {"event": "end", "reason": "target", "exit_code": 0, "iteration": 9}
    log(folder, iteration(7), end)
    status = only(folder)
    assert status.iteration == 9
    assert (status.state, status.reason) == ("ended", "target (exit code 0)")
    assert (status.seconds_left, status.health) == (None, "good")


@pytest.mark.parametrize(
    ("entries", "health"),
    [
        ([{"event": "save_failed", "error": "disk full"}], "save failed: disk full"),
        ([{"event": "save_failed", "error": "disk full"}, {"event": "save"}], "good"),
        (
            [{"event": "rollback", "iteration": 40, "reason": "NaN"}, {"event": "save"}],
            "rolled back to iteration 40: NaN",
        ),
        ([{"event": "end", "reason": "collapse", "exit_code": 3}], "collapse"),
    ],
)
def test_the_last_trouble_is_named(folder, entries, health):
    log(folder, iteration(7), *entries)
    assert only(folder).health == health


def test_a_folder_without_models(tmp_path):
    with pytest.raises(WorkspaceError, match="there are no models"):
        status_of(tmp_path)


def test_the_command(folder, capsys):
    log(folder, iteration(7))
    lock_file(folder, "a", "SAEHD").write_text("1 elsewhere\n")
    assert run(["status", str(folder.parent)]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == ["a", "(SAEHD)"]
    assert ["iteration:", "7"] in lines
    assert ["speed:", "100", "ms", "an", "iteration"] in lines
    assert ["losses:", "src", "0.2500,", "dst", "0.5000"] in lines
    assert run(["status", str(folder), "--json"]) == 0
    (record,) = json.loads(capsys.readouterr().out)
    assert (record["iteration"], record["state"]) == (7, "silent")
