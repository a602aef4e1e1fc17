from __future__ import annotations

import importlib.util
import io
import json
import math
import subprocess
import sys
import time
import types
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import summary_pb2
from tensorflow.core.util import event_pb2

from dfl_tf.errors import UsageError, WorkspaceError
from dfl_tf.jobs.events import Closed, Events, Message
from dfl_tf.options import default
from dfl_tf.options.run import RunOptions
from dfl_tf.train.events import End, Iteration, Mean, Preview, RolledBack, Start, Validated
from dfl_tf.train.sinks import json_lines
from dfl_tf.train.sinks.console import ConsoleLog, loss_line
from dfl_tf.train.sinks.json_lines import JsonLinesLog
from dfl_tf.train.sinks.tensorboard import TensorBoardLog
from dfl_tf.train.start import make_log
from dfl_tf.train.time_left import TimeLeft, duration

ROOT = Path(__file__).parents[2]
NOON = datetime(2024, 5, 1, 12, 3, 4)


START = Start("new_SAEHD", "SAEHD", "model", 3, 1, {})


MEASURED = Validated(5000, {"ssim": 0.5, "dst_psnr": math.nan}, True, 24, 2.0)


def event(iteration: int, **more) -> Iteration:
    losses = {"src": 1.5, "dst": 0.25}
    return Iteration(iteration, losses, 0.1234, 0.01, **more)


