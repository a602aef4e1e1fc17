"""Tracks of a faceset: gathered in time order, as ranges, as medians, by length."""

from __future__ import annotations

import numpy as np
import pytest

from dfl_tf.errors import UsageError
from dfl_tf.facesets.face_tracks import (
    TrackRanges,
    lengths_of_tracks,
    medians_of_tracks,
    track_numbers,
    tracks_in_time,
)

NUMBERS = track_numbers([4, None, 2, 4, 2, 7])


def test_tracks_come_as_they_begin_and_faces_by_the_numbers_of_their_frames():
    frames = ["100000.jpg", "1.jpg", "99999.jpg", "99998.jpg", "100001.jpg", "99998.jpg"]
    found = [(track.number, track.members) for track in tracks_in_time(NUMBERS, frames)]
    assert found == [(4, [3, 0]), (7, [5]), (2, [2, 4])]
    assert tracks_in_time(track_numbers([None]), ["1"]) == []


def test_medians_leave_faces_alone_that_are_on_no_track_or_have_no_value():
    values = np.array([1, 9, np.nan, 3, 8, 5.0])
    np.testing.assert_array_equal(medians_of_tracks(values, NUMBERS), [2, 9, np.nan, 2, 8, 5])
    np.testing.assert_array_equal(medians_of_tracks(values[1:2], track_numbers([None])), [9])


def test_lengths_count_the_faces_of_a_track():
    np.testing.assert_array_equal(lengths_of_tracks(NUMBERS), [2, np.nan, 2, 2, 2, 1])
    assert np.isnan(lengths_of_tracks(track_numbers([None, None]))).all()


def test_ranges_are_read_and_compared():
    ranges = TrackRanges.parse("7, 3-5")
    assert ranges.ranges == ((7, 7), (3, 5))
    np.testing.assert_array_equal(ranges.contain(NUMBERS), [1, np.nan, 0, 1, 0, 1])


@pytest.mark.parametrize("text", ["", "a", "3-", "-3", "9-3", "1,,2", "1.5", "9" * 12])
def test_what_is_no_range_is_refused(text):
    with pytest.raises(UsageError, match="is not a track"):
        TrackRanges.parse(text)


@pytest.mark.parametrize(("text", "named"), [("3", "3"), ("2,8-9", "8-9")])
def test_tracks_that_are_not_there_are_named(text, named):
    with pytest.raises(UsageError, match=f"no face is on {named}\\. .* 3 tracks from 2 to 7"):
        TrackRanges.parse(text).contain(NUMBERS)
