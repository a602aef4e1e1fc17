"""`dfl-tf faceset report` and what `train --plan` says of measured faces."""

from __future__ import annotations

import base64
import json
import re

import cv2
import numpy as np
import pytest

from dfl_tf.data import identity
from dfl_tf.extract.journal import FILE, Extraction, write_journal
from dfl_tf.extract.records import FrameRecord, RecordedFace

from .support.workspaces import TINY, call, files, loose


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(identity, "read_model_file", _missing)
    return loose(tmp_path, 4)


def _missing(*_):
    from dfl_tf.errors import UsageError

    raise UsageError("the model is not there: --get-models identity")


def test_a_page_and_numbers_are_written_and_a_plan_says_what_was_found(workspace, capsys):
    src, dst = workspace / "data_src" / "aligned", workspace / "data_dst" / "aligned"
    before = files(src) | files(dst)
    page, numbers = workspace / "look.html", workspace / "look.json"
    code, out, err = call(capsys, "faceset", "report", src, dst, "-o", page, "--json", numbers)
    assert code == 0
    assert "--get-models identity" in err
    assert "Not known: the model is not there" in page.read_text()
    tree = json.loads(numbers.read_text())
    assert tree["sides"]["src"]["faces"] == 4
    assert out.splitlines()[:-1] == tree["sentences"][:3]
    assert files(src) | files(dst) == before
    code, out, _ = call(capsys, "train", workspace, "--plan", "--json", *TINY)
    assert code == 0
    assert json.loads(out)["data"] == tree["sentences"][:3]


def test_frames_that_are_still_there_are_drawn_where_something_was_noticed(workspace, capsys):
    """A frame without a face, and one whose file is gone."""
    folder = workspace / "data_src" / "aligned"
    records = {}
    for number, width in ((1, 64), (2, 64), (3, 0)):
        name = f"{number:05d}.png"
        faces = (RecordedFace((10.0, 10.0, 40.0, 40.0), 1.0, None),) if number == 1 else ()
        records[name] = FrameRecord(name, number, 48, 64, faces)
        if width:
            image = np.full((48, 64, 3), 60 * number, np.uint8)
            cv2.imwrite(str(folder.parent / name), image)
    write_journal(folder, Extraction(frames=records))
    page = workspace / "look.html"
    code, _, err = call(capsys, "faceset", "report", folder, "-o", page, "--no-identity")
    assert (code, err) == (0, "")
    text = page.read_text()
    section = text[text.index("The frames of src") :]
    assert "<li>no face: 2 frames (00002–00003)</li>" in section[:500]
    coded = re.search(r'alt="Examples" src="data:image/jpeg;base64,([^"]+)"', section)
    strip = cv2.imdecode(np.frombuffer(base64.b64decode(coded[1]), np.uint8), 1)
    gray = (np.abs(strip.astype(int) - 120) < 12).all(axis=-1)  # of the second frame
    assert gray.sum() > 200 * 150 * 0.7
    (folder.parent / "00002.png").unlink()
    assert call(capsys, "faceset", "report", folder, "-o", page, "--no-identity")[0] == 0
    assert 'alt="Examples"' not in page.read_text()


def test_a_journal_that_cannot_be_read_leaves_the_frames_out_and_says_so(workspace, capsys):
    folder, page = workspace / "data_src" / "aligned", workspace / "look.html"
    (folder / FILE).write_text('{"format": "dfl_tf extraction", "version": 99}\n')
    code, _, err = call(capsys, "faceset", "report", folder, "-o", page, "--no-identity")
    assert code == 0
    assert "note: the frames of src are left out: " in err
    assert "The frames of src" not in page.read_text()


def test_numbers_alone_are_printed_without_a_page(workspace, capsys):
    src = workspace / "data_src" / "aligned"
    arguments = ("faceset", "report", src, "--json", "-", "--no-page", "--no-identity")
    code, out, _ = call(capsys, *arguments)
    assert code == 0
    assert list(json.loads(out)["sides"]) == ["src"]
    assert not (workspace / "data_src" / "report.html").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("--no-page",), 2, "--no-page leaves nothing to write"),
        (("--embedder", "absent.onnx"), 1, "absent.onnx"),
        (("--models-dir", "/absent"), 2, "--get-models identity"),
        (("-o", "/absent/folder/page.html", "--no-identity"), 1, "/absent/folder"),
    ],
)
def test_wrong_requests_are_one_message(workspace, capsys, arguments, code, says):
    done, _, err = call(capsys, "faceset", "report", workspace / "data_src/aligned", *arguments)
    assert done == code
    assert says in err
    assert "Traceback" not in err
