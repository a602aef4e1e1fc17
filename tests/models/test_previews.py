"""Preview images: their names, their places, and what batches a model asks for."""

from __future__ import annotations

import threading
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from dfl_tf.data import Batch, XSegSpec
from dfl_tf.data.batch import SampleId
from dfl_tf.face import FaceType
from dfl_tf.models.xseg.preview import overlay
from dfl_tf.options import KINDS
from dfl_tf.train.host_copies import HostCopies

pytestmark = pytest.mark.usefixtures("eagerly")


def tiles(image, rows, columns):
    """Cut a sheet into its images."""
    h, w = image.shape[0] // rows, image.shape[1] // columns
    assert image.shape == (rows * h, columns * w, 3)
    return [
        [image[i * h : (i + 1) * h, j * w : (j + 1) * w] for j in range(columns)]
        for i in range(rows)
    ]


def images_of(model, given):
    src, dst = model.tensors(*(batch["target"] for batch in given))
    return [[np.asarray(x) for x in image] for image in model.generator.view(src, dst)]


@pytest.mark.parametrize("face_type", ["wf", "head"])
def test_saehd_rows_show_unwarped_faces_and_their_predictions(make, batches, face_type):
    model = make(archi="liae-ud", face_type=face_type)
    given = batches(model, 3)
    plain, masked, *_ = model.preview(*given)
    assert (plain.name, masked.name) == ("SAEHD", "SAEHD masked")
    assert plain.image.dtype == masked.image.dtype == np.float32
    (ss, _), (dd, ddm), (sd, sdm) = images_of(model, given)
    (s, sm), (d, dm) = ((batch["target"], batch["mask"]) for batch in given)
    swap_mask = sdm if face_type == "head" else ddm * sdm
    expected = {
        "plain": (s, ss, d, dd, sd),
        "masked": (s * sm, ss, d * dm, dd * ddm, sd * swap_mask),
    }
    # two rows: as many as the batch size, though the batch holds three faces
    for sheet, columns in zip((plain, masked), expected.values(), strict=True):
        for i, row in enumerate(tiles(sheet.image, 2, 5)):
            for got, column in zip(row, columns, strict=True):
                np.testing.assert_allclose(got, column[i], atol=1e-5)


def test_large_faces_get_sheets_of_their_own(make, batches):
    model = make(archi="df", resolution=272, batch_size=1)
    previews = model.preview(*batches(model, 1))
    assert [p.name for p in previews if not p.further] == [
        "SAEHD src-src",
        "SAEHD dst-dst",
        "SAEHD pred",
        "SAEHD masked src-src",
        "SAEHD masked dst-dst",
        "SAEHD masked pred",
    ]
    assert {p.image.shape for p in previews if not p.further} == {(272, 544, 3)}
    assert [p.captions for p in previews[:3]] == [
        (("src", "reconstruction"),), (("dst", "reconstruction"),), (("dst", "swap"),),
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["SAEHD", "AMP"])
def test_further_images_show_what_the_networks_got_and_the_masks(make, batches, name):
    model = make(name)
    given = [
        replace(batch, samples=tuple(SampleId(n, f"a folder/{side}/{n:05}_0.jpg") for n in (7, 8)))
        for batch, side in zip(batches(model), ("src", "dst"), strict=True)
    ]
    *legacy, inputs, masks = model.preview(*given)
    assert not any(image.further for image in legacy)
    assert inputs.further
    assert masks.further
    assert (inputs.name, masks.name) == (f"{name} inputs", f"{name} masks")
    count = len(inputs.captions)
    assert inputs.captions[0] == ("src 00007_0.jpg", "dst 00007_0.jpg")
    for i, row in enumerate(tiles(inputs.image, count, 2)):
        for got, batch in zip(row, given, strict=True):
            np.testing.assert_allclose(got, np.clip(batch["image"][i], 0, 1), atol=1e-6)
    given_masks = tiles(masks.image, count, 5)[0][::2][:2]
    for got, batch in zip(given_masks, given, strict=True):
        np.testing.assert_allclose(got[..., :1], np.clip(batch["mask"][0], 0, 1), atol=1e-6)
    for image in (*legacy, inputs, masks):
        cells = sum(len(row) for row in image.captions)
        assert cells * model.options.resolution**2 == image.image[..., 0].size


def test_amp_shows_one_face_at_five_morphs(make, batches):
    model = make("AMP")
    given = batches(model)
    first, plain, masked, *_ = model.preview(*given)
    assert first.name == "AMP morph 1.0"
    assert (plain.name, masked.name) == ("AMP morph list", "AMP morph list masked")
    (s, d, _), (_, dd, all_src) = tiles(first.image, 2, 3)
    np.testing.assert_array_equal(s, given[0]["target"][0])
    np.testing.assert_array_equal(d, given[1]["target"][0])
    (dd_again, quarter, _), (_, _, one) = tiles(plain.image, 2, 3)
    np.testing.assert_array_equal(dd, dd_again)
    np.testing.assert_array_equal(one, all_src)
    face = given[1]["target"][:1]
    for morph, shown in ((0.25, quarter), (1.0, one)):
        np.testing.assert_allclose(model.swap(face, morph).image[0], shown, atol=1e-5)
    (_, cut, _), _ = tiles(masked.image, 2, 3)
    output = model.swap(face, 0.25)
    np.testing.assert_allclose(cut, (output.image * output.mask * output.dst_mask)[0], atol=1e-5)


