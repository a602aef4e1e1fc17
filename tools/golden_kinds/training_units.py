"""Units of the golden training folder: losses, optimizers, cosine rate, learning-rate dropout."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from golden_kinds.check import Check

Golden = Mapping[str, np.ndarray]


def compare(golden: Golden, inputs: Golden) -> list[Check]:
    raise NotImplementedError
