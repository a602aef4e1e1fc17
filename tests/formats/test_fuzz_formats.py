"""A few hundred damaged inputs a reader; `tools/fuzz_formats.py` runs as many as one likes."""

from __future__ import annotations

import json
from pathlib import Path

import fuzz_formats
import pytest
from fuzz_files import Kind

from dfl_tf.errors import DflTfError

KINDS = (
    "DFLJPG",
    "faceset.pak",
    "weights .npy",
    "data.dat",
    "hostile pickle",
    "safetensors",
    "manifest",
    "signed manifest",
    "merger session",
    "meta.dat",
    "scan",
    "faceset unpack",
    "options YAML",
    "frame settings",
    "merge --resume",
    "time stamps",
    "face index",
    "xseg journal",
    "bench report",
    "TF_CONFIG",
    "video parts",
    "video record",
    "video info",
)
SLOW = {"video extract", "video cut", "video join"}
NEVER_REFUSED = {"face index", "xseg journal"}  # what cannot be used is made again


def test_every_kind_is_tried_here_but_for_the_slow_ones(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("FUZZ_MARK", str(tmp_path / "mark"))
    assert set(fuzz_formats.kinds(tmp_path)) == {*KINDS, *SLOW}


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_inputs_give_an_answer_or_one_of_our_errors(kind: str) -> None:
    tally = fuzz_formats.run_kind(kind, 120, seed=1)
    assert tally.errors == []
    assert tally.inputs == 120
    # the damage is of a useful strength: not everything is refused at once, not nothing
    assert tally.refused > 20 or kind in NEVER_REFUSED
    if kind == "hostile pickle":
        assert tally.valid == 0


def _hang(data: bytes, folder: Path) -> None:
    while True:
        pass


def _escape(data: bytes, folder: Path) -> None:
    (folder.parent / "outside").write_bytes(data)


def _crash(data: bytes, folder: Path) -> None:
    raise KeyError("a traceback")


def _refuse(data: bytes, folder: Path) -> None:
    (folder / "inside").write_bytes(data)
    raise DflTfError("no")


@pytest.mark.parametrize(
    ("read", "errors"),
    [(_hang, "_TooSlow"), (_escape, "_WroteElsewhere"), (_crash, "KeyError"), (_refuse, "")],
)
def test_the_fuzzer_sees_hangs_escapes_and_tracebacks(monkeypatch, read, errors) -> None:
    monkeypatch.setattr(fuzz_formats, "SECONDS", 0.2)
    monkeypatch.setattr(fuzz_formats, "kinds", lambda _: {"x": Kind([b"seed"], read)})
    tally = fuzz_formats.run_kind("x", 2, seed=1)
    assert tally.inputs == 2
    assert len(tally.errors) == (2 if errors else 0)
    assert all(errors in error for error in tally.errors)


def test_json_is_one_line_of_counts(monkeypatch, capsys) -> None:
    monkeypatch.setattr("sys.argv", ["fuzz_formats", "--count=4", "--kinds=TF_CONFIG", "--json"])
    assert fuzz_formats.main() == 0
    (line,) = capsys.readouterr().out.splitlines()
    document = json.loads(line)
    assert (document["inputs"], document["faults"]) == (4, 0)
    assert document["readers"]["TF_CONFIG"]["inputs"] == 4
