from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from dfl_tf.cli import self_test

from .support.workspaces import call

pytestmark = pytest.mark.filterwarnings(
    "ignore:optimizer steps and convolutions run on plain:RuntimeWarning"
)


def test_it_tells_versions_devices_and_backends(capsys):
    code, out, _ = call(capsys, "doctor", "--json")
    assert code == 0
    facts = json.loads(out)
    assert facts["packages"]["numpy"] == np.__version__
    assert facts["python"] == ".".join(map(str, sys.version_info[:3]))
    assert "CPU:0" in facts["devices"]
    assert facts["native_ops"].split()[0] in ("native", "fallback", "missing")
    assert facts["bfloat16"].startswith(("native", "emulated"))
    code, out, _ = call(capsys, "doctor")
    assert code == 0
    assert f"numpy {np.__version__}" in out


def test_it_says_what_to_do_and_tries_a_folder(capsys, tmp_path, monkeypatch):
    (tmp_path / "closed").write_bytes(b"")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "closed" / "in a file"))
    code, out, _ = call(capsys, "doctor", "--json", "--storage", str(tmp_path))
    assert code == 0
    facts = json.loads(out)
    assert facts["storage"]["locks between processes"] == "yes"
    assert any("the cache folder cannot be written" in line for line in facts["advice"])
    assert call(capsys, "doctor", "--storage", str(tmp_path / "absent"))[0] == 1


def test_it_says_which_open_models_are_there_and_how_to_get_the_others(
    capsys, monkeypatch, tmp_path
):
    from dfl_tf.formats.weights import open_models

    monkeypatch.setattr(open_models, "user_data", lambda: tmp_path)
    for model in open_models.SETS["faces"]:
        path = tmp_path / "models" / model.name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
    _, out, _ = call(capsys, "doctor", "--json")
    found = json.loads(out)["open_models"]
    assert found["faces"].startswith("damaged (")
    assert found["identity"] == "not there (dfl-tf extract --get-models identity)"
    monkeypatch.setattr(open_models, "_checked", lambda file, data, what: data)
    _, out, _ = call(capsys, "doctor", "--json")
    assert json.loads(out)["open_models"]["faces"] == f"in {tmp_path / 'models'}"


def test_the_fast_operations_equal_their_references(capsys):
    code, out, err = call(capsys, "doctor", "--self-test")
    assert code == 0, err
    assert out.count("ok  ") >= 11
    assert "FAILED" not in out


def test_a_wrong_operation_is_told(capsys, monkeypatch):
    wrong = [self_test.Comparison("warp grid", float("nan"), 1e-4)]
    monkeypatch.setattr(self_test, "comparisons", lambda: iter(wrong))
    code, out, err = call(capsys, "doctor", "--self-test")
    assert code == 1
    assert "FAILED" in out
    assert "error: not equal to the reference on this machine: warp grid" in err
