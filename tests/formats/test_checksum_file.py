import hashlib
import subprocess

import pytest

from dfl_tf.errors import FacesetError
from dfl_tf.formats.checksum_file import checksum_path, read_checksums, write_checksums


def test_checksums_of_any_name_come_back_and_sha256sum_accepts_them(tmp_path):
    folder = tmp_path / "al igned"
    folder.mkdir()
    names = ["00001_0.jpg", "ü ß.jpg", "back\\slash.jpg", "new\nline.jpg", " blank.jpg"]
    sums = {}
    for name in names:
        (folder / name).write_bytes(name.encode())
        sums[name] = hashlib.sha256(name.encode()).hexdigest()
    write_checksums(folder, sums)
    assert read_checksums(folder) == sums
    assert checksum_path(folder) == tmp_path / "al igned.sha256"
    done = subprocess.run(
        ["sha256sum", "-c", "--quiet", "al igned.sha256"], cwd=tmp_path, capture_output=True
    )
    assert done.returncode == 0, done.stderr


def test_no_checksum_file_is_none_and_a_damaged_one_an_error(tmp_path):
    folder = tmp_path / "aligned"
    assert read_checksums(folder) is None
    checksum_path(folder).write_text("nothing of the kind\n")
    with pytest.raises(FacesetError, match="line 1: is no line of sha256sum"):
        read_checksums(folder)
