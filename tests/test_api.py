from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import dfl_tf
from dfl_tf.errors import UsageError

ROOT = Path(__file__).parents[1]


def test_importing_the_package_imports_no_tensorflow():
    code = "import sys, dfl_tf; assert 'tensorflow' not in sys.modules; dfl_tf.load_model; assert 'tensorflow' not in sys.modules"  # noqa: E501
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False, capture_output=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.filterwarnings("ignore:optimizer steps and convolutions run on plain:RuntimeWarning")
def test_a_model_is_loaded_used_and_written(tmp_path):
    from dfl_tf import models
    from dfl_tf.formats import write_model
    from dfl_tf.options import RunOptions, SAEHDOptions, default

    options = default(
        SAEHDOptions, resolution=64, archi="df", ae_dims=32, e_dims=16, d_dims=16, d_mask_dims=16
    )
    model = models.create("SAEHD", options, RunOptions(seed=1))
    model.iteration = 7
    write_model(tmp_path, "mine", model.state())
    loaded = dfl_tf.load_model(tmp_path)
    assert (loaded.name, loaded.model_class, loaded.iteration) == ("mine", "SAEHD", 7)
    face = np.random.RandomState(0).random_sample((2, 64, 64, 3)).astype(np.float32)
    np.testing.assert_array_equal(loaded.swap(face).image, model.swap(face).image)
    light = dfl_tf.load_model(tmp_path, name="mine", model_class="SAEHD", training=False)
    assert light.optimizers == {}
    np.testing.assert_array_equal(light.swap(face).mask, model.swap(face).mask)


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(UsageError, match="no SAEHD x is there"):
        dfl_tf.load_model(tmp_path, "x", "SAEHD")
    with pytest.raises(UsageError, match="no model class 'SAE'"):
        dfl_tf.load_model(tmp_path, model_class="SAE")
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        dfl_tf.nonsense  # noqa: B018
