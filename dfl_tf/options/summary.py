"""The framed table that is printed at start and stored as summary.txt (workspace.md 8)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from dfl_tf.disk.text import printable

from . import schema
from .saehd import WHILE_PRETRAINING
from .schema import words

SHOWN_WHILE_PRETRAINING = words(
    "lr_dropout random_warp gan_power random_hsv_power face_style_power bg_style_power uniform_yaw"
)
"""Options of which the summary of a pretraining SAEHD shows the forced values."""


@dataclass(frozen=True)
class Device:
    """A GPU as the summary names it."""

    index: int
    name: str
    memory_gib: float


def summary_text(
    full_name: str,
    iteration: int,
    options: Mapping[str, object],
    devices: Sequence[Device] = (),
    *,
    unused: Collection[str] = (),
) -> str:
    """Write the summary, byte for byte as DeepFaceLab does.

    Parameters
    ----------
    full_name : str
        Name with class, "new_SAEHD"; "XSeg" for XSeg.
    iteration : int
    options : mapping
        The legacy dictionary, in its order. While `pretrain` is on in a SAEHD model, the forced
        values are shown.
    devices : sequence of Device
        GPUs in use; empty = the CPU.
    unused : collection of str
        Keys that are kept for another program and not applied; marked.

    Returns
    -------
    str
        Lines joined by a newline, none at the end; safe for a terminal.

    References: workspace.md 8, models.md 5.9.
    """
    given = {key: schema.plain(value) for key, value in options.items()}
    if given.get("pretrain") and "archi" in given:
        forced = {key: WHILE_PRETRAINING[key][0] for key in SHOWN_WHILE_PRETRAINING}
        given |= {key: value for key, value in forced.items() if key in given}
    # Options and names come out of files: as escapes they can neither break the frame nor act.
    shown = {printable(key): printable(value) for key, value in given.items()}
    full_name = printable(full_name)
    shown |= {key: f"{shown[key]} (kept, not used)" for key in unused if key in shown}
    names = [*shown] or [""]
    width_name = max(17, *(len(name) for name in names), 0) + 1
    texts = [full_name, str(iteration), *shown.values()]
    width_value = max(len(text) for text in [*texts, *(device.name for device in devices)]) + 1
    total = width_name + width_value + 2

    def row(name: str, value: object) -> str:
        return f"=={name:>{width_name}}: {value!s:<{width_value}}=="

    # Python's format puts an odd fill character to the right; str.center may put it to the left
    blank = f"=={'':{total}}=="
    lines = [f"=={' Model Summary ':=^{total}}==", blank, row("Model name", full_name), blank]
    lines += [row("Current iteration", iteration), blank]
    lines += [f"=={' Model Options ':-^{total}}==", blank]
    lines += [row(name, value) for name, value in shown.items()]
    lines += [blank, f"=={' Running On ':-^{total}}==", blank]
    for device in devices:
        lines += [row("Device index", device.index), row("Name", device.name)]
        lines.append(row("VRAM", f"{device.memory_gib:.2f}GB"))
    if not devices:
        lines.append(row("Using device", "CPU"))
    return "\n".join([*lines, blank, f"=={'':=^{total}}=="])
