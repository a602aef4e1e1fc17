from __future__ import annotations

import pytest

from dfl_tf.errors import WorkspaceError
from dfl_tf.train import backup
from dfl_tf.train.backup import BackupClock, make_backup


@pytest.fixture
def model(tmp_path):
    file = tmp_path / "new_SAEHD_encoder.npy"
    folder = tmp_path / "new_SAEHD_autobackups"

    def back_up(content: str):
        file.write_text(content)
        return make_backup(folder, tmp_path, [file], {"preview_SAEHD.jpg": b"jpg"})

    return file, folder, back_up


def test_the_newest_is_01_and_at_most_24_are_kept(model):
    file, folder, back_up = model
    for number in range(27):
        assert back_up(str(number)) == folder / "01"
    assert sorted(path.name for path in folder.iterdir()) == [f"{k:02d}" for k in range(1, 25)]
    for number in range(1, 25):
        assert (folder / f"{number:02d}" / file.name).read_text() == str(27 - number)
    assert (folder / "01" / "preview_SAEHD.jpg").read_bytes() == b"jpg"


def test_a_gap_in_the_numbers_is_filled(model):
    _, folder, back_up = model
    back_up("old")
    (folder / "01").rename(folder / "03")
    back_up("new")
    assert sorted(path.name for path in folder.iterdir()) == ["01", "04"]


def test_a_full_disk_costs_no_older_backup(model, monkeypatch):
    file, folder, back_up = model
    back_up("old")

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(backup.durable, "copy_file", full)
    with pytest.raises(WorkspaceError, match=r"autobackups.*disk is full.*older.* are intact"):
        back_up("new")
    assert [path.name for path in folder.iterdir()] == ["01"]
    assert (folder / "01" / file.name).read_text() == "old"
    monkeypatch.undo()
    back_up("newer")
    assert (folder / "02" / file.name).read_text() == "old"


def test_folders_of_the_native_format_are_copied(tmp_path):
    native = tmp_path / "new_SAEHD.dfl"
    native.mkdir()
    (native / "encoder.safetensors").write_bytes(b"x")
    made = make_backup(tmp_path / "backups", tmp_path, [native / "encoder.safetensors"], {})
    assert (made / "new_SAEHD.dfl" / "encoder.safetensors").read_bytes() == b"x"


def test_the_clock_is_asked_at_saves():
    clock = BackupClock(2, started=0.0)
    hour = 3600.0
    assert [clock.due(t * hour) for t in (0.4, 1.9, 2.1, 2.5, 3.9, 4.0)] == [
        False, False, True, False, False, True,
    ]  # fmt: skip
    assert clock.due(9.5 * hour)  # asleep over two multiples: one backup
    assert not clock.due(9.9 * hour)
    assert clock.due(10 * hour)
    assert not BackupClock(0, 0.0).due(1e9)
