from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from dfl_tf_ops import bilateral, sliced_transport
from dfl_tf_ops import color_transfer as fast
from dfl_tf_ops.reference import color_transfer as reference
from dfl_tf_ops.value_range import value_range

GOLDEN = Path(__file__).parents[1] / "golden" / "data" / "color_transfer.npz"

FAST = SimpleNamespace(
    rct=lambda s, t, a=None, b=None: fast.color_transfer_rct(s, t, source_mask=a, target_mask=b),
    lct=lambda s, t, variant="pca": fast.color_transfer_lct(s, t, variant=variant),
    mkl=fast.color_transfer_mkl,
    idt=lambda s, t, r: fast.color_transfer_idt(s, t, rotations=r),
    sot=lambda s, t, d, **k: fast.color_transfer_sot(s, t, directions=d, **k),
    mix=lambda s, t, d: fast.color_transfer_mix(s, t, directions=d),
    hist_match=fast.hist_match,
)


@pytest.fixture(params=[reference, FAST], ids=["reference", "fast"])
def methods(request):
    return request.param


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN) as arrays:
        return dict(arrays)


def image(seed, shape=(40, 56, 3), scale=0.8):
    """Smooth colors with noise, no ties."""
    rng = np.random.RandomState(seed)
    coarse = cv2.resize(rng.rand(4, 4, 3), shape[1::-1], interpolation=cv2.INTER_CUBIC)
    return np.clip(scale * coarse + 0.02 * rng.normal(size=shape), 0, 1).astype(np.float32)


def worst(actual, expected):
    assert actual.dtype == np.float32
    return float(np.abs(actual - expected).max())


# tolerances: README of the golden (1e-4; sot 5e-4, pairs of 8-bit values 5e-3, mix mean 1e-2)
@pytest.mark.golden
class TestGolden:
    def test_linear_methods(self, methods, golden):
        s, t = golden["face_src"], golden["face_trg"]
        assert worst(methods.rct(s, t), golden["face_rct"]) <= 1e-4
        assert worst(methods.lct(s, t), golden["face_lct"]) <= 1e-4
        assert worst(methods.lct(s, t, "chol"), golden["face_lct_chol"]) <= 1e-4
        assert worst(methods.lct(s, t, "sym"), golden["face_lct_sym"]) <= 1e-4
        assert worst(methods.mkl(s, t), golden["face_mkl"]) <= 1e-4

    def test_masked_rct_counts_masked_pixels_as_black(self, methods, golden):
        masks = golden["mask_a"], golden["mask_b"]
        out = methods.rct(golden["face_src"], golden["face_trg"], *masks)
        assert worst(out, golden["face_rct_masked"]) <= 1e-4

    @pytest.mark.parametrize("pair", ["face", "proc"])
    def test_idt(self, methods, golden, pair):
        rotations = golden[f"{pair}_idt_rotations"]
        s, t = golden[f"{pair}_src"], golden[f"{pair}_trg"]
        assert worst(methods.idt(s, t, rotations), golden[f"{pair}_idt"]) <= 1e-4
        assert worst(methods.idt(s, t, rotations[:1]), golden[f"{pair}_idt_1rot"]) <= 1e-4

    def test_sot_of_images_without_ties(self, methods, golden):
        out = methods.sot(golden["face_src"], golden["face_trg"], golden["face_sot_dirs"])
        assert worst(out, golden["face_sot"]) <= 5e-5  # design decision 26
        assert np.abs(out - golden["face_sot"]).mean() <= 1e-6

    def test_sot_of_8_bit_images(self, methods, golden):
        out = methods.sot(golden["proc_src"], golden["proc_trg"], golden["proc_sot_dirs"])
        assert worst(out, golden["proc_sot"]) <= 5e-3

    def test_sot_normalizes_raw_directions(self, methods, golden):
        raw = golden["face_sot_dirs_raw"]
        out = methods.sot(golden["face_src"], golden["face_trg"], raw)
        assert np.abs(out - golden["face_sot"]).mean() <= 1e-6

    def test_sot_without_filter(self, methods, golden):
        s, t, directions = (golden[f"face_{k}"] for k in ("src", "trg", "sot_dirs"))
        out = methods.sot(s, t, directions, sigma_space=0)
        assert np.abs(out - golden["face_sot_noreg"]).mean() <= 2e-4
        out = methods.sot(s, t, directions[:1, :1], sigma_space=0)
        assert np.abs(out - golden["face_sot_1x1_noreg"]).mean() <= 2e-4

    def test_mix(self, methods, golden):
        out = methods.mix(golden["face_src"], golden["face_trg"], golden["face_sot_dirs"])
        assert np.abs(out - golden["face_mix"]).mean() <= 1e-2

    @pytest.mark.parametrize("threshold", [255, 238])
    def test_hist_match(self, methods, golden, threshold):
        s, t = golden["face_src"] * 255, golden["face_trg"] * 255
        assert worst(methods.hist_match(s, t, threshold), golden[f"face_hist_{threshold}"]) <= 1e-4


