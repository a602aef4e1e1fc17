"""Which model to train, asked as the legacy program asks; only with --interactive."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from dfl_tf.formats import find_models
from dfl_tf.options import KINDS

Read = Callable[[str], str]
Say = Callable[[str], None]


def ask_name(folder: Path, model_class: str, *, read: Read, say: Say) -> str | None:
    """Ask for one of the models in a folder, or the name of a new one.

    Parameters
    ----------
    folder : Path
        Of the models.
    model_class : str
    read : callable
        Takes the prompt, returns the answer; the end of input (`EOFError`) counts as empty.
    say : callable
        Shows one line.

    Returns
    -------
    str or None
        A number picks from the list (beyond its end: the last), other text is a name, new or old.
        None: the model saved last, or ``new``. XSeg has no names and is not asked for.

    References: workspace.md 3.1.
    """
    if not KINDS[model_class].named:
        return None
    found = find_models(folder, model_class)
    if not found:
        return _answer(f"No saved models. Name of the new {model_class} model [new]: ", read)
    say("Saved models, the last one first; give a number, or the name of a new one:")
    for number, model in enumerate(found):
        say(f"  [{number}] {model.name}  {datetime.fromtimestamp(model.modified):%Y-%m-%d %H:%M}")
    while True:
        text = _answer("Model [0]: ", read)
        if text is None:
            return found[0].name
        if text in ("r", "d"):
            say("not in this dialogue: dfl-tf model rename renames, a model's files can be deleted")
        elif text.isdecimal():
            return found[min(int(text), len(found) - 1)].name
        else:
            return text


def _answer(prompt: str, read: Read) -> str | None:
    try:
        return read(prompt).strip() or None
    except EOFError:
        return None
