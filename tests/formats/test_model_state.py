"""Whole models on disk: both formats, what other programs do to them, and what is never lost."""

from __future__ import annotations

import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dfl_tf.disk.temporary_names import staged
from dfl_tf.errors import ModelFileError, UsageError, WorkspaceError
from dfl_tf.formats import ModelLock, ModelState, find_models, model_files, read_model, write_model
from dfl_tf.formats.models.files import prefix_of
from dfl_tf.formats.models.legacy import read_default_options
from dfl_tf.formats.models.report import diff_states, same_value
from dfl_tf.formats.models.restore import find_kept, restore
from dfl_tf.formats.pickles import safe_pickle
from tests.formats.samples import GOLDEN, make_state

FORMATS = ("legacy", "native")


def assert_same(first: ModelState, second: ModelState) -> None:
    """Equality of everything that is stored, types and order included."""
    assert diff_states(first, second)["same"], diff_states(first, second)
    assert first.run == second.run
    assert list(first.tensors) == list(second.tensors)
    for part, tensors in first.tensors.items():
        assert list(second.tensors[part]) == list(tensors)


def old_program_saves(folder: Path, name: str, iteration: int, *, parts: int | None = None) -> None:
    """What the legacy trainer does: part after part, data.dat last, no sidecar."""
    state = make_state(iteration)
    prefix = f"{name}_SAEHD_"
    for index, (part, tensors) in enumerate(state.tensors.items()):
        if parts is not None and index >= parts:
            return
        (folder / f"{prefix}{part}.npy").write_bytes(pickle.dumps(tensors, 4))
    data = {
        "iter": iteration,
        "options": state.options,
        "loss_history": state.loss_history,
        "sample_for_preview": None,
        "choosed_gpu_indexes": None,
    }
    (folder / f"{prefix}data.dat").write_bytes(pickle.dumps(data, 4))


# -- round trips ---------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("model_class", ["SAEHD", "XSeg"])
def test_model_survives_a_round_trip(kind: str, model_class: str, tmp_path: Path) -> None:
    state = make_state(model_class=model_class)
    write_model(tmp_path, "my model", state, format=kind)
    found = read_model(tmp_path, "my model", model_class)
    assert_same(found, state)
    assert found.notes == ()
    optimizer = next(part for part in found.tensors if part.endswith("_opt"))
    assert isinstance(found.tensors[optimizer]["iters:0"], np.int64)
    assert [m.format for m in find_models(tmp_path)] == [kind]


@settings(max_examples=10, deadline=None)
@given(
    tensors=st.dictionaries(
        st.text(min_size=1, max_size=20),
        hnp.arrays(
            st.sampled_from([np.float32, np.float16, np.float64, np.int64]),
            hnp.array_shapes(min_dims=0, max_dims=4, max_side=4),
        ),
        max_size=4,
    ),
    options=st.dictionaries(
        st.text(max_size=8),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
        max_size=5,
    ),
    history=st.lists(st.lists(st.floats(), max_size=3), max_size=20),
    kind=st.sampled_from(FORMATS),
)
def test_any_model_survives_a_round_trip(
    tmp_path_factory: pytest.TempPathFactory,
    tensors: dict[str, np.ndarray],
    options: dict[str, object],
    history: list[list[float]],
    kind: str,
) -> None:
    folder = tmp_path_factory.mktemp("model")
    state = replace(
        make_state(), tensors={"encoder": tensors}, options=options, loss_history=history
    )
    write_model(folder, "x", state, format=kind)
    assert_same(read_model(folder, "x", "SAEHD"), state)


@pytest.mark.golden
def test_genuine_files_survive_both_formats_and_keep_dialect_and_types(tmp_path: Path) -> None:
    for path in GOLDEN.glob("mini_AMP_*.npy"):
        shutil.copyfile(path, tmp_path / path.name)
    shutil.copyfile(GOLDEN / "tiny_SAEHD_data.numpy1.dat", tmp_path / "mini_AMP_data.dat")
    original = read_model(tmp_path, "mini", "AMP")
    assert original.iteration == 3
    assert {type(value) for value in original.options.values()} == {bool, float, int, str}
    write_model(tmp_path / "native", "mini", original, format="native")
    write_model(tmp_path / "back", "mini", read_model(tmp_path / "native", "mini", "AMP"))
    back = read_model(tmp_path / "native", "mini", "AMP")
    write_model(tmp_path / "back", "mini", back, format="legacy")
    assert_same(read_model(tmp_path / "back", "mini", "AMP"), original)
    for path in (tmp_path / "back").glob("mini_AMP_*.npy"):
        first = safe_pickle.load_file(tmp_path / path.name)
        assert same_value(safe_pickle.load_file(path), first)
        names = safe_pickle.audit((tmp_path / path.name).read_bytes()).globals
        assert set(safe_pickle.audit(path.read_bytes()).globals) == set(names)


