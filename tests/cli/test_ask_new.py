"""A training line of an old script: a new model asks its questions where there is a terminal."""

from __future__ import annotations

import json
import os
import pty
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from dfl_tf.cli import train
from dfl_tf.cli.main import run
from dfl_tf.errors import UsageError
from dfl_tf.options import Layer, SAEHDOptions
from dfl_tf.options.inputs import OptionInputs
from dfl_tf.train.start import Ask, resolve_inputs

from .support.workspaces import packed

QUESTION = "Resolution ( 64"
NO_TERMINAL = "this SAEHD model is new and there is no terminal to ask on"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return packed(tmp_path_factory.mktemp("workspace"))


def line(root: Path) -> list[str]:
    """What an old script runs, and a plan instead of the training."""
    folders = {
        "--training-data-src-dir": root / "data_src" / "aligned",
        "--training-data-dst-dir": root / "data_dst" / "aligned",
        "--model-dir": root / "model",
    }
    words = [word for name, folder in folders.items() for word in (name, str(folder))]
    return ["train", *words, "--model", "SAEHD", "--plan", "--json"]


@contextmanager
def terminal(monkeypatch: pytest.MonkeyPatch, typed: str) -> Iterator[None]:
    """Make standard input a terminal on which somebody has typed."""
    master, slave = pty.openpty()
    os.write(master, typed.encode())
    with open(slave, encoding="utf-8") as stdin, monkeypatch.context() as patch:
        patch.setattr(sys, "stdin", stdin)
        yield
    os.close(master)


def planned(capsys: pytest.CaptureFixture[str], argv: list[str]) -> tuple[dict[str, Any], str]:
    assert run(argv) == 0
    printed = capsys.readouterr()
    return json.loads(printed.out), printed.err


def test_a_terminal_is_asked(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # name, backups, history, target, flips, batch size, resolution; the rest by Enter
    typed = "anna\n\n\n\n\n\n3\n96\n" + "\n" * 40
    with terminal(monkeypatch, typed):
        plan, said = planned(capsys, line(root))
    assert QUESTION in said
    assert NO_TERMINAL not in said
    assert plan["model"] == "anna_SAEHD"
    assert plan["options"]["batch_size"] == 3
    assert plan["options"]["resolution"] == 96
    assert plan["options"]["archi"] == "liae-ud"


def test_without_a_terminal_defaults_are_taken_and_it_is_said(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with open(os.devnull, encoding="utf-8") as nobody, monkeypatch.context() as patch:
        patch.setattr(sys, "stdin", nobody)
        plan, said = planned(capsys, [*line(root), "--batch-size=5"])
    assert QUESTION not in said
    assert NO_TERMINAL in said
    assert "take their defaults" in said
    assert plan["model"] == "new_SAEHD"
    assert plan["options"]["resolution"] == 128
    assert plan["options"]["batch_size"] == 5


def test_a_model_that_is_there_asks_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also with a terminal; its options are those that were stored."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "old_SAEHD_data.dat").write_bytes(b"")
    stored = Layer({"archi": "df", "resolution": 64}, "the model")

    def prepare(
        place: object, model_class: str, name: str, inputs: OptionInputs, *, ask: Ask, restart: bool
    ) -> None:
        found = resolve_inputs(inputs, SAEHDOptions, stored=stored, ask=ask, restart=restart)
        options = found.options
        raise UsageError(f"would train {options.archi}, {options.resolution} pixels")

    monkeypatch.setattr(train, "prepare", prepare)
    with terminal(monkeypatch, "\n" * 40):
        assert run(line(packed(tmp_path))) == 2
    said = capsys.readouterr().err
    assert "would train df, 64 pixels" in said
    assert QUESTION not in said
    assert NO_TERMINAL not in said
