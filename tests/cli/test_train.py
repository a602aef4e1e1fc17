from __future__ import annotations

import json
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from dfl_tf.formats import model_files, read_model
from dfl_tf.formats.models.legacy import read_data, read_part

from .support.workspaces import TINY, call, files, loose, packed

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.filterwarnings(
    "ignore:optimizer steps and convolutions run on plain:RuntimeWarning"
)


@pytest.fixture(scope="module", autouse=True)
def _eager() -> Iterator[None]:
    """For a few iterations of a tiny network that is faster than to trace it."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A workspace with a model of three iterations."""
    from dfl_tf.cli.main import run

    root = packed(tmp_path_factory.mktemp("trained workspace"))
    assert run(["train", str(root), *TINY, "--name", "one", "--target-iter", "3"]) == 0
    return root


@pytest.fixture
def workspace(trained, tmp_path) -> Path:
    """A copy of it that a test may spoil."""
    import shutil

    return Path(shutil.copytree(trained, tmp_path / "workspace"))


def test_a_new_model_is_a_legacy_folder(trained):
    model = trained / "model"
    names = {path.name for path in model.iterdir() if path.is_file()}
    parts = ("encoder", "inter", "decoder_src", "decoder_dst", "src_dst_opt")
    assert {f"one_SAEHD_{part}.npy" for part in parts} <= names
    assert {"one_SAEHD_data.dat", "one_SAEHD_summary.txt", "SAEHD_default_options.dat"} <= names
    log = [json.loads(line) for line in (model / "one_SAEHD_log.jsonl").read_text().splitlines()]
    kinds = [entry["event"] for entry in log if entry["event"] != "message"]
    assert (kinds[:2], kinds[-1]) == (["log", "start"], "end")
    assert log[0]["schema"] == 1
    assert not any(path.suffix == ".jsonl" for path in model_files(model, "one", "SAEHD"))
    data = read_data(model / "one_SAEHD_data.dat")
    assert data["iter"] == 3
    assert len(data["loss_history"]) == 3
    assert list(data["options"])[:2] == ["resolution", "face_type"]
    assert type(read_part(model / "one_SAEHD_src_dst_opt.npy")["iters:0"]) is np.int64
    assert [array.shape for array in data["sample_for_preview"][0]] == [
        (2, 64, 64, 3), (2, 64, 64, 3), (2, 64, 64, 1),
    ]  # fmt: skip


@pytest.mark.slow
def test_n_plus_m_iterations_equal_n_stop_resume_m_bit_for_bit(tmp_path):
    root = packed(tmp_path)
    common = [sys.executable, "-m", "dfl_tf", "train", str(root), "--threads=1", "--no-preview"]
    new = [*common, *TINY, "--seed=7", "--lr-dropout=y", "--ct-mode=rct"]

    def train(*arguments: str) -> subprocess.Popen:
        return subprocess.Popen(
            [*arguments], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )

    for batch in (
        (
            [*new, f"--model-dir={tmp_path / 'a'}", "--target-iter=5"],
            [*new, f"--model-dir={tmp_path / 'b'}", "--target-iter=2"],
        ),
        ([*common, f"--model-dir={tmp_path / 'b'}", "--target-iter=5"],),
    ):
        for child in [train(*arguments) for arguments in batch]:
            assert child.wait() == 0, child.communicate()[1]
            child.communicate()
    one, two = (read_model(tmp_path / name, "new", "SAEHD") for name in ("a", "b"))
    assert one.iteration == two.iteration == 5
    assert one.run == two.run
    assert one.loss_history == two.loss_history
    for part, arrays in one.tensors.items():
        for key, array in arrays.items():
            assert np.array_equal(array, two.tensors[part][key]), (part, key)


def test_resume_takes_the_newest_model_and_changes_only_what_is_trained(workspace, capsys):
    before = read_model(workspace / "model", "one", "SAEHD")
    code, _, err = call(capsys, "train", workspace, "--target-iter=4", "--no-preview")
    assert code == 0, err
    after = read_model(workspace / "model", "one", "SAEHD")
    assert after.iteration == 4
    assert after.loss_history[:3] == before.loss_history
    assert after.options == {**before.options, "target_iter": 4}
    assert "iteration 4: target iteration reached" in err


