"""The portable step: what both sides draw, and what is compared. (JAX runs in tools/full.sh.)"""

from __future__ import annotations

import gpu_check
import numpy as np
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


def case(after, precision="float32"):
    made = object.__new__(step_hlo.Case)
    results = [{"name": "src", "of": None}, {"name": ROWS[2]["name"], "of": 2}]
    made.about = {"arguments": ROWS, "results": results, "losses": ["src"], "lr": 1e-3,
                  "precision": precision}  # fmt: skip
    made.numbers = {"r0": np.ones(2, np.float32), "r1": step_hlo.sampled(after)}
    return made


def test_losses_and_moves_are_compared():
    before = step_hlo.drawn(ROWS)[2]
    after = before + np.float32(1e-3)
    row = {}
    assert case(after).compare([np.ones(2, np.float32), after + 1e-7], row)
    assert row["variables"] == 1
    assert not case(after).compare([np.ones(2, np.float32), before], {})
    assert not case(after).compare([np.ones(2, np.float32) * 1.001, after], {})
    assert case(after, "bfloat16").compare([np.ones(2, np.float32) * 1.001, before], {})
    assert not case(after, "bfloat16").compare([np.ones(2, np.float32), after + 0.02], {})


def test_locations_are_left_out():
    text = '#loc = loc("x")\n%0 = op %1 loc(callsite("f" at #loc3)) : t loc(#loc2)\n'
    assert step_hlo._LOCATION.sub("", text) == "\n%0 = op %1 : t\n"


def test_a_check_that_fails_or_hangs_is_a_line(monkeypatch):
    monkeypatch.setitem(gpu_check.PARTS, "versions", (lambda small: {}, 0))
    line = gpu_check.run_part("versions", small=False)
    assert line["passed"] is False
    assert line["error"] == "stopped after 0 s"
