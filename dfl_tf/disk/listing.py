"""The one walk over a folder of faces or frames: which files are content, and what is not.

Only regular files (and links to them) are content. Hidden files and what operating systems and
storage devices leave in folders are not, whatever their names end with. Nothing is opened here.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from dfl_tf.disk.left_out import LeftOut
from dfl_tf.errors import WorkspaceError

FACE_SUFFIXES = frozenset((".jpg", ".jpeg"))
"""Files that can carry face metadata."""

IMAGE_SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".tif", ".tiff"))
"""Files that are read as frames."""

HIDDEN = "hidden and companion files"
FOLDERS = "sub-folders"
ARCHIVES = "paks and archives"
SPECIAL = "pipes, sockets and devices"
BROKEN_LINKS = "links that lead nowhere"
OTHER = "other files"

_ARCHIVE_SUFFIXES = frozenset((".pak", ".zip", ".7z", ".rar", ".tar", ".gz", ".tgz", ".bz2", ".xz"))
_COMPANIONS = frozenset(
    (
        "thumbs.db",
        "ehthumbs.db",
        "ehthumbs_vista.db",
        "desktop.ini",
        "icon\r",
        "__macosx",
        "@eadir",
        "#recycle",
        "$recycle.bin",
        "recycler",
        "system volume information",
        "lost+found",
    )
)
"""Lower-case names that Windows, macOS and network storage put into the folders of their users."""


@dataclass(frozen=True)
class Listing:
    """The content of a folder.

    Attributes
    ----------
    folder : Path
    files : list of Path
        Regular files with one of the wanted suffixes, sorted by path.
    folders : list of Path
        Sub-folders that are not hidden, sorted by path.
    left_out : LeftOut
        Everything else, and the sub-folders.
    """

    folder: Path
    files: list[Path] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)
    left_out: LeftOut = field(default_factory=LeftOut)


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is not content of a user.

    Hidden files (among them ``._x.jpg``, which macOS writes beside ``x.jpg``), and the companion
    files of operating systems such as ``Thumbs.db`` and ``desktop.ini``.
    """
    return name.startswith((".", "~$")) or name.lower() in _COMPANIONS


def list_folder(
    folder: Path,
    suffixes: Collection[str],
    *,
    what: str = "files",
    known: Collection[str] = (),
    error: type[WorkspaceError] = WorkspaceError,
) -> Listing:
    """List the files of a folder that are content, and count what is not.

    Parameters
    ----------
    folder : Path
        Its sub-folders are not entered.
    suffixes : collection of str
        In lower case, with the dot; names may have them in any letter case.
    what : str
        What is expected in the folder, for messages: "aligned faces".
    known : collection of str
        Names that belong there beside the content, which are not counted as left out.
    error : type
        Raised if the folder cannot be listed.

    Raises
    ------
    WorkspaceError
        Or the given `error`: the folder is missing or cannot be read.
    """
    try:
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        raise error(f"{folder}: there is no such folder; {what} are expected there") from None
    except OSError as problem:
        raise error(
            f"{folder}: cannot be listed ({problem.strerror}); {what} are expected"
        ) from None
    listing = Listing(folder)
    for entry in found:
        kind = _kind(entry, suffixes)
        if not kind:
            listing.files.append(folder / entry.name)
            continue
        if kind == FOLDERS:
            listing.folders.append(folder / entry.name)
        if entry.name not in known:
            listing.left_out.add(kind, entry.name)
    return listing


def _kind(entry: os.DirEntry[str], suffixes: Collection[str]) -> str:
    """Why an entry is not content; empty if it is."""
    if is_hidden(entry.name):
        return HIDDEN
    try:
        if entry.is_dir():
            return FOLDERS
        regular = entry.is_file()
        if not regular and entry.is_symlink() and not os.path.exists(entry.path):
            return BROKEN_LINKS
    except OSError:  # a link to itself
        return BROKEN_LINKS
    if not regular:
        return SPECIAL
    suffix = os.path.splitext(entry.name)[1].lower()
    if suffix in suffixes:
        return ""
    return ARCHIVES if suffix in _ARCHIVE_SUFFIXES else OTHER
