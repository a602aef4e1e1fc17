"""`dfl-tf model convert` there and back, with the networks of both sides run."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dfl_tf import models
from dfl_tf.cli.main import run
from dfl_tf.formats import ModelState, read_model, write_model
from dfl_tf.formats.models import convert as model_convert
from dfl_tf.models.proof import prove
from dfl_tf.options import OPTIONS, RunOptions, default

DIMS = {"resolution": 64, "ae_dims": 32, "e_dims": 16, "d_dims": 16, "d_mask_dims": 16}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    options = default(OPTIONS["SAEHD"], **DIMS, archi="liae-ud", adabelief=False)
    model = models.create("SAEHD", options, RunOptions(seed=1, cpu=True), name="ann")
    model.iteration, model.loss_history = 2, [[1.0, 2.0], [0.5, 1.0]]
    model.extra = {"sample_for_preview": [[np.ones((2, 3), np.float32)]], "fork": "kept"}
    write_model(folder, "ann", model.state())
    return folder


def test_there_and_back(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    native, legacy = tmp_path / "native", tmp_path / "legacy"
    assert run(["model", "convert", str(source), str(native), "--to", "native"]) == 0
    printed = capsys.readouterr().out
    assert "forward: largest difference of swap 0, swap mask 0, dst mask 0" in printed
    assert "after one step: largest difference of weights 0, slots 0" in printed
    assert printed.rstrip().endswith("PASSED")
    assert run(["model", "convert", str(native), str(legacy), "--to", "legacy", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["proof"]["passed"] is True
    assert set(found["proof"]["largest_difference"]["after_one_step"].values()) == {0.0}
    before, after = (read_model(place, "ann", "SAEHD") for place in (source, legacy))
    assert after.extra["fork"] == "kept"
    assert all(tensor.equal for tensor in prove(before, after).tensors)


def test_a_conversion_that_changes_a_weight_exits_1(
    source: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    faithful = model_convert.write_model

    def careless(directory: Path, name: str, state: ModelState, **settings: Any) -> None:
        decoder = state.tensors["decoder"] | {"out_convm/bias:0": np.float32([0.25])}
        state = replace(state, tensors=state.tensors | {"decoder": decoder})
        faithful(directory, name, state, **settings)

    monkeypatch.setattr(model_convert, "write_model", careless)
    assert run(["model", "convert", str(source), str(tmp_path), "--to", "native"]) == 1
    printed = capsys.readouterr().out
    equal, of = map(int, re.search(r"(\d+) of (\d+) equal by SHA-256", printed).groups())
    assert equal == of - 1
    assert printed.rstrip().endswith("FAILED")