class TestFastEqualsReference:
    """On images of unequal, odd size."""

    source, target = image(1), image(2, (33, 47, 3))

    @pytest.mark.parametrize("name", ["rct", "lct", "mkl"])
    def test_linear_methods(self, name):
        out = getattr(FAST, name)(self.source, self.target)
        assert worst(out, getattr(reference, name)(self.source, self.target)) <= 2e-6

    def test_idt(self):
        rotations = fast.draw_rotations(np.random.RandomState(5), 20)
        out = FAST.idt(self.source, self.target, rotations)
        assert worst(out, reference.idt(self.source, self.target, rotations)) <= 1e-6

    def test_sot(self):
        target = image(2)
        directions = np.random.RandomState(5).normal(size=(10, 5, 3))
        out = FAST.sot(self.source, target, directions)
        assert worst(out, reference.sot(self.source, target, directions)) <= 5e-5

    def test_sot_of_an_image_beyond_the_packed_indices(self, monkeypatch):
        monkeypatch.setattr(fast, "MAX_PIXELS", 100)
        directions = np.random.RandomState(5).normal(size=(2, 2, 3))
        out = FAST.sot(self.source, image(2), directions)
        np.testing.assert_array_equal(out, reference.sot(self.source, image(2), directions))

    def test_views_are_taken_as_they_are(self):
        wide = image(3, (40, 112, 3))
        view, flipped = wide[:, ::2], image(2)[::-1]
        for mode in fast.MODES:
            a = fast.color_transfer(mode, view, flipped, rng=np.random.RandomState(0))
            b = fast.color_transfer(mode, view.copy(), flipped.copy(), rng=np.random.RandomState(0))
            np.testing.assert_array_equal(a, b)

    @pytest.mark.parametrize("mode", fast.MODES)
    def test_arguments_are_not_modified_and_the_result_lies_in_0_1(self, mode):
        source, target = image(1), image(2)
        before = source.copy(), target.copy()
        out = fast.color_transfer(mode, source, target, rng=np.random.RandomState(0))
        np.testing.assert_array_equal(source, before[0])
        np.testing.assert_array_equal(target, before[1])
        assert out.min() >= 0
        assert out.max() <= 1
        assert not np.shares_memory(out, source)


