"""Golden option dialogues: values, order, plain types, cross effects, summary text.

Where the port differs on purpose (README of the folder; options.md 5, decisions 4) the expected
value follows from the case itself: an answer beyond the legacy range but within ours is kept, the
old `eyes_prio` becomes `eyes_mouth_prio`, Quick96 has its fixed batch of four.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dfl_tf.options import OPTIONS, Resolved, legacy_layer, resolve, summary_text
from dfl_tf.options import schema as option_schema
from dfl_tf.options.prompts import ask_options
from golden_kinds.arrays import load_json, same
from golden_kinds.check import Check

QUICK96_BATCH = 4
# Upper ends of the legacy program where ours are higher (decisions 4).
LEGACY_MAXIMA = {"ae_dims": 1024, "gan_power": 5.0}
_PLAIN = {"int64": "int", "int32": "int", "float64": "float", "float32": "float"}


def cases(folder: Path) -> list[str]:
    """Every json file of the folder that is a dialogue; one that is none fails when it is run."""
    return sorted(path.stem for path in folder.glob("*.json"))


def run(folder: Path, case: str) -> list[Check]:
    """Hold the dialogue again and compare what came of it."""
    stored = load_json(folder / f"{case}.json")
    if not isinstance(stored, dict) or "resulting_options_in_order" not in stored:
        raise ValueError("this is not an option dialogue")
    resolved, typed = hold_dialogue(stored)
    got, want = resolved.legacy(), expected_options(stored, typed)
    checks = [
        same("keys in order", list(got), list(want)),
        *(same(key, got.get(key), value) for key, value in want.items()),
    ]
    kinds = {key: _PLAIN.get(kind, kind) for key, kind in stored.get("python_types", {}).items()}
    checks += [
        same(f"type of {key}", type(got[key]).__name__, kinds[key]) for key in got if key in kinds
    ]
    return checks + _effects(stored, resolved, want) + _summaries(stored, got, want)


def hold_dialogue(stored: Mapping[str, Any]) -> tuple[Resolved[Any], dict[str, str]]:
    """Give the recorded answers: a question takes the first fragment that occurs in its label.

    Returns the options and the answers by option.
    """
    cls = OPTIONS[stored["model_class"]]
    keys = {spec.question: key for key, spec in option_schema.specs(cls).items()}
    typed: dict[str, str] = {}

    def read(prompt: str) -> str:
        label = prompt.split(" ( ")[0]
        found = [text for part, text in stored["answers_given"] if part in label]
        if found and label in keys:
            typed[keys[label]] = found[0]
        return str(found[0]) if found else ""

    layers = []
    if stored["previous_options"]:
        previous = stored["previous_options"]
        layers.append(legacy_layer(cls, previous, origin="data.dat", rmsprop_slots=False))
    new = None
    if stored["first_run"] or stored["override_entered"]:
        answers = ask_options(cls, layers, read=read, say=lambda line: None)
        layers.append(answers.layer)
        new = True if answers.restart else None
    return resolve(cls, layers, new=new), typed


def expected_options(stored: Mapping[str, Any], typed: Mapping[str, str]) -> dict[str, Any]:
    """The golden options with the differences that are meant."""
    want = dict(stored["resulting_options_in_order"])
    table = option_schema.specs(OPTIONS[stored["model_class"]])
    for key, highest in LEGACY_MAXIMA.items():
        if key in typed and want.get(key) == highest:
            value = option_schema.parse(table[key], typed[key])
            want[key] = option_schema.rounded(table[key], option_schema.clip(table[key], value))
    if stored["model_class"] == "SAEHD" and "eyes_prio" in want:
        previous = stored["previous_options"] or {}
        old = bool(want["eyes_prio"]) or bool(previous.get("mouth_prio"))
        if previous.get("eyes_mouth_prio") is None and "eyes_mouth_prio" not in typed:
            want["eyes_mouth_prio"] = old
        if "mouth_prio" not in want:
            del want["eyes_prio"]
    if stored["model_class"] == "Quick96":
        want["batch_size"] = QUICK96_BATCH
    return want


def _effects(
    stored: Mapping[str, Any], resolved: Resolved[Any], want: Mapping[str, Any]
) -> list[Check]:
    checks = [
        same(name, bool(getattr(resolved, name)), bool(stored[name]))
        for name in ("gan_model_changed", "pretrain_just_disabled")
        if name in stored
    ]
    if "iter_after" in stored:
        # The README: the legacy dialogue ends before the end of pretraining sets the iteration.
        starts_over = resolved.new and not resolved.pretrain_just_disabled
        after = 0 if starts_over else stored["prev_iter"]
        checks.append(same("iteration after the dialogue", after, stored["iter_after"]))
    # What is stored for the next new model is what this one began with.
    golden, began = stored["resulting_options_in_order"], resolved.legacy()
    defaults = stored.get("default_options_dat_equals_options_before_batch_size") or {}
    for key, value in defaults.items():
        meant = want.get(key) if value == golden.get(key) else value
        checks.append(same(f"default of {key}", began.get(key), meant))
    return checks


def _summaries(
    stored: Mapping[str, Any], got: Mapping[str, Any], want: Mapping[str, Any]
) -> list[Check]:
    """Byte by byte: of the golden options, and of ours where they are the same."""
    if "summary_text" not in stored:
        return []
    name, iteration = stored["model_name"], stored["iter_after"]
    golden = dict(stored["resulting_options_in_order"])
    checks = [same("summary", summary_text(name, iteration, golden), stored["summary_text"])]
    if dict(want) == golden:
        ours = summary_text(name, iteration, dict(got))
        checks.append(same("summary of our options", ours, stored["summary_text"]))
    return checks
