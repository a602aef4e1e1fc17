"""The streams that people read: whatever is written to them, they show it and do nothing else.

`safe_output` puts a `SafeStream` before stdout and stderr for the time of a command, so that
every message, log record, warning and traceback passes it, whoever writes it and whatever file
its text came from.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable
from typing import IO, Any, TextIO, cast

from dfl_tf_ops.process import terminal_encoding

from dfl_tf.disk.text import printable


class SafeStream:
    """A text stream that escapes control characters and what its reader's encoding lacks.

    All else (`fileno`, `isatty`, `buffer`, …) is the stream's own.

    Parameters
    ----------
    stream : text stream
    cursor : bool
        Let control characters pass, for a progress line of our own: see `cursor_stream`.
    """

    errors = "backslashreplace"

    def __init__(self, stream: IO[str], *, cursor: bool = False) -> None:
        self._stream = stream
        self._cursor = cursor
        reader = terminal_encoding(stream)
        self._encodings = {reader, getattr(stream, "encoding", None) or reader}
        # Any character may be written, and click writes past a stream that says "ascii". A
        # progress line asks so as to draw itself without boxes.
        self.encoding = reader if cursor else "utf-8"

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write `text` with escapes; newlines and tabs stay."""
        if not isinstance(text, str):
            raise TypeError(f"text can be written, not {type(text).__name__}")
        shown = text if self._cursor else printable(text, lines=True)
        for encoding in self._encodings:
            with contextlib.suppress(LookupError):
                shown = shown.encode(encoding, "backslashreplace").decode(encoding)
        self._stream.write(shown)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write each of `lines`."""
        for line in lines:
            self.write(line)


def cursor_stream(stream: IO[str]) -> TextIO:
    """The stream under `stream` for a progress line, which moves the cursor.

    No text of a file may be written there but by `printable`.
    """
    under = stream._stream if isinstance(stream, SafeStream) else stream
    return cast(TextIO, SafeStream(under, cursor=True))


class safe_output(contextlib.AbstractContextManager[None]):
    """Stdout and stderr are safe until the end of the block; what is safe already stays."""

    def __enter__(self) -> None:
        self._before = sys.stdout, sys.stderr
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if stream is not None and not isinstance(stream, SafeStream):
                setattr(sys, name, SafeStream(stream))

    def __exit__(self, *fault: object) -> None:
        sys.stdout, sys.stderr = self._before
