"""Whatever is written to stdout and stderr, its reader shows it and does nothing else."""

from __future__ import annotations

import io
import logging
import os
import subprocess
import sys

import click
import pytest

from dfl_tf.disk.terminal import (
    SafeStream,
    cursor_stream,
    library_lines,
    native_output_apart,
    safe_output,
)
from dfl_tf.train.sinks.console import ConsoleLog

HOSTILE = "\x1b]0;owned\x07\x9b\udcff\u202e"
SHOWN = "\\x1b]0;owned\\x07\\u009b\\xff\\u202e"


def stream(encoding: str = "utf-8") -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding, write_through=True)


def content(of: io.TextIOWrapper) -> str:
    return of.buffer.getvalue().decode()  # type: ignore[attr-defined]


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
def test_every_way_of_writing_is_safe(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    out, err = stream(encoding), stream(encoding)
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    with safe_output():
        print("print", HOSTILE)
        click.echo(f"click {HOSTILE} 日本")
        sys.stdout.writelines(["lines ", HOSTILE, "\n"])
        click.echo(f"click {HOSTILE} 日本", err=True)
        logging.Logger("own").warning("log %s", HOSTILE)
        ConsoleLog().say(f"training {HOSTILE}")
    assert sys.stdout is out
    name = "日本" if encoding == "utf-8" else "\\u65e5\\u672c"
    shown = out.buffer.getvalue().decode(encoding)  # type: ignore[attr-defined]
    # click takes terminal sequences out of what does not go to a terminal
    assert shown.splitlines()[0] == f"print {SHOWN}"
    assert shown.splitlines()[-1] == f"lines {SHOWN}"
    assert f"\\xff\\u202e {name}\n" in shown
    told = err.buffer.getvalue().decode(encoding)  # type: ignore[attr-defined]
    assert f"log {SHOWN}" in told
    assert f"training {SHOWN}" in told
    assert not set(shown + told) & set("\x1b\x07\x9b\r\u202e")


def test_a_progress_line_may_move_the_cursor_but_is_encoded() -> None:
    under = stream("ascii")
    line = cursor_stream(SafeStream(under))  # type: ignore[arg-type]
    line.write("\r\x1b[K━ 5\n")
    assert content(under) == "\r\x1b[K\\u2501 5\n"
    assert line.encoding == "ascii"


def test_bytes_are_no_text() -> None:
    with pytest.raises(TypeError, match="bytes"):
        SafeStream(stream()).write(b"x")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "surroundings",
    [
        {"LC_ALL": "C"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "ascii:strict"},
    ],
)
def test_a_terminal_of_ascii_gets_escapes(surroundings: dict[str, str]) -> None:
    arguments = [sys.executable, "-m", "dfl_tf", "model", "show", b"/no\xff/\xc3\xa9\x1b]0;x\x07"]
    done = subprocess.run(arguments, capture_output=True, env=environment() | surroundings)
    assert done.returncode == 1
    assert done.stdout == b""
    assert done.stderr.isascii()
    assert b"/no\\xff/" in done.stderr
    assert b"\\x1b]0;x\\x07: there is no such folder" in done.stderr


APART = """
import os, sys
from dfl_tf.disk.terminal import native_output_apart, safe_output
with safe_output():
    with native_output_apart() as lines:
        print("ours \x1b", file=sys.stderr)
        os.write(2, b"libpng error\\nINFO\\n")
        print("ours too", file=sys.stderr)
    print(lines, file=sys.stderr)
os.write(2, b"end\\n")
"""


def test_native_output_is_kept_from_our_own_lines() -> None:
    done = subprocess.run([sys.executable, "-c", APART], capture_output=True, env=environment())
    expected = ["ours \\x1b", "ours too", "['libpng error', 'INFO']", "end"]
    assert done.stderr.decode().splitlines() == expected


def test_native_output_of_a_block_that_fails_is_kept_apart_too(capfd) -> None:
    lines: list[str] = []

    def failing() -> None:
        nonlocal lines
        with native_output_apart() as lines:
            os.write(2, b"libpng error\n")
            raise OSError

    with pytest.raises(OSError):  # noqa: PT011
        failing()
    os.write(2, b"after\n")
    assert (lines, capfd.readouterr().err) == (["libpng error"], "after\n")


def test_what_libraries_said_is_one_line_a_kind() -> None:
    lines = ["Corrupt JPEG data: 2 extraneous bytes", "Corrupt JPEG data: 31 extraneous bytes"]
    assert library_lines([*lines, "libpng error: x"]) == [
        f"a library said: {lines[0]} (and 1 more like it)",
        "a library said: libpng error: x",
    ]
    assert library_lines(list("abcdef"))[-1] == "libraries said 2 other things"
    assert library_lines([]) == []


def environment() -> dict[str, str]:
    paths = os.pathsep.join(path for path in sys.path if path)
    return os.environ | {"PYTHONPATH": paths, "PYTHONSAFEPATH": "1"}
