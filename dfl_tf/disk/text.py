r"""Text that can be shown anywhere, whatever file it came from.

Names, options and metadata are read from files that anybody may have made. Escape sequences in
them could move the cursor or retitle a terminal, bidirectional characters could make a name look
like another one, and bytes that are not UTF-8 cannot be encoded at all. `printable` replaces
each such character by an escape. The places where text leaves the program call it (the console,
see `dfl_tf.disk.terminal`; logs; summary files; plots), so that messages can name files as they
are.
"""

from __future__ import annotations

import os
import re

# Characters without a shape of their own (Unicode: Default_Ignorable_Code_Point) that
# `str.isprintable` allows: joiners, fillers of Hangul and Khmer, variation selectors.
_IGNORABLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
_SPACES = frozenset(
    "\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
)
_LAYOUT = frozenset("\n\t")


def printable(value: object, *, lines: bool = False) -> str:
    r"""Text of `value` that is safe for a terminal, a log or a summary.

    Control characters (C0, DEL, C1), line and paragraph separators, bidirectional and other
    invisible format characters become ``\x1b`` or ``\u202e``; bytes of a file name that are not
    UTF-8 become ``\xff``. The escapes are for reading: they cannot be turned back, since a
    backslash is left as it is.

    Parameters
    ----------
    value : object
        Text, bytes or a path as they are, anything else by `str`.
    lines : bool
        Keep newlines and tabs: for whole messages, not for names or values within a line.

    Examples
    --------
    >>> printable("a\x1b[2Jb\n")
    'a\\x1b[2Jb\\n'
    >>> printable(b"\xff.png")
    '\\xff.png'
    """
    text = os.fsdecode(value) if isinstance(value, bytes | os.PathLike) else str(value)
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_escaped_but_layout if lines else _escaped, text))


def is_plain_name(name: str) -> bool:
    """Whether a name has no control, format or separator characters.

    Spaces of any script are plain, and so are bytes that are not UTF-8.
    """
    return all(
        character.isprintable() or character in _SPACES or 0xDC80 <= ord(character) <= 0xDCFF
        for character in name
    )


def drawable(value: object) -> str:
    """`printable` text in ASCII, for images: OpenCV crashes on what UTF-8 cannot encode."""
    return printable(value).encode("ascii", "backslashreplace").decode("ascii")


def _escaped_but_layout(character: str) -> str:
    return character if character in _LAYOUT else _escaped(character)


def _escaped(character: str) -> str:
    if character in _SPACES or (character.isprintable() and not _IGNORABLE.match(character)):
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8, as `os.fsdecode` keeps it
        return f"\\x{code - 0xDC00:02x}"
    short = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(character)
    if short is not None:
        return short
    return (
        f"\\x{code:02x}"
        if code < 0x80
        else f"\\u{code:04x}"
        if code < 0x10000
        else f"\\U{code:08x}"
    )