def test_json_lines_tell_each_iteration(workspace, tmp_path, capsys):
    log = tmp_path / "log.jsonl"
    code, _, err = call(
        capsys, "train", workspace, "--target-iter=5", f"--log-json={log}", "--no-preview"
    )
    assert code == 0, err
    events = [json.loads(line) for line in log.read_text().splitlines()]
    assert [e["iteration"] for e in events if e["event"] == "iteration"] == [4, 5]
    start, end = next(e for e in events if e["event"] == "start"), events[-1]
    assert start["model"] == "one_SAEHD"
    assert end["event"] == "end"
    assert end["exit_code"] == 0
    assert set(end["timing"]) >= {"median_ms", "p95_ms", "images_per_second", "wait_share"}
    assert 0 <= end["timing"]["cache_hit_rate"] < 1
    assert end["timing"]["cache_mib"] > 0
    assert "% of the faces found in the cache (" in err


def test_a_plan_writes_nothing_and_names_what_is_overridden(workspace, capsys):
    before = files(workspace)
    code, out, err = call(
        capsys, "train", workspace, "--plan", "--json", "--pretrain", "--gan-power=0.1",
        f"--pretrain-dir={workspace}/data_src/aligned",
    )  # fmt: skip
    assert code == 0, err
    plan = json.loads(out)
    assert plan["iteration"] == 3
    assert plan["overridden"]["gan_power"][0] == 0.0
    assert "pretrain" in plan["overridden"]["random_warp"][1]
    assert sum(plan["parameters"].values()) * 4 == pytest.approx(
        plan["memory_mib"]["weights"] * 2**20
    )
    assert plan["memory_mib"]["activations (estimate)"] > 1
    (line,) = (line for line in plan["faces"] if line.startswith("the cache holds "))
    assert "(100 %): they need" in line
    assert line.endswith("(a quarter of the free memory)")
    assert plan["memory_mib"]["cache of faces (at most)"] > 0
    code, out, err = call(capsys, "train", workspace, "--plan", "--cache-mb=0")
    assert code == 0, err
    assert "the cache holds 0 of" in out
    assert "one_SAEHD" in out
    assert "continues at iteration 3" in out
    assert files(workspace) == before


def test_print_options_shows_the_effective_options(workspace, capsys):
    code, out, _ = call(capsys, "train", workspace, "--print-options", "--clipgrad")
    assert code == 0
    assert json.loads(out)["clipgrad"] is True
    assert json.loads(out)["ae_dims"] == 32


def test_the_native_format(tmp_path, capsys):
    root = packed(tmp_path)
    command = ("train", root, *TINY, "--model-format=native")
    code, _, err = call(capsys, *command, "--target-iter=2")
    assert code == 0, err
    assert (root / "model" / "new_SAEHD.dfl" / "manifest.json").exists()
    code, _, err = call(capsys, "train", root, "--target-iter=3", "--no-preview", "--backup-now")
    assert code == 0, err
    assert read_model(root / "model", "new", "SAEHD").iteration == 3
    backup = root / "model" / "new_SAEHD_autobackups" / "01"
    assert read_model(backup, "new", "SAEHD").iteration == 2
    assert not list((root / "model").glob("*.npy"))


def test_an_old_command_line_is_understood(workspace, capsys):
    code, _, err = call(
        capsys, "train", "--training-data-src-dir", workspace / "data_src" / "aligned",
        "--training-data-dst-dir", workspace / "data_dst" / "aligned",
        "--model-dir", workspace / "model", "--model", "SAEHD", "--silent-start", "--no-preview",
        "--cpu-only",
    )  # fmt: skip
    assert code == 0, err  # at its target already
    assert "understood as: dfl-tf train" in err


# -- wrong input: one line, the right exit code, nothing lost ------------------------------------


def refused(capsys, code: int, *arguments: object, says: str) -> str:
    got, _, err = call(capsys, "train", *arguments)
    message = [line for line in err.splitlines() if line.startswith("error: ")]
    assert got == code, err
    assert len(message) == 1, err
    assert says in err
    assert "Traceback" not in err
    return err


def test_a_missing_workspace_or_folder(tmp_path, capsys):
    refused(capsys, 1, tmp_path / "absent", says="no such folder")
    (tmp_path / "data_src" / "aligned").mkdir(parents=True)
    err = refused(capsys, 1, tmp_path, *TINY, says="data_dst")
    assert "extract and align" in err
    refused(capsys, 2, "--src", tmp_path, says="give WORKSPACE, or all of")
    assert not (tmp_path / "model").exists()


