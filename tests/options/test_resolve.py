"""Precedence, ranges, roundings, conflicts, resume: all in `resolve`."""

from __future__ import annotations

import numpy as np
import pytest

from dfl_tf.errors import OptionError
from dfl_tf.options import (
    AMPOptions,
    Layer,
    Machine,
    MergeOptions,
    Quick96Options,
    RunOptions,
    SAEHDOptions,
    XSegOptions,
    default,
    effective,
    effective_dict,
    environment_layer,
    from_mapping,
    legacy_layer,
    resolve,
    specs,
    to_legacy,
)

STORED = to_legacy(default(SAEHDOptions))


def stored(**values: object) -> Layer:
    return legacy_layer(SAEHDOptions, {**STORED, **values}, origin="new_SAEHD_data.dat")


def now(**values: object) -> Layer:
    return Layer(values, "the command line")


def errors(*layers: Layer, cls: type = SAEHDOptions, **keywords: object) -> str:
    with pytest.raises(OptionError) as caught:
        resolve(cls, layers, **keywords)
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_later_layers_win_and_their_origin_is_known() -> None:
    layers = [
        stored(target_iter=1),
        Layer(
            {"target_iter": 2, "clipgrad": "on"}, "a.yaml", places={"target_iter": "a.yaml, line 3"}
        ),
        environment_layer({"DFL_TF_OPT_TARGET_ITER": "3", "HOME": "/"}),
        now(target_iter="4"),
    ]
    for count, expected in ((1, 1), (2, 2), (3, 3), (4, 4)):
        assert resolve(SAEHDOptions, layers[:count]).options.target_iter == expected
    found = resolve(SAEHDOptions, layers)
    assert found.options.clipgrad is True
    assert found.origins["target_iter"] == "the command line"
    assert resolve(SAEHDOptions, layers[:2]).origins["target_iter"] == "a.yaml, line 3"
    assert resolve(SAEHDOptions, layers[:3]).origins["target_iter"] == (
        "environment variable DFL_TF_OPT_TARGET_ITER"
    )


def test_last_defaults_are_below_the_model() -> None:
    last = Layer({"clipgrad": True, "ae_dims": 128}, "defaults", kind="defaults")
    assert resolve(SAEHDOptions, [last]).options.clipgrad is True
    assert resolve(SAEHDOptions, [last, stored()]).options.ae_dims == 256


def test_amp_never_proposes_the_last_morph_factor() -> None:
    last = Layer({"morph_factor": 0.2, "inter_dims": 64}, "defaults", kind="defaults")
    options = resolve(AMPOptions, [last]).options
    assert (options.morph_factor, options.inter_dims) == (0.5, 64)


def test_stored_none_counts_as_absent_and_zero_does_not() -> None:
    layer = stored(ct_mode=None, random_dst_flip=False, target_iter=0)
    last = Layer({"ct_mode": "rct", "random_dst_flip": True}, "defaults", kind="defaults")
    options = resolve(SAEHDOptions, [last, layer]).options
    assert (options.ct_mode, options.random_dst_flip) == ("rct", False)


def test_all_errors_are_told_at_once_with_their_place() -> None:
    layer = Layer(
        {"gan_power": 12.0, "ct_mode": "rtc", "ae_dim": 4, "clipgrad": "maybe", "target_iter": "x"},
        "config.yaml",
        places={"gan_power": "config.yaml, line 14"},
    )
    text = errors(layer)
    assert text.startswith("5 errors in the options:")
    assert "gan_power=12.0 is outside 0 … 10 (from config.yaml, line 14)" in text
    assert 'ct_mode="rtc" is not one of none, rct, lct, mkl, idt, sot; did you mean "rct"?' in text
    assert 'ae_dim is not an option of SAEHD; did you mean "ae_dims"?' in text
    assert 'clipgrad="maybe" is neither yes nor no' in text
    assert 'target_iter="x" is not a whole number' in text


@pytest.mark.parametrize(
    ("key", "low", "high", "below", "above"),
    [
        ("ae_dims", 32, 2048, 31, 2049),
        ("gan_power", 0.0, 10.0, -0.1, 10.1),
        ("gan_dims", 4, 512, 3, 513),
        ("gan_patch_size", 3, 640, 2, 641),
        ("random_hsv_power", 0.0, 0.3, -0.01, 0.31),
        ("true_face_power", 0.0, 1.0, -1, 1.5),
        ("face_style_power", 0.0, 100.0, -1, 101),
        ("bg_style_power", 0.0, 100.0, -1, 101),
        ("autobackup_hour", 0, 24, -1, 25),
        ("e_dims", 16, 256, 15, 257),
        ("resolution", 64, 640, 63, 641),
    ],
)
def test_union_ranges(key: str, low: float, high: float, below: float, above: float) -> None:
    for value in (low, high):
        options = resolve(SAEHDOptions, [now(**{key: value, "archi": "df-ud"})]).options
        assert getattr(options, key) == value
    for value in (below, above):
        assert f"{key}=" in errors(now(**{key: value}))


