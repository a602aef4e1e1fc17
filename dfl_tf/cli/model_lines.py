"""What `dfl-tf model` prints, as lines of text."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dfl_tf.disk.text import printable

if TYPE_CHECKING:
    from dfl_tf.formats.scan import FileAudit

_BARS = " ▁▂▃▄▅▆▇█"
_LONGEST = 400
_MOST_LOSSES = 8
_NAMED = 12


def shown(value: object) -> str:
    """A value from an untrusted file for the terminal: one line, no escape sequences, not long."""
    text = printable(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text)} characters)"


def show_lines(
    facts: dict[str, Any], history: Sequence[Sequence[float]], quality: Sequence[str] = ()
) -> list[str]:
    """What a model is: the facts of `formats.model_report.report`, the losses and its quality."""
    lines = [
        f"model      {facts['name']}",
        f"class      {facts['class']}, {facts['format']} format",
        f"iteration  {facts['iteration']}",
        f"size       {facts['bytes'] / 2**20:.1f} MiB in {len(facts['files'])} files",
    ]
    if facts["snapshots"]:
        size = sum(each["bytes"] for each in facts["snapshots"]) / 2**20
        last = [f"{shown(e['name'])} ({e['iteration']})" for e in facts["snapshots"][-_NAMED:]]
        more = "… " if len(facts["snapshots"]) > _NAMED else ""
        lines.append(
            f"snapshots  {len(facts['snapshots'])}, {size:.1f} MiB: {more}{', '.join(last)}"
        )
    lines += [f"note       {note}" for note in facts["notes"]]
    lines += ["", "options"]
    options = [(shown(key), shown(value)) for key, value in facts["options"].items()]
    width = max((len(key) for key, _ in options), default=0)
    lines += [f"  {key:{width}}  {value}" for key, value in options]
    wrong = [key for key, entry in facts["inferred"].items() if not entry["agree"]]
    if facts["inferred"]:
        found = ", ".join(f"{key} {entry['tensors']}" for key, entry in facts["inferred"].items())
        lines += ["", f"the tensors say: {found}"]
        lines += [
            f"  DISAGREES with the options: {key} is "
            f"{shown(facts['inferred'][key]['options'])} there"
            for key in wrong
        ]
    lines += ["", "parts" + " " * 22 + "tensors   parameters        MiB  dtype     sha256"]
    for part, entry in facts["parts"].items():
        bad = f"  {entry['not_finite']} NaN or infinite!" if entry["not_finite"] else ""
        lines.append(
            f"  {part:24} {entry['tensors']:7}  {entry['parameters']:11,} "
            f"{entry['bytes'] / 2**20:10.2f}  {'/'.join(entry['dtypes']):8}  "
            f"{entry['sha256'][:16]}{bad}"
        )
    measured = ["", *quality] if quality else []
    return [*lines, *measured, "", *loss_lines(history)]


def loss_lines(history: Sequence[Sequence[float]], width: int = 64, height: int = 6) -> list[str]:
    """The loss history as lines of block characters, one block of lines a loss.

    The scale is logarithmic from the lowest to the highest column mean; values that are not
    finite leave a gap.
    """
    if not history:
        return ["no loss history"]
    lines: list[str] = []
    for index in range(min(max(map(len, history)), _MOST_LOSSES)):
        values = [row[index] if index < len(row) else math.nan for row in history]
        columns = _columns(values, min(width, len(values)))
        finite = [c for c in columns if math.isfinite(c) and c > 0]
        if not finite:
            lines.append(f"loss {index}: no finite value")
            continue
        low, high = min(finite), max(finite)
        lines.append(
            f"loss {index}: {finite[0]:.4f} to {finite[-1]:.4f} over {len(values)} entries"
        )
        for level in range(height - 1, -1, -1):
            label = (
                f"{high:9.4f}" if level == height - 1 else f"{low:9.4f}" if not level else " " * 9
            )
            cells = "".join(_cell(c, low, high, level, height) for c in columns)
            lines.append(f"{label} │{cells}")
    return lines


def _columns(values: list[float], count: int) -> list[float]:
    columns = []
    for index in range(count):
        block = values[index * len(values) // count : (index + 1) * len(values) // count]
        finite = [v for v in block if math.isfinite(v)]
        columns.append(sum(finite) / len(finite) if finite else math.nan)
    return columns


def _cell(value: float, low: float, high: float, level: int, height: int) -> str:
    if not math.isfinite(value) or value <= 0:
        return " "
    span = math.log(high / low)
    share = 0.5 if span <= 0 else math.log(value / low) / span
    eighths = round(share * (height * 8 - 1)) + 1 - level * 8
    return _BARS[max(0, min(8, eighths))]


def diff_lines(found: dict[str, Any]) -> list[str]:
    """How two models differ, from `formats.model_report.diff_states`."""
    if found["same"]:
        return ["equal in every tensor, option, loss and entry"]
    lines = []
    if found["iteration"][0] != found["iteration"][1]:
        lines.append(f"iteration  {found['iteration'][0]} / {found['iteration'][1]}")
    lines += [
        f"option     {shown(key)}: {shown(a)} / {shown(b)}"
        for key, (a, b) in found["options"].items()
    ]
    lines += [
        f"differs    {what}"
        for what, key in (("loss history", "loss_history_equal"), ("other entries", "extra_equal"))
        if not found[key]
    ]
    for part, entries in found["parts"].items():
        if "only_in" in entries:
            lines.append(f"part       {part} is only in the {entries['only_in']}")
            continue
        largest = max((e.get("max", math.nan) for e in entries.values()), default=math.nan)
        lines.append(f"part       {part}: {len(entries)} tensors differ, by {largest:.3g} at most")
        named = [k for k, e in entries.items() if "max" not in e][:5]
        lines += [f"             {shown(key)}: {entries[key]}" for key in named]
    return lines


def scan_lines(results: list[FileAudit], others: list[Path]) -> list[str]:
    """What an audit found, and what kinds of files it did not look at."""
    refused = [result for result in results if not result.accepted]
    lines = []
    for result in refused:
        problem = result.problem.removeprefix(f"{result.path}: ")
        names = f"names {', '.join(result.refused)}" if result.refused else problem
        lines.append(f"REFUSED  {shown(result.path)}  {shown(names)}")
    kinds = Counter(result.kind for result in results)
    counted = ", ".join(f"{count} {kind}" for kind, count in kinds.items()) or "nothing"
    lines.append(f"{len(results)} files looked at ({counted}), {len(refused)} refused")
    if others:
        endings = Counter(path.suffix.lower() or "no ending" for path in others)
        named = ", ".join(f"{count} {shown(ending)}" for ending, count in endings.most_common(8))
        lines.append(f"{len(others)} files of other kinds were not looked at ({named})")
    found = sorted({name for result in results for name in result.globals})
    if found:
        lines.append(f"names found: {', '.join(found)}")
    return lines


def convert_lines(found: dict[str, Any], target: Path) -> list[str]:
    """The report of a conversion; the last line is PASSED or FAILED."""
    pairs = [pair for part in found["tensors"].values() for pair in part.values()]
    equal = sum(a == b for a, b in pairs)
    lines = [
        f"{found['model']} at iteration {found['iteration']} written as {found['to']} to {target}",
        f"tensors    {equal} of {len(pairs)} equal by SHA-256",
        f"the rest   {'equal' if found['differences']['same'] else 'DIFFERS'} "
        "(options, iteration, loss history, other entries)",
    ]
    if "proof" in found:
        lines += _proof_lines(found["proof"])
    lines += [f"note       {note}" for note in found["notes"]]
    lines.append(f"proof      {target / (found['model'] + '_conversion.json')}")
    return [*lines, "PASSED" if found["passed"] else "FAILED"]


def _proof_lines(proof: dict[str, Any]) -> list[str]:
    lines = []
    for when, errors in proof["largest_difference"].items():
        if errors:
            named = ", ".join(f"{what} {error:.3g}" for what, error in errors.items())
            lines.append(f"{when.replace('_', ' ')}: largest difference of {named}")
    if proof["not_run"]:
        lines.append(f"networks   not run: {proof['not_run']}")
    return lines