class TestTransport:
    def test_one_direction_gives_exactly_the_sorted_target(self):
        """The closed form in one dimension: values of the target in the order of the source."""
        rng = np.random.RandomState(0)
        source, target = rng.rand(2, 3, 999).astype(np.float32)
        axis = np.array([[[1, 0, 0]]], np.float32)
        moved = sliced_transport.transport(source, target, axis)
        expected = np.sort(target[0])[np.argsort(np.argsort(source[0]))]
        np.testing.assert_allclose(moved[0], expected, atol=1e-6)
        np.testing.assert_array_equal(moved[1:], source[1:])

    def test_equal_projections_are_matched_in_the_order_of_the_pixels(self):
        source = np.full((3, 8), 0.5, np.float32)
        target = np.tile(np.linspace(0, 1, 8, dtype=np.float32), (3, 1))
        moved = sliced_transport.transport(source, target, np.array([[[0, 1, 0]]], np.float32))
        np.testing.assert_allclose(moved[1], target[1], atol=1e-6)

    @pytest.mark.parametrize("odd", [np.nan, np.inf, 1e-40])
    def test_numbers_without_a_rank_move_pixels_but_break_nothing(self, odd):
        """The keys of the sort are places in tables: a wrong one would write anywhere."""
        source, target = np.zeros((2, 3, 500), np.float32)
        source[:, ::3] = odd
        target[:, ::7] = 1e-40
        directions = fast._unit(np.random.RandomState(0).normal(size=(2, 5, 3)))
        for a, b in ((source, target), (target, source)):
            moved = sliced_transport.transport(a, b, directions)
            assert moved.shape == (3, 500)
            if odd == 1e-40:
                np.testing.assert_allclose(moved, 0, atol=1e-30)


class TestBilateral:
    @pytest.mark.parametrize("shape", [(25, 31, 3), (64, 50, 3), (40, 129, 3)])
    @pytest.mark.parametrize("scale", [1e-6, 0.1, 1.0])
    def test_equals_opencv(self, shape, scale):
        change = (np.random.RandomState(1).normal(size=shape) * scale / 4).astype(np.float32)
        expected = cv2.bilateralFilter(change, 0, 5.0, 16.0).transpose(2, 0, 1)
        out = bilateral.bilateral_filter(change.transpose(2, 0, 1).copy(), 5.0, 16.0)
        assert worst(out, expected) <= 5e-6 * scale

    def test_large_differences_go_to_opencv(self):
        change = (np.random.RandomState(1).normal(size=(30, 30, 3)) * 100).astype(np.float32)
        expected = cv2.bilateralFilter(change, 0, 5.0, 16.0).transpose(2, 0, 1)
        out = bilateral.bilateral_filter(change.transpose(2, 0, 1).copy(), 5.0, 16.0)
        np.testing.assert_array_equal(out, expected)

    def test_images_smaller_than_the_window(self):
        change = np.random.RandomState(1).rand(10, 12, 3).astype(np.float32)
        expected = cv2.bilateralFilter(change, 0, 5.0, 16.0).transpose(2, 0, 1)
        out = bilateral.bilateral_filter(change.transpose(2, 0, 1).copy(), 5.0, 16.0)
        np.testing.assert_array_equal(out, expected)


