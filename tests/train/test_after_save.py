"""`--after-save`: a user's command after each whole save."""

from __future__ import annotations

import json
import shlex
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from dfl_tf.errors import UsageError
from dfl_tf.formats import read_model
from dfl_tf.train import after_save
from dfl_tf.train.after_save import AfterSave, command_of

from .support.fake_model import FakeModel
from .support.runs import ListLog, trainer

NOTES = """
import json, os, sys
about = {name: os.environ[name] for name in os.environ if name.startswith("DFL_TF_")}
open(sys.argv[1], "a").write(json.dumps({**about, "args": sys.argv[2:]}) + "\\n")
"""


def python(code: str, *args: object) -> str:
    return shlex.join([sys.executable, "-c", code, *map(str, args)])


def target(iterations: int) -> FakeModel:
    return FakeModel(replace(FakeModel().options, target_iter=iterations))


def test_it_runs_after_each_save_with_what_was_saved(tmp_path):
    folder, notes = tmp_path / "model", tmp_path / "notes"
    folder.mkdir()
    command = python(NOTES, notes, "an argument; $HOME", "*")
    run = trainer(folder, target(4), save_every_iters=2, after_save=command, no_preview=True)
    run.run()
    told = [json.loads(line) for line in notes.read_text().splitlines()]
    # of saves that follow each other faster than the command, the last one always counts
    assert told[-1]["DFL_TF_ITERATION"] == "4" == str(read_model(folder, "new", "SAEHD").iteration)
    assert told[0]["DFL_TF_ITERATION"] == "1"
    assert {one["DFL_TF_MODEL_DIR"] for one in told} == {str(folder)}
    assert {one["DFL_TF_NAME"] for one in told} == {"new"}
    assert told[0]["args"] == ["an argument; $HOME", "*"]  # no shell


def test_its_failure_is_logged_and_harmless(tmp_path):
    log = ListLog()
    run = trainer(
        tmp_path, target(2), log=log, after_save=python("raise SystemExit(7)"), no_preview=True
    )
    assert run.run().exit_code == 0
    assert any("iteration 2: it ended with exit code 7" in line for line in log.lines)
    assert read_model(tmp_path, "new", "SAEHD").iteration == 2


def test_without_saves_nothing_is_run(tmp_path):
    notes = tmp_path / "notes"
    run = trainer(
        tmp_path / "m", target(2), after_save=python(NOTES, notes), no_save=True, no_preview=True
    )
    run.run()
    assert not notes.exists()


def test_one_at_a_time_and_the_last_save_counts(tmp_path):
    said: list[str] = []
    notes, begun, go = tmp_path / "notes", tmp_path / "begun", tmp_path / "go"
    until_go = (
        "import os, sys, time\nopen(sys.argv[2], 'w').close()\n"
        "while not os.path.exists(sys.argv[3]): time.sleep(0.01)\n"
    )

    def say(text: str) -> None:
        said.append(text)
        go.touch()

    command = command_of(python(until_go + NOTES, notes, begun, go))
    one = AfterSave(command, tmp_path, "new", say)
    one.start(1)
    while not begun.exists():
        time.sleep(0.01)
    for iteration in (2, 3):
        one.start(iteration)
    one.finish()
    numbers = [json.loads(line)["DFL_TF_ITERATION"] for line in notes.read_text().splitlines()]
    assert numbers == ["1", "3"]
    assert said[0].startswith("waiting for --after-save")
    assert said[1].startswith("--after-save is not run for iteration 2: the previous command")


def test_the_end_of_a_run_does_not_wait_for_ever(tmp_path):
    said: list[str] = []
    one = AfterSave(command_of(python("import time; time.sleep(4)")), tmp_path, "n", said.append)
    one.start(1)
    time.sleep(0.2)
    one.start(2)
    one.finish(0.6)
    assert said[-1] == (
        "warning: --after-save still runs and is left running. It was not run for iteration 2."
    )


@pytest.mark.parametrize("text", ["'open", "no-such-program x", "/ x"])
def test_what_cannot_be_run_is_refused_before_training(tmp_path, text):
    with pytest.raises(UsageError, match="--after-save"):
        trainer(tmp_path, after_save=text)
    assert not list(Path(tmp_path).iterdir())
    assert after_save.END_SECONDS <= 60
