"""The portable step: what both sides draw, what is compared, and a small model's step with JAX.

tools/full.sh runs every model.
"""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys

import gpu_check
import hlo_numbers
import numpy as np
import pytest
import step_hlo

ROWS = [
    {"name": "input0", "kind": "input", "shape": [2, 16, 16, 3], "dtype": "float32"},
    {"name": "choice1", "kind": "choice", "shape": [2, 8], "dtype": "float32"},
    {"name": "net: a/weight", "kind": "weight", "shape": [3, 3, 4, 8], "dtype": "float32"},
    {"name": "net: a/bias", "kind": "weight", "shape": [8], "dtype": "float32"},
    {"name": "opt: ms 0", "kind": "slot", "shape": [1024], "dtype": "float32"},
    {"name": "iteration", "kind": "other", "shape": [], "dtype": "int64", "value": 7},
]


def test_both_sides_draw_the_same_values():
    one, other = step_hlo.drawn(ROWS), step_hlo.drawn(ROWS)
    for a, b, row in zip(one, other, ROWS, strict=True):
        np.testing.assert_array_equal(a, b)
        assert list(a.shape) == row["shape"]
        assert a.dtype == row["dtype"]
    assert 0 <= one[0].min() < one[0].max() <= 1
    assert set(np.unique(one[1])) == {0, 1}
    assert 0.1 < one[2].std() < 0.4
    assert not one[4].any()
    assert one[5] == 7


BELIEF = {"name": "opt", "slots": ["ms", "vs"], "share": [0.1, 0.001], "rate": 1e-3,
          "epsilon": 1e-6, "pieces": [("w", 0, 500), ("b", 1024, 20)]}  # fmt: skip
SQUARE = {**BELIEF, "slots": ["acc"], "share": [0.1]}


def stepped(optimizer, gradients, keep=0.3):
    """Samples before and after a step of both variables, by NumPy."""
    rng = np.random.default_rng(1)
    before, values = {}, {}
    vectors = {slot: np.zeros(2048, np.float32) for slot in optimizer["slots"]}
    for (name, start, size), g in zip(optimizer["pieces"], gradients, strict=True):
        g, w = np.asarray(g, np.float32), rng.standard_normal(size).astype(np.float32)
        if "ms" in vectors:
            m = np.float32(0.1) * g
            last, along = np.float32(0.001) * np.square(g - m), m
            vectors["ms"][start : start + size] = m
        else:
            last = np.float32(0.1) * np.square(g)
            along = g
        vectors[optimizer["slots"][-1]][start : start + size] = last
        taken = np.float32(1e-3) * along / (np.sqrt(last) + np.float32(1e-6))
        before[name] = w
        values[name] = w - taken * (np.random.default_rng(2).random(size) < keep)
    values |= {f"opt: {slot} 0": vector for slot, vector in vectors.items()}
    return before, hlo_numbers.pieces_of([optimizer], values) | {"src": np.ones(2)}


def gradients(noise=0.0, seed=5):
    rng, other = np.random.default_rng(0), np.random.default_rng(seed)
    clean = [rng.standard_normal(500), 1e-9 * rng.standard_normal(20)]  # one is only rounding
    return [g + other.standard_normal(g.shape) * noise for g in clean]


@pytest.mark.parametrize("optimizer", [BELIEF, SQUARE])
def test_steps_are_compared_by_what_can_be_compared(optimizer):
    about = {"precision": "float32", "optimizers": [optimizer], "losses": ["src"]}
    before, theirs = stepped(optimizer, gradients())

    def compare(ours):
        return hlo_numbers.compare(about, before, ours, theirs, theirs)

    _, noisy = stepped(optimizer, gradients(1e-8))
    assert np.any(np.sign(noisy["b"] - before["b"]) != np.sign(theirs["b"] - before["b"]))
    row = compare(noisy)  # signs of rounding differ, and that is no error
    assert row["passed"]
    assert row["variables"] == 2
    for kind, wrong in {
        "gradient": stepped(optimizer, gradients(0.01))[1],
        "move": noisy | {"w": before["w"] + 0.9 * (noisy["w"] - before["w"])},
        "mask": stepped(optimizer, gradients(), keep=0.5)[1],
        "loss": noisy | {"src": np.ones(2) * 1.001},
    }.items():
        row = compare(wrong)
        assert not row["passed"]
        assert row[f"{kind}_of_allowed"] > 1
    slot = f"w {optimizer['slots'][0]}"
    assert not compare(noisy | {slot: np.nan * noisy[slot]})["passed"]


def test_half_precision_is_measured_by_float32():
    about = {"precision": "bfloat16", "optimizers": [BELIEF], "losses": ["src"]}
    before, exact = stepped(BELIEF, gradients())
    _, theirs = stepped(BELIEF, gradients(0.1, seed=6))
    _, ours = stepped(BELIEF, gradients(0.1, seed=7))
    assert hlo_numbers.compare(about, before, ours, theirs, exact)["passed"]
    _, ours = stepped(BELIEF, gradients(0.6, seed=7))
    assert not hlo_numbers.compare(about, before, ours, theirs, exact)["passed"]


def test_locations_are_left_out():
    text = '#loc = loc("x")\n%0 = op %1 loc(callsite("f" at #loc3)) : t loc(#loc2)\n'
    assert step_hlo._LOCATION.sub("", text) == "\n%0 = op %1 : t\n"


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hlo")
    words = ["export", str(folder), "--small", "--numbers", "--name=case"]
    step_hlo.main([*words, "--set=archi=df", "--set=e_dims=16", "--set=lr_dropout=y"])
    return folder


def test_an_exported_step_takes_and_gives_what_is_written_beside_it(exported):
    about = json.loads((exported / "case.json").read_text())
    text = gzip.decompress((exported / "case.mlir.gz").read_bytes()).decode()
    (head,) = re.findall(r"func\.func (?:public )?@main\((.*?)\) -> (.*)", text)
    assert head[0].count("%arg") == len(about["arguments"])
    given = re.findall(r"tensor<[^>]*>", head[1])
    assert len(given) == len(about["results"])
    assert {row["kind"] for row in about["arguments"]} == {"input", "weight", "slot", "other"}
    written = {row["name"] for row in about["results"] if row["of"] is not None}
    for optimizer in about["optimizers"]:
        assert {name for name, _, _ in optimizer["pieces"]} <= written
    assert {"src", "dst"} <= {row["name"] for row in about["results"]}


def test_an_exported_step_runs_with_jax(exported):
    """In a process of its own: with JAX in it, a process must not fork any more."""
    words = [sys.executable, step_hlo.__file__, "run", str(exported), "--steps=1"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (row,) = map(json.loads, done.stdout.splitlines())
    assert row["passed"]
    assert row["variables"] > 50


def test_a_check_that_fails_or_hangs_is_a_line(monkeypatch):
    monkeypatch.setitem(gpu_check.PARTS, "versions", (lambda small: {}, 0))
    line = gpu_check.run_part("versions", small=False)
    assert line["passed"] is False
    assert line["error"] == "stopped after 0 s"
