"""`dfl-tf faceset report` and what `train --plan` says of measured faces."""

from __future__ import annotations

import json
import sys

import pytest

from dfl_tf.facesets import identity

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


def test_a_missing_matplotlib_is_said_before_anything_is_measured(workspace, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    code, _, err = call(capsys, "faceset", "report", workspace / "data_src/aligned")
    assert code == 2
    assert 'pip install "dfl-tf[report]"' in err
    assert "--json" in err