def test_other_spellings_of_choices() -> None:
    for text, stored in (("yes", "y"), ("True", "y"), ("no", "n"), ("cpu", "cpu"), (True, "y")):
        assert resolve(SAEHDOptions, [now(lr_dropout=text)]).options.lr_dropout == stored
    for text, stored in (("bf16", "bfloat16"), ("FP16", "float16"), ("float32", "float32")):
        assert resolve(RunOptions, [now(precision=text)]).options.precision == stored
    assert 'ct_mode="yes" is not one of' in errors(now(ct_mode="yes"))


def test_amp_ranges() -> None:
    text = errors(now(inter_dims=2049, morph_factor=0.6), cls=AMPOptions)
    assert "inter_dims=2049 is outside 32 … 2048" in text
    assert "morph_factor=0.6 is outside 0.1 … 0.5" in text
    text = errors(now(face_type="h"), cls=AMPOptions)
    assert 'face_type="h" is not one of f, wf, head' in text


def test_batch_size_of_zero_is_refused_and_xseg_has_its_own_range() -> None:
    assert "batch_size=0 is less than 1" in errors(now(batch_size=0))
    assert "batch_size=99 is outside 2 … 16" in errors(now(batch_size=99), cls=XSegOptions)


@pytest.mark.parametrize(
    ("cls", "archi", "given", "expected"),
    [
        (SAEHDOptions, "df", 250, 240),
        (SAEHDOptions, "df-u", 79, 64),
        (SAEHDOptions, "liae-ud", 250, 224),
        (SAEHDOptions, "df-dt", 127, 96),
        (AMPOptions, None, 250, 224),
    ],
)
def test_resolution_is_rounded_down_and_said(
    cls: type, archi: str | None, given: int, expected: int
) -> None:
    values = {"resolution": given} | ({"archi": archi} if archi else {})
    found = resolve(cls, [now(**values)])
    assert found.options.resolution == expected
    assert found.options.gan_patch_size == expected // 8
    assert found.adjustments
    assert found.adjustments[0].startswith(f"resolution={given} becomes")


def test_resolution_that_t_cannot_build_is_refused() -> None:
    text = errors(now(archi="df-t", resolution=80))
    assert "resolution=80 does not fit archi df-t: it must be a multiple of 32, 64 or 96" in text
    assert resolve(SAEHDOptions, [now(archi="df-t", resolution=96)]).options.resolution == 96


def test_odd_dimensions_become_even() -> None:
    found = resolve(SAEHDOptions, [now(e_dims=33, d_dims=49, d_mask_dims=17)])
    options = found.options
    assert (options.e_dims, options.d_dims, options.d_mask_dims) == (34, 50, 18)
    assert len(found.adjustments) == 3


def test_mask_dims_follow_the_proposed_decoder_dims() -> None:
    assert resolve(SAEHDOptions, [now(d_dims=49)]).options.d_mask_dims == 22
    last = Layer({"d_dims": 96}, "defaults", kind="defaults")
    assert resolve(SAEHDOptions, [last, now(d_dims=48)]).options.d_mask_dims == 32


def test_strict_refuses_what_would_be_rounded() -> None:
    text = errors(now(e_dims=33, resolution=130), strict=True)
    assert "e_dims=33 becomes 34" in text
    assert "resolution=130 becomes 128" in text
    assert text.count("refused by --strict") == 2


@pytest.mark.parametrize("archi", ["df", "liae", "df-u", "liae-udtc", "df-dd", "LIAE-UD"])
def test_architectures_that_can_be_built(archi: str) -> None:
    assert resolve(SAEHDOptions, [now(archi=archi)]).options.archi == archi.lower()


@pytest.mark.parametrize("archi", ["df-", "dfx", "liae-x", "ae", "df-ud ud", ""])
def test_other_architectures_are_refused(archi: str) -> None:
    assert "is not an architecture" in errors(now(archi=archi))


@pytest.mark.parametrize("archi", ["dfhd", "liaehd", "dfuhd", "liaeuhd"])
def test_hd_architectures_of_2020_are_refused_by_name(archi: str) -> None:
    assert f'archi="{archi}" is one of the "hd" graphs of 2020' in errors(now(archi=archi))
    assert '"hd" graphs' in errors(stored(archi=archi))


