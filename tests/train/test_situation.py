"""What a run knows at its start: read from faces, options and losses, without a model."""

from __future__ import annotations

import dataclasses
import importlib.resources
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from dfl_tf.data import Faceset
from dfl_tf.formats import read_pak
from dfl_tf.formats.faces.dfljpg import embed_metadata, read_metadata
from dfl_tf.formats.faces.mask_record import MaskRecord, write_mask_record
from dfl_tf.formats.loss_history import LossHistory
from dfl_tf.options import Layer, RunOptions, SAEHDOptions, resolve
from dfl_tf.options.advice import STANDSTILL
from dfl_tf.train import situation as module
from dfl_tf.train.settings import Settings
from dfl_tf.train.situation import advice_of, advice_on_switch, situation_of, standstill

DEMO = Path(str(importlib.resources.files("dfl_tf"))) / "demo_data"


def settings(run: RunOptions | None = None, **options: Any) -> Settings:
    resolved = resolve(SAEHDOptions, [Layer({"archi": "liae-u", **options}, "t")])
    return Settings(resolved, run or RunOptions())


def prepared(faces: Path, wanted: Settings, state: Any = None, **more: Any) -> Any:
    place = SimpleNamespace(src=faces / "data_src/aligned", dst=faces / "data_dst/aligned")
    return SimpleNamespace(
        state=state,
        settings=wanted,
        run=wanted.run,
        workspace=place,
        pretrained=None,
        place=SimpleNamespace(model_class="SAEHD"),
        **more,
    )


def facesets(faces: Path) -> Any:
    src, dst = (Faceset.open(faces / f"data_{side}/aligned") for side in ("src", "dst"))
    return SimpleNamespace(src=src, dst=dst, pretrain=False)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """One face looking ahead in each side, six times: brightness of src varies with its number."""
    for side in ("src", "dst"):
        folder = tmp_path / f"data_{side}" / "aligned"
        folder.mkdir(parents=True)
        jpeg = read_pak(DEMO / f"data_{side}" / "aligned" / "faceset.pak").jpeg(0)
        metadata = dataclasses.replace(read_metadata(jpeg), xseg_mask_bytes=None, seg_ie_polys=None)
        image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
        for number in range(6):
            level = 1.0 - 0.1 * number * (side == "src")
            shaded = cv2.imencode(".jpg", (image * level).astype(np.uint8))[1].tobytes()
            (folder / f"{number}.jpg").write_bytes(embed_metadata(shaded, metadata))
    return tmp_path


def test_faces_of_both_sides_are_looked_at(workspace: Path) -> None:
    found = situation_of(prepared(workspace, settings(ct_mode="rct")), facesets(workspace))
    assert (found.new, found.iteration, found.way_back) == (True, 0, False)
    assert (found.src.masks, found.dst.masks) == (False, False)
    assert found.src.profiles == 0.0
    assert found.light_spread is not None
    assert 10 < found.light_spread < 60
    assert found.color_distance is not None
    assert found.has_pair


def test_masks_and_who_made_them(workspace: Path) -> None:
    path = workspace / "data_src/aligned"
    jpeg = read_pak(DEMO / "data_src/aligned/faceset.pak").jpeg(0)
    assert read_metadata(jpeg).xseg_mask_bytes is not None
    (path / "9.jpg").write_bytes(jpeg)
    write_mask_record(path, MaskRecord("a", 5, "0" * 64, "wf", 7, True))
    found = situation_of(prepared(workspace, settings()), facesets(workspace))
    assert (found.src.masks, found.dst.masks) == (True, False)
    assert found.src.mask_model == f"{'0' * 64} wf"
    (path / "xseg_model.json").write_text("broken")
    found = situation_of(prepared(workspace, settings()), facesets(workspace))
    assert found.src.mask_model == ""  # said where masks are shown, no reason not to train


