"""The table of model classes: what it says, what it refuses, what entry points may do to it."""

from __future__ import annotations

import logging
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest

from dfl_tf.errors import UsageError
from dfl_tf.options import KINDS, OPTIONS, SAEHDOptions, kind_of, register_model, registry


def test_the_four_classes_are_there_in_their_order() -> None:
    assert list(KINDS) == list(OPTIONS) == ["SAEHD", "AMP", "Quick96", "XSeg"]
    assert all(OPTIONS[name] is kind.options for name, kind in KINDS.items())
    assert [name for name, kind in KINDS.items() if not kind.swaps_faces] == ["XSeg"]
    assert [name for name, kind in KINDS.items() if not kind.named] == ["XSeg"]
    with pytest.raises(UsageError, match="no model class 'SAE'; known are SAEHD, AMP"):
        kind_of("SAE")


def test_parts_are_sorted_as_the_legacy_program_saves() -> None:
    saehd = KINDS["SAEHD"]
    parts = ["GAN_opt", "later", "decoder", "inter_B", "encoder", "src_dst_opt", "GAN"]
    order = ["encoder", "inter_B", "decoder", "GAN", "src_dst_opt", "GAN_opt", "later"]
    assert sorted(parts, key=saehd.part_key) == order
    assert KINDS["XSeg"].parts == ("XSeg_256_opt", "XSeg_256")


def test_names_that_are_taken_or_could_be_no_file_name_are_refused() -> None:
    with pytest.raises(ValueError, match="a model class SAEHD already"):
        register_model(replace(KINDS["SAEHD"], named=False))
    for name in ("my_model", "", "a b", "é"):
        options = type("Options", (SAEHDOptions,), {"NAME": name})
        with pytest.raises(ValueError, match="must be letters and digits"):
            register_model(replace(KINDS["SAEHD"], options=options))
    with pytest.raises(TypeError, match="takes a ModelKind"):
        register_model(SAEHDOptions)  # type: ignore[arg-type]
    assert register_model(KINDS["SAEHD"]) is KINDS["SAEHD"]  # the same once more does no harm
    assert len(KINDS) == 4


def test_a_broken_entry_point_is_named_and_left_out(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    options = type("Options", (SAEHDOptions,), {"NAME": "Good"})
    good = replace(KINDS["SAEHD"], options=options)

    def broken() -> None:
        raise ImportError("no module named gone")

    entries = [
        SimpleNamespace(name="bad", load=broken),
        SimpleNamespace(name="ok", load=lambda: good),
    ]
    monkeypatch.setattr(registry, "entry_points", lambda group: entries)
    table = registry._Kinds(KINDS["SAEHD"])
    monkeypatch.setattr(registry, "KINDS", table)
    with caplog.at_level(logging.WARNING):
        assert list(table) == ["SAEHD", "Good"]
    assert "model class bad cannot be loaded: no module named gone" in caplog.text


def test_the_table_imports_no_tensorflow() -> None:
    code = (
        "import sys; from dfl_tf.options import KINDS; "
        "[kind.export_forms() for kind in KINDS.values()]; "
        "KINDS['SAEHD'].needed_parts(KINDS['SAEHD'].options()); "
        "KINDS['AMP'].options_from({}, {}); assert 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
