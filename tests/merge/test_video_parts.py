"""What is noted of the parts of a merged video: used if it is whole, else made again."""

from __future__ import annotations

import json

import numpy as np
import pytest

from dfl_tf.errors import WorkspaceError
from dfl_tf.merge.video_parts import Parts, remember

pytest.importorskip("av")
from dfl_tf.video.read_back import Written

SHA, THUMBNAIL = "ab" * 32, "07" * 192


def line(first, **changed):
    part = {
        "first": first, "count": 3, "made_of": SHA, "sizes": [5, 7], "shapes": [[4, 6]] * 2,
        "coded": [[4, 6]] * 2, "clock": [1, 25],
        "seen": [{str(first + i): SHA for i in range(3)}] * 2,
    }  # fmt: skip
    return {**part, **changed}


def parts_of(folder, lines, *, exact=True):
    (folder / "journal").write_text("".join(json.dumps(each) + "\n" for each in lines))
    written = Written(6, exact=exact)
    for first in (0, 3):
        for size, name in ((5, f"{first:08d}.mp4"), (7, f"{first:08d}_mask.mp4")):
            (folder / name).write_bytes(bytes(size))
    found = Parts(folder, lambda first, count: SHA, written)
    found.close()
    return found


def test_whole_parts_count(tmp_path):
    assert parts_of(tmp_path, [line(0), line(3)]).frames == 6
    thumbnails = [{str(i): THUMBNAIL for i in range(3)}] * 2
    found = parts_of(tmp_path, [line(0, seen=thumbnails)], exact=False)
    assert found.frames == 3
    notes = Written(6)
    remember(notes, found.whole[0]["seen"][0])
    assert sorted(notes.images) == [0, 1, 2]
    assert np.array_equal(notes.images[2], np.full((8, 8, 3), 7))


@pytest.mark.parametrize(
    "seen",
    [
        [{"3": SHA, "4": SHA}, {"3": SHA, "4": SHA, "5": SHA}],
        [{"3": SHA, "4": SHA, "6": SHA}] * 2,
        [{"3": SHA, "4": SHA, "5": THUMBNAIL}] * 2,
        [{}, {}],
    ],
)
def test_a_part_without_all_that_reading_back_compares_is_made_again(tmp_path, seen):
    assert parts_of(tmp_path, [line(0), line(3, seen=seen)]).frames == 3


@pytest.mark.parametrize("seen", [{"x": SHA}, {"3": "abc"}, {"3": "07" * 100}, {"3": "A" * 64}])
def test_notes_that_are_none_are_an_error_that_says_what_to_do(tmp_path, seen):
    with pytest.raises(WorkspaceError, match=r"journal, line 2.*--overwrite starts over"):
        parts_of(tmp_path, [line(0), line(3, seen=[seen, seen])])