def test_batch_is_rounded_to_the_devices() -> None:
    machine = Machine(devices=3)
    assert resolve(SAEHDOptions, [now(batch_size=8)], machine=machine).options.batch_size == 6
    assert resolve(SAEHDOptions, [now(batch_size=2)], machine=machine).options.batch_size == 3
    assert resolve(Quick96Options, [], machine=machine).options.batch_size == 3


def test_default_batch_follows_the_gpu_memory() -> None:
    small, large = Machine(weakest_gpu_gib=3.9), Machine(weakest_gpu_gib=4.0)
    assert resolve(SAEHDOptions, [], machine=small).options.batch_size == 4
    assert resolve(SAEHDOptions, [], machine=large).options.batch_size == 8
    assert resolve(SAEHDOptions, []).options.batch_size == 4
    assert resolve(AMPOptions, []).options.batch_size == 8


def test_stored_values_out_of_range_stay_with_a_warning() -> None:
    found = resolve(SAEHDOptions, [stored(ae_dims=8, e_dims=5, gan_power=50.0)])
    assert (found.options.ae_dims, found.options.e_dims, found.options.gan_power) == (8, 5, 50.0)
    assert sum("so it stays" in text for text in found.warnings) == 3
    assert not found.adjustments


def test_architecture_cannot_change_on_resume() -> None:
    text = errors(stored(), now(ae_dims=512, archi="df", e_dims=63))
    assert "ae_dims=512 differs from the model's 256" in text
    assert "archi=df differs from the model's liae-ud" in text
    assert "e_dims" not in text.replace("ae_dims", "")


def test_architecture_that_is_equal_after_rounding_is_accepted() -> None:
    found = resolve(SAEHDOptions, [stored(resolution=224), now(resolution=250, e_dims=63)])
    assert (found.options.resolution, found.options.e_dims) == (224, 64)


def test_options_that_may_change_on_resume_do() -> None:
    found = resolve(SAEHDOptions, [stored(pretrain=True), now(pretrain="n", gan_dims=32)])
    assert found.pretrain_just_disabled
    assert found.gan_model_changed
    assert not found.new
    amp = legacy_layer(AMPOptions, to_legacy(default(AMPOptions)), origin="data.dat")
    assert resolve(AMPOptions, [amp, now(morph_factor=0.3)]).options.morph_factor == 0.3


def test_new_models_of_small_faces_are_masked_and_old_ones_go_on() -> None:
    found = resolve(SAEHDOptions, [now(face_type="f", masked_training=False)])
    assert found.options.masked_training is True
    assert "always trained masked" in found.adjustments[0]
    last = Layer({"masked_training": False}, "defaults", kind="defaults")
    assert resolve(SAEHDOptions, [last]).options.masked_training is True
    assert resolve(SAEHDOptions, [last, now(face_type="wf")]).options.masked_training is False
    assert resolve(SAEHDOptions, [stored(masked_training=False)]).options.masked_training is False


def test_liae_has_no_true_face() -> None:
    assert resolve(SAEHDOptions, [now(true_face_power=0.1)]).options.true_face_power == 0.0
    options = resolve(SAEHDOptions, [stored(true_face_power=0.1)]).options
    assert options.true_face_power == 0.1
    used = effective(options)
    assert used.options.true_face_power == 0.0
    assert used.reasons == {"true_face_power": "a liae model has no true face"}


def test_effective_values_of_pretraining() -> None:
    options = default(
        SAEHDOptions,
        archi="df-ud",
        pretrain=True,
        lr_dropout="y",
        gan_power=0.1,
        random_hsv_power=0.1,
        face_style_power=1.0,
        bg_style_power=1.0,
        true_face_power=0.01,
        ct_mode="rct",
        random_dst_flip=False,
        clipgrad=True,
    )
    used = effective(options).options
    assert (used.lr_dropout, used.random_warp, used.gan_power) == ("n", False, 0.0)
    assert (used.random_hsv_power, used.face_style_power, used.bg_style_power) == (0.0, 0.0, 0.0)
    assert (used.random_src_flip, used.random_dst_flip, used.uniform_yaw) == (True, True, True)
    assert used.ct_mode == "none"
    assert used.true_face_power == 0.01  # its network stays; decision 22 drops the term
    assert (used.clipgrad, used.adabelief) == (True, True)
    assert to_legacy(options)["lr_dropout"] == "y"
    assert effective_dict(options)["lr_dropout"] == "n"


