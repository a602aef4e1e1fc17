"""A configuration file is opened, read and parsed once a command, whatever asks for its values."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from dfl_tf.cli import from_options
from dfl_tf.cli.main import run

from .support.workspaces import packed

_opened: list[str] = []
_watching: list[bool] = []


def _note(event: str, details: tuple[Any, ...]) -> None:
    if event == "open" and _watching and isinstance(details[0], str | bytes):
        path = details[0]
        _opened.append(path if isinstance(path, str) else path.decode(errors="replace"))


@pytest.fixture
def opened() -> Iterator[list[str]]:
    """Names of all files that are opened in this process from here on (an audit hook stays)."""
    if not getattr(sys, "_dfl_tf_test_hook", False):
        sys.addaudithook(_note)
        sys._dfl_tf_test_hook = True  # type: ignore[attr-defined]
    _opened.clear()
    _watching.append(True)
    yield _opened
    _watching.clear()


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two facesets, frames without faces, and no model."""
    root = packed(tmp_path_factory.mktemp("workspace"))
    (root / "model").mkdir()
    cv2.imwrite(str(root / "data_dst" / "00001.png"), np.zeros((8, 8, 3), np.uint8))
    return root


@pytest.mark.parametrize(
    ("words", "text", "code", "says"),
    [
        (
            ["train", "--plan"],
            "workspace: {root}\nae_dims: 48\nsave_every: 5\n",
            0,
            '"ae_dims": 48',
        ),
        (["train", "--plan", "--interactive"], "workspace: {root}\nae_dims: 48\n", 0, ": 48"),
        (["train"], "workspace: {root}\nae_dims: x\nsave_every: -1\n", 2, "2 errors"),
        (["bench", "train"], "ae_dims: 4\nmodel: amp\n", 2, "ae_dims=4 is outside"),
        (["merge"], "workspace: {root}\nmode: seamless\n", 1, "there is no face model"),
        (
            ["merge", "--print-options"],
            "workspace: {root}\nmode: seamless\n",
            0,
            '"mode": "seamless"',
        ),
        (
            ["extract", "--side", "dst", "--redo-missing-debug"],
            "place: {root}\nimage_size: 256\nmodels_dir: {root}/none\nresume: true\n",
            2,
            "none",
        ),
    ],
)
def test_a_config_file_is_read_once(
    workspace: Path,
    tmp_path: Path,
    opened: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    text: str,
    code: int,
    says: str,
) -> None:
    file = tmp_path / "given.yaml"
    file.write_text(text.format(root=workspace))
    answers = io.StringIO("\n" * 60)
    monkeypatch.setattr(answers, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdin", answers)
    _opened.clear()
    parsed = []
    monkeypatch.setattr(
        from_options, "read_layer", lambda path: parsed.append(path) or READ_LAYER(path)
    )
    more = ["--json"] if "--plan" in words else []
    assert run([*words, *more, "--config", str(file)]) == code
    printed = capsys.readouterr()
    assert says in printed.out + printed.err
    assert opened.count(str(file)) == 1
    assert parsed == [file]


READ_LAYER = from_options.read_layer
