"""`extract --shard I/N` and `--shard join`: the same bytes as an undivided run."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from dfl_tf.disk import durable
from dfl_tf.errors import UsageError, WorkspaceError
from dfl_tf.extract import shards
from dfl_tf.extract.journal import FILE, read_journal
from dfl_tf.extract.shards import shards_folder
from dfl_tf.jobs.shard import Shard
from dfl_tf.options import ExtractOptions, default

from .test_run import content, extract

DEBUG = default(ExtractOptions, image_size=64, debug_images=True)
SMOOTH = default(ExtractOptions, image_size=64, smooth=True)


def in_shards(frames, out, networks, total, **given):
    for shard in Shard.all_of(total):
        extract(frames, out, networks, shard=shard, **given)


@pytest.mark.parametrize("total", [1, 2, 4, 9])
@pytest.mark.parametrize("options", [DEBUG, SMOOTH], ids=["plain", "smooth"])
def test_shards_together_are_an_undivided_run(frames, tmp_path, networks, total, options):
    whole, out = tmp_path / "whole" / "aligned", tmp_path / "apart" / "aligned"
    undivided = extract(frames, whole, networks, options=options)
    in_shards(frames, out, networks, total, options=options)
    assert not out.exists()
    report = extract(frames, out, networks, options=options, shard="join")
    assert content(out) == content(whole)
    assert not shards_folder(out).exists()
    assert report.done_before + report.frames == undivided.frames == 6
    assert [r.name for r in report.records] == [r.name for r in undivided.records]
    for one, other in ((whole, out),):
        debug = [folder.with_name("aligned_debug") for folder in (one, other)]
        if options.debug_images:
            assert content(debug[0]) == content(debug[1])
    before = content(out)  # joined once more, as by a script that is run again
    assert extract(frames, out, networks, options=options, shard="join").frames == 0
    assert content(out) == before


def test_a_missing_and_an_unfinished_shard_are_named(frames, tmp_path, networks):
    whole, out = tmp_path / "whole" / "aligned", tmp_path / "apart" / "aligned"
    extract(frames, whole, networks)
    stop = threading.Event()
    halt = lambda done, _: stop.set()  # noqa: E731
    extract(frames, out, networks, shard=Shard(1, 3), stop=stop, progress=halt)
    extract(frames, out, networks, shard=Shard(3, 3))
    with pytest.raises(WorkspaceError) as error:
        extract(frames, out, networks, shard="join")
    assert "shard 1/3 has not finished 1 of 2 frames (00002.png)" in str(error.value)
    assert "shard 2/3 is missing" in str(error.value)
    extract(frames, out, networks, shard=Shard(1, 3))  # goes on where it was stopped
    with pytest.raises(WorkspaceError, match=r"aligned_shards: shard 2/3 is missing\. Run"):
        extract(frames, out, networks, shard="join")
    assert extract(frames, out, networks, shard="join", resume=True).frames == 2
    assert content(out) == content(whole)


def test_there_must_be_shards(frames, tmp_path, networks):
    with pytest.raises(WorkspaceError, match=r"aligned_shards: there is no such folder"):
        extract(frames, tmp_path / "aligned", networks, shard="join")


def test_shards_of_different_options_or_counts_are_refused(frames, tmp_path, networks):
    out = tmp_path / "aligned"
    extract(frames, out, networks, shard=Shard(1, 2))
    other = default(ExtractOptions, image_size=96)
    extract(frames, out, networks, shard=Shard(2, 2), options=other)
    with pytest.raises(UsageError, match="shards 1/2 and 2/2 were extracted with another image_si"):
        extract(frames, out, networks, shard="join")
    extract(frames, out, networks, shard=Shard(3, 3))
    with pytest.raises(WorkspaceError, match="holds shards of 2 and 3; remove those"):
        extract(frames, out, networks, shard="join")


def test_earlier_faces_are_replaced_only_if_asked(frames, tmp_path, networks):
    whole, out = tmp_path / "whole" / "aligned", tmp_path / "aligned"
    other = default(ExtractOptions, image_size=96)
    extract(frames, out, networks, options=other)
    (out / "stray_0.jpg").write_bytes((out / "00001_0.jpg").read_bytes())
    before = content(out)
    in_shards(frames, out, networks, 2)
    with pytest.raises(UsageError, match=r"holds 8 images that are of none.*--overwrite deletes"):
        extract(frames, out, networks, shard="join")
    assert content(out) == before
    extract(frames, out, networks, shard="join", overwrite=True)
    extract(frames, whole, networks)
    assert content(out) == content(whole)


@pytest.mark.parametrize("moved", [0, 1, 2, 3, 4])
def test_a_broken_off_joining_is_completed(frames, tmp_path, networks, moved, monkeypatch):
    """Also with --overwrite, which must not take moved faces for those of an earlier run."""
    whole, out = tmp_path / "whole" / "aligned", tmp_path / "apart" / "aligned"
    extract(frames, whole, networks)
    extract(frames, out, networks, options=default(ExtractOptions, image_size=96))
    in_shards(frames, out, networks, 2)
    steps, move, write = iter(range(moved)), durable.move_files, shards.write_journal

    def moving(source: Path, target: Path, names: list[str]) -> None:
        for name in names:
            if next(steps, None) is None:
                raise KeyboardInterrupt
            move(source, target, [name])

    def writing(folder: Path, journal: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(shards, "move_files", moving)
    monkeypatch.setattr(shards, "write_journal", writing)
    with pytest.raises(KeyboardInterrupt):
        extract(frames, out, networks, shard="join", overwrite=True)
    monkeypatch.setattr(shards, "move_files", move)
    monkeypatch.setattr(shards, "write_journal", write)
    extract(frames, out, networks, shard="join", overwrite=True)
    assert content(out) == content(whole)
    assert read_journal(out).runs
    assert (out / FILE).is_file()


def test_a_frame_that_cannot_be_read_is_told_by_shard_and_joining(frames, tmp_path, networks):
    whole, out = tmp_path / "whole" / "aligned", tmp_path / "apart" / "aligned"
    (frames / "00005.png").write_bytes(b"no image")
    assert len(extract(frames, whole, networks).failed) == 1
    in_shards(frames, out, networks, 2)
    with pytest.raises(WorkspaceError, match=r"shard 2/2 has not finished 1 of 3 frames \(00005"):
        extract(frames, out, networks, shard="join")
    report = extract(frames, out, networks, shard="join", resume=True)
    assert [name for name, _ in report.failed] == ["00005.png"]
    assert content(out) == content(whole)


def test_frames_are_redone_after_the_joining(frames, tmp_path, networks):
    with pytest.raises(UsageError, match="--redo and --shard exclude each other"):
        extract(frames, tmp_path / "aligned", networks, shard=Shard(1, 2), redo=[1])
