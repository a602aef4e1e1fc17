"""`dfl-tf evaluate` by its command line and as a function."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

import dfl_tf
from dfl_tf.cli.main import run
from dfl_tf.data import Faceset, identity
from dfl_tf.errors import UsageError
from dfl_tf.evaluate import metrics

from .support.workspaces import TINY, call, loose

pytestmark = pytest.mark.filterwarnings(
    "ignore:optimizer steps and convolutions run on plain:RuntimeWarning"
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A workspace with a model of three iterations, and a backup of its first one."""
    root = loose(tmp_path_factory.mktemp("evaluated"), 8)
    common = ["train", str(root), "--name=one", "--seed=1"]
    assert run([*common, *TINY, "--target-iter=1"]) == 0
    assert run([*common, "--target-iter=3", "--backup-now", "--no-preview"]) == 0
    return root


@pytest.fixture
def by_color(monkeypatch) -> None:
    """Persons are told apart by their mean color."""

    def vector(self, face):
        return face.image.reshape(-1, 3).mean(axis=0) / 255

    monkeypatch.setattr(identity.DlibEmbedder, "ready", lambda self: None)
    monkeypatch.setattr(identity.DlibEmbedder, "vector", vector)


@pytest.fixture
def without_dlib(monkeypatch) -> None:
    def ready(self):
        raise UsageError("the network is not there")

    monkeypatch.setattr(identity.DlibEmbedder, "ready", ready)


def test_several_states_side_by_side(trained, tmp_path, capsys, by_color):
    sheet = tmp_path / "faces.png"
    arguments = ("evaluate", trained, "01", "previous", "--name=one", "--model=SAEHD")
    code, out, err = call(capsys, *arguments, "--sheet", sheet)
    assert code == 0, err
    lines = out.splitlines()
    head = next(i for i, line in enumerate(lines) if "one_SAEHD previous" in line)
    assert lines[head].split() == ["one_SAEHD", "one_SAEHD", "01", "one_SAEHD", "previous"]
    assert lines[head + 1].split() == ["iteration", "3", "1", "1"]
    names = [line.split()[0] for line in lines[head + 2 :] if line]
    for name in ("ssim", "src_l1", "dst_psnr", "dst_iou", "identity_src", "jitter"):
        assert name in names
    assert "src: measured on 8 faces" in out
    assert "was trained without holdout: it has seen these faces" in out
    assert "best by ssim:" in out
    assert f"sheet: {sheet}" in out
    image = cv2.imread(str(sheet))
    assert image.shape[1] > 5 * 160  # a face, and two images for each of three states
    assert len(np.unique(image)) > 100


def test_numbers_are_those_of_the_metrics_on_what_the_model_makes(trained, capsys, without_dlib):
    code, out, err = call(capsys, "evaluate", trained, "--json", "--faces=3")
    assert code == 0, err
    found = json.loads(out)
    (result,) = found["results"]
    assert [result["iteration"], result["metrics_version"]] == [3, metrics.METRICS_VERSION]
    assert result["architecture"]["resolution"] == 64
    assert result["code_version"] == dfl_tf.__version__
    assert not result["held_out"]
    assert "identity_src" not in result["metrics"]
    assert any("identity is not measured: the network is not there" in n for n in found["notes"])
    assert any("measured on 2 of 8 faces" in note for note in found["notes"])
    model = dfl_tf.load_model(trained / "model", training=False)
    side = Faceset.open(trained / "data_dst/aligned")
    by_name = {side.name(i): side[i] for i in range(len(side))}
    for face in [face for face in result["faces"] if face["side"] == "dst"]:
        image = cv2.resize(by_name[face["name"]].image(), (64, 64), interpolation=cv2.INTER_CUBIC)
        image = np.clip(image, 0, 1)
        mask = cv2.resize(by_name[face["name"]].xseg_mask(), image.shape[:2][::-1])
        made = model.dst_to_all(image[None])
        assert face["values"]["l1"] == pytest.approx(metrics.l1(made.dst[0], image, mask), abs=0.01)


def test_the_function_gives_the_same(trained, without_dlib):
    kept = trained / "model" / "one_SAEHD_snapshots" / "first try"
    if not kept.exists():
        shutil.copytree(trained / "model" / "one_SAEHD_autobackups" / "01", kept)
    report = dfl_tf.evaluate(str(trained), name="one", states=("01", "first try"), faces=4)
    assert [result.iteration for result in report.results] == [3, 1, 1]
    assert report.results[2].model == "one_SAEHD first try"
    assert report.results[1].metrics == report.results[2].metrics
    assert 0 < report.results[0].metrics["ssim"] < 1
    with pytest.raises(UsageError, match=r"evaluate\(\) has no snapshot"):
        dfl_tf.evaluate(trained, snapshot="01")


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (
            ("07",),
            1,
            "has no such snapshot or backup, and there is no such folder. Backups there: 01",
        ),
        (("--name=two",), 1, "there is no face model called two"),
        (("--model=XSeg",), 2, "XSeg: no class of a face model"),
        (("--sheet=a.bmp",), 2, "must end with .jpg"),
        (("--sheet=/absent/a.png",), 2, "there is no folder /absent"),
        (("--models-dir=/absent",), 2, "the network is not there"),
        (("--against=/absent.json",), 2, "/absent.json"),
    ],
)
def test_what_is_wrong_is_said(trained, capsys, without_dlib, arguments, code, text):
    found, out, err = call(capsys, "evaluate", trained, *arguments)
    assert (found, out) == (code, "")
    assert text in err


def test_earlier_results_are_compared_or_refused(trained, tmp_path, capsys, without_dlib):
    file = tmp_path / "before.json"
    file.write_text(call(capsys, "evaluate", trained, "01", "--json", "--faces=2")[1])
    code, out, _ = call(capsys, "evaluate", trained, "--faces=2", "--against", file)
    assert code == 0
    assert "at one_SAEHD, iteration 3 ->" in out
    assert "(+0.0000)" in out
    assert "at one_SAEHD 01, iteration 1 ->" in out
    code, out, _ = call(capsys, "evaluate", trained, "--faces=4", "--against", file)
    assert code == 0
    assert "not compared with one_SAEHD, iteration 3: they were measured on other faces" in out


def test_a_folder_of_model_files_is_a_state(trained, tmp_path, capsys, without_dlib):
    kept = Path(shutil.copytree(trained / "model", tmp_path / "kept"))
    code, out, err = call(capsys, "evaluate", trained, kept, "--faces=2")
    assert code == 0, err
    assert f"one_SAEHD {kept}" in out
    assert "best by ssim" in out
