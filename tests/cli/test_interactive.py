from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from dfl_tf.cli import train
from dfl_tf.cli.choose_model import ask_name
from dfl_tf.options import RunOptions, SAEHDOptions
from dfl_tf.options.inputs import OptionInputs
from dfl_tf.train.start import resolve_inputs


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three models of one class, the newest `b_2`, and one of another."""
    for age, name in enumerate(("b_2_SAEHD", "old_SAEHD", "a b_SAEHD", "other_AMP")):
        path = tmp_path / f"{name}_data.dat"
        path.write_bytes(b"")
        os.utime(path, (1e9 - age, 1e9 - age))
    return tmp_path


def answers(*texts: str) -> Callable[[str], str]:
    left = list(texts)

    def read(prompt: str) -> str:
        if not left:
            raise EOFError
        return left.pop(0)

    return read


@pytest.mark.parametrize(
    ("texts", "name"),
    [
        ((), "b_2"), (("",), "b_2"), (("1",), "old"), (("99",), "a b"), (("new_one",), "new_one"),
        (("r", "d", "2"), "a b"), ((" old ",), "old"),
    ],
)  # fmt: skip
def test_a_model_is_picked_by_number_or_name(
    folder: Path, texts: tuple[str, ...], name: str
) -> None:
    said: list[str] = []
    assert ask_name(folder, "SAEHD", read=answers(*texts), say=said.append) == name
    assert [line.split()[1] for line in said[1:4]] == ["b_2", "old", "a"]
    assert not any("other" in line for line in said)


def test_without_models_a_name_is_asked_and_xseg_has_none(tmp_path: Path) -> None:
    said: list[str] = []
    assert ask_name(tmp_path, "SAEHD", read=answers("my face"), say=said.append) == "my face"
    assert ask_name(tmp_path, "SAEHD", read=answers(), say=said.append) is None
    assert ask_name(tmp_path, "XSeg", read=answers("x"), say=said.append) is None


def test_the_dialogue_proposes_what_the_last_new_model_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(train, "_read", lambda prompt: "")
    inputs = OptionInputs((SAEHDOptions, RunOptions), use_last_defaults=True)
    defaults = {"clipgrad": True, "batch_size": 6}
    chosen = resolve_inputs(inputs, SAEHDOptions, defaults=defaults, ask=train._ask)
    assert chosen.options.clipgrad is True
    assert chosen.options.batch_size == 6