def test_unknown_keys() -> None:
    assert "use_fp16" in errors(now(use_fp16=True))
    assert "MVE" in errors(now(use_fp16=True))
    assert "it is eyes_mouth_prio now" in errors(now(eyes_prio=True))
    found = resolve(SAEHDOptions, [now(use_fp16=True)], allow_unknown=True)
    assert found.legacy()["use_fp16"] is True
    kept = resolve(SAEHDOptions, [stored(use_fp16=True, session_name="a")])
    assert kept.unknown == {"use_fp16": True, "session_name": "a"}
    assert list(kept.legacy())[-2:] == ["use_fp16", "session_name"]


def test_numpy_scalars_become_plain() -> None:
    layer = stored(ae_dims=np.int64(256), gan_power=np.float64(0.25), clipgrad=np.bool_(True))
    options = resolve(SAEHDOptions, [layer]).options
    assert type(options.ae_dims) is int
    assert type(options.gan_power) is float
    assert options.clipgrad is True


def test_from_mapping_checks_or_keeps() -> None:
    options, unknown = from_mapping(SAEHDOptions, {"ae_dims": "128"}, origin="x")
    assert (options.ae_dims, unknown) == (128, {})
    with pytest.raises(OptionError):
        from_mapping(SAEHDOptions, {"session_name": "a"}, origin="x")
    options, unknown = from_mapping(
        SAEHDOptions, {"ae_dims": 8, "session_name": "a"}, origin="x", unknown="keep"
    )
    assert (options.ae_dims, unknown) == (8, {"session_name": "a"})


def test_default_takes_tiny_networks_and_refuses_unknown_names() -> None:
    options = default(SAEHDOptions, resolution=64, ae_dims=8, e_dims=4)
    assert (options.ae_dims, options.gan_patch_size) == (8, 8)
    with pytest.raises(TypeError, match="ae_dim"):
        default(SAEHDOptions, ae_dim=8)


def test_own_options_are_stored_only_when_they_differ() -> None:
    assert "train_inters" not in to_legacy(default(AMPOptions))
    assert to_legacy(default(AMPOptions, train_inters=True))["train_inters"] is True
    assert list(to_legacy(default(XSegOptions))) == ["face_type", "pretrain", "batch_size"]
    written = to_legacy(default(XSegOptions, target_iter=5))
    assert written["target_iter"] == 5
    assert from_mapping(XSegOptions, written, origin="x", unknown="keep")[0].target_iter == 5


def test_merge_choices_by_name_and_number() -> None:
    options = resolve(MergeOptions, []).options
    assert (options.mode, options.mask_mode) == ("overlay", "learned-prd*learned-dst")
    assert (options.color_transfer_mode, options.hist_match_threshold) == ("rct", 238)
    options = resolve(MergeOptions, [now(mode="3", mask_mode=9, color_transfer_mode=0)]).options
    assert options.mode == "seamless"
    assert options.mask_mode == "learned-prd*learned-dst*XSeg-prd*XSeg-dst"
    assert options.color_transfer_mode == "none"
    text = errors(now(mode=7, erode_mask_modifier=401), cls=MergeOptions)
    assert 'mode="7"' in text or "mode=7" in text
    assert "erode_mask_modifier=401 is outside -400 … 400" in text


def test_run_options_parse_lists_and_optional_numbers() -> None:
    options = resolve(RunOptions, [now(reinit="inter_B, GAN", seed="7", xla=False)]).options
    assert (options.reinit, options.seed, options.xla) == (("inter_B", "GAN"), 7, "off")
    assert resolve(RunOptions, [now(seed="none")]).options.seed is None


@pytest.mark.parametrize(
    "cls", [SAEHDOptions, AMPOptions, Quick96Options, XSegOptions, RunOptions, MergeOptions]
)
def test_every_option_is_explained_and_its_default_is_valid(cls: type) -> None:
    for spec in specs(cls).values():
        assert spec.help.endswith("."), spec.key
        assert spec.details.endswith("."), spec.key
        assert spec.group, spec.key
        if spec.key in cls.QUESTIONS:
            assert spec.label, spec.key
    assert resolve(cls, [now(**{key: s.default for key, s in specs(cls).items()})]).options == cls()


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("ae_dim", 'did you mean "ae_dims"'), ("gan_noise", "MVE fork"),
        ("erode_mask_modifier", "merge"),
        ("foo", '"dfl-tf options" lists all'), ("random_flip", "random_src_flip"),
    ],
)  # fmt: skip
def test_a_key_that_is_no_option_gets_the_hint_that_helps(key: str, hint: str) -> None:
    with pytest.raises(OptionError, match=hint):
        resolve(SAEHDOptions, [Layer({key: 1}, "x.yaml")])