def test_same_keeps_the_format_and_a_new_model_is_legacy(tmp_path: Path) -> None:
    write_model(tmp_path, "new", make_state())
    assert find_models(tmp_path)[0].format == "legacy"
    write_model(tmp_path / "n", "new", make_state(), format="native")
    write_model(tmp_path / "n", "new", make_state(9))
    assert [m.format for m in find_models(tmp_path / "n")] == ["native"]
    assert read_model(tmp_path / "n", "new", "SAEHD").iteration == 9


def test_only_the_asked_parts_are_read(tmp_path: Path) -> None:
    write_model(tmp_path, "x", make_state())
    assert list(read_model(tmp_path, "x", "SAEHD", only=["encoder"]).tensors) == ["encoder"]


def test_summary_and_the_latest_default_options_are_written(tmp_path: Path) -> None:
    write_model(tmp_path, "x", make_state(), summary="==", default_options={"a": np.int64(1)})
    assert (tmp_path / "x_SAEHD_summary.txt").read_bytes() == b"=="
    write_model(tmp_path, "x", make_state(), default_options={"a": 2})
    assert read_default_options(tmp_path, "SAEHD") == {"a": 2}
    assert read_default_options(tmp_path, "AMP") == {}


@pytest.mark.golden
def test_genuine_default_options_are_read_as_plain_values() -> None:
    found = read_default_options(GOLDEN, "AMP")
    assert found["resolution"] == 64
    assert type(found["resolution"]) is int
    assert type(found["morph_factor"]) is float


# -- what is found -------------------------------------------------------------------------------
def test_models_are_found_whole_with_underscores_newest_first(tmp_path: Path) -> None:
    import os

    for age, (name, model_class) in enumerate(
        [("a_b_c", "SAEHD"), ("plain", "AMP"), ("XSeg", "XSeg"), ("a_b", "SAEHD")]
    ):
        write_model(tmp_path, name, make_state(model_class=model_class))
        prefix = prefix_of(name, model_class)
        for path in (tmp_path / f"{prefix}_data.dat", tmp_path / f"{prefix}.manifest.json"):
            os.utime(path, (1000 - age, 1000 - age))
    found = [(m.name, m.model_class) for m in find_models(tmp_path)]
    assert found == [("a_b_c", "SAEHD"), ("plain", "AMP"), ("XSeg", "XSeg"), ("a_b", "SAEHD")]
    assert [m.name for m in find_models(tmp_path, "AMP")] == ["plain"]
    assert list(read_model(tmp_path, "a_b", "SAEHD").tensors) == list(make_state().tensors)


def test_missing_model_is_an_error_that_names_those_there(tmp_path: Path) -> None:
    write_model(tmp_path, "there", make_state())
    with pytest.raises(
        ModelFileError, match=r"no model other_SAEHD\. Models there: there \(SAEHD\)"
    ):
        read_model(tmp_path, "other", "SAEHD")
    with pytest.raises(UsageError, match="class 'SAEHDX' is unknown"):
        read_model(tmp_path, "there", "SAEHDX")
    with pytest.raises(UsageError, match="cannot be used"):
        write_model(tmp_path, "a/b", make_state())


@pytest.mark.parametrize("kind", FORMATS)
def test_model_files_copied_are_the_model(kind: str, tmp_path: Path) -> None:
    write_model(tmp_path / "m", "x", make_state(), format=kind, summary="s")
    for path in model_files(tmp_path / "m", "x", "SAEHD"):
        target = tmp_path / "copy" / path.relative_to(tmp_path / "m")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    found = read_model(tmp_path / "copy", "x", "SAEHD")
    assert_same(found, make_state())
    assert found.notes == ()


# -- other programs ------------------------------------------------------------------------------
def test_set_of_the_old_program_is_read_without_a_sidecar(tmp_path: Path) -> None:
    old_program_saves(tmp_path, "x", 5)
    found = read_model(tmp_path, "x", "SAEHD")
    assert (found.iteration, found.notes, found.run) == (5, (), {})


def test_newer_training_of_the_old_program_is_taken_not_restored_away(tmp_path: Path) -> None:
    write_model(tmp_path, "x", make_state(5))
    write_model(tmp_path, "x", make_state(6))
    old_program_saves(tmp_path, "x", 100)
    found = read_model(tmp_path, "x", "SAEHD")
    assert found.iteration == 100
    assert found.run == {}
    assert "data.dat is not the one that the save of iteration 6 here wrote" in found.notes[0]
    write_model(tmp_path, "x", make_state(101))
    assert read_model(tmp_path, "x", "SAEHD").notes == ()
    # and the old program's set is the kept previous one
    assert read_model(tmp_path, "x", "SAEHD", previous=True).iteration == 100


