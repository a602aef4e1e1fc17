"""The time stamps beside extracted frames: what no video can have is refused, with its key."""

import json
from fractions import Fraction

import pytest

from dfl_tf.errors import OptionError
from dfl_tf.video.timestamps import TIMES_FILE, read_times

GOOD = {"video": "x.mp4", "rate": "30000/1001", "times": {"00001": "0", "00002": "1001/30000"}}


def test_good_stamps_are_exact(tmp_path):
    assert read_times(tmp_path) is None
    (tmp_path / TIMES_FILE).write_text(json.dumps(GOOD))
    known = read_times(tmp_path)
    assert known.rate == Fraction(30000, 1001)
    assert known.times == {"00001": 0, "00002": Fraction(1001, 30000)}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"rate": "0"}, 'rate is "0"; it must be a rate above 0'),
        ({"rate": "-25"}, "a rate above 0"),
        ({"rate": "25/0"}, "a rate above 0"),
        ({"rate": 25}, "rate is 25"),
        ({"rate": "1e999999999"}, "a rate above 0"),
        ({"rate": "nan"}, "a rate above 0"),
        ({"rate": "999999999"}, "at most 10000"),
        ({"times": 5}, "times is 5; it must be an object"),
        ({"times": {"00001": "1/0"}}, 'times.00001 is "1/0"'),
        ({"times": {"00001": "1e999999999"}}, "a fraction"),
        ({"times": {"00001": None}}, "times.00001 is null"),
        ({"times": {"00001": "9" * 18}}, "at most"),
    ],
)
def test_what_is_no_time_is_refused_by_key(tmp_path, change, reason):
    (tmp_path / TIMES_FILE).write_text(json.dumps(GOOD | change))
    with pytest.raises(OptionError) as caught:
        read_times(tmp_path)
    assert reason in str(caught.value)
    assert "remove it to take the times of the video or a fixed rate." in str(caught.value)
