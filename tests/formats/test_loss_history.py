"""Histories of millions of rows: read at once, equal to lists, never a row too few or too many."""

from __future__ import annotations

import io
import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfl_tf.errors import LegacyFormatError
from dfl_tf.formats.loss_history import LossHistory
from dfl_tf.formats.models.legacy import read_data
from dfl_tf.formats.pickles import safe_pickle

ROWS = st.lists(st.lists(st.floats(allow_nan=False), max_size=4), max_size=12)


@given(ROWS, ROWS)
def test_a_history_behaves_as_the_list_of_its_rows(first: Any, more: Any) -> None:
    history = LossHistory(first)
    twin = LossHistory.of(history)
    for row in more:
        history.append(row)
    for row in reversed(more):
        twin.append(row)
    assert history == first + more
    assert twin == first + more[::-1]
    assert list(history) == first + more
    assert len(history) == len(first) + len(more)
    assert history[2:] == (first + more)[2:]
    assert history[-3:-1] == (first + more)[-3:-1]
    assert [history[i] for i in range(len(history))] == first + more
    assert history != [*first, *more, [1.0]]
    with pytest.raises(IndexError):
        history[len(history)]


def test_as_an_array_rows_are_padded_and_cut_to_the_last() -> None:
    even = LossHistory([[1.0, 2.0], [3.0, 4.0]])
    assert even.array.base is not None  # a view
    np.testing.assert_array_equal(np.asarray(even), [[1, 2], [3, 4]])
    uneven = LossHistory([[1.0], [], [2.0, 3.0, 4.0], [5.0, 6.0]])
    nan = math.nan
    np.testing.assert_array_equal(uneven.array, [[1, nan], [nan, nan], [2, 3], [5, 6]])
    with pytest.raises(ValueError, match="different lengths"):
        np.asarray(uneven)
    assert LossHistory([[nan, 1.0]]) == LossHistory([[nan, 1.0]])


def plain(value: Any) -> Any:
    return {
        key: list(item) if isinstance(item, LossHistory) else item for key, item in value.items()
    }


def content(rows: Any) -> dict[str, Any]:
    return {"iter": 3, "loss_history": rows, "options": {"a": 1.5}}


