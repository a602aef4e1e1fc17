"""Text from files is shown without doing anything to the terminal."""

from __future__ import annotations

import sys
import unicodedata
from pathlib import Path

import pytest

from dfl_tf.disk.text import printable


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("00001_0.jpg", "00001_0.jpg"),
        ("日本語\u3000é\u00a0😀.png", "日本語\u3000é\u00a0😀.png"),
        ("C:\\faces\\new", "C:\\faces\\new"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("a\r\n\tb\x00\x7f", "a\\r\\n\\tb\\x00\\x7f"),
        ("\x9b2J", "\\u009b2J"),
        ("abc\u202egpj.exe", "abc\\u202egpj.exe"),
        ("a\u200bb\u2066c\ufeffd\u2028e", "a\\u200bb\\u2066c\\ufeffd\\u2028e"),
        ("\u3164\ufe0f\U000e0041\U000e0100", "\\u3164\\ufe0f\\U000e0041\\U000e0100"),
        (b"\xff\x9b.png", "\\xff\\x9b.png"),
        (Path("\udcff.png"), "\\xff.png"),
        ("\ud800", "\\ud800"),
        (3.5, "3.5"),
        (None, "None"),
    ],
)
def test_values_are_shown_with_escapes(value: object, shown: str) -> None:
    assert printable(value) == shown


def test_whole_messages_keep_their_lines() -> None:
    assert printable("a:\n\tb\r\x1bc", lines=True) == "a:\n\tb\\r\\x1bc"


def test_no_control_format_or_lone_surrogate_passes() -> None:
    hidden = {"Cc", "Cf", "Cs", "Zl", "Zp"}
    for code in range(sys.maxunicode + 1):
        if unicodedata.category(chr(code)) in hidden:
            assert printable(chr(code)).isascii()
            assert printable(chr(code)).isprintable()
