from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from dfl_tf.formats.models.snapshots import Label, Snapshot
from dfl_tf.options import RunOptions, default
from dfl_tf.options.saehd import SAEHDOptions
from dfl_tf.train.checkpoint import CheckpointLocation
from dfl_tf.train.plan import Plan, saved_files
from dfl_tf.train.snapshots import planned

MODEL = SimpleNamespace(networks={"encoder": None}, optimizers={"src_dst_opt": None}, average=None)


def files(folder: Path, form: str, run: RunOptions, *, first: bool = True, **options) -> list[str]:
    place = CheckpointLocation(folder, "a", "SAEHD", format=form, first=first)
    resolved = SimpleNamespace(options=default(SAEHDOptions, **options))
    settings = SimpleNamespace(validate_every=0)
    prepared = SimpleNamespace(
        place=place, run=run, resolved=resolved, recipe=None, settings=settings
    )
    return saved_files(prepared, MODEL)


def test_a_legacy_set_with_all_that_a_run_leaves(tmp_path):
    run = RunOptions(backup_now=True, log_json="log.jsonl")
    assert files(tmp_path, "legacy", run, write_preview_history=True) == [
        "a_SAEHD_encoder.npy", "a_SAEHD_src_dst_opt.npy", "a_SAEHD_data.dat",
        "a_SAEHD_summary.txt", "a_SAEHD.manifest.json", ".a_SAEHD.previous/",
        "SAEHD_default_options.dat", "a_SAEHD_preview/", "a_SAEHD_history/",
        "a_SAEHD_autobackups/", "a_SAEHD_log.jsonl", "log.jsonl",
    ]  # fmt: skip


@pytest.mark.parametrize("form", ["native", "same"])
def test_a_native_set(tmp_path, form):
    found = tmp_path / "a_SAEHD.dfl"
    found.mkdir()
    (found / "manifest.json").write_text("{}")
    assert files(tmp_path, form, RunOptions(no_preview=True), first=False) == [
        "a_SAEHD.dfl/encoder.safetensors", "a_SAEHD.dfl/src_dst_opt.safetensors",
        "a_SAEHD.dfl/loss_history.rows", "a_SAEHD.dfl/manifest.json",
        "a_SAEHD_summary.txt", "a_SAEHD_log.jsonl",
    ]  # fmt: skip


def test_snapshots_are_planned(tmp_path):
    assert "a_SAEHD_snapshots/" in files(tmp_path, "legacy", RunOptions(snapshot_every=50))
    there = Snapshot("x", tmp_path, Label(kind="manual", iteration=3), "", 2_500_000_000)
    run = RunOptions(on_collapse="rollback", keep_best="ssim")
    assert planned(run, phases=True, measured=False, found=[there]) == (
        "snapshots: every 1,000 iterations (the last 2 are kept), one a phase, the best by ssim, "
        "though nothing is measured: set validate_every; at most 100 GB; 1 with 2.5 GB are there"
    )
    none = RunOptions()
    assert planned(none, phases=False, measured=True, found=[]) == ""
    assert planned(none, phases=False, measured=True, found=[there]).startswith(
        "snapshots: none are made; at most 100 GB; 1 with"
    )


def test_a_trial_writes_nothing(tmp_path):
    assert files(tmp_path, "legacy", RunOptions(no_save=True, no_preview=True)) == []


def test_columns_of_the_text_stand_under_each_other():
    plan = Plan(
        model="a_SAEHD", folder="m", new=True, iteration=0, target_iter=0, seed=1,
        options={"archi": "df"}, overridden={}, notes=[], resets=[], faces=[],
        parameters={"encoder": 1000},
        memory_mib={"weights": 1.0, "cache of faces (at most)": 512.0}, files=[],
    )  # fmt: skip
    ends = {len(line) for line in plan.text().splitlines() if line.endswith(("1.0", "512.0"))}
    assert len(ends) == 1
