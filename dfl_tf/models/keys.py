"""Keys of weights in files."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras


def legacy_key(variable: keras.Variable) -> str:
    """Return the key of a variable inside its file: its path without the scope, and ``:0``."""
    return variable.path.split("/", 1)[1] + ":0"
