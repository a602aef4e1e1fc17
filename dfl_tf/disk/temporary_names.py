"""Names under which files are written before they take their places.

Temporary ones are recognisable (`is_temporary`), so that what a killed run left can be removed;
staged ones belong to a transaction and are found by the next start.
"""

from __future__ import annotations

import re
import secrets
from pathlib import Path

_TEMPORARY = re.compile(r"\.dfl_tf-[0-9a-f]{16}(\.\w+)?")
_STAGED = ".dfl_tf-new"


def temporary_name(suffix: str = ".tmp") -> str:
    """A name that nobody has yet; hidden, so that no listing of faces or frames shows it."""
    return f".dfl_tf-{secrets.token_hex(8)}{suffix}"


def is_temporary(name: str) -> bool:
    """Whether a name is one of `temporary_name`."""
    return _TEMPORARY.fullmatch(name) is not None


def staged(path: Path) -> Path:
    """Where a file or folder of a transaction lies, whole, before it takes its place.

    A fixed name, since the next start has to find it; of a form that no user gives a file.
    """
    return path.with_name(f".{path.name}{_STAGED}")


def staged_for(name: str) -> str | None:
    """The name whose place a file called `name` is to take; None if that is not a staged file."""
    if name.startswith(".") and name.endswith(_STAGED):
        return name[1:].removesuffix(_STAGED) or None
    return None