def test_save_of_the_old_program_that_died_before_its_last_rename_is_taken(tmp_path: Path) -> None:
    write_model(tmp_path, "x", make_state(5))
    write_model(tmp_path, "x", make_state(6))
    old_program_saves(tmp_path, "x", 100)
    (tmp_path / "x_SAEHD_data.dat").rename(tmp_path / "x_SAEHD_data.dat.tmp")
    found = read_model(tmp_path, "x", "SAEHD")
    assert found.iteration == 100
    write_model(tmp_path, "x", make_state(101))
    assert read_model(tmp_path, "x", "SAEHD").notes == ()


def test_backup_copied_over_by_the_user_is_taken(tmp_path: Path) -> None:
    write_model(tmp_path, "x", make_state(5))
    backup = {p: p.read_bytes() for p in model_files(tmp_path, "x", "SAEHD")}
    write_model(tmp_path, "x", make_state(6))
    write_model(tmp_path, "x", make_state(7))
    for path, data in backup.items():
        path.write_bytes(data)
    assert_same(read_model(tmp_path, "x", "SAEHD"), make_state(5))
    # also without its manifest (a backup by hand of the .npy and .dat files only)
    write_model(tmp_path, "x", make_state(8))
    for path, data in backup.items():
        if path.suffix != ".json":
            path.write_bytes(data)
    found = read_model(tmp_path, "x", "SAEHD")
    assert found.iteration == 5
    assert "copied from a backup" in found.notes[0]


@pytest.mark.parametrize("parts", [1, 2])
def test_torn_save_of_the_old_program_is_named_and_nothing_rolls_back(
    parts: int, tmp_path: Path
) -> None:
    write_model(tmp_path, "x", make_state(5))
    write_model(tmp_path, "x", make_state(6))
    old_program_saves(tmp_path, "x", 100, parts=parts)
    found = read_model(tmp_path, "x", "SAEHD")
    assert found.iteration == 6
    assert found.disk is not None
    assert {change.kind for change in found.disk.changes.values()} == {"replaced"}
    assert "x_SAEHD_encoder.npy" in found.notes[0]
    assert_same(read_model(tmp_path, "x", "SAEHD", previous=True), make_state(5))
    # bringing the previous set back moves what was there aside
    mixed = (tmp_path / "x_SAEHD_encoder.npy").read_bytes()
    done = restore(tmp_path, "x", "SAEHD", find_kept(tmp_path, "x", "SAEHD", "previous"))
    assert read_model(tmp_path, "x", "SAEHD").iteration == 5
    assert done.kept is None
    assert "encoder.npy is not the one that was saved" in done.notes[0]
    assert done.aside is not None
    assert (done.aside / "x_SAEHD_encoder.npy").read_bytes() == mixed


def test_leftover_tmp_of_the_old_program_is_used_if_its_target_is_missing(tmp_path: Path) -> None:
    old_program_saves(tmp_path, "x", 5)
    path = tmp_path / "x_SAEHD_decoder.npy"
    path.rename(path.with_name(path.name + ".tmp"))
    found = read_model(tmp_path, "x", "SAEHD")
    assert "decoder" in found.tensors
    assert "leftover x_SAEHD_decoder.npy.tmp is used" in found.notes[0]
    # a torn leftover is none
    leftover = path.with_name(path.name + ".tmp")
    leftover.write_bytes(leftover.read_bytes()[:50])
    assert "decoder" not in read_model(tmp_path, "x", "SAEHD").tensors


def test_parts_of_a_switched_off_option_stay_and_do_not_decide(tmp_path: Path) -> None:
    gan = {"GAN": {"w": np.ones(3, np.float32)}}
    state = make_state(5)
    write_model(tmp_path, "x", replace(state, tensors=state.tensors | gan))
    write_model(tmp_path, "x", make_state(6))
    assert "GAN" in read_model(tmp_path, "x", "SAEHD").tensors
    (tmp_path / "x_SAEHD_GAN.npy").unlink()
    found = read_model(tmp_path, "x", "SAEHD")
    assert (found.iteration, found.notes) == (6, ())


def test_unknown_entries_of_forks_are_carried(tmp_path: Path) -> None:
    state = replace(make_state(), extra={"sample_for_preview": None, "mve": {"a": [1, "b"]}})
    write_model(tmp_path, "x", state)
    stored = safe_pickle.load_file(tmp_path / "x_SAEHD_data.dat")
    keys = ["iter", "options", "loss_history", "sample_for_preview", "choosed_gpu_indexes", "mve"]
    assert list(stored) == keys
    assert read_model(tmp_path, "x", "SAEHD").extra["mve"] == {"a": [1, "b"]}


