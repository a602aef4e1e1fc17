from __future__ import annotations

import errno
import os

import pytest

from dfl_tf.disk import storage_check
from dfl_tf.disk.storage_check import check_storage

TRIED = (
    "locks between processes",
    "new files are made once",
    "a rename replaces a file that is read",
    "files and folders can be synced",
    "hard links",
    "names differ by letter case",
)


def test_a_local_disk_does_all_and_is_left_as_it_was(tmp_path):
    found = check_storage(tmp_path)
    assert {what: found[what] for what in TRIED} == dict.fromkeys(TRIED, "yes")
    assert found["free"].endswith(" GiB")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "what"),
    [("link", "hard links"), ("fsync", "files and folders can be synced")],
)
def test_what_a_file_system_refuses_is_said_and_the_rest_is_tried(
    tmp_path, monkeypatch, name, what
):
    def refuse(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(storage_check.os, name, refuse)
    found = check_storage(tmp_path)
    assert "Operation not supported" in found[what]
    assert [each for each in TRIED if found[each] != "yes"] == [what]


def test_locks_that_hold_nobody_are_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(storage_check, "_TAKE", "pass")
    found = check_storage(tmp_path)
    assert found["locks between processes"] == "no: another process gets the same lock"


def test_a_rename_that_changes_an_open_file_is_noticed(tmp_path, monkeypatch):
    def overwrite(source, target):
        with open(source, "rb") as new, open(target, "r+b") as old:
            old.write(new.read())

    monkeypatch.setattr(os, "replace", overwrite)
    said = check_storage(tmp_path)["a rename replaces a file that is read"]
    assert said == "no: who reads the old file gets the new one"
