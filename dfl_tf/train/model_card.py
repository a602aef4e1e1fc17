"""One page about a model: its options, losses, quality, previews over time, and snapshots.

The page is a file without scripts and without anything from a network.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from dfl_tf.disk.durable import write_file
from dfl_tf.disk.plain_file import read_plain
from dfl_tf.disk.text import printable
from dfl_tf.errors import DflTfError
from dfl_tf.formats.models.files import prefix_of
from dfl_tf.formats.models.report import report
from dfl_tf.formats.models.snapshots import Snapshot, list_snapshots
from dfl_tf.formats.models.state import ModelState
from dfl_tf.imaging import decode_image
from dfl_tf.imaging.html_page import PAGE_END, as_text, image_tag, page_head, table
from dfl_tf.options import KINDS, specs
from dfl_tf.train.log_facts import LogFacts, book_beside, facts_of
from dfl_tf.train.loss_plot import plot_of_model
from dfl_tf.train.previews import jpeg_bytes
from dfl_tf.train.snapshots import previews_beside
from dfl_tf.train.validation import read_stored, validation_lines

_SHOWN = 8
"""Steps of the preview history."""
_WIDEST = 1000
"""Pixels of an image on the page."""

_LONGEST = 300
"""Characters of an option's value."""


def write_model_card(path: Path, directory: Path, name: str, model_class: str) -> list[str]:
    """Write the page of a model, whole or not at all.

    Parameters
    ----------
    path : Path
    directory : Path
        Of the model.
    name, model_class : str

    Returns
    -------
    list of str
        Images that could not be read and are not on the page, one sentence each.

    Raises
    ------
    ModelFileError
        See `read_model`.
    """
    state, facts = report(directory, name, model_class)
    skipped: list[str] = []
    snapshots = list_snapshots(directory, name, model_class)
    title = f"{facts['name']} ({model_class}), iteration {state.iteration}"
    stem = prefix_of(name, model_class)
    parts = [
        page_head(title),
        f"<h1>{as_text(title)}</h1>",
        _about(facts, state),
        _losses(state, title, facts_of(book_beside(directory, stem), state.iteration)),
        _quality(state),
        _previews(directory, name, model_class, snapshots, state.iteration, skipped),
        _snapshots(snapshots),
        _options(model_class, state.options),
        _parts(facts),
        PAGE_END,
    ]
    write_file(path, "".join(parts).encode())
    return skipped


def _about(facts: Mapping[str, Any], state: ModelState) -> str:
    rows = [
        ("format", facts["format"]),
        ("size", f"{facts['bytes'] / 2**20:.1f} MiB in {len(facts['files'])} files"),
        ("losses, mean of the last 100", _numbers(facts["loss"]["mean_of_last_100"]) or "none"),
        *(("quality", line) for line in validation_lines(state.run)),
        *(("note", note) for note in state.notes),
    ]
    return table(rows)


def _numbers(values: Iterable[float]) -> str:
    return ", ".join(f"{value:.4f}" for value in values)


def _losses(state: ModelState, title: str, log: LogFacts) -> str:
    if not state.loss_history:
        return "<h2>Losses</h2><p>There is no loss history.</p>"
    plot = plot_of_model(state.loss_history, title, state.run, log)
    data = cv2.imencode(".png", plot)[1].tobytes()
    return f"<h2>Losses</h2><p class='plots'>{image_tag(data, 'Losses by iteration')}</p>"


def _quality(state: ModelState) -> str:
    rows, _ = read_stored(state.run)
    if not rows:
        return ""
    names = list(dict.fromkeys(name for row in rows for name in row["metrics"]))
    lines = [
        [
            row["iteration"],
            *("" if (v := row["metrics"].get(n)) is None else f"{v:.4f}" for n in names),
            "best so far" if row["best"] else "",
        ]
        for row in rows
    ]
    return f"<h2>Quality on held-out faces</h2>{table(lines, heads=['iteration', *names, ''])}"


def _previews(
    directory: Path,
    name: str,
    model_class: str,
    snapshots: Sequence[Snapshot],
    iteration: int,
    skipped: list[str],
) -> str:
    """The last previews, those of snapshots, and some of the history, the newest first."""
    found = [(f"now, at iteration {iteration}", previews_beside(directory, name, model_class))]
    for each in reversed(snapshots):
        what = f"snapshot {each.name}, iteration {each.label.iteration}"
        found.append((what, _read(each.folder / preview for preview in each.previews)))
    shown = [
        f"<h3>{as_text(what)}</h3>{images}"
        for what, files in found
        if (images := "".join(_image(file, data, skipped) for file, data in files.items()))
    ]
    shown += _history(directory / f"{prefix_of(name, model_class)}_history", skipped)
    return "<h2>Previews</h2>" + ("".join(shown) or "<p>There are none.</p>")


def _read(paths: Iterable[Path]) -> dict[str, bytes]:
    return {path.name: read_plain(path) for path in paths if path.suffix == ".jpg"}


def _history(folder: Path, skipped: list[str]) -> list[str]:
    """Some steps of each preview of the history, spread over all of them."""
    shown = []
    for place in sorted(filter(Path.is_dir, folder.iterdir())) if folder.is_dir() else ():
        steps = sorted(
            path for path in place.iterdir() if path.suffix == ".jpg" and path.stem.isdigit()
        )
        if steps:
            chosen = np.unique(np.linspace(0, len(steps) - 1, _SHOWN).astype(int))
            images = [
                f"<p>iteration {int(steps[n].stem)}</p>"
                + _image(steps[n].name, read_plain(steps[n]), skipped)
                for n in chosen
            ]
            shown.append(f"<h3>History of {as_text(place.name)}</h3>{''.join(images)}")
    return shown


def _image(name: str, data: bytes, skipped: list[str]) -> str:
    """An image of a preview, not wider than the page."""
    shown = name.removeprefix("preview_")
    try:
        image = decode_image(data, what=shown)
    except DflTfError as error:
        skipped.append(f"not on the page: {error}")
        return ""
    if image.shape[1] > _WIDEST:
        size = (_WIDEST, round(image.shape[0] * _WIDEST / image.shape[1]))
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
        data = jpeg_bytes(image)
    return image_tag(data, shown, "strip")


def _snapshots(snapshots: Sequence[Snapshot]) -> str:
    if not snapshots:
        return ""
    rows = [
        [
            each.name,
            each.label.kind,
            each.label.iteration,
            each.created[:16].replace("T", " "),
            f"{each.bytes / 2**20:.1f} MiB",
            each.label.note or each.label.phase,
        ]
        for each in snapshots
    ]
    heads = ["name", "kind", "iteration", "made (UTC)", "size", "about"]
    return f"<h2>Snapshots</h2>{table(rows, heads=heads)}"


def _options(model_class: str, options: Mapping[str, object]) -> str:
    known = specs(KINDS[model_class].options)
    rows = [
        [key, _short(value), known[key].help if key in known else "not an option of this version"]
        for key, value in options.items()
    ]
    return f"<h2>Options</h2>{table(rows, heads=['option', 'value', 'what it is'])}"


def _short(value: object) -> str:
    text = printable(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ({len(text)} characters)"


def _parts(facts: Mapping[str, Any]) -> str:
    rows = [[part, *summary.values()] for part, summary in facts["parts"].items()]
    heads = ["part", *next(iter(facts["parts"].values()), {})]
    files = [[file["name"], file["bytes"], file["sha256"]] for file in facts["files"]]
    return (
        f"<h2>Parts</h2>{table(rows, heads=heads)}"
        f"<h2>Files</h2>{table(files, heads=['file', 'bytes', 'SHA-256'])}"
    )
