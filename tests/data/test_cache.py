import numpy as np
import pytest

from dfl_tf.data import ArrayCache, CacheNeed, Faceset, OutputSpec, SampleSpec, cache, make_sample
from dfl_tf.face import FaceType

from .conftest import DST, SRC


def spec(resolution: int = 96) -> SampleSpec:
    return SampleSpec(
        resolution=resolution,
        face_type=FaceType.WHOLE_FACE,
        outputs={
            "image": OutputSpec(warp=True, color_transfer=True),
            "target": OutputSpec(color_transfer=True),
            "mask": OutputSpec(kind="mask"),
            "eyes_mouth": OutputSpec(kind="mask", mask="eyes_mouth"),
        },
        ct_mode="sot",
    )


def test_the_budget_is_a_quarter_of_what_is_free_or_what_is_given(monkeypatch):
    monkeypatch.setattr(cache, "available_memory", lambda: 8 << 30)
    assert ArrayCache.sized(None).max_bytes == 2 << 30
    assert ArrayCache.sized(100).max_bytes == 100 << 20
    assert ArrayCache.sized(0).max_bytes == 0
    monkeypatch.setattr(cache, "available_memory", lambda: None)
    assert ArrayCache.sized(None).max_bytes == 512 << 20


def test_a_cache_stops_growing_when_memory_runs_short(monkeypatch):
    monkeypatch.setattr(cache, "_STEP", 4000)
    free = [2_000_000]
    monkeypatch.setattr(cache, "available_memory", lambda: free[0])
    monkeypatch.setattr(cache, "available_at_peak", lambda: free[0])
    by_share, given = ArrayCache.sized(None), ArrayCache.sized(1)
    noise = np.random.RandomState(0).rand(20, 500, 1).astype(np.float32)
    for store in (by_share, given):
        for number in range(10):
            store.put(number, noise[number].copy())
    assert len(by_share) == len(given) == 10
    free[0] = 200_000  # less than half of the half million that it may take
    for store in (by_share, given):
        for number in range(10, 20):
            store.put(number, noise[number].copy())
    assert len(by_share) < 13
    assert len(given) == 20


def test_faces_that_were_found_are_counted():
    faces = list(Faceset.open(SRC))[:3]
    store = ArrayCache(2**26)
    for seed, face in enumerate([*faces, *faces, faces[0]]):
        make_sample(face, spec(), seed, color_source=faces[0], cache=store)
    assert (store.found, store.made) == (4, 3)
    assert store.text().startswith("57.1 % of the faces found in the cache (")
    assert store.as_dict()["cache_hit_rate"] == pytest.approx(4 / 7, abs=1e-4)
    nothing = ArrayCache(0)
    for seed in range(3):
        make_sample(faces[0], spec(), seed, cache=nothing)
    assert (nothing.hit_rate, nothing.used_bytes) == (0, 0)


def test_what_was_cleared_keeps_nothing_but_its_figures():
    store = ArrayCache(2**26)
    make_sample(Faceset.open(SRC)[0], spec(), 1, cache=store)
    used = store.used_bytes
    store.clear()
    store.put("later", np.zeros(4, np.float32))
    assert (len(store), store.used_bytes, store.made) == (0, used, 1)


@pytest.mark.parametrize("resolution", [96, 256])
def test_the_need_is_about_what_faces_take(resolution):
    """At 256 the images are those of the files, which take a quarter."""
    src, dst = Faceset.open(SRC), Faceset.open(DST)
    assert {face.shape for face in src} == {(256, 256, 3)}
    wanted = spec(resolution)
    need = CacheNeed.of({"src": (src, wanted)}, dst)
    store = ArrayCache(2**28)
    for number in range(max(len(src), len(dst))):
        face, other = src[number % len(src)], dst[number % len(dst)]
        make_sample(face, wanted, number, color_source=other, cache=store)
    assert need.faces == len(src)
    assert store.used_bytes == pytest.approx(need.size, rel=0.2)
    plain = 4 * resolution**2 * (5 * len(src) + 3 * len(dst))
    assert store.used_bytes < (0.8 if resolution == 96 else 0.35) * plain
    assert need.hit_rate(need.size // 2) == pytest.approx(0.5, abs=1e-6)
    assert need.hit_rate(2 * need.size) == 1
    half = len(src) // 2
    assert f"holds {half} of {len(src)} faces (50 %)" in need.text(
        need.size // 2 + 1, by_default=False
    )


def test_faces_that_two_streams_draw_are_counted_once():
    src, dst = Faceset.open(SRC), Faceset.open(DST)
    one = CacheNeed.of({"src": (src, spec())})
    assert CacheNeed.of({"src": (src, spec()), "dst": (src, spec())}) == one
    both = CacheNeed.of({"src": (src, spec()), "dst": (dst, spec())})
    assert both.faces == len(src) + len(dst)