class TestEdges:
    flat = np.full((30, 30, 3), 0.25, np.float32)

    @pytest.mark.parametrize("mode", fast.MODES)
    def test_an_image_of_one_color_gives_finite_colors(self, mode):
        for source, target in ((self.flat, image(1, (30, 30, 3))), (self.flat, self.flat)):
            out = fast.color_transfer(mode, source, target, rng=np.random.RandomState(0))
            assert np.all(np.isfinite(out))

    @pytest.mark.parametrize("mode", fast.MODES)
    def test_colors_that_differ_in_their_last_bit_give_finite_colors(self, mode):
        source = self.flat.copy()
        source[::2] = np.nextafter(np.float32(0.25), np.float32(1))
        out = fast.color_transfer(mode, source, source[::-1].copy(), rng=np.random.RandomState(0))
        assert np.all(np.isfinite(out))

    @pytest.mark.parametrize("mode", ["lct", "mkl"])
    def test_a_gray_image_stays_gray_and_takes_the_spread(self, mode):
        """Faces of black and white footage: two of three directions have no spread at all."""
        source, target = (
            np.repeat(image(seed, scale=scale)[:, :, :1], 3, axis=2)
            for seed, scale in ((1, 0.8), (2, 0.4))
        )
        np.testing.assert_allclose(fast.color_transfer(mode, source, source), source, atol=1e-5)
        out = fast.color_transfer(mode, source, target)
        assert np.ptp(out, axis=2).max() <= 1e-5
        expected = (source - source.mean()) * (target.std() / source.std()) + target.mean()
        np.testing.assert_allclose(out, np.clip(expected, 0, 1), atol=1e-3)

    @pytest.mark.parametrize("mode", fast.MODES)
    def test_a_single_pixel_gives_a_finite_color(self, mode):
        out = fast.color_transfer(
            mode, self.flat[:1, :1], image(1)[:1, :1], rng=np.random.RandomState(0)
        )
        assert out.shape == (1, 1, 3)
        assert np.all(np.isfinite(out))

    def test_rct_of_one_color_takes_the_mean(self):
        target = image(1)
        out = fast.color_transfer_rct(self.flat, target)
        lab = cv2.cvtColor(target, cv2.COLOR_BGR2LAB).reshape(-1, 3).mean(0)
        expected = cv2.cvtColor(lab.reshape(1, 1, 3), cv2.COLOR_LAB2BGR)
        np.testing.assert_allclose(out, np.broadcast_to(expected, out.shape), atol=1e-5)

    def test_values_in_the_first_bin_go_to_zero(self):
        """Kept for compatibility: one axis, the identity as rotation."""
        source, target = self.flat.copy(), image(1, (30, 30, 3), 0.5) + 0.3
        out = fast.color_transfer_idt(source, np.minimum(target, 1), rotations=np.eye(3)[None])
        np.testing.assert_array_equal(out, 0)

    def test_the_rng_alone_decides(self):
        source, target = image(1), image(2)
        for mode in ("idt", "sot", "mix"):
            a, b, c = (
                fast.color_transfer(mode, source, target, rng=np.random.RandomState(seed))
                for seed in (1, 1, 2)
            )
            np.testing.assert_array_equal(a, b)
            assert np.any(a != c)

    def test_drawn_rotations_are_proper(self):
        rotations = fast.draw_rotations(np.random.RandomState(0), 50)
        np.testing.assert_allclose(
            rotations @ rotations.transpose(0, 2, 1), np.broadcast_to(np.eye(3), (50, 3, 3)),
            atol=1e-12,
        )  # fmt: skip
        np.testing.assert_allclose(np.linalg.det(rotations), 1)

    @pytest.mark.parametrize(
        ("call", "message"),
        [
            (lambda a: fast.color_transfer("rgb", a, a), "Unknown color transfer 'rgb'; known are"),
            (lambda a: fast.color_transfer("sot", a, a), "Give directions or an rng"),
            (lambda a: fast.color_transfer("idt", a, a), "Give rotations or an rng"),
            (lambda a: fast.color_transfer("rct", a.astype(float), a), "source must be a float32"),
            (lambda a: fast.color_transfer("mkl", a, a[..., 0]), "target must be a float32"),
            (lambda a: fast.color_transfer("idt", a[:0], a), "source must be a float32"),
            (lambda a: FAST.sot(a, a[1:], np.ones((1, 1, 3))), "images of one shape"),
            (lambda a: FAST.sot(a, a, np.ones((1, 3))), r"shape \(steps, batch, 3\)"),
            (lambda a: FAST.idt(a, a, np.eye(3)), r"shape \(steps, 3, 3\)"),
            (lambda a: FAST.lct(a, a, "none"), "Unknown lct variant 'none'"),
        ],
    )
    def test_errors_say_what_is_allowed(self, call, message):
        with pytest.raises(ValueError, match=message):
            call(image(1))


@pytest.mark.parametrize("count", [1, 15, 16, 50])
def test_value_range_passes_over_nan(count):
    values = np.random.default_rng(count).normal(size=count).astype(np.float32)
    assert value_range(values) == (values.min(), values.max())
    mixed = np.concatenate([[np.float32(np.nan)], values, [np.float32(np.nan)]]).astype(np.float32)
    assert value_range(mixed) == (values.min(), values.max())
    assert value_range(np.full(count, np.nan, np.float32)) == (np.inf, -np.inf)
