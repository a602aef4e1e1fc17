"""What a user can set: the one source of truth for flags, YAML, prompts, legacy keys and docs."""

from __future__ import annotations

from .amp import AMPOptions
from .extract import ExtractOptions
from .foreign import kept_unused, unused_note
from .legacy import legacy_layer
from .merge import MergeOptions
from .quick96 import Quick96Options
from .registry import DEFAULT_MODEL, KINDS, OPTIONS, ModelKind, kind_of, register_model
from .resolve import (
    Effective,
    Layer,
    Resolved,
    default,
    effective,
    effective_dict,
    environment_layer,
    from_mapping,
    resolve,
    to_legacy,
)
from .run import RunOptions
from .saehd import SAEHDOptions
from .schema import Machine, Options, OptionSpec, specs
from .summary import Device, summary_text
from .training import FaceSwapOptions, TrainingOptions
from .xseg import XSegOptions

__all__ = [
    "DEFAULT_MODEL",
    "KINDS",
    "OPTIONS",
    "AMPOptions",
    "Device",
    "Effective",
    "ExtractOptions",
    "FaceSwapOptions",
    "Layer",
    "Machine",
    "MergeOptions",
    "ModelKind",
    "OptionSpec",
    "Options",
    "Quick96Options",
    "Resolved",
    "RunOptions",
    "SAEHDOptions",
    "TrainingOptions",
    "XSegOptions",
    "default",
    "effective",
    "effective_dict",
    "environment_layer",
    "from_mapping",
    "kept_unused",
    "kind_of",
    "legacy_layer",
    "register_model",
    "resolve",
    "specs",
    "summary_text",
    "to_legacy",
    "unused_note",
]
