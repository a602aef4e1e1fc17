import numpy as np

from dfl_tf.export.report import watch_memory


def test_peak_memory_of_a_piece_of_work():
    with watch_memory() as peak:
        # so large that the C library takes it from the system and gives it back
        block = np.ones(256 * 2**20, dtype=np.uint8)
        assert block[-1] == 1
        del block
    assert 200 * 2**20 < peak.bytes < 512 * 2**20