@pytest.mark.parametrize("protocol", [1, 2, 4])
@pytest.mark.parametrize("width", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("count", [0, 1, 2, 255, 1001, 7001])
def test_it_equals_what_python_reads(protocol: int, width: int, count: int) -> None:
    rows = np.random.default_rng(count).random((count, width)).tolist()
    data = pickle.dumps(content(rows), protocol)
    found = safe_pickle.loads(data, what="x", rows=True)
    assert plain(found) == content(rows)
    # the fast path is taken where it counts: Python's two binary forms, whatever the frames
    if protocol >= 2 and width <= 4 and count >= 1000:
        assert isinstance(found["loss_history"], LossHistory)
        assert list(found["loss_history"]) == rows
    ours = safe_pickle.dumps_legacy(content(LossHistory(rows)))
    assert ours == safe_pickle.dumps_legacy(content(rows)) or count < 16
    assert pickle.loads(ours) == content(rows)  # noqa: S301, TID251 - made here


SHARED = [0.5, 0.25]


@pytest.mark.parametrize(
    "rows",
    [
        [[0.5, 0.25]] * 40,  # one list, forty times
        [[0.5, 0.25] for _ in range(20)] + [SHARED, SHARED] + [[1.0, 2.0] for _ in range(20)],
        [[0.5, 0.25] for _ in range(20)] + [[1.0]] + [[0.5] for _ in range(20)],
        [[0.5, 0.25] for _ in range(20)] + [[1, 2.0]] + [[0.5, 0.1] for _ in range(20)],
        [(0.5, 0.25) for _ in range(40)],
        [[0.5, 0.25] for _ in range(20)] + [None],
        [[[float(i), 0.25] for i in range(20)], [[0.5, 0.25] for _ in range(20)]],
        [[0.5, 0.25] for _ in range(20)] + [[[0.5, 0.25] for _ in range(20)]],
        [[math.nan, math.inf] for _ in range(30)],
    ],
    ids=lambda rows: str(rows[-1])[:20],
)
def test_any_other_shape_is_read_as_before(rows: Any) -> None:
    for protocol in range(6):
        data = pickle.dumps(content(rows), protocol)
        found = plain(safe_pickle.loads(data, what="x", rows=True))
        assert str(found) == str(safe_pickle.loads(data, what="x")) == str(content(rows))


def test_rows_elsewhere_stay_lists() -> None:
    rows = [[0.5, 0.25] for _ in range(40)]
    deep = {"options": {"points": rows}, "more": [rows, rows], "iter": 1}
    for protocol in range(6):
        data = pickle.dumps(deep, protocol)
        assert safe_pickle.loads(data, what="x", rows=True) == deep


ROW2 = b"](G" + bytes(8) + b"G" + bytes(8) + b"e"
MEMO2 = b"]\x94(G" + bytes(8) + b"G" + bytes(8) + b"e"


@pytest.mark.parametrize(
    "middle",
    [
        b"a", b"e", b"\x85", b"\x86", b"\x87", b"t", b"l", b"d", b"R", b"s", b"b", b"\x94", b"u",
        b"h\x02", b"q\x05", b"]a", b"](" + ROW2 * 5 + b"e", b"G" + bytes(8) + b"a", b"K\x01",
        b"\x95" + bytes(8), b"\x95" + bytes(8) + b"a",
    ],
)  # fmt: skip
@pytest.mark.parametrize("row", [ROW2, MEMO2])
def test_opcodes_between_rows_mean_the_same_with_and_without_the_fast_path(
    row: bytes, middle: bytes
) -> None:
    for tail in (b"", b"e", b"ee", b"t"):
        for before in (2, 5):
            body = b"}\x94(X\x01\x00\x00\x00x]\x94(" + row * before + middle + row * 5 + tail
            data = b"\x80\x04" + body + b"eu."
            outcomes = []
            for rows in (True, False):
                try:
                    outcomes.append(str(plain(safe_pickle.loads(data, what="x", rows=rows))))
                except LegacyFormatError:
                    outcomes.append("refused")
            assert outcomes[0] == outcomes[1]


@settings(max_examples=300)
@given(st.integers(0, 10**9), st.integers(0, 255), st.sampled_from([2, 4]))
def test_changed_bytes_mean_the_same_with_and_without_the_fast_path(
    place: int, byte: int, protocol: int
) -> None:
    rows = [[0.5 / (i + 1), float(i)] for i in range(300)]
    data = bytearray(pickle.dumps(content(rows), protocol))
    data[place % len(data)] = byte
    outcomes = []
    for fast in (True, False):
        try:
            outcomes.append(str(plain(safe_pickle.loads(bytes(data), what="x", rows=fast))))
        except (LegacyFormatError, AttributeError):
            outcomes.append("refused")
    assert outcomes[0] == outcomes[1]


def test_no_object_a_row_is_made(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).random((50_000, 2))
    path = tmp_path / "new_SAEHD_data.dat"
    path.write_bytes(pickle.dumps(content(rows.tolist()), 4))
    history = read_data(path)["loss_history"]
    assert isinstance(history, LossHistory)
    np.testing.assert_array_equal(history.array, rows)
    pieces = io.BytesIO()
    largest = []

    def write(part: Any) -> None:
        largest.append(len(part))
        pieces.write(part)

    safe_pickle.dump_legacy({"loss_history": history}, write)
    assert max(largest) < 200_000  # a save streams it
    assert read_data_of(pieces.getvalue()) == rows.tolist()


def read_data_of(data: bytes) -> Any:
    found: Any = pickle.loads(data)  # noqa: S301, TID251 - made here
    return found["loss_history"]