def test_an_empty_folder(tmp_path, capsys):
    for side in ("data_src", "data_dst"):
        (tmp_path / side / "aligned").mkdir(parents=True)
    refused(capsys, 1, tmp_path, *TINY, says="no aligned face found")


def test_unusable_faces_are_named_skipped_and_counted(tmp_path, capsys, caplog):
    import cv2

    root = loose(tmp_path)
    src = root / "data_src" / "aligned"
    cv2.imwrite(str(src / "plain.jpg"), np.zeros((64, 64, 3), np.uint8))
    whole = sorted(src.glob("0*.jpg"))[0]
    whole.write_bytes(whole.read_bytes()[:200])
    code, _, err = call(capsys, "train", root, *TINY, "--target-iter=1", "--workers=1")
    assert code == 0, err
    assert "5 faces, 2 files skipped" in err
    assert "plain.jpg" in caplog.text
    for path in src.glob("0*.jpg"):
        path.unlink()
    refused(capsys, 1, root, "--target-iter=2", says="no aligned face found")


def test_a_truncated_pak(workspace, capsys):
    pak = workspace / "data_src" / "aligned" / "faceset.pak"
    pak.write_bytes(pak.read_bytes()[:5000])
    refused(capsys, 1, workspace, "--target-iter=5", says="truncated")
    assert read_model(workspace / "model", "one", "SAEHD").iteration == 3


@pytest.mark.parametrize("name", ["one_SAEHD_encoder.npy", "one_SAEHD_data.dat"])
def test_a_truncated_model_file_brings_back_the_kept_set_or_is_refused(workspace, capsys, name):
    path = workspace / "model" / name
    path.write_bytes(path.read_bytes()[:-100])
    for other in (workspace / "model").glob(".*.previous"):
        for kept in other.iterdir():
            kept.unlink()
    before = files(workspace / "model")
    refused(capsys, 1, workspace, "--target-iter=5", says=name)
    assert files(workspace / "model") == before


class _Evil:
    def __reduce__(self):
        return print, ("owned",)


def test_a_hostile_pickle(tmp_path, capsys):
    root = packed(tmp_path)
    model = root / "model"
    model.mkdir()
    (model / "bad_SAEHD_data.dat").write_bytes(pickle.dumps({"iter": 5, "options": _Evil()}))
    before = files(model)
    code, out, err = call(capsys, "train", root)
    assert code == 1
    assert "owned" not in out + err.replace("'owned'", "")
    assert err.count("error: ") == 1
    assert "bad_SAEHD_data.dat" in err
    assert files(model) == before


def test_a_model_of_another_class(workspace, capsys):
    encoder = workspace / "model" / "one_SAEHD_encoder.npy"
    source = workspace / "model" / "one_SAEHD_decoder_src.npy"
    for path in (workspace / "model").iterdir():
        if "manifest" in path.name or "previous" in path.name:
            path.unlink() if path.is_file() else None
    encoder.write_bytes(source.read_bytes())
    before = files(workspace / "model")
    err = refused(capsys, 1, workspace, "--target-iter=5", says="encoder: ")
    assert "missing" in err
    assert files(workspace / "model") == before


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--resolution=128",), "resolution=128 differs from the model's 64"),
        (("--archi=liae-ud",), "archi=liae-ud differs"),
        (("--gan-power=12",), "gan_power=12"),
        (("--set", "gan_pwer=1"), 'did you mean "gan_power"'),
        (("--set", "gan_power"), 'has no "="'),
        (("--model=SAHD",), "no model class 'SAHD'"),
        (("--name=a/b",), "cannot be used in file names"),
        (("--devices=7",), "there is no such GPU"),
        (("--reinit=inter_Z",), "inter_Z"),
    ],
)
def test_wrong_options(workspace, capsys, arguments, says):
    before = files(workspace)
    refused(capsys, 2, workspace, "--target-iter=5", *arguments, says=says)
    assert files(workspace) == before


