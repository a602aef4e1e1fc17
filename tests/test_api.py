from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import dfl_tf
from dfl_tf.errors import ModelFileError, OptionError, UsageError
from dfl_tf.formats.models.choose_model import choose_model
from tests.merge import conftest as merging

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
    for wrong, error, text in (
        (face[:, :32], ValueError, r"shape \(2, 32, 64, 3\); it must be \(n, 64, 64, 3\)"),
        (face[..., :1], ValueError, "has the shape"),
        (face[None], ValueError, "has the shape"),
        (face[:0], ValueError, "the batch is empty"),
        (face * 255, ValueError, "must lie in"),
        (face - 1, ValueError, "must lie in"),
        (np.where(face > 0.5, np.nan, face), ValueError, "values from nan"),
        (face > 0.5, TypeError, "dtype bool"),
        (coarse.astype(np.int64), TypeError, "dtype int64"),
    ):
        with pytest.raises(error, match=text):
            model.swap(wrong)
    with pytest.raises(ValueError, match=r"morph=1.5 is outside of 0 … 1"):
        model.swap(face, 1.5)


@pytest.mark.filterwarnings("ignore:optimizer steps and convolutions run on plain:RuntimeWarning")
def test_a_new_model_merges_converts_and_is_exported(tmp_path):
    from dfl_tf.formats import read_model

    small = {"archi": "df", "ae_dims": 32, "e_dims": 16, "d_dims": 16, "d_mask_dims": 16}
    model = dfl_tf.new_model("SAEHD", small, resolution=64, face_type="wf")
    assert (model.options.resolution, model.options.ae_dims) == (64, 32)
    with np.load(merging.GOLDEN / "inputs.npz") as inputs:
        landmarks = {name: inputs[f"landmarks_{name}"] for name in "AB"}
    workspace = merging.make_workspace(tmp_path / "workspace", landmarks)
    model.save(workspace / "model", "mine")
    assert not (workspace / "model" / "mine_SAEHD.lock").exists()

    counts, lines = [], []
    report = dfl_tf.merge(
        workspace,
        {"mode": "hist-match", "mask_mode": "dst"},
        frames="1:3",
        output_dir=str(tmp_path / "out"),
        progress=lambda done, of: counts.append((done, of)),
        say=lines.append,
    )
    assert (report.merged, report.failed, counts[-1]) == (3, [], (3, 3))
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        f"0000{number}.png" for number in (1, 2, 3)
    ]
    with pytest.raises(UsageError, match=r"merge\(\) has no frame\. Choose from aligned_dir"):
        dfl_tf.merge(workspace, frame="1:2")
    assert dfl_tf.merge.job.MergeRequest  # the package of that name is there, too
    with pytest.raises(OptionError, match="mode"):
        dfl_tf.merge(workspace, {"mode": "nothing"})

    found = dfl_tf.convert(workspace / "model", tmp_path / "native", "native", files_only=True)
    assert found["passed"] is True
    assert read_model(tmp_path / "native", "mine", "SAEHD").options["resolution"] == 64
    file = tmp_path / "mine.dfm"
    assert dfl_tf.export_dfm(workspace / "model", file).path == file
    assert file.stat().st_size > 1 << 20
    with pytest.raises(UsageError, match=r"no model class 'SAE'; known are SAEHD"):
        dfl_tf.new_model("SAE")
    with pytest.raises(OptionError, match=r"(?s)resolution.*no_such"):
        dfl_tf.new_model("SAEHD", resolution=7, no_such=1)


@pytest.mark.filterwarnings("ignore:optimizer steps and convolutions run on plain:RuntimeWarning")
def test_training_is_a_function_with_callbacks(tmp_path, request):
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    request.addfinalizer(lambda: tf.config.run_functions_eagerly(False))
    demo = Path(dfl_tf.__file__).parent / "demo_data"
    for side in ("data_src", "data_dst"):
        shutil.copytree(demo / side, tmp_path / side)
    events = []
    small = {"resolution": 64, "ae_dims": 32, "e_dims": 16, "d_dims": 16, "d_mask_dims": 16}
    run = {"no_preview": True}
    options = {**small, "archi": "df", "batch_size": 2, "target_iter": 2}
    result = dfl_tf.train(tmp_path, "SAEHD", options, name="x", run=run, callbacks=[events.append])
    assert (result.iteration, result.exit_code) == (2, 0)
    kinds = [event.kind for event in events]
    assert [event.iteration for event in events if event.kind == "iteration"] == [1, 2]
    assert kinds[-1] == "closed"
    assert "save" in kinds
    assert dfl_tf.load_model(tmp_path / "model").iteration == 2
    with pytest.raises(OptionError, match="no_such"):
        dfl_tf.train(tmp_path, run={"no_such": 1})
    with pytest.raises(UsageError, match="no model class 'SAE'"):
        dfl_tf.train(tmp_path, "SAE")
    with pytest.raises(UsageError, match="TensorFlow runs in this process already"):
        dfl_tf.train(tmp_path, "SAEHD", run={"threads": 1})


def test_what_is_not_there_is_named(tmp_path):
    write_empty = tmp_path / "one_SAEHD_data.dat"
    write_empty.write_bytes(b"")
    (tmp_path / "one_AMP_data.dat").write_bytes(b"")
    with pytest.raises(ModelFileError, match=r"no SAEHD model called x\. Models there: one"):
        dfl_tf.load_model(tmp_path, "x", "SAEHD")
    with pytest.raises(UsageError, match=r"SAE: no class of a model\. Choose from SAEHD"):
        dfl_tf.load_model(tmp_path, model_class="SAE")
    with pytest.raises(UsageError, match=r"one is there in several classes \(AMP, SAEHD"):
        dfl_tf.load_model(tmp_path, "one")
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        dfl_tf.nonsense  # noqa: B018


def test_models_are_chosen_by_name_class_and_time(tmp_path):
    import os

    for age, file in enumerate(("b_SAEHD", "a_x_AMP", "a_SAEHD")):
        path = tmp_path / f"{file}_data.dat"
        path.write_bytes(b"")
        os.utime(path, (1000 - age, 1000 - age))

    def chosen(*given, **more):
        found = choose_model(tmp_path, *given, **more)
        return found.name, found.model_class

    assert chosen() == ("b", "SAEHD")
    assert chosen("a") == ("a", "SAEHD")
    assert chosen("a_SAEHD") == ("a", "SAEHD")  # as its files are called
    assert chosen(model_class="amp") == ("a_x", "AMP")
    assert chosen(classes=("AMP",)) == ("a_x", "AMP")
    with pytest.raises(ModelFileError, match=r"no model to export called b\. Models there: b"):
        chosen("b", classes=("AMP",), what="model to export")
