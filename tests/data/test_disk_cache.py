"""The disk cache: the same bits, in later runs too; what changed or is damaged is made again."""

from __future__ import annotations

import os
import shutil
import sqlite3

import numpy as np
import pytest

from dfl_tf.data import ArrayCache, CacheNeed, DiskCache, Faceset, make_sample
from dfl_tf.data.disk_cache import file_name

from .conftest import DST, SRC
from .test_cache import spec

MIB = 1 << 20


@pytest.fixture
def workspace(tmp_path):
    faces = tmp_path / "aligned"
    shutil.copytree(SRC, faces)
    return faces, tmp_path / "cache"


def samples(faces, cache):
    faceset = Faceset.open(faces)
    return [
        make_sample(s, spec(), n, color_source=faceset[0], cache=cache)
        for n, s in enumerate(faceset)
    ]


def run(faces, folder, megabytes=64):
    """What a run makes of the faces with nothing in memory, and its cache."""
    disk = DiskCache([Faceset.open(faces)], megabytes * MIB, folder)
    cache = ArrayCache(0, disk=disk)
    made = samples(faces, cache)
    cache.clear()
    return made, cache


def assert_same(one, other):
    for a, b in zip(one, other, strict=True):
        for name in a:
            np.testing.assert_array_equal(a[name], b[name])


def test_a_later_run_finds_everything_and_makes_the_same_bits(workspace):
    plain = samples(workspace[0], ArrayCache(0))
    first, cache = run(*workspace)
    assert_same(first, plain)
    assert cache.disk.written > 0
    assert cache.made == len(plain)
    again, cache = run(*workspace)
    assert_same(again, plain)
    assert (cache.made, cache.found, cache.disk.written) == (0, len(plain), 0)
    assert "MiB on the disk" in cache.text()
    assert cache.as_dict()["cache_disk_mib"] > 0


def test_memory_comes_first_and_is_filled_from_the_disk(workspace):
    run(*workspace)
    cache = ArrayCache(
        64 * MIB, disk=DiskCache([Faceset.open(workspace[0])], 64 * MIB, workspace[1])
    )
    samples(workspace[0], cache)
    read = cache.disk.read
    assert read > 0
    assert cache.used_bytes > 0
    samples(workspace[0], cache)
    assert cache.disk.read == read


def test_a_changed_file_is_made_again(workspace):
    faces, folder = workspace
    _, cache = run(faces, folder)
    path = sorted(faces.glob("*.jpg"))[1]
    other = sorted(faces.glob("*.jpg"))[2]
    shutil.copyfile(other, path)
    os.utime(path, ns=(1, 1))
    again, cache = run(faces, folder)
    assert_same(again, samples(faces, ArrayCache(0)))
    assert cache.made == 1


def test_damage_is_seen_and_mended(workspace):
    faces, folder = workspace
    plain, _ = run(faces, folder)
    (file,) = folder.iterdir()
    with sqlite3.connect(file) as base:
        base.execute("UPDATE arrays SET data = zeroblob(length(data)) WHERE rowid % 2")
    base.close()
    again, cache = run(faces, folder)
    assert_same(again, plain)
    assert cache.disk.written > 0
    _, cache = run(faces, folder)
    assert cache.made == 0


def test_a_file_that_is_none_is_made_again(workspace, caplog):
    faces, folder = workspace
    folder.mkdir()
    place = folder / file_name(faces)
    place.write_bytes(b"no database" * 1000)
    plain, cache = run(faces, folder)
    assert "it is made again" in caplog.text
    assert cache.disk.written > 0
    again, cache = run(faces, folder)
    assert_same(again, plain)
    assert cache.made == 0


def test_a_folder_that_cannot_be_written_is_no_error(workspace, caplog):
    faces, folder = workspace
    folder.write_text("a file where the folder should be")
    made, cache = run(faces, folder)
    assert_same(made, samples(faces, ArrayCache(0)))
    assert "cannot be used" in caplog.text
    assert cache.disk.written == 0


def test_it_keeps_within_its_size_and_others_give_way(workspace, tmp_path):
    faces, folder = workspace
    _, cache = run(faces, folder, megabytes=1)
    assert 0 < cache.disk.written < 4 * len(Faceset.open(faces))
    assert (folder / file_name(faces)).stat().st_size < 1.5 * MIB
    _, cache = run(DST, folder, megabytes=1)
    assert [path.name for path in folder.iterdir()] == [file_name(DST)]
    run(faces, folder, megabytes=64)
    assert len(list(folder.iterdir())) == 2  # there is room for both


def test_the_plan_says_what_the_disk_could_hold():
    need = CacheNeed(1000, 3 * 2**30)
    assert "--cache-disk-gb 3 would hold all" in need.text(2**30, by_default=True)
    assert "--cache-disk-gb" not in need.text(2**32, by_default=True)
    assert "the disk cache holds 50 % of all" in need.text(0, by_default=True, disk=3 * 2**29)
