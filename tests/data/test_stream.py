import logging
import threading
import time

import numpy as np
import pytest

from dfl_tf.data import ArrayCache, BatchStream, Faceset, OutputSpec, SampleSpec, XSegStream
from dfl_tf.data.prefetch import Prefetch
from dfl_tf.errors import FacesetError
from dfl_tf.face import FaceType

from .conftest import DST, SRC, face_jpeg

SPEC = SampleSpec(
    resolution=32,
    face_type=FaceType.WHOLE_FACE,
    outputs={
        "image": OutputSpec(warp=True, color_transfer=True),
        "mask": OutputSpec(kind="mask"),
    },
    random_flip=True,
    ct_mode="rct",
)


def take(count, workers=1, position=0, seed=7, faceset=None, **options):
    faces = faceset or Faceset.open(SRC)
    with BatchStream(
        faces, SPEC, 3, seed=seed, workers=workers, position=position, **options
    ) as stream:
        return [next(stream) for _ in range(count)]


def assert_same(a, b):
    for batch_a, batch_b in zip(a, b, strict=True):
        assert (batch_a.names, batch_a.samples) == (batch_b.names, batch_b.samples)
        for name in batch_a.names:
            np.testing.assert_array_equal(batch_a[name], batch_b[name])


@pytest.mark.parametrize("options", [{}, {"uniform_yaw": True}, {"cache_mb": 0}])
def test_batches_do_not_depend_on_the_number_of_threads(options):
    colors = Faceset.open(DST)
    one = take(9, 1, color_faceset=colors, **options)
    assert_same(one, take(9, 3, color_faceset=colors, **options))
    assert_same(one[4:], take(5, 2, position=12, color_faceset=colors, **options))


def test_streams_may_share_a_cache():
    cache = ArrayCache(2**24)
    alone = take(4)
    faces = len(Faceset.open(SRC))
    assert_same(alone, take(4, cache=cache))
    kept = len(cache)
    assert 0 < kept <= 2 * faces
    assert_same(alone, take(4, cache=cache, cache_mb=0))
    assert len(cache) == kept


def test_batches_have_the_names_of_the_spec():
    batch = take(1)[0]
    assert batch.names == ("image", "mask")
    assert batch["image"].shape == (3, 32, 32, 3)
    assert batch["mask"].shape == (3, 32, 32, 1)
    assert batch["image"].dtype == batch["mask"].dtype == np.float32


def test_batches_say_which_faces_they_were_made_of():
    faceset = Faceset.open(SRC)
    still = SampleSpec(
        resolution=256,
        face_type=FaceType.WHOLE_FACE,
        outputs={"image": OutputSpec(transform=False)},
    )
    by_key = {sample.key: sample for sample in faceset}
    with BatchStream(faceset, still, 3, seed=7, position=5) as stream:
        batches = [next(stream) for _ in range(2)]
    samples = [sample for batch in batches for sample in batch.samples]
    assert [sample.position for sample in samples] == [5, 6, 7, 8, 9, 10]
    images = np.concatenate([batch["image"] for batch in batches])
    for sample, image in zip(samples, images, strict=True):
        np.testing.assert_allclose(image, by_key[sample.face].image(), atol=1e-6)


def test_seeds_give_different_batches():
    assert not np.array_equal(take(1, seed=1)[0]["image"], take(1, seed=2)[0]["image"])


def test_position_counts_what_was_consumed_not_what_was_prefetched():
    with BatchStream(Faceset.open(SRC), SPEC, 4, seed=0, workers=2, position=8) as stream:
        assert stream.position == 8
        next(stream)
        next(stream)
        assert stream.position == 16
        assert stream.wait_seconds >= 0


def test_every_face_is_seen_once_an_epoch(make_faces):
    faceset = Faceset.open(make_faces(6, size=32))
    still = SampleSpec(
        resolution=32,
        face_type=FaceType.WHOLE_FACE,
        outputs={"image": OutputSpec(transform=False)},
    )
    with BatchStream(faceset, still, 4, seed=1) as stream:
        images = np.concatenate([next(stream)["image"] for _ in range(3)])
    faces = [sample.image() for sample in faceset]
    indices = [next(i for i, f in enumerate(faces) if np.array_equal(f, image)) for image in images]
    assert sorted(indices[:6]) == sorted(indices[6:]) == list(range(6))


