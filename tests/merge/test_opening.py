"""Which networks a merge opens: those that its frames need, and what a sheet tries besides."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dfl_tf.errors import UsageError
from dfl_tf.merge.opening import open_networks
from dfl_tf.merge.sheet import SheetRequest
from dfl_tf.merge.sweep import parse_sweep
from dfl_tf.options import MergeOptions

TASKS: Any = [SimpleNamespace(settings=MergeOptions())]


class Models:
    """Stands for `MergeModels`; without XSeg and without an enhancer."""

    @property
    def enhancer(self) -> None:
        raise UsageError("an enhancer is needed")

    def require_xseg(self, mask_modes: set[str]) -> None:
        raise UsageError(f"XSeg is needed for {sorted(mask_modes)}")


def further(*sweeps: str) -> set[MergeOptions]:
    columns, *rows = map(parse_sweep, sweeps)
    request = SheetRequest(Path("sheet.png"), columns, rows[0] if rows else None)
    return request.settings(TASKS)


def test_a_sheet_merges_by_each_pair_of_values():
    found = further("erode_mask_modifier=0,20", "mode=overlay,seamless")
    assert found == {
        replace(MergeOptions(), erode_mask_modifier=erode, mode=mode)
        for erode in (0, 20)
        for mode in ("overlay", "seamless")
    }


@pytest.mark.parametrize(
    ("sweeps", "said"),
    [
        (["mask_mode=dst,XSeg-dst"], r"XSeg is needed for \['XSeg-dst'\]"),
        (["super_resolution_power=0,50"], "an enhancer is needed"),
        (["morph=0.5,1"], "morph is one value for all frames"),
    ],
)
def test_what_a_sweep_needs_is_looked_for_before_anything_is_drawn(sweeps, said):
    models: Any = Models()
    with pytest.raises(UsageError, match=said):
        open_networks(models, TASKS, further=further(*sweeps))
