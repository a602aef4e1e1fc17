import dataclasses

import cv2
import numpy as np
import pytest
from dfl_tf_ops.color_transfer import color_transfer
from reference_sample import reference_sample

from dfl_tf.data import ArrayCache, Faceset, OutputSpec, SampleSpec, make_sample
from dfl_tf.data.batch import empty_array
from dfl_tf.face import FaceType

from .conftest import DST, SRC

SAEHD = {
    "image": OutputSpec(warp=True, color_transfer=True),
    "target": OutputSpec(color_transfer=True),
    "mask": OutputSpec(kind="mask", mask="full"),
    "eyes_mouth": OutputSpec(kind="mask", mask="eyes_mouth"),
}


def pairs(one, other):
    """The arrays of two samples side by side; both have the same names in the same order."""
    assert list(one) == list(other)
    return zip(one.values(), other.values(), strict=True)


@pytest.fixture(scope="module")
def src():
    return Faceset.open(SRC)


@pytest.fixture(scope="module")
def dst():
    return Faceset.open(DST)


def spec(resolution=64, face_type=FaceType.WHOLE_FACE, **changes):
    values = {"outputs": SAEHD, "random_flip": True, **changes}
    return SampleSpec(resolution=resolution, face_type=face_type, **values)


def still_spec(wanted):
    """The same outputs without warp, transform and flip."""
    outputs = {
        name: dataclasses.replace(output, warp=False, transform=False)
        for name, output in wanted.outputs.items()
    }
    return dataclasses.replace(wanted, outputs=outputs, random_flip=False)


@pytest.mark.parametrize("face_type", [FaceType.WHOLE_FACE, FaceType.FULL, FaceType.HEAD])
@pytest.mark.parametrize("resolution", [64, 80, 128])
def test_fast_path_equals_the_reference(src, face_type, resolution):
    wanted = spec(resolution, face_type)
    for number, sample in enumerate(src):
        fast = make_sample(sample, wanted, 1000 + number)
        for a, b in pairs(fast, reference_sample(sample, wanted, 1000 + number)):
            assert a.dtype == np.float32
            np.testing.assert_allclose(a, b, atol=2e-5)


@pytest.mark.parametrize("mode", ["rct", "lct", "mkl"])
def test_color_transfer_equals_the_reference(src, dst, mode):
    wanted = spec(ct_mode=mode)
    for sample, other in zip(src[:3], dst[:3], strict=True):
        fast = make_sample(sample, wanted, 5, color_source=other)
        for a, b in pairs(fast, reference_sample(sample, wanted, 5, other)):
            np.testing.assert_allclose(a, b, atol=1e-4)


def test_random_color_transfer_is_shared_by_input_and_target(src, dst, monkeypatch):
    calls = []

    def count(*arguments, **keywords):
        calls.append(arguments[0])
        return color_transfer(*arguments, **keywords)

    monkeypatch.setattr("dfl_tf_ops.color_transfer.color_transfer", count)
    still = {name: dataclasses.replace(SAEHD[name], warp=False) for name in ("image", "target")}
    wanted = spec(ct_mode="idt", outputs=still)
    a, b = make_sample(src[0], wanted, 9, color_source=dst[0]).values()
    assert calls == ["idt"]
    np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(a, make_sample(src[0], wanted, 9, color_source=dst[0])["image"])
    other = make_sample(src[0], wanted, 10, color_source=dst[0])["image"]
    assert not np.array_equal(a, other)


def test_no_color_source_or_mode_leaves_colors_alone(src, dst):
    plain = make_sample(src[0], spec(), 3)
    for other in (
        make_sample(src[0], spec(ct_mode="rct"), 3),
        make_sample(src[0], spec(), 3, color_source=dst[0]),
    ):
        np.testing.assert_array_equal(plain["image"], other["image"])


def test_cached_samples_are_the_same_bits(src, dst):
    wanted = spec(96, FaceType.FULL, ct_mode="rct")
    cache = ArrayCache(2**24)
    for seed in range(3):
        fresh = make_sample(src[2], wanted, seed, color_source=dst[1])
        kept = make_sample(src[2], wanted, seed, color_source=dst[1], cache=cache)
        for a, b in pairs(fresh, kept):
            np.testing.assert_array_equal(a, b)
    assert len(cache) == 4


def test_outputs_do_not_share_memory_with_the_cache(src):
    still = still_spec(spec())
    cache = ArrayCache(2**24)
    first = make_sample(src[0], still, 0, cache=cache)
    for array in first.values():
        array[:] = 7
    second = make_sample(src[0], still, 0, cache=cache)
    assert all(array.max() <= 1.001 for array in second.values())


def test_full_cache_keeps_what_it_has():
    cache = ArrayCache(100, packs=False)
    cache.put("a", np.zeros(20, np.float32))
    cache.put("b", np.zeros(20, np.float32))
    assert cache.get("a") is not None
    assert cache.get("b") is None
    assert cache.used_bytes == 80


def test_hsv_shift_changes_the_input_only(src):
    shifted = {**SAEHD, "image": dataclasses.replace(SAEHD["image"], hsv_shift=0.3)}
    plain = make_sample(src[0], spec(), 4)
    colored = make_sample(src[0], spec(outputs=shifted), 4)
    assert not np.array_equal(plain.pop("image"), colored.pop("image"))
    for a, b in pairs(plain, colored):
        np.testing.assert_array_equal(a, b)