@pytest.mark.parametrize("eager", [4000, 0])
def test_a_broken_face_is_named_counted_and_replaced_alike(make_faces, caplog, eager):
    folder = make_faces(5)
    broken = folder / "00003_0.jpg"
    data = broken.read_bytes()
    broken.write_bytes(data[: data.index(b"\xff\xdb")] + b"\xff\xd9")
    if eager:
        whole = face_jpeg(3)
        broken.write_bytes(whole)
        faceset = Faceset.open(folder)
        broken.write_bytes(whole[: len(whole) // 20])
    else:
        faceset = Faceset.open(folder, eager=eager)
    caplog.set_level(logging.WARNING)
    with BatchStream(faceset, SPEC, 4, seed=3, workers=1) as stream:
        one = [next(stream) for _ in range(5)]
        assert list(stream.failures) == ["00003_0.jpg"]
        assert stream.replaced >= 4
    assert caplog.text.count("Skipping 00003_0.jpg and drawing another face") == 1
    with BatchStream(faceset, SPEC, 4, seed=3, workers=3) as stream:
        assert_same(one, [next(stream) for _ in range(5)])


def test_a_vanished_folder_is_an_error_of_the_consumer(make_faces):
    folder = make_faces(3)
    faceset = Faceset.open(folder)
    for path in folder.iterdir():
        path.unlink()
    with BatchStream(faceset, SPEC, 2, seed=0) as stream:
        for _ in range(2):
            with pytest.raises(FacesetError, match="in a row cannot be read"):
                next(stream)


def test_programming_errors_of_a_worker_reach_the_consumer(monkeypatch):
    def fail(*_, **__):
        raise ZeroDivisionError("in a worker")

    monkeypatch.setattr("dfl_tf.data.stream.make_sample", fail)
    with (
        BatchStream(Faceset.open(SRC), SPEC, 2, seed=0) as stream,
        pytest.raises(ZeroDivisionError, match="in a worker"),
    ):
        next(stream)


def test_closing_ends_the_threads():
    before = threading.active_count()
    stream = BatchStream(Faceset.open(SRC), SPEC, 2, seed=0, workers=3)
    next(stream)
    stream.close()
    assert threading.active_count() == before
    with pytest.raises(RuntimeError, match="closed"):
        next(stream)


def test_prefetch_is_bounded_and_ordered():
    made = []

    def make(number):
        made.append(number)
        time.sleep(0.002 * (number % 3))
        return number

    pool = Prefetch(make, workers=3, ahead=4)
    time.sleep(0.05)
    assert len(made) <= 4
    assert [pool.take() for _ in range(10)] == list(range(10))
    pool.close()
    assert max(made) < 10 + 4


def test_xseg_batches_do_not_depend_on_the_number_of_threads():
    facesets = [Faceset.open(SRC), Faceset.open(DST)]

    def xseg(count, workers, position=0):
        with XSegStream(
            facesets, 32, FaceType.FULL, 2, seed=4, workers=workers, position=position
        ) as stream:
            return [next(stream) for _ in range(count)]

    one = xseg(6, 1)
    assert_same(one, xseg(6, 3))
    assert_same(one[2:], xseg(4, 2, position=4))
    image = one[0]["image"]
    assert image.shape == (2, 32, 32, 3)
    assert set(np.unique(np.concatenate([batch["target"] for batch in one]))) == {0, 1}
    assert image.min() >= 0
    assert image.max() <= 1


def test_xseg_needs_masks(make_faces):
    with pytest.raises(FacesetError, match="none of the 2 faces has a hand-drawn mask"):
        XSegStream([Faceset.open(make_faces(2))], 32, FaceType.FULL, 2, seed=0)
