"""Option dictionaries and summaries of the legacy program; needs no TensorFlow."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from dfl_tf.formats.models.legacy import plain
from dfl_tf.formats.pickles.safe_pickle import load_file
from dfl_tf.options import OPTIONS, legacy_layer, resolve, summary_text
from golden_kinds.arrays import same
from golden_kinds.check import Check

# What a merge configuration holds beside its settings.
_HOUSEKEEPING = {"default_mode", "type", "face_type", "sharpen_dict"}


def known_settings(config: dict[str, Any]) -> dict[str, Any]:
    """Leave out what a legacy merge configuration holds beside its settings."""
    return {k: v for k, v in config.items() if k not in _HOUSEKEEPING}


def compare_defaults(path: Path) -> list[Check]:
    """A dictionary of plain values that a new model of the class restores unchanged."""
    cls = OPTIONS[path.name.split("_default_options")[0]]
    options = plain(load_file(path))
    kinds = {type(value) for value in options.values()} - {bool, int, float, str}
    resolved = resolve(cls, [legacy_layer(cls, options, origin=path.name)])
    kept = {key: value for key, value in resolved.legacy().items() if key in options}
    return [same("plain values", sorted(map(str, kinds)), []), same("kept", kept, options)]


def compare_lone_summary(path: Path) -> list[Check]:
    """A summary without its model: what we write for the default options beside it."""
    wanted = path.read_bytes().decode("utf-8")
    full_name = path.name.removesuffix("_summary.txt")
    defaults = next(path.parent.glob(f"{full_name.rsplit('_', 1)[-1]}_default_options*.dat"))
    found = re.search(r"Current iteration: (\d+)", wanted)
    iteration = int(found[1]) if found else 0
    text = summary_text(full_name, iteration, plain(load_file(defaults)))
    return [same("text", text, wanted)]
