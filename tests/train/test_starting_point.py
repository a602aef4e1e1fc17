"""A new model that starts from parts of another one: what is taken, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from dfl_tf import models
from dfl_tf.errors import ModelFileError, UsageError
from dfl_tf.formats import write_model
from dfl_tf.options import OPTIONS, RunOptions, default
from dfl_tf.train.starting_point import check_origin, find_origin, take_parts

DIMS = {"resolution": 64, "ae_dims": 32, "e_dims": 16, "d_dims": 16, "d_mask_dims": 16}


def new(cls="SAEHD", seed=1, **options):
    values = {**DIMS, "archi": "df", **options} if cls == "SAEHD" else {**DIMS, **options}
    return models.create(cls, default(OPTIONS[cls], **values), RunOptions(seed=seed))


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    """A folder with a legacy SAEHD "old" and a native AMP "amp"."""
    folder = tmp_path_factory.mktemp("others")
    write_model(folder, "old", new(seed=2).state(), format="legacy")
    write_model(folder, "amp", new("AMP", seed=3, inter_dims=32).state(), format="native")
    return folder


def first(model, part):
    return np.asarray(model.networks[part].weights[0])


def test_all_parts_of_a_legacy_model_are_taken(others):
    model, other = new(), new(seed=2)
    assert not np.array_equal(first(model, "inter"), first(other, "inter"))
    (line,) = take_parts(model, f"{others}/old")
    assert line.startswith("encoder, inter, decoder_src, decoder_dst: weights of old (SAEHD) of")
    for part, network in model.networks.items():
        for one, wanted in zip(network.weights, other.networks[part].weights, strict=True):
            np.testing.assert_array_equal(one, wanted)
    assert all(int(o.iterations) == 0 for o in model.optimizers.values())


def test_named_parts_only(others):
    model, before = new(), new()
    (line,) = take_parts(model, f"{others}/old_SAEHD:inter, decoder_dst")
    assert line.startswith("inter, decoder_dst: weights of")
    np.testing.assert_array_equal(first(model, "encoder"), first(before, "encoder"))
    assert not np.array_equal(first(model, "inter"), first(before, "inter"))


def test_what_does_not_fit_is_named_and_starts_with_random_weights(others):
    model, before = new(d_dims=18), new(d_dims=18)
    taken, *left = take_parts(model, f"{others}/old")
    assert taken.startswith("encoder, inter: weights of")
    assert [line.split(":")[0] for line in left] == [
        "decoder_src starts with random weights",
        "decoder_dst starts with random weights",
    ]
    assert "misshapen" in left[0]
    np.testing.assert_array_equal(first(model, "decoder_src"), first(before, "decoder_src"))


def test_another_class_gives_what_has_the_same_shapes(others):
    model = new(archi="df-udt")
    with pytest.raises(UsageError, match=r"fit the new SAEHD:\n  encoder: .*\n  inter: there"):
        take_parts(model, f"{others}/amp")
    amp = new("AMP", seed=5, inter_dims=48)
    taken, *left = take_parts(amp, f"{others}/amp:encoder")
    assert taken.startswith("encoder: weights of amp (AMP) of")
    assert not left


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (":inter_AB", "the new SAEHD has no network inter_AB. It has encoder, inter"),
        (":encoder,decoder_src", "decoder_src: .*misshapen"),
    ],
)
def test_a_named_part_that_does_not_fit_is_an_error_and_nothing_is_taken(others, text, said):
    model = new(d_dims=18)
    before = [first(model, part) for part in model.networks]
    with pytest.raises(UsageError, match=said):
        take_parts(model, f"{others}/old{text}")
    for part, weight in zip(model.networks, before, strict=True):
        np.testing.assert_array_equal(first(model, part), weight)


def test_which_model_is_meant(others, tmp_path):
    assert find_origin(str(others)).parts == ()
    found = find_origin(f"{others}/amp:encoder,decoder")
    assert (found.model.name, found.model.model_class) == ("amp", "AMP")
    assert found.parts == ("encoder", "decoder")
    odd = tmp_path / "with:colon"
    odd.mkdir()
    with pytest.raises(ModelFileError, match="there is no model"):
        find_origin(str(odd))
    with pytest.raises(UsageError, match=r"there is no folder .*FOLDER/NAME"):
        find_origin("nowhere/at/all:encoder")
    with pytest.raises(ModelFileError, match="called new"):
        find_origin(f"{others}/new")


def test_a_model_that_is_there_goes_on_with_its_own_weights(others):
    run = RunOptions(init_from=f"{others}/old")
    state = new().state()
    (line,) = check_origin(run, state)
    assert "this one continues at iteration 0 with its own weights" in line
    (line,) = check_origin(run, None)
    assert "starts from what fits of old (SAEHD)" in line
    assert check_origin(RunOptions(), None) == []
