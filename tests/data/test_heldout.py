"""Which faces are held out: whole blocks, by their numbers, clips apart."""

from __future__ import annotations

import numpy as np
import pytest

from dfl_tf.data import Faceset
from dfl_tf.data.heldout import BLOCK, FaceOrigin, draw, frames_of
from dfl_tf.formats import read_metadata, write_pak


def clip(count: int, prefix: str = "", source: str = "{:05d}.png", start: int = 1) -> list:
    numbers = range(start, start + count)
    return [FaceOrigin(f"{prefix}{n:05d}_0.jpg", source.format(n)) for n in numbers]


def runs(chosen: np.ndarray) -> list[int]:
    """Lengths of the runs of chosen faces."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], chosen.astype(int), [0]])))
    return [int(n) for n in np.diff(edges)[::2]]


def test_whole_blocks_of_fifty_frames_are_drawn():
    found = draw(clip(20_000, start=0), 0.05)
    assert found.length == BLOCK == 50
    assert all(length % 50 == 0 for length in runs(found.chosen))
    assert 0.03 < found.chosen.mean() < 0.07
    starts = np.flatnonzero(np.diff(np.concatenate([[0], found.chosen.astype(int)])) == 1)
    assert not any(start % 50 for start in starts)


def test_a_block_is_drawn_by_its_number_alone():
    """Faces that come or go move no other face from one side to the other."""
    all_of_them = clip(5_000)
    whole = dict(zip(all_of_them, draw(all_of_them, 0.1).chosen, strict=True))
    fewer = all_of_them[300:4_000:2]
    for face, chosen in zip(fewer, draw(fewer, 0.1).chosen, strict=True):
        assert chosen == whole[face]
    smaller = draw(all_of_them, 0.05).chosen
    assert not (smaller & ~np.array(list(whole.values()))).any()


def test_equal_frame_names_of_two_clips_are_different_frames():
    two = [*clip(500), *clip(500, prefix="second_")]
    frames = frames_of(two)
    assert len(set(frames)) == 1000
    assert {frame.clip for frame in frames[:500]}.isdisjoint(f.clip for f in frames[500:])
    one, other = draw(two, 0.2).chosen[:500], draw(two, 0.2).chosen[500:]
    assert not np.array_equal(one, other)
    by_folder = [FaceOrigin("00001_0.jpg", "00001.png", person) for person in ("a", "b")]
    assert len(set(frames_of(by_folder))) == 2


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{:05d}.png", [1, 2, 3]),
        ("take 2 frame {:d}.jpg", [1, 2, 3]),
        ("{:05d}_1080p.png", [1, 2, 3]),
        ("scene{:d}_cam4_7.png", [1, 2, 3]),
    ],
)
def test_the_number_of_a_frame_is_the_last_one_that_differs(source, expected):
    faces = [FaceOrigin(f"{n}.jpg", source.format(n)) for n in (1, 2, 3)]
    frames = frames_of(faces)
    assert [frame.number for frame in frames] == expected
    assert len({frame.clip for frame in frames}) == 1


def test_faces_without_a_known_frame_go_by_their_own_names():
    faces = [FaceOrigin(f"{n:05d}_{face}.jpg") for n in (99_999, 100_000) for face in (0, 1)]
    assert [frame.number for frame in frames_of(faces)] == [99_999, 99_999, 100_000, 100_000]
    sorted_by_hand = [FaceOrigin(f"{n:05d}.jpg", f"{9 - n:05d}.png") for n in range(3)]
    assert [frame.number for frame in frames_of(sorted_by_hand)] == [9, 8, 7]
    nameless = [FaceOrigin(f"{name}.jpg") for name in "abcd"]
    assert len(set(frames_of(nameless))) == 4


def test_faces_of_one_frame_stay_together():
    faces = [FaceOrigin(f"{n:05d}_{i}.jpg", f"{n:05d}.png") for n in range(200) for i in (0, 1)]
    chosen = draw(faces, 0.3).chosen
    assert np.array_equal(chosen[::2], chosen[1::2])


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5])
@pytest.mark.parametrize("count", [2, 3, 10, 48, 72, 150, 999])
def test_a_small_side_gives_its_share_and_keeps_the_rest(count, share):
    found = draw(clip(count), share)
    assert 0 < found.chosen.sum() < count
    if count * share < 50:
        assert found.chosen.sum() <= max(1, round(count * share))
        assert runs(found.chosen) == [found.chosen.sum()]
        assert found.chosen.sum() >= round(count * share) / 2


def test_frames_of_many_faces_are_weighed_by_their_faces():
    """Seven faces of one frame and one of another: the one is held out."""
    faces = [FaceOrigin(f"{i}.jpg", "00001.png") for i in range(7)] + clip(1, start=2)
    assert list(np.flatnonzero(draw(faces, 0.4).chosen)) == [7]


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(ValueError, match="at least two frames"):
        draw(clip(1), 0.1)
    for share in (0, 0.6, float("nan")):
        with pytest.raises(ValueError, match="share must be"):
            draw(clip(100), share)


def test_the_text_says_how_many():
    assert draw(clip(72), 0.2).text() == ("14 of 72 faces (1 of 6 blocks of 14 consecutive frames)")


@pytest.mark.parametrize("eager", [4000, 2])
def test_a_subset_of_a_faceset_is_one(make_faces, eager, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    faceset = Faceset.open(make_faces(6), eager=eager)
    assert [o.source for o in faceset.origins()] == [f"{n:05d}.png" for n in range(6)]
    some = faceset.subset([4, 1])
    assert (len(some), some.name(0), some[1].name) == (2, "00004_0.jpg", "00001_0.jpg")
    assert [index for index, _ in some.facts()] == [0, 1]
    again = Faceset.open(faceset.path, eager=eager).subset([4, 1])
    assert [o.source for o in again.origins()] == ["00004.png", "00001.png"]
    assert [o.source for o in some.subset([1]).origins()] == ["00001.png"]


def test_facts_of_a_subset_of_a_large_pak_are_of_its_own_faces(make_faces, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    files = [path.read_bytes() for path in sorted(make_faces(5).iterdir())]
    pak = tmp_path / "faceset.pak"
    # names are double: only the place tells the faces apart
    write_pak(pak, [("same.jpg", None, read_metadata(data), data) for data in files])
    faceset = Faceset.open(pak, eager=2)
    sources = [facts.source for _, facts in faceset.facts()]
    assert sources == [f"{n:05d}.png" for n in range(5)]
    again = Faceset.open(pak, eager=2).subset([3, 0])
    monkeypatch.setattr(Faceset, "_learn", None)  # all is remembered
    assert [facts.source for _, facts in again.facts()] == [sources[3], sources[0]]
