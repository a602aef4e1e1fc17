"""What one training step moves, splits and draws."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from dfl_tf.data import Batch
from dfl_tf.errors import OptionError, UsageError
from dfl_tf.models import create
from dfl_tf.models.targets import soft_mask
from dfl_tf.options import SAEHDOptions, default

SAEHD_COMBINATIONS = [
    {"archi": "df", "adabelief": False, "clipgrad": True, "lr_dropout": "cpu", "gan_power": 0.2},
    {"archi": "df-u", "blur_out_mask": True, "eyes_mouth_prio": True, "true_face_power": 0.01},
    {"archi": "df-d", "lr_dropout": "y", "bg_style_power": 5.0, "masked_training": False},
    {"archi": "df-t", "face_style_power": 5.0, "random_warp": False, "gan_power": 0.1},
    {"archi": "df-uc", "pretrain": True, "true_face_power": 0.1, "gan_power": 0.1},
    {"archi": "df-udtc", "true_face_power": 0.05, "gan_power": 0.1, "clipgrad": True},
    {"archi": "liae", "lr_dropout": "y", "clipgrad": True, "eyes_mouth_prio": True},
    {"archi": "liae-ud", "random_warp": False, "adabelief": False, "blur_out_mask": True},
    {"archi": "liae-udt", "face_style_power": 1.0, "bg_style_power": 1.0, "gan_power": 0.1},
    {"archi": "liae-c", "pretrain": True, "clipgrad": True, "lr_dropout": "y"},
    {"archi": "liae-dt", "masked_training": False, "gan_power": 0.3, "true_face_power": 0.1},
]


def moved(before, after):
    return {
        part
        for part in before
        if any(not np.array_equal(a, b) for a, b in zip(before[part], after[part], strict=True))
    }


OFTEN = ("df", "df-u", "df-udtc", "liae-ud", "liae-udt")
"""The others run with the slow tests."""


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize(
    "options",
    [
        pytest.param(o, id=o["archi"], marks=[] if o["archi"] in OFTEN else [pytest.mark.slow])
        for o in SAEHD_COMBINATIONS
    ],
)
def test_saehd_moves_the_right_networks(make, batches, snapshot, options):
    model = make(**options)
    before = snapshot(model)
    for _ in range(2):
        losses = model.train_step(*batches(model))
    assert all(np.isfinite(loss).all() and loss.shape == (2,) for loss in losses.values())
    still = set()
    if not model.effective.random_warp and model.archi.flavor == "liae":
        still = {"inter_AB"}
    if model.options.pretrain and "code_discriminator" in model.networks:
        still |= {"code_discriminator"}
    assert moved(before, snapshot(model)) == set(model.networks) - still
    assert ("GAN" in model.networks) == (
        bool(options.get("gan_power")) and not options.get("pretrain")
    )
    assert ("code_discriminator" in model.networks) == (
        bool(options.get("true_face_power")) and model.archi.flavor == "df"
    )
    figures = model.step.scalars()
    clipped = ("gradient_norm", "clip_factor") if options.get("clipgrad") else ()
    assert {name for name in figures if not name.startswith("term/")} == {
        *(f"objective/{update.optimizer}" for update in model.updates),
        *(f"{kind}/{stem}" for stem in model.optimizers for kind in ("learning_rate", *clipped)),
        *(f"output_variance/{side}" for side in ("src", "dst")),
    }
    assert np.isfinite([*figures.values()]).all()


@pytest.mark.usefixtures("eagerly")
def test_unused_branches_are_not_computed(make, batches):
    model = make(archi="df")
    calls = []
    decoder = model.networks["decoder_src"]
    original = decoder.call
    decoder.call = lambda z: calls.append(int(z.shape[0])) or original(z)
    model.step.gradients(model.updates[0], model.inputs(*batches(model)))
    assert calls == [2]  # src only: without styles dst does not go through it


@pytest.mark.parametrize(
    ("cls", "options"),
    [
        ("SAEHD", {"archi": "liae-ud", "clipgrad": True, "lr_dropout": "y"}),
        ("SAEHD", {"archi": "df-ud", "adabelief": False, "gan_power": 0.1, "true_face_power": 0.1}),
        ("SAEHD", {"archi": "df", "adabelief": False, "clipgrad": True, "lr_dropout": "cpu"}),
        ("AMP", {"clipgrad": True, "lr_dropout": "y", "gan_power": 0.1}),
    ],
)
@pytest.mark.usefixtures("eagerly")
def test_accumulated_small_batches_equal_a_big_one(make, batches, snapshot, cls, options):
    big = make(cls, precision="float64", batch_size=4, **options)
    small = make(cls, precision="float64", batch_size=2, accumulate=2, **options)
    assert small.samples_per_step == big.samples_per_step == 4
    given = batches(big, 4)
    one, many = big.train_step(*given), small.train_step(*given)
    for name in big.loss_names:
        np.testing.assert_allclose(one[name], many[name], rtol=1e-10)
    for part, values in snapshot(big).items():
        for a, b in zip(values, snapshot(small)[part], strict=True):
            np.testing.assert_allclose(a, b, atol=1e-10, rtol=0)


@pytest.mark.usefixtures("eagerly")
def test_replicas_average_where_accumulation_sums(make, batches):
    whole, halves = (make(precision="float64", clipgrad=True) for _ in range(2))
    halves.step.replicas = 2
    given = batches(whole)
    update = whole.updates[0]
    _, gradients = whole.step.gradients(update, whole.inputs(*given))
    whole.step.apply_gradients(update, [g / 2 for g in gradients])
    halves.train_step(*given)
    for part, network in whole.networks.items():
        for a, b in zip(network.weights, halves.networks[part].weights, strict=True):
            np.testing.assert_allclose(a.numpy(), b.numpy(), atol=1e-12, rtol=0)


def test_a_batch_that_cannot_be_divided_is_refused(make, batches):
    model = make(accumulate=2)
    with pytest.raises(OptionError, match="3 samples cannot be divided by 2"):
        model.train_step(*batches(model, 3))


def test_a_batch_that_lacks_something_is_refused(make, batches):
    model = make(eyes_mouth_prio=True)
    src, dst = batches(model)
    with pytest.raises(ValueError, match=r"takes 2 batches \(src, dst\); received 1"):
        model.train_step(src)
    without = Batch({name: dst[name] for name in ("image", "target")})
    with pytest.raises(ValueError, match="batch dst lacks mask, eyes_mouth; it has image, target"):
        model.train_step(src, without)


def test_the_graph_computes_what_eager_code_does(make, batches):
    graph, code = (make(archi="df-ud", precision="float64") for _ in range(2))
    given = batches(graph)
    graph_losses = graph.train_step(*given)
    tf.config.run_functions_eagerly(True)
    try:
        code_losses = code.train_step(*given)
    finally:
        tf.config.run_functions_eagerly(False)
    for name in graph.loss_names:
        np.testing.assert_allclose(graph_losses[name], code_losses[name], rtol=1e-12)
    for a, b in zip(graph.updates[0].variables, code.updates[0].variables, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), atol=1e-12, rtol=0)


@pytest.mark.usefixtures("eagerly")
def test_bfloat16_keeps_masters_losses_and_outputs_in_float32(make, batches):
    model = make(archi="df-ud", precision="bfloat16", gan_power=0.1)
    wide = make(archi="df-ud", gan_power=0.1)
    given = batches(model)
    losses, expected = model.train_step(*given), wide.train_step(*given)
    for name in model.loss_names:
        assert losses[name].dtype == tf.float32
        np.testing.assert_allclose(losses[name], expected[name], rtol=2e-2)
    assert {v.dtype for n in model.networks.values() for v in n.weights} == {"float32"}
    image, mask = model.networks["decoder_src"](tf.zeros((1, 8, 8, 32)))
    assert image.dtype == mask.dtype == tf.float32
    assert model.networks["encoder"].compute_dtype == "bfloat16"


@pytest.mark.usefixtures("eagerly")
def test_amp_trains_its_inters_only_on_request(make, batches, snapshot):
    for train_inters in (False, True):
        model = make("AMP", train_inters=train_inters)
        before = snapshot(model)
        model.train_step(*batches(model))
        inters = {"inter_src", "inter_dst"} if train_inters else set()
        assert moved(before, snapshot(model)) == {"encoder", "decoder"} | inters


def test_amp_mixes_exactly_k_channels_and_redraws_them(make):
    model = make("AMP", morph_factor=0.3, gan_power=0.1)
    draws = [model.draws(update, 5)[0].numpy() for update in model.updates]
    for mixing in draws:
        assert mixing.shape == (5, 32)
        assert (mixing.sum(axis=1) == int(32 * 0.3)).all()
        assert len({row.tobytes() for row in mixing}) > 1
    assert not np.array_equal(*draws)
    np.testing.assert_array_equal(model.draws(model.updates[0], 5)[0], draws[0])
    model.optimizers["src_dst_opt"].iterations.assign(1)
    assert not np.array_equal(model.draws(model.updates[0], 5)[0], draws[0])


@pytest.mark.usefixtures("eagerly")
def test_quick96_takes_a_batch_again_with_targets_as_inputs(make, batches):
    model = make("Quick96")
    seen = []
    model.step.run_update = lambda update, inputs: (
        seen.append([np.asarray(x) for x in inputs]) or {"src": None, "dst": None}
    )
    first, second = batches(model, seed=1), batches(model, seed=2)
    assert [model.repeats_batch(i) for i in (0, 1, 2, 3, 4, 6)] == [False] * 3 + [True, False, True]
    model.train_step(*first)
    model.iteration = 2
    model.train_step(*second)
    model.iteration = 3
    model.train_step()
    np.testing.assert_array_equal(seen[2][0], second[0]["target"])
    np.testing.assert_array_equal(seen[2][1], second[0]["target"])
    resumed = make("Quick96")
    resumed.iteration, resumed.previous = 3, second
    resumed.step.run_update = model.step.run_update
    resumed.train_step()
    for one, other in zip(seen[2], seen[3], strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize("pretrain", [False, True])
def test_xseg_learns_and_masks(make, batches, pretrain):
    model = make("XSeg", pretrain=pretrain)
    (given,) = batches(model, 1)
    losses = model.train_step(given)
    assert set(losses) == {"loss"}
    assert np.isfinite(losses["loss"]).all()
    got = model.mask(given["image"])
    assert got.shape == (1, 256, 256, 1)
    assert not ((got > 0) & (got < 0.1)).any()
    assert not hasattr(model, "swap")


def test_wrong_resolution_patch_and_class_are_refused():
    with pytest.raises(UsageError, match="no model class 'SAE'"):
        create("SAE", default(SAEHDOptions))


GAN = {"gan_power": 0.3, "random_warp": False}
STYLES = {"face_style_power": 5.0, "bg_style_power": 4.0}
WITH_TERMS = [
    ("SAEHD", {"archi": "df-ud", "true_face_power": 0.1, "eyes_mouth_prio": True, **GAN, **STYLES}),
    ("SAEHD", {"archi": "liae-d", "masked_training": False, "face_type": "wf", **GAN}),
    ("AMP", GAN),
    ("Quick96", {}),
    ("XSeg", {}),
    ("XSeg", {"pretrain": True}),
]
OF_ONE_SIDE = ("dssim_large", "dssim_small", "pixels", "eyes_mouth", "mask")


@pytest.mark.usefixtures("eagerly")
@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize(("cls", "options"), WITH_TERMS)
def test_the_terms_add_up_to_the_losses_and_the_objective(make, batches, cls, options):
    model = make(cls, precision="float64", **options)
    given = batches(model)
    losses = model.train_step(*given)
    figures = model.step.scalars()
    terms = {n.removeprefix("term/"): v for n, v in figures.items() if n.startswith("term/")}
    stem = model.updates[0].optimizer
    np.testing.assert_allclose(sum(terms.values()), figures[f"objective/{stem}"], rtol=1e-12)
    for side, loss in losses.items():
        own = {f"{side}_{kind}" for kind in OF_ONE_SIDE} if side != "loss" else set(terms)
        own |= {"face_style", "bg_style_dssim", "bg_style_pixels"} if side == "src" else set()
        total = sum(value for name, value in terms.items() if name in own)
        np.testing.assert_allclose(total, np.mean(loss), rtol=1e-12)
    expected = {"dssim", "pixels"} if options.get("pretrain") else {"entropy"}
    if cls != "XSeg":
        kinds = {"dssim_large", "pixels", "mask"}
        kinds |= {"dssim_small"} if cls == "AMP" else set()
        kinds |= {"eyes_mouth"} if cls == "AMP" or "eyes_mouth_prio" in options else set()
        expected = {f"{side}_{kind}" for side in ("src", "dst") for kind in kinds}
        if "bg_style_power" in options:
            expected |= {"face_style", "bg_style_dssim", "bg_style_pixels"}
        expected |= {"true_face"} if "true_face_power" in options else set()
        expected |= {"gan"} if "gan_power" in options else set()
        if cls == "AMP" or options.get("masked_training", "gan_power" in options):
            expected |= {"src_background", "src_total_variation"}
        expected |= {"dst_background", "dst_total_variation"} if cls == "AMP" else set()
    assert set(terms) == expected


@pytest.mark.usefixtures("eagerly")
def test_a_term_is_what_numpy_makes_of_it(make, batches):
    """Pixels and mask of dst, masked as the targets are (training.md 2.3)."""
    model = make(precision="float64", batch_size=1)
    src, dst = batches(model, 1)
    _, image, mask = (
        np.asarray(x) for x in (None, *model.view(*model.tensors(src["image"], dst["image"]))[1])
    )
    soft = np.asarray(soft_mask(tf.constant(dst["mask"], tf.float64), 64))
    model.train_step(src, dst)
    figures = model.step.scalars()
    pixels = 10 * np.mean((dst["target"] * soft - image * soft) ** 2)
    np.testing.assert_allclose(figures["term/dst_pixels"], pixels, rtol=1e-6)
    difference = 10 * np.mean((np.float64(dst["mask"]) - mask) ** 2)
    np.testing.assert_allclose(figures["term/dst_mask"], difference, rtol=1e-6)
    variance = image[:, ::2, ::2].var(axis=(1, 2)).mean()
    np.testing.assert_allclose(model.step.output_variance()["dst"], variance, rtol=1e-6)
    assert figures["output_variance/dst"] == model.step.output_variance()["dst"]


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize("accumulate", [1, 2])
def test_norm_and_clip_factor_are_those_of_the_gradients(make, batches, accumulate):
    model = make(precision="float64", clipgrad=True, accumulate=accumulate, batch_size=2)
    given = batches(model, model.samples_per_step)
    update, *_ = model.updates
    _, gradients = model.step.gradients(update, model.inputs(*given))
    norm = np.sqrt(sum(np.sum(np.square(g)) for g in gradients))
    model.train_step(*given)
    figures = model.step.scalars()
    assert norm > 1
    np.testing.assert_allclose(figures["gradient_norm/src_dst_opt"], norm, rtol=1e-10)
    np.testing.assert_allclose(figures["clip_factor/src_dst_opt"], 1 / norm, rtol=1e-10)


@pytest.mark.parametrize(
    "precision",
    ["float32", *(pytest.param(p, marks=pytest.mark.slow) for p in ("bfloat16", "float16"))],
)
def test_measuring_gradients_changes_no_bit(make, batches, snapshot, precision):
    weights, norms = [], []
    for measured in (False, True):
        model = make(precision=precision, gan_power=0.1, lr_dropout="y")
        model.step.measures_gradients = measured
        for seed in range(2):
            model.train_step(*batches(model, seed=seed))
        weights.append([v for values in snapshot(model).values() for v in values])
        norms.append({n: v for n, v in model.step.scalars().items() if "gradient_norm" in n})
    assert all(np.array_equal(a, b) for a, b in zip(*weights, strict=True))
    assert norms[0] == {}
    assert set(norms[1]) == {"gradient_norm/src_dst_opt", "gradient_norm/GAN_opt"}
    assert all(value > 0 for value in norms[1].values())


@pytest.mark.usefixtures("eagerly")
def test_an_update_that_float16_leaves_out_has_no_norm(make, batches):
    model = make(precision="float16", clipgrad=True)
    src, dst = batches(model)
    model.train_step(src, dst.with_arrays(target=dst["target"] * np.inf))
    assert np.isnan(model.step.scalars()["gradient_norm/src_dst_opt"])


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize(("cls", "sides"), [("AMP", {"src", "dst"}), ("XSeg", set())])
def test_a_step_says_how_flat_its_images_are(make, batches, cls, sides):
    model = make(cls)
    model.train_step(*batches(model))
    assert {side for side, value in model.step.output_variance().items() if value >= 0} == sides
