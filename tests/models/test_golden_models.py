"""The networks equal the legacy ones on the committed golden cases."""

from __future__ import annotations

from pathlib import Path

import pytest
from golden_kinds import models

FOLDER = Path(__file__).resolve().parents[1] / "golden" / "models"


def test_golden_folder_holds_every_kind_of_network():
    assert {"layers", "amp_64", "weight_keys/xseg"} <= set(models.cases(FOLDER))


@pytest.mark.golden
@pytest.mark.parametrize("case", models.cases(FOLDER))
def test_graph_matches_golden(case):
    checks = models.run(FOLDER, case)
    assert checks
    missed = [c for c in checks if not c.passed]
    assert not missed
