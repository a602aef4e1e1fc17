"""The examples in docstrings run."""

from __future__ import annotations

import doctest
import importlib

import pytest

MODULES = [
    "dfl_tf.data.batch",
    "dfl_tf.data.sample",
    "dfl_tf.disk.left_out",
    "dfl_tf.disk.text",
    "dfl_tf.extract.run",
    "dfl_tf.formats.loss_history",
    "dfl_tf.nn.losses",
    "dfl_tf.nn.optimizers",
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name: str) -> None:
    module = importlib.import_module(name)
    result = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0
    assert result.attempted > 0
