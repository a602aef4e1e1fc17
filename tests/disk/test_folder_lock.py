from __future__ import annotations

import threading

import pytest

from dfl_tf.disk.folder_lock import only_writer


@pytest.mark.timeout(60)
def test_a_thread_enters_again_and_others_wait_until_it_has_left_altogether(tmp_path):
    (tmp_path / "faces").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "faces")
    order = []

    def other() -> None:
        with only_writer(tmp_path / "faces"):
            order.append("other")

    waiting = threading.Thread(target=other)
    with only_writer(tmp_path / "faces"):
        with only_writer(tmp_path / "link"):
            waiting.start()
        waiting.join(0.2)
        order.append("first")
    waiting.join()
    assert order == ["first", "other"]
    with only_writer(tmp_path / "faces"):  # nothing is held any more
        order.append("again")
    assert order[-1] == "again"