@pytest.mark.parametrize(
    ("iteration", "seconds", "losses", "line"),
    [
        (7, 0.1239, [1.23456, 0.5], "[12:03:04][#000007][0123ms][1.2346][0.5000]"),
        (1234567, 9.9999, [0.1], "[12:03:04][#1234567][9999ms][0.1000]"),
        (1, 12.3456, [2.0], "[12:03:04][#000001][12.34s][2.0000]"),
        (1, 123.456, [math.nan], "[12:03:04][#000001][123.4s][nan]"),
    ],
)
def test_the_legacy_loss_line(iteration, seconds, losses, line):
    assert loss_line(iteration, seconds, losses, NOON) == line


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (59.4, "59s"), (61, "1m 01s"), (7500, "2h 05m"), (356400, "4d 03h"), (-3, "0s")],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_plain_lines_elsewhere_than_on_a_terminal():
    stream = io.StringIO()
    log = ConsoleLog(stream=stream)
    for iteration in range(1, 101):
        log.emit(event(iteration, left=TimeLeft(90.0, 90.0)))
    log.emit(Mean(150, {"src": 9.0, "dst": 8.0}, 0.1234))
    log.emit(event(150))
    log.emit(Message("a message"))
    log.emit(Message("no sound", source="dfl_tf.video"))  # logged as information only
    log.emit(Closed())
    lines = stream.getvalue().splitlines()
    assert [line.split("]")[1] for line in lines[:3]] == ["[#000050", "[#000100", "[#000150"]
    assert lines[0].endswith("[1.5000][0.2500] 1m 30s left")
    assert "[9.0000][8.0000]" in lines[2]
    assert lines[3:] == ["a message"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_live_line_on_a_terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    stream = Terminal()
    log = ConsoleLog(stream=stream)
    for iteration in (1, 2):
        left = TimeLeft(75.0, 150.0, "warp")
        log.emit(event(iteration, left=left, progress=0.5, wait_share=0.2))
    log.emit(Message("saved [bold]"))
    log.emit(Closed())
    shown = stream.getvalue()
    assert "#000002" in shown
    assert "1m 15s to 2m 30s left in warp waits 20 %" in shown
    assert "saved [bold]" in shown


def entries(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_json_lines_are_valid_whatever_the_loss(tmp_path):
    path = tmp_path / "log.jsonl"
    for _ in range(2):
        log = JsonLinesLog(path)
        options = {"archi": "df", 1: (math.inf, None)}
        log.emit(Start("new_SAEHD", "SAEHD", "model", 3, 1, options))
        log.emit(Iteration(3, {"src": math.nan, "dst": 1.0}, 0.5, 0.25))
        log.emit(Closed())
        log.emit(Message("too late"))
    found = entries(path)
    assert [entry["event"] for entry in found] == ["log", "start", "iteration"] * 2
    assert found[0]["schema"] == json_lines.SCHEMA
    assert found[1]["options"] == {"archi": "df", "1": [None, None]}
    assert found[2]["losses"] == {"src": None, "dst": 1.0}
    assert (found[2]["ms"], found[2]["wait_ms"]) == (500.0, 250.0)


def test_the_fields_of_the_lines_stay_what_they_were(tmp_path):
    """Programs read them: a field that goes or is renamed makes a new version of the schema."""
    path = tmp_path / "log.jsonl"
    log = Events([JsonLinesLog(path)])
    log.emit(event(1, measure=lambda: {"lr/src_dst_opt": 5e-5}))
    log.emit(Mean(1, {"src": 1.0, "dst": 2.0}, 0.1))
    log.say("warning: a message")
    log.emit(Preview(1, ["a.jpg"], {"a": np.zeros((2, 2, 3), np.uint8)}))
    log.emit(End("done", 0, 1, None, {"median_ms": 1.0}))
    log.close()
    assert json_lines.SCHEMA == 1
    assert [{k: v for k, v in entry.items() if k != "time"} for entry in entries(path)[1:]] == [
        {"event": "iteration", "iteration": 1, "losses": {"src": 1.5, "dst": 0.25}, "ms": 123.4,
         "wait_ms": 10.0, "scalars": {"lr/src_dst_opt": 5e-5}},
        {"event": "mean", "iteration": 1, "losses": {"src": 1.0, "dst": 2.0}},
        {"event": "message", "text": "warning: a message", "level": "warning"},
        {"event": "preview", "iteration": 1, "files": ["a.jpg"]},
        {"event": "end", "reason": "done", "exit_code": 0, "iteration": 1,
         "saved_iteration": None, "timing": {"median_ms": 1.0}},
    ]  # fmt: skip


def test_figures_that_no_sink_asks_for_are_not_computed(tmp_path):
    asked = []
    log = JsonLinesLog(tmp_path / "log.jsonl", every=10)
    for iteration in range(1, 21):
        log.emit(event(iteration, measure=lambda: asked.append(1) or {}))
    log.emit(Closed())
    assert len(asked) == 2


def test_a_rotated_log_is_bounded_and_continues(tmp_path, monkeypatch):
    monkeypatch.setattr(json_lines, "LARGEST", 2000)
    monkeypatch.setattr(json_lines, "KEPT", 3)
    path = json_lines.log_beside(tmp_path, "new_SAEHD")
    log = JsonLinesLog(path, rotated=True)
    log.emit(START)
    for number in range(200):
        log.emit(event(number))
    log.emit(Closed())
    files = sorted(tmp_path.iterdir())
    names = ["new_SAEHD_log.1.jsonl", "new_SAEHD_log.2.jsonl", "new_SAEHD_log.jsonl"]
    assert [file.name for file in files] == names
    assert all(file.stat().st_size < 2300 for file in files)
    kept = [e for file in (files[1], files[0], files[2]) for e in entries(file)]
    numbers = [e["iteration"] for e in kept if e["event"] == "iteration"]
    assert numbers == list(range(numbers[0], 200))
    assert all(entries(file)[0]["event"] == "log" for file in files if file.stat().st_size)


def test_a_rotated_log_is_not_written_through_a_link(tmp_path):
    (tmp_path / "precious").write_text("kept")
    link = tmp_path / "new_SAEHD_log.jsonl"
    link.symlink_to(tmp_path / "precious")
    console = io.StringIO()
    log = Events([ConsoleLog(1, console), JsonLinesLog(link, rotated=True)])
    log.emit(START)
    log.close()
    assert (tmp_path / "precious").read_text() == "kept"
    assert "new_SAEHD_log.jsonl cannot be written any more" in console.getvalue()


@pytest.mark.parametrize(
    ("given", "no_save", "expected"),
    [
        ("", False, ["model/new_SAEHD_log.jsonl"]),
        ("more.jsonl", False, ["model/new_SAEHD_log.jsonl", "more.jsonl"]),
        ("model/../model/new_SAEHD_log.jsonl", False, ["model/new_SAEHD_log.jsonl"]),
        ("more.jsonl", True, ["more.jsonl"]),
        ("", True, []),
    ],
)
def test_the_log_beside_the_model_is_kept_whatever_else_is_written(
    tmp_path, monkeypatch, given, no_save, expected
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").mkdir()
    run = default(RunOptions, log_json=given, no_save=no_save)
    place = types.SimpleNamespace(folder=tmp_path / "model", storage="new_SAEHD")
    log = make_log(types.SimpleNamespace(run=run, place=place))
    log.emit(START)
    log.close()
    found = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.jsonl"))
    assert found == expected
    for path in found:
        assert [each["event"] for each in entries(tmp_path / path)] == ["log", "start"]


def test_a_training_that_is_refused_leaves_no_log_beside_the_model(tmp_path):
    path = json_lines.log_beside(tmp_path, "new_SAEHD")
    log = Events([JsonLinesLog(path, rotated=True)])
    log.say("src: 72 faces")
    log.close()
    assert not path.exists()
    log = Events([JsonLinesLog(path, rotated=True)])
    log.say("src: 72 faces")
    log.emit(START)
    log.close()
    assert [entry["event"] for entry in entries(path)] == ["log", "message", "start"]


def test_a_log_that_can_not_be_opened_is_told(tmp_path):
    with pytest.raises(WorkspaceError, match="--log-json"):
        JsonLinesLog(tmp_path / "absent" / "log")


def test_tensorboard(tmp_path):
    if importlib.util.find_spec("tensorboard") is None:
        with pytest.raises(UsageError, match=r"pip install .tensorboard"):
            TensorBoardLog(tmp_path)
        return
    log = TensorBoardLog(tmp_path)
    log.emit(event(1, measure=lambda: {"lr/src_dst_opt": 5e-5}))
    log.emit(Preview(1, [], {"SAEHD": np.zeros((8, 8, 3), np.uint8)}))
    log.emit(MEASURED)
    log.emit(Closed())
    (file,) = tmp_path.iterdir()
    assert b"quality/dst_psnr" in file.read_bytes()
    assert list(tmp_path.iterdir())


def test_tensorboard_shows_each_iteration_once(tmp_path, monkeypatch):
    """After a roll-back, and in a run that goes on from a save, by TensorBoard's own rule."""

    def scalar(name: str, value: float) -> None:  # what the extra brings
        entry = summary_pb2.Summary.Value(tag=name, simple_value=value)
        raw = summary_pb2.Summary(value=[entry]).SerializeToString()
        tf.summary.experimental.write_raw_pb(raw)

    monkeypatch.setitem(sys.modules, "tensorboard", types.ModuleType("tensorboard"))
    monkeypatch.setattr(tf.summary, "scalar", scalar, raising=False)
    texts: dict[str, str] = {}
    monkeypatch.setattr(tf.summary, "text", texts.__setitem__, raising=False)
    for begin, iterations in ((0, range(1, 8)), (4, range(5, 9))):
        log = TensorBoardLog(tmp_path / "board")
        log.emit(Start("new_SAEHD", "SAEHD", "model", begin, 1, {"archi": "a|b", "lr": 5e-5}))
        for iteration in iterations:
            log.emit(event(iteration))
        if begin:
            log.emit(RolledBack(6, 8, "not finite.", "gradients are clipped", 1))
            log.emit(event(7))
        log.emit(Closed())
        time.sleep(0.01)
    shown: list[int] = []
    starts = 0
    for file in sorted((tmp_path / "board").iterdir(), key=lambda path: path.stat().st_mtime_ns):
        for record in tf.data.TFRecordDataset(str(file)):
            entry = event_pb2.Event.FromString(record.numpy())
            if entry.HasField("session_log"):
                starts += 1
                if starts > 1:  # the first one of all drops nothing
                    shown = [step for step in shown if step < entry.step]
            shown += [entry.step for value in entry.summary.value if value.tag == "loss/src"]
    assert (starts, shown) == (3, [1, 2, 3, 4, 5, 6, 7])
    assert texts["options"] == ("| option | value |\n|---|---|\n| archi | a\\|b |\n| lr | 5e-05 |")


def test_quality_is_told_and_logged(tmp_path):
    stream = io.StringIO()
    ConsoleLog(stream=stream).emit(MEASURED)
    assert stream.getvalue() == (
        "iteration 5000: quality on 24 faces: ssim 0.5000, dst_psnr nan, the best so far (2.0 s)\n"
    )
    log = JsonLinesLog(tmp_path / "log.jsonl", 50)
    log.emit(MEASURED)
    log.emit(Closed())
    entry = json.loads((tmp_path / "log.jsonl").read_text().splitlines()[1])
    del entry["time"]
    assert entry == {
        "event": "validation",
        "iteration": 5000,
        "metrics": {"ssim": 0.5, "dst_psnr": None},
        "best": True,
        "faces": 24,
        "seconds": 2.0,
    }


class _Dead(io.StringIO):
    """A stream whose reader is gone."""

    def write(self, text: str) -> int:
        raise BrokenPipeError(32, "Broken pipe")


def test_a_console_that_is_gone_does_not_end_the_training():
    console = ConsoleLog(1, _Dead())
    console.emit(Message("hello"))
    console.emit(event(1))
    console.emit(Closed())


def test_stderr_whose_reader_is_gone_is_pointed_to_nowhere(tmp_path):
    program = (
        "import sys\n"
        "from dfl_tf.jobs.events import Events\n"
        "from dfl_tf.train.sinks.console import ConsoleLog\n"
        "log = Events([ConsoleLog(1)])\n"
        "sys.stdin.read()\n"  # until the reader of stderr is gone
        "for _ in range(3): log.say('x')\n"
        "print('after', file=sys.stderr, flush=True)\n"
        "sys.exit(7)\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT
    )
    child.stderr.close()
    child.stdin.close()
    assert child.wait() == 7


def test_a_log_on_a_full_disk_is_left_out_and_the_others_are_told():
    full = JsonLinesLog("/dev/full")
    console = io.StringIO()
    log = Events([full, ConsoleLog(1000, console)])
    log.emit(event(1))
    log.emit(event(2))
    log.close()
    lines = console.getvalue().splitlines()
    assert lines == [
        "warning: --log-json /dev/full cannot be written any more (No space left on device): "
        "left out"
    ]
