"""`dfl-tf faceset …` as a user meets it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from dfl_tf.cli import model_choice
from dfl_tf.cli.faceset import command
from dfl_tf.cli.main import run as cli
from dfl_tf.errors import FacesetError
from dfl_tf.formats import read_metadata
from dfl_tf.formats.faces.dfljpg import embed_metadata, strip_metadata
from dfl_tf.formats.faces.mask_record import RECORD, MaskRecord, write_mask_record
from tests.formats.samples import make_face, make_jpeg


def run(*arguments: object, code: int = 0, answer: str = "") -> Result:
    result = CliRunner().invoke(command, [str(a) for a in arguments], input=answer)
    assert result.exit_code == code, (result.output, result.exception)
    return result


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for index in range(3):
        (tmp_path / f"{index}.jpg").write_bytes(make_face(index))
    (tmp_path / "other.jpg").write_bytes(make_jpeg())
    return tmp_path


def test_status_counts(folder: Path) -> None:
    shown = run("status", folder).stdout
    assert "3 faces" in shown
    assert "whole_face (3)" in shown
    assert "other.jpg: not a DFL image" in shown
    facts = json.loads(run("status", folder, "--json").stdout)
    assert (facts["faces"], facts["with_mask"], facts["sizes"]) == (3, 3, {"48x48": 3})


def test_pack_and_unpack(folder: Path) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    shown = run("pack", folder, "--delete-originals", "--yes").stdout
    assert "packed 3 faces, deleted 3 images, 1 skipped" in shown
    assert sorted(path.name for path in folder.iterdir()) == ["faceset.pak", "other.jpg"]
    assert json.loads(run("verify", folder, "--json").stdout)["faults"] == []
    facts = json.loads(run("unpack", folder, "--json").stdout)
    assert facts["done"] == 3
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_pack_asks_before_it_deletes_and_keep_pak_keeps_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = sorted(folder.iterdir())
    run("pack", folder, "--delete-originals", code=1)  # no terminal: nothing is done
    assert sorted(folder.iterdir()) == before
    monkeypatch.setattr(model_choice, "on_a_terminal", lambda: True)
    run("pack", folder, "--delete-originals", answer="n\n")
    assert len(list(folder.iterdir())) == 5
    run("unpack", folder, "--keep-pak")
    assert (folder / "faceset.pak").exists()
    result = CliRunner().invoke(command, ["pack", str(folder)])
    assert isinstance(result.exception, FacesetError)


def test_verify_exits_1_on_metadata_that_cannot_be_used(folder: Path) -> None:
    path = folder / "1.jpg"
    known = replace(read_metadata(path), landmarks=np.full((68, 2), np.nan))
    path.write_bytes(embed_metadata(strip_metadata(path.read_bytes()), known))
    shown = run("verify", folder, code=1).stdout
    assert "1.jpg" in shown
    assert "a value is not finite" in shown
    assert "every other image and mask can be decoded" in shown
    assert run("status", folder).stdout


def test_verify_exits_1_on_damage(folder: Path) -> None:
    data = bytearray((folder / "1.jpg").read_bytes())
    place = data.find(b"IDAT")  # inside the stored mask
    data[place : place + 12] = bytes(12)
    (folder / "1.jpg").write_bytes(data)
    assert "DAMAGED     1.jpg" in run("verify", folder, code=1).stdout


def test_status_says_what_made_the_masks_and_that_the_other_side_differs(tmp_path: Path) -> None:
    sides = [tmp_path / side / "aligned" for side in ("data_src", "data_dst")]
    for side, digest in zip(sides, ("a" * 64, "b" * 64), strict=True):
        side.mkdir(parents=True)
        (side / "0.jpg").write_bytes(make_face(0))
        write_mask_record(side, MaskRecord("XSeg in model", 7, digest, "wf", 1, True))
    shown = run("status", sides[1]).stdout
    assert "  masked by   XSeg in model at iteration 7 (bbbbbbbbbbbb)\n" in shown
    assert (
        "  note        src was masked by XSeg in model at iteration 7 (aaaaaaaaaaaa), dst" in shown
    )
    facts = json.loads(run("status", sides[0], "--json").stdout)
    assert facts["masked_by"]["sha256"] == "a" * 64
    assert len(facts["mask_warnings"]) == 1
    (sides[0] / RECORD).unlink()
    facts = json.loads(run("status", sides[0], "--json").stdout)
    assert (facts["masked_by"], facts["mask_warnings"]) == (None, [])


def test_what_the_decoder_says_is_one_line_of_the_command(folder: Path, capfd) -> None:
    for index in range(2):
        data = (folder / f"{index}.jpg").read_bytes()
        assert data.endswith(b"\xff\xd9")
        scan = data[:-2] + bytes(40 + index) + data[-2:]
        (folder / f"{index}.jpg").write_bytes(scan)
    assert cli(["faceset", "verify", str(folder)]) == 0
    said = capfd.readouterr().err.splitlines()
    assert len(said) == 1
    assert said[0].startswith("a library said: Corrupt JPEG data: ")
    assert said[0].endswith(" (and 1 more like it)")


def test_metadata_is_saved_and_restored(folder: Path) -> None:
    assert "metadata of 3 faces" in run("save-metadata", folder).stdout
    before = (folder / "1.jpg").read_bytes()
    (folder / "1.jpg").write_bytes(make_jpeg(1))
    facts = json.loads(run("restore-metadata", folder, "--json").stdout)
    assert facts["done"] == 3
    assert (folder / "1.jpg").read_bytes() == before
    assert not (folder / "meta.dat").exists()


def test_help_lists_every_command_without_loading_the_others() -> None:
    shown = run("--help").stdout
    for name in ("pack", "unpack", "verify", "status", "save-metadata", "restore-metadata"):
        assert name in shown