def test_tensorboard_that_is_not_installed(workspace, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    before = files(workspace)
    refused(capsys, 2, workspace, "--tensorboard=tb", says='pip install "tensorboard>=2.20"')
    assert files(workspace) == before


def test_all_errors_of_a_command_line_are_told_together(workspace, capsys):
    err = refused(
        capsys, 2, workspace, "--gan-power=12", "--ae-dims=64", "--save-every=-1", says="3 errors"
    )
    assert "gan_power" in err
    assert "ae_dims" in err
    assert "save_every" in err


def test_a_model_folder_that_can_not_be_written(tmp_path, capsys):
    root = packed(tmp_path)
    # Not even root can make a file there.
    refused(capsys, 1, root, *TINY, "--model-dir=/proc/1/model", says="cannot be written")


def test_a_model_in_use_is_not_trained_twice(workspace, capsys):
    from dfl_tf.formats import ModelLock

    with ModelLock(workspace / "model", "one", "SAEHD"):
        refused(capsys, 1, workspace, "--target-iter=5", says="in use by process")


def test_a_full_disk(workspace, capsys, monkeypatch):
    from dfl_tf.disk import durable

    def full(*args, **settings):
        raise OSError(28, "No space left on device")

    before = files(workspace / "model")
    monkeypatch.setattr(durable.os, "fsync", full)
    refused(capsys, 1, workspace, "--target-iter=4", "--no-preview", says="disk is full")
    monkeypatch.undo()
    assert read_model(workspace / "model", "one", "SAEHD").iteration == 3
    after = files(workspace / "model")
    kept = [name for name in before if not name.endswith((".lock", "_log.jsonl"))]
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}


@pytest.mark.slow
def test_a_new_quick96_starts_from_the_weights_of_a_release(tmp_path, capsys):
    root = packed(tmp_path)
    command = ("train", root, "--model=Quick96", "--target-iter=1", "--no-preview")
    code, _, err = call(capsys, *command, "--name=a")
    assert code == 0, err
    release = tmp_path / "release"
    release.mkdir()
    for part in ("encoder", "decoder_src", "src_dst_opt"):
        (root / "model" / f"a_Quick96_{part}.npy").rename(release / f"{part}.npy")
    before = {path.stem: read_part(path) for path in release.iterdir()}
    code, _, err = call(capsys, *command, "--name=b", f"--pretrained-weights={release}")
    assert code == 0, err
    assert f"encoder starts with the content of {release / 'encoder.npy'}" in err
    assert "inter starts with fresh weights" in err
    after = read_model(root / "model", "b", "Quick96").tensors
    # The slots of the release, too; where weights start fresh, their slots start empty.
    assert after["src_dst_opt"]["iters:0"] == before["src_dst_opt"]["iters:0"] + 1
    key = "acc_encoder/down1/downs_0/conv1/weight_0:0"
    slots = before.pop("src_dst_opt")[key]
    assert np.all(after["src_dst_opt"][key] >= 0.9 * slots * (1 - 1e-6))
    assert slots.max() > 0
    for part, arrays in before.items():
        for key, array in arrays.items():
            # One step of RMSprop moves a weight by no more than 2e-4 / sqrt(0.1).
            assert np.abs(after[part][key] - array).max() < 7e-4
    # Old scripts name the folder whether it is there or not.
    code, _, err = call(capsys, *command, "--name=c", f"--pretrained-model-dir={root}")
    assert code == 0
    assert f"no encoder.npy or other part lies in {root}: Quick96 starts fresh" in err


def test_an_xseg_model_restarts_after_a_backup_and_may_change_its_face_type(
    tmp_path, capsys, monkeypatch
):
    from dfl_tf.cli import train as command
    from dfl_tf.formats import ModelState, write_model

    root = packed(tmp_path)
    state = ModelState(
        model_class="XSeg",
        iteration=5,
        options={"face_type": "wf", "pretrain": False, "batch_size": 4},
        loss_history=[[1.0]] * 5,
        tensors={"XSeg_256": {"conv01/conv/weight:0": np.zeros((3, 3, 3, 32), np.float32)}},
    )
    write_model(root / "model", "XSeg", state)
    prepared = []

    def run_training(given, **more):
        prepared.append(given)
        return SimpleNamespace(exit_code=0)

    monkeypatch.setattr(command, "run_training", run_training)
    change = ("train", root, "--model=XSeg", "--face-type=head")
    refused(capsys, 2, *change[1:], says="face_type")
    assert call(capsys, *change, "--restart")[0] == 0
    (given,) = prepared
    assert (given.state, given.resolved.options.face_type) == (None, "head")
    assert given.run.backup_now
    assert call(capsys, "train", root, "--model=XSeg")[0] == 0
    assert not prepared[1].run.backup_now
    refused(capsys, 2, root, "--restart", says="--restart is for XSeg")
