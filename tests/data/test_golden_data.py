"""The data goldens: files, geometry, masks, warps, samples, colors, XSeg batches."""

from pathlib import Path

import pytest
from golden_kinds import data

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "data"


@pytest.mark.golden
@pytest.mark.parametrize("case", data.cases(GOLDEN))
def test_golden(case):
    checks = data.run(GOLDEN, case)
    assert checks
    missed = [f"{c.name}: {c.error:g} > {c.tolerance:g} {c.note}" for c in checks if not c.passed]
    assert not missed


def test_every_group_has_cases():
    groups = {case.split(":")[0] for case in data.cases(GOLDEN)}
    assert groups == set(data._GROUPS)
