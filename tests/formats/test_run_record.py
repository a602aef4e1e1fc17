"""What the parts of a training store with a model: every key is declared, and checked."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import get_args

import pytest

from dfl_tf.errors import ModelFileError
from dfl_tf.formats import ModelState, read_model, write_model
from dfl_tf.formats.models import run_record
from dfl_tf.train import (
    outliers,
    quarantine,
    recipe_state,
    rollback,
    snapshots,
    validation,
)

FACE = {"side": "src", "data": "x", "face": "1.jpg", "iteration": 3, "why": "blurred"}
DONE = {"name": "warp", "until": "40 iterations", "start": 0, "end": 40}
ROW = {"iteration": 5, "value": None, "key": "a", "best": True, "metrics": {"ssim": 0.5}}
GOOD = {
    "seed": 3,
    "positions": {"src": 4, "dst": 4},
    "retry": 1,
    "lr_start": 2,
    "slots_since": {"GAN_opt": 7},
    "convolutions": {"machine": "here", "forms": {"3x3": ["a", "b", "c"]}},
    "recipe": {"recipe": "five", "phase": "warp", "start": 0, "seconds": 1.5, "done": [DONE]},
    "rollback": {"retry": 1, "tries": 1, "until": 9, "undone": [[3, 5]]},
    "snapshots": [["regular-5", 5]],
    "validation": [ROW],
    "holdout": {"share": 0.1, "since": 0},
    "metrics": {"ssim": 0.5},
    "quarantine": [FACE],
    "face_losses": {"faces": "abc", "data": "AAAA"},
}
BAD = {
    "seed": "three", "positions": [4], "retry": -1, "lr_start": None,
    "slots_since": {"GAN_opt": -1},
    "convolutions": {"machine": "here"}, "recipe": "five", "rollback": {"retry": 1},
    "snapshots": {"regular-5": 5}, "validation": [{"iteration": 5}], "holdout": 0.1,
    "metrics": {"ssim": None}, "quarantine": [{"side": "src"}], "face_losses": ["abc"],
}  # fmt: skip


def state(**run):
    return ModelState(
        model_class="SAEHD", iteration=5, options={}, loss_history=[], tensors={}, run=run
    )


def test_every_key_is_declared_once():
    assert set(run_record.ENTRIES) == set(get_args(run_record.Key)) == set(GOOD) == set(BAD)
    parts = (outliers, quarantine, recipe_state, rollback, snapshots)
    keys = {part.STORED_AS for part in parts} | {rollback.RETRY}
    keys |= {validation.ROWS, validation.HOLDOUT, validation.METRICS}
    assert keys < set(GOOD)


@pytest.mark.parametrize("key", GOOD)
def test_what_a_part_stores_is_checked_before_it_is_written(tmp_path, key):
    write_model(tmp_path, "new", state(**{key: GOOD[key], "from a newer version": [1]}))
    read = read_model(tmp_path, "new", "SAEHD")
    assert run_record.stored(read.run, key) == GOOD[key]
    assert read.run["from a newer version"] == [1]
    with pytest.raises(ModelFileError, match=key):
        write_model(tmp_path, "new", state(**{key: BAD[key]}))
    assert read_model(tmp_path, "new", "SAEHD").run[key] == GOOD[key]


def test_nothing_is_stored_under_another_key():
    """Every text that stands as a key of `stored`, in `train` or `models`, is declared."""
    root = Path(run_record.__file__).parents[2]
    found = set()
    for path in [*root.glob("train/*.py"), *root.glob("models/*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
                name = ast.unparse(node.value)
                if name.endswith(("stored", "state.run")) and isinstance(node.slice.value, str):
                    found.add(node.slice.value)
    assert found <= set(GOOD)