def test_images_are_read_for_options_about_colors_only(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_colors", lambda samples: pytest.fail("images are read"))
    situation_of(prepared(workspace, settings()), facesets(workspace))


def test_large_sets_are_looked_at_in_part() -> None:
    class Large:
        def __init__(self) -> None:
            self.path, self.asked = Path("nowhere"), []

        def __len__(self) -> int:
            return 50_000

        def __getitem__(self, index: int) -> Any:
            self.asked.append(index)
            raise OSError("gone")

    large = Large()
    both = SimpleNamespace(src=large, dst=large, pretrain=False)
    found = situation_of(prepared(Path(), settings()), both)
    assert len(large.asked) == 2 * module.LOOKED_AT
    assert large.asked[module.LOOKED_AT - 1] == 49_999
    assert found.src.profiles is None
    assert found.uncovered is None


def test_dst_poses_without_a_src_pose_nearby_are_counted() -> None:
    src, dst = np.deg2rad([[0.0, 0.0], [0.0, 10.0]]), np.deg2rad([[0.0, 24.0], [0.0, 26.0]])
    assert module._uncovered(src, dst) == 0.5
    assert module._uncovered(src, np.deg2rad([[11.0, 0.0]])) == 1.0
    assert module._uncovered(np.empty((0, 2)), dst) is None
    assert module._profiles(np.deg2rad([[0.0, 36.0], [0.0, -34.0]])) == 0.5


def test_a_standstill_is_seen_in_the_losses() -> None:
    rng = np.random.default_rng(0)
    flat = 0.3 + 0.01 * rng.standard_normal((STANDSTILL + 10, 2))
    falling = flat - np.linspace(0, 0.1, len(flat))[:, None]
    assert standstill(LossHistory(flat.tolist())) == STANDSTILL
    assert standstill(LossHistory(falling.tolist())) == 0
    mixed = np.stack([flat[:, 0], falling[:, 1]], axis=1)
    assert standstill(LossHistory(mixed.tolist())) == 0
    assert standstill(LossHistory(flat[:100].tolist())) == 0
    assert standstill(LossHistory([*flat[: STANDSTILL - 1].tolist(), [0.3]])) == 0


def test_a_saved_model_tells_its_age_and_its_last_options(workspace: Path) -> None:
    state = SimpleNamespace(
        options={"random_warp": False}, iteration=7, loss_history=LossHistory([[1.0, 1.0]])
    )
    found = situation_of(prepared(workspace, settings(), state), facesets(workspace))
    assert (found.new, found.iteration) == (False, 7)
    lines = advice_of(prepared(workspace, settings(), state), facesets(workspace))
    assert any("Random warp is switched on again" in line for line in lines)


@pytest.mark.parametrize(
    "run",
    [
        RunOptions(backup_every=1.0),
        RunOptions(snapshot_every=1000),
        RunOptions(keep_best="ssim"),
        RunOptions(on_collapse="rollback"),
        RunOptions(recipe="saehd"),
    ],
)
def test_what_one_can_go_back_to(workspace: Path, run: RunOptions) -> None:
    assert situation_of(prepared(workspace, settings(run)), facesets(workspace)).way_back


def test_a_model_that_begins_at_other_weights_is_not_new(workspace: Path) -> None:
    run = RunOptions(init_from="elsewhere")
    assert not situation_of(prepared(workspace, settings(run)), facesets(workspace)).new


def test_nothing_is_said_on_request(workspace: Path) -> None:
    loud, quiet = settings(gan_power=1.0), settings(RunOptions(advice=False), gan_power=1.0)
    assert advice_of(prepared(workspace, loud), facesets(workspace))
    assert advice_of(prepared(workspace, quiet), facesets(workspace)) == []
    assert advice_on_switch(settings(), quiet, 5) == []


def test_a_switch_is_remarked_on_once() -> None:
    before, after = settings(clipgrad=True), settings(clipgrad=True, gan_power=0.01)
    names = advice_on_switch(before, after, 100_000)
    assert len(names) == 2  # with warp on, and without dropout
    assert advice_on_switch(after, after, 100_000) == []
    off = settings(clipgrad=True, random_warp=False)
    assert "switched on again" in advice_on_switch(off, before, 100_000)[0]