def test_forty_percent_are_flipped(src):
    still = OutputSpec(transform=False)
    wanted = spec(outputs={"image": still})
    unflipped = make_sample(src[0], dataclasses.replace(wanted, random_flip=False), 0)["image"]
    images = [make_sample(src[0], wanted, seed)["image"] for seed in range(200)]
    flips = sum(np.array_equal(image, unflipped[:, ::-1]) for image in images)
    assert flips + sum(np.array_equal(image, unflipped) for image in images) == 200
    assert 60 <= flips <= 100


def test_a_still_spec_shows_the_face_as_it_is(src):
    sample = make_sample(src[0], still_spec(spec(256)), 1)
    np.testing.assert_array_equal(sample["image"], sample["target"])
    np.testing.assert_allclose(sample["image"], src[0].image(), atol=1e-7)
    assert sample["mask"].shape == (256, 256, 1)


def test_mve_crops_are_never_realigned(src):
    custom = dataclasses.replace(src[0], face_type=FaceType.MVE_CUSTOM, key="custom")
    wanted = still_spec(spec(64, FaceType.FULL, outputs={"image": SAEHD["image"]}))
    image = make_sample(custom, wanted, 0)["image"]
    resized = cv2.resize(src[0].image(), (64, 64), interpolation=cv2.INTER_CUBIC)
    np.testing.assert_allclose(image, np.clip(resized, 0, 1), atol=1e-6)


@pytest.mark.parametrize("resolution", [16, 48, 72, 100, 130])
def test_odd_resolutions_give_squares_of_that_size(src, resolution):
    outputs = make_sample(src[0], spec(resolution), 2)
    assert [a.shape for a in outputs.values()] == [
        (resolution, resolution, c) for c in (3, 3, 1, 1)
    ]
    assert {name: a.shape for name, a in outputs.items()} == spec(resolution).shapes
    warped = OutputSpec(warp=True, transform=False)
    for seed in range(4):
        image = make_sample(src[0], spec(resolution, outputs={"image": warped}), seed)["image"]
        assert image.shape == (resolution, resolution, 3)


def test_specs_refuse_nonsense():
    with pytest.raises(ValueError, match="resolution"):
        spec(8)
    with pytest.raises(ValueError, match="at least one output"):
        spec(outputs={})


EVERYTHING = {
    "warped": OutputSpec(warp=True, hsv_shift=0.2),
    "gray": OutputSpec(warp=True, channels="g"),
    "grays": OutputSpec(channels="ggg", border_replicate=False),
    "still": OutputSpec(transform=False),
    "elastic": OutputSpec(warp=True, transform=False),
    "other_seeds": OutputSpec(warp=True, seed_shift=3, warp_seed_shift=9),
    "tanh": OutputSpec(normalize_tanh=True),
    "small": OutputSpec(warp=True, nearest_resize_to=32),
    "colored": OutputSpec(color_transfer=True),
    "none": OutputSpec(kind="mask", mask="none"),
    "eyes": OutputSpec(kind="mask", mask="eyes", warp=True),
    "mask": OutputSpec(kind="mask", warp=True, seed_shift=3),
    "eyes_mouth": OutputSpec(kind="mask", mask="eyes_mouth", warp=True, transform=False),
    "still_mask": OutputSpec(kind="mask", transform=False, normalize_tanh=True),
    "pose": OutputSpec(kind="pitch_yaw"),
}


@pytest.mark.parametrize("resolution", [64, 100, 256])
@pytest.mark.parametrize("face_type", [FaceType.WHOLE_FACE, FaceType.FULL])
def test_one_call_makes_the_bits_of_the_single_steps(src, dst, monkeypatch, resolution, face_type):
    wanted = spec(resolution, face_type, outputs=EVERYTHING, ct_mode="rct")
    faces = [*src[:3], *dst[:2]]
    how = [{"seed": 40 + n, "color_source": dst[n]} for n in range(len(faces))]
    at_once = [make_sample(face, wanted, **each) for face, each in zip(faces, how, strict=True)]
    cache = ArrayCache(2**24)
    for _ in range(2):
        for face, each, made in zip(faces, how, at_once, strict=True):
            for a, b in pairs(made, make_sample(face, wanted, cache=cache, **each)):
                np.testing.assert_array_equal(a, b)
    monkeypatch.setattr("dfl_tf.data.sample._moves_together", lambda spec: False)
    for face, each, made in zip(faces, how, at_once, strict=True):
        for name, array in make_sample(face, wanted, **each).items():
            np.testing.assert_array_equal(array, made[name], err_msg=name)


def test_a_plain_sample_is_made_at_once(src, monkeypatch):
    """Not step by step: each step gives the interpreter's lock away (tools/bench_samples.py)."""
    steps = []
    monkeypatch.setattr("dfl_tf.data.sample.apply_warp", lambda *a, **k: steps.append(a))
    monkeypatch.setattr("dfl_tf.data.aligned.draw_mask", lambda *a, **k: steps.append(a))
    make_sample(src[0], spec(128), 3)
    assert not steps


def test_a_sample_is_written_where_its_batch_is(src):
    wanted = spec(128)
    rooms = {name: empty_array(*shape) for name, shape in wanted.shapes.items()}
    made = make_sample(src[0], wanted, 3, rooms=rooms)
    assert all(made[name] is rooms[name] for name in rooms)
    for a, b in pairs(made, make_sample(src[0], wanted, 3)):
        np.testing.assert_array_equal(a, b)
