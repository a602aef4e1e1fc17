import os

import pytest
from dfl_tf_ops.whole_file import read_whole


def test_a_file_is_read_whole_and_a_larger_one_after_it(tmp_path):
    small, large = tmp_path / "ä small.bin", tmp_path / "large.bin"
    small.write_bytes(b"abc")
    large.write_bytes(os.urandom(1 << 20))
    assert bytes(read_whole(small, 1 << 24)) == b"abc"
    assert bytes(read_whole(large, 1 << 24)) == large.read_bytes()
    assert bytes(read_whole(small, 1 << 24)) == b"abc"
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        read_whole(small, 1 << 24)
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("kind", ["missing", "folder", "pipe", "device", "empty", "too large"])
def test_what_is_no_plain_file_of_that_size_is_not_read(tmp_path, kind):
    path = tmp_path / "face.jpg"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind != "missing":
        path.write_bytes(b"" if kind == "empty" else bytes(101))
    assert read_whole(path, 100) is None
