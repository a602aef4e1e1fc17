"""Lists of points read at once: the same numbers, the same refusals."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from dfl_tf.errors import LegacyFormatError
from dfl_tf.formats.pickles.safe_pickle import dumps_legacy, loads


def faces(count: int) -> list[dict[str, object]]:
    rng = np.random.default_rng(0)
    return [
        {
            "filename": f"{i}.jpg",
            "landmarks": rng.normal(size=(68, 2)).tolist(),
            "pair": [1.0, 2.0],
            "whole": [[1, 2], [3, 4]],
            "mixed": [[1.0, 2.0], [3.0, 4.0], [5.0, 6]],
        }
        for i in range(count)
    ]


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5, "legacy"])
def test_every_protocol_gives_the_same_numbers(protocol: int | str) -> None:
    given = faces(300)  # more than 65,536 bytes: frames of protocol 4 cut some of the lists
    data = dumps_legacy(given) if protocol == "legacy" else pickle.dumps(given, protocol)
    read = loads(data, what="test", points=True)
    assert len(read) == 300
    for got, expected in zip(read, given, strict=True):
        np.testing.assert_array_equal(np.asarray(got["landmarks"]), expected["landmarks"])
        assert {**got, "landmarks": 0} == {**expected, "landmarks": 0}
    arrays = sum(isinstance(entry["landmarks"], np.ndarray) for entry in read)
    assert arrays == 0 if protocol == 0 else arrays > 280


@pytest.mark.parametrize("protocol", [2, 3, 4, "legacy"])
def test_a_reference_into_such_a_list_is_followed(protocol: int | str) -> None:
    points = [[float(i), float(i + 1)] for i in range(5)]
    given = {"points": points, "one": points[3], "all": points, "more": [list(range(50))] * 3}
    data = dumps_legacy(given) if protocol == "legacy" else pickle.dumps(given, protocol)
    read = loads(data, what="test", points=True)
    assert np.array_equal(np.asarray(read["points"]), points)
    assert np.array_equal(np.asarray(read["all"]), points)
    assert list(read["one"]) == points[3]
    assert read["more"] == given["more"]


def test_without_the_switch_lists_stay_lists() -> None:
    given = faces(2)
    assert loads(pickle.dumps(given, 4), what="test") == given


def test_damage_is_refused_as_without_it() -> None:
    data = pickle.dumps(faces(3), 4)
    for cut in (100, len(data) // 2, len(data) - 2):
        with pytest.raises(LegacyFormatError):
            loads(data[:cut], what="test", points=True)