def test_amp_morph_zero_is_dst_and_default_is_src(make, batches):
    model = make("AMP")
    face = batches(model)[1]["target"]
    np.testing.assert_array_equal(model.swap(face, 0.0).mask, model.swap(face, 0.0).dst_mask)
    np.testing.assert_array_equal(model.swap(face).image, model.swap(face, 1.0).image)


def test_xseg_tints_what_lies_outside_the_mask(make, batches):
    model = make("XSeg")
    (given,) = batches(model, 1)
    image, mask = given["image"], given["target"]
    faces = Batch({"image": image})
    training, src, dst = model.preview(given, faces, faces)
    assert training.name == "XSeg training faces"
    assert (src.name, dst.name) == ("XSeg src faces", "XSeg dst faces")
    ((true, predicted, shown),) = tiles(training.image, 1, 3)
    inside = mask[0, ..., 0] == 1
    np.testing.assert_allclose(true[inside], image[0][inside], atol=1e-6)
    half_green = 0.5 * image[0] + [0, 0.5, 0]
    np.testing.assert_allclose(true[~inside], half_green[~inside], atol=1e-6)
    np.testing.assert_allclose(shown, overlay(image, predicted[None, ..., :1])[0], atol=1e-6)


@pytest.mark.parametrize(
    ("model_class", "resolution", "period"),
    [
        ("SAEHD", 64, 10),
        ("SAEHD", 96, 10),
        ("SAEHD", 128, 20),
        ("AMP", 256, 40),
        ("Quick96", 96, 10),
        ("XSeg", 256, 10),
    ],
)
def test_the_history_of_previews_has_the_legacy_period(model_class, resolution, period):
    cls = KINDS[model_class].model_type()
    model = SimpleNamespace(options=SimpleNamespace(resolution=resolution))
    assert cls.history_period.fget(model) == period


def test_sample_specs_ask_for_what_the_step_uses(make):
    src, dst = (
        make(
            archi="df", ct_mode="rct", random_hsv_power=0.1, random_src_flip=True, face_type="head"
        )
        .sample_specs()
        .values()
    )
    outputs = src.outputs.values()
    assert list(src.outputs) == ["image", "target", "mask"]
    assert [o.kind for o in outputs] == ["image", "image", "mask"]
    assert [o.warp for o in outputs] == [True, False, False]
    assert [o.hsv_shift for o in outputs] == [0.1, 0, 0]
    assert [o.color_transfer for o in outputs] == [True, True, False]
    assert (src.ct_mode, dst.ct_mode) == ("rct", "none")
    assert (src.random_flip, dst.random_flip) == (True, True)
    assert not any(o.hsv_shift or o.color_transfer for o in dst.outputs.values())
    assert src.face_type is FaceType.HEAD
    pretraining = make(archi="df", pretrain=True, eyes_mouth_prio=True, ct_mode="rct")
    src = pretraining.sample_specs()["src"]
    assert [src.outputs[n].mask for n in ("mask", "eyes_mouth")] == ["full", "eyes_mouth"]
    assert src.random_flip
    assert src.ct_mode == "none"
    assert not src.outputs["image"].warp
    assert len(make("AMP").sample_specs()["src"].outputs) == 4


def test_quick96_and_xseg_specs(make):
    src, dst = make("Quick96").sample_specs().values()
    assert src == dst
    assert (src.resolution, src.face_type, len(src.outputs)) == (96, FaceType.FULL, 3)
    spec = XSegSpec(resolution=256, face_type=FaceType.WHOLE_FACE)
    assert make("XSeg").sample_specs() == {"faces": spec}
    outputs = make("XSeg", pretrain=True).sample_specs()["faces"].outputs
    assert {n: (o.channels, o.warp) for n, o in outputs.items()} == {
        "image": ("bgr", True),
        "target": ("g", True),
    }
    shown = make("XSeg").preview_specs()
    assert list(shown) == ["src", "dst"]
    face = shown["src"].outputs["image"]
    assert (face.transform, face.border_replicate) == (False, False)
    assert make("XSeg", pretrain=True).preview_specs() == make("Quick96").preview_specs() == {}


@pytest.mark.parametrize("cls", ["SAEHD", "AMP", "XSeg"])
def test_copied_weights_are_shown_while_the_model_moves_on(make, batches, cls):
    tf.config.run_functions_eagerly(cls != "SAEHD")  # its weights are inputs of a graph
    model = make(cls)
    given = batches(model)
    taken = HostCopies().take(model.state(views=True)).state.tensors
    before = [image.image for image in model.preview(*given) if not image.further]
    for variables in (network.weights for network in model.networks.values()):
        for variable in variables:
            variable.assign(variable.value * 1.5 + 0.01)
    drawn = []

    def draw():
        with model.weights_from(taken):
            drawn.extend(i.image for i in model.preview(*given) if not i.further)

    thread = threading.Thread(target=draw)
    thread.start()
    moved = [image.image for image in model.preview(*given) if not image.further]
    thread.join()
    for was, copied, now in zip(before, drawn, moved, strict=True):
        np.testing.assert_array_equal(was, copied)
        assert not np.array_equal(was, now)
