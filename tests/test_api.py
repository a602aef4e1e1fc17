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
    from dfl_tf.formats import find_models, read_model, write_model
    from dfl_tf.options import RunOptions, SAEHDOptions, default

    options = default(
        SAEHDOptions, resolution=64, archi="df", ae_dims=32, e_dims=16, d_dims=16, d_mask_dims=16
    )
    model = models.create("SAEHD", options, RunOptions(seed=1))
    model.iteration = 7
    write_model(str(tmp_path), "mine", model.state())
    assert [found.name for found in find_models(str(tmp_path))] == ["mine"]
    assert read_model(str(tmp_path), "mine", "SAEHD").iteration == 7
    loaded = dfl_tf.load_model(tmp_path)
    assert (loaded.name, loaded.model_class, loaded.iteration) == ("mine", "SAEHD", 7)
    face = np.random.RandomState(0).random_sample((2, 64, 64, 3)).astype(np.float32)
    np.testing.assert_array_equal(loaded.swap(face).image, model.swap(face).image)
    one_face_and_bytes_are_taken(model, face)
    assert repr(loaded).startswith("<SAEHD name='mine', archi='df', resolution=64,")
    assert f"{sum(loaded.parameter_counts().values()):,} parameters>" in repr(loaded)
    told: list[str] = []
    loaded.summary(told.append)
    for part, count in loaded.parameter_counts().items():
        assert any(
            line.split()[:1] + line.split()[2:] == [part, f"{count:,}"]
            for line in told[0].splitlines()
        ), part
    assert "src_dst_opt" in told[0]
    light = dfl_tf.load_model(tmp_path, name="mine", model_class="SAEHD", training=False)
    assert light.optimizers == {}
    np.testing.assert_array_equal(light.swap(face).mask, model.swap(face).mask)


def one_face_and_bytes_are_taken(model, face) -> None:
    """Part of the story above: every start of TensorFlow costs seconds."""
    one = model.swap(face[0])
    assert one.image.shape == (64, 64, 3)
    np.testing.assert_array_equal(one.image, model.swap(face[:1]).image[0])
    coarse = (face * 255).round().astype(np.uint8)
    by_bytes = model.swap(coarse).mask
    np.testing.assert_array_equal(by_bytes, model.swap(coarse / np.float32(255)).mask)
    for wrong, fault, text in (
        (face[:, :32], ValueError, r"shape \(2, 32, 64, 3\); it must be \(n, 64, 64, 3\)"),
        (face[..., :1], ValueError, "has the shape"),
        (face[None], ValueError, "has the shape"),
        (face[:0], ValueError, "holds no face"),
        (face * 255, ValueError, "must lie in"),
        (face - 1, ValueError, "must lie in"),
        (np.where(face > 0.5, np.nan, face), ValueError, "values from nan"),
        (face > 0.5, TypeError, "dtype bool"),
        (coarse.astype(np.int64), TypeError, "dtype int64"),
    ):
        with pytest.raises(fault, match=text):
            model.swap(wrong)
    with pytest.raises(ValueError, match=r"morph=1.5 is outside of 0 … 1"):
        model.swap(face, 1.5)


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(UsageError, match="no SAEHD x is there"):
        dfl_tf.load_model(tmp_path, "x", "SAEHD")
    with pytest.raises(UsageError, match="no model class 'SAE'"):
        dfl_tf.load_model(tmp_path, model_class="SAE")
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        dfl_tf.nonsense  # noqa: B018
