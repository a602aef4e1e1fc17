"""Figures do not stay in memory."""

from __future__ import annotations

import gc

import numpy as np
import pytest

from dfl_tf.train.loss_plot import loss_plot


@pytest.mark.parametrize("enabled", [True, False])
def test_figures_are_let_go_at_once(enabled):
    from matplotlib.figure import Figure

    gc.collect()
    before = gc.isenabled()
    (gc.enable if enabled else gc.disable)()
    try:
        for _ in range(3):
            image = loss_plot(np.ones((20, 2)), ["src", "dst"], title="title")
            assert image.shape == (480, 960, 3)
        assert gc.isenabled() is enabled
        # By type: isinstance asks weak proxies of other tests for what they no longer point to.
        assert not any(issubclass(type(each), Figure) for each in gc.get_objects())
    finally:
        (gc.enable if before else gc.disable)()
