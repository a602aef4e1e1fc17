"""`merge --shard I/N` and `--shard join`: the same bytes as an undivided run."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from dfl_tf.cli import merge as merge_cli
from dfl_tf.cli.main import run
from dfl_tf.face import FaceType
from dfl_tf.jobs.shard import Shard
from dfl_tf.merge.networks import MergeNetworks
from dfl_tf.merge.opening import MergeModel
from dfl_tf.merge.shards import shard_session, shard_sessions, shard_tasks

from .conftest import segment, swap
from .test_run import tasks_of

SESSION = "new_SAEHD_merge_session.json"


def uneven(images: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """As `swap`, but a face depends on its place in the batch, as real networks do by rounding."""
    faces, *masks = swap(images)
    places = np.arange(len(images), dtype=np.float32)[:, None, None, None] / 50
    return np.clip(faces + places, 0, 1), *masks


@pytest.fixture(autouse=True)
def fake_model(monkeypatch):
    def opened(*_, **__):
        networks = MergeNetworks(uneven, 32, segment)
        return MergeModel("new", "SAEHD", 5, FaceType.WHOLE_FACE, networks, "weights")

    monkeypatch.setattr(merge_cli, "open_model", opened)


def merge(workspace: Path, *words: str) -> int:
    return run(["merge", str(workspace), "--workers=2", "--batch=2", *words])


def left(workspace: Path) -> dict[str, bytes]:
    """What a merge leaves: images, masks, sessions."""
    folders = [workspace / "data_dst" / name for name in ("merged", "merged_mask")]
    files = [path for folder in (*folders, workspace / "model") for path in folder.glob("*")]
    return {str(path.relative_to(workspace)): path.read_bytes() for path in files}


def clean(workspace: Path) -> None:
    for name in ("merged", "merged_mask"):
        shutil.rmtree(workspace / "data_dst" / name, ignore_errors=True)
    for path in (workspace / "model").glob("*merge_session*"):
        path.unlink()


@pytest.mark.parametrize("total", [1, 2, 3, 5])
@pytest.mark.parametrize("more", [(), ("--color-transfer=sot-m", "--frames=2:6")])
def test_shards_together_are_an_undivided_run(workspace, total, more, capsys):
    assert merge(workspace, *more) == 0
    whole = left(workspace)
    clean(workspace)
    for shard in reversed(Shard.all_of(total)):
        assert merge(workspace, *more, f"--shard={shard}") == 0
    assert not (workspace / "model" / SESSION).exists()
    capsys.readouterr()
    assert merge(workspace, *more, "--shard=join") == 0
    assert "0 frames merged" in capsys.readouterr().out
    assert left(workspace) == whole
    assert merge(workspace, *more, "--shard=join") == 0  # joined before
    assert left(workspace) == whole


def test_no_group_of_the_network_is_divided(workspace):
    tasks = tasks_of(workspace)
    for total in (1, 2, 3, 4):
        shares = [shard_tasks(tasks, shard, 4) for shard in Shard.all_of(total)]
        assert [task for share in shares for task in share] == tasks
        groups = [{task.index // 4 for task in share} for share in shares]
        assert sum(map(len, groups)) == len(set().union(*groups))


def test_missing_and_unfinished_shards_are_named(workspace, capsys):
    assert merge(workspace, "--shard=join") == 1
    assert "there is no shard of a merge" in capsys.readouterr().err
    assert merge(workspace) == 0
    whole = left(workspace)
    clean(workspace)
    assert merge(workspace, "--shard=1/3") == 0
    capsys.readouterr()
    assert merge(workspace, "--shard=join") == 1
    assert "shard 2/3 is missing; shard 3/3 is missing. Run" in capsys.readouterr().err
    assert merge(workspace, "--shard=2/3") == 0
    frame = workspace / "data_dst" / "00006.png"
    kept = frame.read_bytes(), frame.stat().st_mtime_ns
    frame.write_bytes(b"no image")
    assert merge(workspace, "--shard=3/3") == 1  # a frame that cannot be read
    capsys.readouterr()
    assert merge(workspace, "--shard=join") == 1
    assert "shard 3/3 has not finished 1 of 2 frames (00006.png)" in capsys.readouterr().err
    frame.write_bytes(kept[0])

    os.utime(frame, ns=(kept[1], kept[1]))
    assert merge(workspace, "--shard=join", "--resume") == 0
    assert "1 frames merged" in capsys.readouterr().out
    assert left(workspace) == whole


def test_a_shard_goes_on_or_starts_over_by_itself(workspace, capsys):
    assert merge(workspace, "--shard=1/2") == 0
    assert merge(workspace, "--shard=2/2") == 0  # images of other shards are no matter
    capsys.readouterr()
    assert merge(workspace, "--shard=1/2") == 2
    assert "use --resume to continue, or --overwrite to start over" in capsys.readouterr().err
    assert merge(workspace, "--shard=1/2", "--resume") == 0
    assert "0 frames merged" in capsys.readouterr().out
    assert merge(workspace, "--shard=1/2", "--overwrite") == 0
    assert "0 were finished" in capsys.readouterr().out
    assert merge(workspace, "--shard=join") == 0


def test_what_shards_cannot_do_is_refused(workspace, capsys):
    assert merge(workspace, "--shard=1/2", "--video", str(workspace / "r.mp4")) == 2
    assert "--shard merges into images" in capsys.readouterr().err
    assert merge(workspace, "--shard=join", "--overwrite") == 2
    assert "give --overwrite to the shards" in capsys.readouterr().err
    assert merge(workspace, "--shard=3/2") == 2
    assert "Invalid value for '--shard'" in capsys.readouterr().err


def test_a_model_may_have_any_name(tmp_path):
    session = tmp_path / "a [1]*_SAEHD_merge_session.json"
    for shard in Shard.all_of(2):
        shard_session(session, shard).touch()
    (tmp_path / "a 1_SAEHD_merge_session.1-of-2.json").touch()  # of another model
    assert shard_sessions(session) == [shard_session(session, s) for s in Shard.all_of(2)]