# -- damage --------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", FORMATS)
def test_damage_that_can_be_read_is_noted_and_names_every_file(kind: str, tmp_path: Path) -> None:
    write_model(tmp_path, "x", make_state(), format=kind)
    damaged = [p for p in model_files(tmp_path, "x", "SAEHD") if "encoder" in p.name]
    damaged += [p for p in model_files(tmp_path, "x", "SAEHD") if "decoder" in p.name]
    for path in damaged:
        data = bytearray(path.read_bytes())
        data[-10] ^= 1
        path.write_bytes(data)
    found = read_model(tmp_path, "x", "SAEHD")
    assert found.disk is not None
    assert {"encoder", "decoder"} <= found.disk.changes.keys()
    assert all(path.name in found.notes[0] for path in damaged)
    # whoever reads other files only does not look at these
    assert read_model(tmp_path, "x", "SAEHD", only=["inter_B"]).notes == ()


@pytest.mark.parametrize("kind", FORMATS)
def test_shared_model_without_its_optimizer_is_read_with_a_note(kind: str, tmp_path: Path) -> None:
    write_model(tmp_path, "x", make_state(), format=kind)
    (path,) = [p for p in model_files(tmp_path, "x", "SAEHD") if "_opt" in p.name]
    path.unlink()
    found = read_model(tmp_path, "x", "SAEHD")
    assert "src_dst_opt" not in found.tensors
    assert "src_dst_opt" in found.notes[0]


def test_deleted_manifest_means_take_the_files_as_they_are(tmp_path: Path) -> None:
    write_model(tmp_path, "x", make_state(5))
    write_model(tmp_path, "x", make_state(6))
    path = tmp_path / "x_SAEHD_encoder.npy"
    path.write_bytes(pickle.dumps({"other": np.zeros(2, np.float32)}))
    assert "x_SAEHD_encoder.npy" in read_model(tmp_path, "x", "SAEHD").notes[0]
    (tmp_path / "x_SAEHD.manifest.json").unlink()
    found = read_model(tmp_path, "x", "SAEHD")
    assert (found.iteration, list(found.tensors["encoder"])) == (6, ["other"])
    assert found.notes == ()


def test_two_models_in_one_folder_leave_each_other_alone(tmp_path: Path) -> None:
    write_model(tmp_path, "x", make_state(5))
    other = staged(tmp_path / "y_SAEHD_encoder.npy")
    other.write_bytes(b"an open save of another model")
    own = [tmp_path / "x_SAEHD_encoder.npy.new", tmp_path / "x_SAEHD_data.dat.new"]
    for path in own:
        path.write_bytes(b"a file of the user")
    write_model(tmp_path, "x", make_state(6))
    assert other.exists()
    assert [path.read_bytes() for path in own] == [b"a file of the user"] * 2


def test_full_disk_is_refused_before_the_first_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_model(tmp_path, "x", make_state(5))
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    before = sorted(p.name for p in tmp_path.iterdir())
    with pytest.raises(WorkspaceError, match=r"MiB are free, saving needs"):
        write_model(tmp_path, "x", make_state(6))
    assert sorted(p.name for p in tmp_path.iterdir()) == before
    assert_same(read_model(tmp_path, "x", "SAEHD"), make_state(5))


def test_model_folder_that_is_a_file_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "model").write_text("x")
    with pytest.raises(WorkspaceError, match="model"):
        write_model(tmp_path / "model", "x", make_state())


def test_links_that_are_impossible_become_copies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("os.link", refuse)
    write_model(tmp_path, "x", make_state(5))
    write_model(tmp_path, "x", make_state(6))
    (tmp_path / "x_SAEHD_encoder.npy").write_bytes(b"damage")
    with pytest.raises(ModelFileError, match=r"(?s)encoder.*iteration 5 is kept.*--previous"):
        read_model(tmp_path, "x", "SAEHD")
    assert_same(read_model(tmp_path, "x", "SAEHD", previous=True), make_state(5))


# -- one trainer per model -----------------------------------------------------------------------
def test_second_lock_is_refused_with_the_pid_and_free_after_the_first(tmp_path: Path) -> None:
    import os

    with ModelLock(tmp_path, "x", "SAEHD"):
        with pytest.raises(WorkspaceError, match=f"in use by process {os.getpid()}"):
            ModelLock(tmp_path, "x", "SAEHD").__enter__()
        with ModelLock(tmp_path, "y", "SAEHD"):
            pass
    with ModelLock(tmp_path, "x", "SAEHD"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_lock_of_a_dead_process_does_not_block(tmp_path: Path) -> None:
    (tmp_path / "x_SAEHD.lock").write_text("999999999\n")
    with ModelLock(tmp_path, "x", "SAEHD") as lock:
        assert lock.path.exists()
