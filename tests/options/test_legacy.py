"""Old dictionaries: each row of options.md 5."""

from __future__ import annotations

from typing import Any

import pytest

from dfl_tf.errors import LegacyFormatError, OptionError
from dfl_tf.options import AMPOptions, SAEHDOptions, default, legacy_layer, resolve, to_legacy

SAEHD = to_legacy(default(SAEHDOptions))
AMP = to_legacy(default(AMPOptions))


def load(values: dict[str, Any], cls: type = SAEHDOptions, **hooks: Any) -> Any:
    return resolve(cls, [legacy_layer(cls, values, origin="data.dat", **hooks)])


def without(values: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key not in keys}


@pytest.mark.parametrize("cls", [SAEHDOptions, AMPOptions])
@pytest.mark.parametrize(("old", "new"), [(True, "y"), (False, "n")])
def test_boolean_dropout(cls: type, old: bool, new: str) -> None:
    base = SAEHD if cls is SAEHDOptions else AMP
    found = load({**base, "lr_dropout": old}, cls)
    assert found.options.lr_dropout == new
    assert any("lr_dropout" in text for text in found.warnings)


def test_eyes_prio_is_taken_over_only_where_the_new_key_is_absent() -> None:
    found = load({**without(SAEHD, "eyes_mouth_prio"), "eyes_prio": True})
    assert found.options.eyes_mouth_prio is True
    assert "eyes_prio" not in found.legacy()
    assert list(found.legacy())[-1] == "eyes_mouth_prio"
    found = load({**SAEHD, "eyes_prio": True})
    assert found.options.eyes_mouth_prio is False
    assert "eyes_prio" not in found.legacy()


def test_mve_priorities_are_joined_and_kept() -> None:
    base = without(SAEHD, "eyes_mouth_prio")
    found = load({**base, "eyes_prio": False, "mouth_prio": True})
    assert found.options.eyes_mouth_prio is True
    assert found.unknown == {"eyes_prio": False, "mouth_prio": True}


def test_random_flip_alone_is_not_used() -> None:
    base = without(SAEHD, "random_src_flip", "random_dst_flip")
    found = load({**base, "random_flip": True})
    assert (found.options.random_src_flip, found.options.random_dst_flip) == (False, True)
    assert any("random_flip" in text for text in found.warnings)
    assert found.legacy()["random_flip"] is True


@pytest.mark.parametrize(("slots", "expected"), [(True, False), (False, True), (None, True)])
def test_missing_adabelief_follows_the_optimizer_file(slots: bool | None, expected: bool) -> None:
    found = load(without(SAEHD, "adabelief"), rmsprop_slots=slots)
    assert found.options.adabelief is expected


def test_untrained_mask_is_warned_about() -> None:
    found = load({**SAEHD, "learn_mask": False})
    assert any("mask decoder" in text for text in found.warnings)
    assert found.legacy()["learn_mask"] is False


@pytest.mark.parametrize("mode", ["fs-aug", "cc-aug"])
def test_color_transfers_of_mve_become_none(mode: str) -> None:
    found = load({**SAEHD, "ct_mode": mode})
    assert found.options.ct_mode == "none"
    assert any(mode in text for text in found.warnings)


def test_custom_face_type_is_an_error() -> None:
    with pytest.raises(OptionError, match='face_type="custom" is not one of h, mf, f, wf, head'):
        load({**SAEHD, "face_type": "custom"})


def test_hd_archi_is_taken_from_the_weights_if_they_fit() -> None:
    with pytest.raises(OptionError, match="hd"):
        load({**SAEHD, "archi": "dfhd"})
    found = load({**SAEHD, "archi": "dfhd"}, inferred={"archi": "df"})
    assert found.options.archi == "df"


def test_early_amp_takes_inter_dims_from_the_weights() -> None:
    base = without(AMP, "inter_dims")
    assert load(base, AMPOptions, inferred={"inter_dims": 512}).options.inter_dims == 512
    assert load(base, AMPOptions).options.inter_dims == 1024


def test_models_of_dfl_1_are_refused() -> None:
    with pytest.raises(LegacyFormatError, match=r"DeepFaceLab 1\.x .*ed_ch_dims, pixel_loss"):
        load({"resolution": 128, "ed_ch_dims": 21, "pixel_loss": False})


def test_the_dictionary_is_not_modified() -> None:
    values = {**without(SAEHD, "eyes_mouth_prio"), "eyes_prio": True, "lr_dropout": True}
    before = dict(values)
    load(values)
    assert values == before
