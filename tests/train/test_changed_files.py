"""What a training makes of a model folder that somebody changed (decisions 42, 49 and 52)."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dfl_tf.errors import ForeignChange, ModelFileError, ModelFilesChanged
from dfl_tf.formats import ModelState, find_models, read_model, write_model
from dfl_tf.formats.models.manifest import read_manifest
from dfl_tf.formats.pickles.safe_pickle import dumps_legacy
from dfl_tf.formats.sessions.workspace import Workspace
from dfl_tf.options import RunOptions
from dfl_tf.options.inputs import OptionInputs
from dfl_tf.train.start import Prepared, prepare

from .support.fake_model import FakeModel
from .test_trainer import options, trainer

FORMATS = ("legacy", "native")
BASE = ("encoder", "inter", "decoder_src", "decoder_dst", "src_dst_opt")
GAN = ("GAN", "GAN_opt")
TRUE_FACE = ("code_discriminator", "D_code_opt")


def state(iteration: int, parts: tuple[str, ...] = BASE + GAN, **stored: object) -> ModelState:
    values = {"resolution": 64, "archi": "df-ud", "gan_power": 0.1, "true_face_power": 0.0}
    tensors = {
        part: {"w:0": np.full(40, iteration, np.float32), "iters:0": np.int64(iteration)}
        for part in parts
    }
    return ModelState(
        model_class="SAEHD",
        iteration=iteration,
        options=values | stored,
        loss_history=[[1.0, 2.0]] * iteration,
        tensors=tensors,
    )


def old_program_saves(folder: Path, saved: ModelState) -> None:
    for part, tensors in saved.tensors.items():
        (folder / f"x_SAEHD_{part}.npy").write_bytes(dumps_legacy(dict(tensors)))
    data = {"iter": saved.iteration, "options": saved.options, "loss_history": saved.loss_history}
    (folder / "x_SAEHD_data.dat").write_bytes(dumps_legacy(data))


def begin(folder: Path, *, use_previous: bool = False, run: RunOptions | None = None, **given):
    faces = folder.parent  # not looked at
    place = Workspace(root=folder, src=faces, dst=faces, model=folder)
    run = replace(run or RunOptions(), use_previous=use_previous)
    return prepare(place, "SAEHD", "x", OptionInputs.of_program(given, "the test", run))


def save(prepared: Prepared, saved: ModelState) -> None:
    place = prepared.place
    write_model(place.folder, place.name, saved, basis=place.basis)


def file_of(folder: Path, part: str) -> Path:
    native = folder / "x_SAEHD.dfl" / f"{part}.safetensors"
    return native if native.parent.exists() else folder / f"x_SAEHD_{part}.npy"


def all_bytes(folder: Path) -> set[bytes]:
    return {path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# -- another program trained on ------------------------------------------------------------------
@pytest.mark.parametrize(
    ("parts", "on", "off"),
    [
        (GAN, {"gan_power": 0.1}, {"gan_power": 0.0}),
        (GAN, {"gan_power": 0.1}, {"pretrain": True}),
        (TRUE_FACE, {"true_face_power": 0.01}, {"true_face_power": 0.0}),
    ],
)
def test_part_that_another_program_switched_off_stays_and_keeps_its_age(
    parts: tuple[str, ...], on: dict[str, object], off: dict[str, object], tmp_path: Path
) -> None:
    base = {"gan_power": 0.0, "true_face_power": 0.0}
    for iteration in (10, 20):
        write_model(tmp_path, "x", state(iteration, BASE + parts, **(base | on)))
    old_program_saves(tmp_path, state(120, BASE, **(base | on | off)))
    prepared = begin(tmp_path)
    assert prepared.state is not None
    assert prepared.state.iteration == 120
    save(prepared, state(130, BASE, **(base | on | off)))
    record = read_manifest(tmp_path / "x_SAEHD.manifest.json")
    assert record is not None
    for part in parts:
        entry = record.files[f"x_SAEHD_{part}.npy"]
        assert (entry.off, entry.iteration) == (True, 20)
    # switched on again it is loaded, and its age is said
    again = begin(tmp_path, **({"pretrain": False} | on))
    assert again.state is not None
    assert set(parts) <= again.state.tensors.keys()
    assert f"{', '.join(parts)}: 110 iterations behind (last trained at 20)" in again.notes


def test_edited_options_are_taken_as_they_are(tmp_path: Path) -> None:
    write_model(tmp_path, "x", state(10))
    edited = state(10, gan_power=0.2)
    data = {"iter": 10, "options": edited.options, "loss_history": edited.loss_history}
    (tmp_path / "x_SAEHD_data.dat").write_bytes(dumps_legacy(data))
    assert begin(tmp_path).resolved.options.gan_power == 0.2


def test_part_in_use_that_the_other_options_need_must_be_there(tmp_path: Path) -> None:
    write_model(tmp_path, "x", state(10))
    old_program_saves(tmp_path, state(120, BASE))
    file_of(tmp_path, "inter").unlink()
    with pytest.raises(ModelFilesChanged, match="--reinit inter"):
        begin(tmp_path)


# -- by hand -------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("part", ["inter", "GAN"])
def test_deleted_file_in_use_is_a_choice_and_reinit_alone_is_enough(
    kind: str, part: str, tmp_path: Path
) -> None:
    for iteration in (10, 20):
        write_model(tmp_path, "x", state(iteration), format=kind)
    file_of(tmp_path, part).unlink()
    before = all_bytes(tmp_path)
    with pytest.raises(ModelFilesChanged) as caught:
        begin(tmp_path)
    assert caught.value.exit_code == 2
    text = str(caught.value)
    assert file_of(tmp_path, part).name in text
    assert f"--reinit {part}" in text
    assert "--use-previous  returns to the kept save of iteration 10" in text
    assert "--accept-changes" not in text  # there is nothing to accept
    assert all_bytes(tmp_path) == before
    prepared = begin(tmp_path, run=RunOptions(reinit=(part,)))
    assert prepared.state is not None
    assert prepared.state.iteration == 20


@pytest.mark.parametrize("kind", FORMATS)
def test_replaced_file_is_a_choice_of_three(kind: str, tmp_path: Path) -> None:
    for iteration in (10, 20):
        write_model(tmp_path, "x", state(iteration), format=kind)
    other = tmp_path / "other"
    write_model(other, "x", state(99), format=kind)
    path = file_of(tmp_path, "decoder_src")
    path.write_bytes(file_of(other, "decoder_src").read_bytes())
    foreign = path.read_bytes()
    with pytest.raises(ModelFilesChanged, match=r"(?s)--reinit.*--accept-changes.*--use-previous"):
        begin(tmp_path)
    accepted = begin(tmp_path, run=RunOptions(accept_changes=True))
    assert accepted.state is not None
    assert accepted.state.tensors["decoder_src"]["w:0"][0] == 99
    back = begin(tmp_path, use_previous=True)
    assert back.state is not None
    assert back.state.iteration == 10
    for iteration in (11, 12, 13):  # and what was there is never deleted
        save(back, state(iteration)) if iteration == 11 else write_model(
            tmp_path, "x", state(iteration)
        )
        assert foreign in all_bytes(tmp_path)


@pytest.mark.parametrize("kind", FORMATS)
def test_missing_optimizers_are_a_warning(kind: str, tmp_path: Path) -> None:
    write_model(tmp_path, "x", state(10), format=kind)
    for part in ("src_dst_opt", "GAN_opt"):
        file_of(tmp_path, part).unlink()
    notes = begin(tmp_path).notes
    assert sum("its slots start empty" in note for note in notes) == 2


def test_reinit_moves_the_file_aside(tmp_path: Path) -> None:
    write_model(tmp_path, "x", state(10))
    gan = file_of(tmp_path, "GAN").read_bytes()
    prepared = begin(tmp_path, run=RunOptions(reinit=("GAN",)))
    save(prepared, state(11))
    write_model(tmp_path, "x", state(12))
    assert (tmp_path / ".x_SAEHD.replaced" / "01" / "x_SAEHD_GAN.npy").read_bytes() == gan


@pytest.mark.parametrize("kind", FORMATS)
def test_file_that_cannot_be_read_names_what_can_take_its_place(kind: str, tmp_path: Path) -> None:
    for iteration in (10, 20):
        write_model(tmp_path, "x", state(iteration), format=kind)
    write_model(tmp_path / "x_SAEHD_autobackups" / "01", "x", state(15), format=kind)
    file_of(tmp_path, "inter").write_bytes(b"no model")
    with pytest.raises(ModelFileError) as caught:
        begin(tmp_path)
    assert caught.value.exit_code == 1
    text = str(caught.value)
    assert file_of(tmp_path, "inter").name in text
    assert "The set of iteration 10 is kept: dfl-tf model restore" in text
    assert "Backup 01 (iteration 15): dfl-tf model restore" in text
    assert begin(tmp_path, run=RunOptions(reinit=("inter",))).state is not None
    # a part that the options do not use does not matter
    write_model(tmp_path, "x", state(30), format=kind)
    file_of(tmp_path, "GAN").write_bytes(b"no model")
    assert begin(tmp_path, gan_power=0.0).state is not None


def test_commands_that_read_look_at_nothing_else(tmp_path: Path) -> None:
    write_model(tmp_path, "x", state(10))
    for part in ("GAN", "src_dst_opt"):
        file_of(tmp_path, part).write_bytes(b"no model")
    assert read_model(tmp_path, "x", "SAEHD", only=["encoder"]).notes == ()


def iteration_of(manifest: Path) -> int:
    record = read_manifest(manifest)
    return -1 if record is None else record.iteration


# -- two programs --------------------------------------------------------------------------------
def test_foreign_change_while_training_is_never_overwritten(tmp_path: Path) -> None:
    class Disturbed(FakeModel):
        def train_step(self, *batches):
            if self.iteration == 4:
                # the save of iteration 3 runs beside the training, and ends with its manifest
                while iteration_of(tmp_path / "new_SAEHD.manifest.json") < 3:
                    time.sleep(0.01)
                path = tmp_path / "new_SAEHD_inter.npy"
                path.write_bytes(dumps_legacy({"w:0": np.ones(3, np.float32)}))
            return super().train_step(*batches)

    with pytest.raises(ForeignChange, match=r"new_SAEHD_inter.npy was rewritten") as caught:
        trainer(tmp_path, Disturbed(options(target_iter=9)), save_every_iters=3).run()
    assert caught.value.exit_code == 1
    assert list(read_model(tmp_path, "new", "SAEHD").tensors["inter"]) == ["w:0"]
    snapshot = tmp_path / "new_SAEHD_snapshots" / "unsaved-6"
    assert str(snapshot) in str(caught.value)
    assert read_model(snapshot, "new", "SAEHD").iteration == 6
    record = read_manifest(snapshot / "new_SAEHD.manifest.json")
    assert record is not None
    assert "was rewritten" in record.snapshot
    assert len(find_models(tmp_path)) == 1


def test_new_model_does_not_replace_one_that_appeared_meanwhile(tmp_path: Path) -> None:
    prepared = begin(tmp_path / "fresh")
    write_model(tmp_path / "fresh", "x", state(5))
    with pytest.raises(ForeignChange, match="was added"):
        save(prepared, replace(state(1), iteration=1))
    assert read_model(tmp_path / "fresh", "x", "SAEHD").iteration == 5
