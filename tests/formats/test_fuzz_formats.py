"""A few hundred damaged inputs a reader; `tools/fuzz_formats.py` runs as many as one likes."""

from __future__ import annotations

import fuzz_formats
import pytest

KINDS = (
    "DFLJPG",
    "faceset.pak",
    "weights .npy",
    "data.dat",
    "hostile pickle",
    "safetensors",
    "manifest",
    "signed manifest",
    "options YAML",
    "merger session",
    "meta.dat",
    "scan",
)


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_inputs_give_an_answer_or_one_of_our_errors(kind: str) -> None:
    tally = fuzz_formats.run_kind(kind, 120, seed=1)
    assert tally.faults == []
    assert tally.inputs == 120
    # the damage is of a useful strength: not everything is refused at once, not nothing
    assert tally.refused > 20
    if kind == "hostile pickle":
        assert tally.valid == 0
