"""The streams that people read: whatever is written to them, they show it and do nothing else.

`safe_output` puts a `SafeStream` before stdout and stderr for the time of a command, so that
every message, log record, warning and traceback passes it, whoever writes it and whatever file
its text came from.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, TextIO, cast

from dfl_tf_ops.process import scratch_file, terminal_encoding

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

    def __getattr__(self, name: str) -> object:
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

    def __exit__(self, *error: object) -> None:
        sys.stdout, sys.stderr = self._before


_MOST_NATIVE = 1 << 20  # bytes of messages that are looked at


@contextlib.contextmanager
def native_output_apart() -> Iterator[list[str]]:
    """Keep what native libraries write to stderr by themselves from the lines of the command.

    Decoders write so about damaged images, from any thread and past Python. Until the end of the
    block ``sys.stderr`` goes where it went before, and the file descriptor of stderr into a
    temporary file.

    Yields
    ------
    list of str
        Filled at the end of the block: each line that was written, in order.
    """
    lines: list[str] = []
    try:
        kept = os.dup(2)
    except OSError:  # stderr is closed
        yield lines
        return
    before = sys.stderr
    with os.fdopen(kept, "wb", buffering=0) as raw, scratch_file() as hidden:
        if _is_stderr(before):
            before.flush()
            under = before._stream if isinstance(before, SafeStream) else before
            encoding = getattr(under, "encoding", None) or "utf-8"
            ours = io.TextIOWrapper(raw, encoding, "backslashreplace", write_through=True)
            sys.stderr = cast(TextIO, SafeStream(ours))
        os.dup2(hidden.fileno(), 2)
        try:
            yield lines
        finally:
            sys.stderr.flush()
            os.dup2(raw.fileno(), 2)
            sys.stderr = before
            hidden.seek(0)
            text = hidden.read(_MOST_NATIVE).decode(errors="replace")
            lines += [line for line in text.splitlines() if line.strip()]


_KINDS = 4


def library_lines(lines: Sequence[str]) -> list[str]:
    """What native libraries wrote, for people: one line a kind.

    Parameters
    ----------
    lines : sequence of str
        Lines of one kind differ in numbers only.
    """
    kinds: dict[str, list[str]] = {}
    for line in lines:
        kinds.setdefault(re.sub(r"[0-9]+", "0", line), []).append(line)
    told = []
    for alike in list(kinds.values())[:_KINDS]:
        more = f" (and {len(alike) - 1} more like it)" if len(alike) > 1 else ""
        told.append(f"a library said: {alike[0]}{more}")
    if len(kinds) > _KINDS:
        told.append(f"libraries said {len(kinds) - _KINDS} other things")
    return told


def _is_stderr(stream: IO[str]) -> bool:
    try:
        return bool(stream.fileno() == 2)
    except (AttributeError, OSError, ValueError):
        return False
