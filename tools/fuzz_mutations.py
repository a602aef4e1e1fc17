"""Damages for `fuzz_formats`: bytes, lengths, opcodes, and tokens of JSON and YAML."""

from __future__ import annotations

import random
import re
import struct
from collections.abc import Callable

_OPCODES = b"(.]}tRbe0123asucijqrXBC\x80\x81\x85\x86\x87\x8a\x8b\x8c\x8e\x93\x94\x95\x96QPpghlndo"
_EXTREMES = (0, 1, 255, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1, 2**64 - 1)


def mutate(data: bytes, rng: random.Random, *, text: bool = False) -> bytes:
    """`data` with one to four random damages; half of those of a `text` replace whole tokens."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        if not out:
            break
        if text and rng.random() < 0.5:
            _token(out, rng)
        else:
            _MUTATIONS[rng.randrange(len(_MUTATIONS))](out, rng)
    return bytes(out)


_TOKEN = re.compile(rb'"(?:[^"\\\n]|\\.)*"|-?\d[\d.:/]*|true|false|null|[\[\]{},:]|[A-Za-z_.]+')
_HOSTILE = (
    b"null", b"true", b"0", b"-1", b"1e999", b"-1e999", b"NaN", b"Infinity", b".nan", b".inf",
    b"9" * 19, b"9" * 40, b"9" * 5000, b"1." + b"9" * 5000, b"1e-999", b"-0", b"0x10", b"1:2:3",
    b"[]", b"{}", b"[[1], {}]", b'{"a": {"b": []}}', b"[" * 100, b"[" * 100_000, b'{"a":' * 5000,
    b'""', b'"\\u0000"', b'"\\ud800"', b'"\\u001b[2J"', b'"../../x"', b'"1/0"', b'"1e999999999"',
    b'"' + b"x" * 100_000 + b'"', b"\xff", b"\xef\xbb\xbf", b"\x00", b"&a [1, *a]", b"*a", b"&a",
    b"!!python/object:os.system", b"!!binary aGk=", b"2020-01-01", b"? [a]\n: ", b"---\n", b"\t",
)  # fmt: skip


def _token(out: bytearray, rng: random.Random) -> None:
    found = list(_TOKEN.finditer(out))
    if found:
        start, end = rng.choice(found).span()
        out[start:end] = rng.choice(_HOSTILE)


def _flip(out: bytearray, rng: random.Random) -> None:
    out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)


def _random_byte(out: bytearray, rng: random.Random) -> None:
    out[rng.randrange(len(out))] = rng.randrange(256)


def _cut_end(out: bytearray, rng: random.Random) -> None:
    del out[rng.randrange(len(out)) :]


def _cut_middle(out: bytearray, rng: random.Random) -> None:
    start = rng.randrange(len(out))
    del out[start : start + rng.randrange(1, 64)]


def _double(out: bytearray, rng: random.Random) -> None:
    start = rng.randrange(len(out))
    out[start:start] = out[start : start + rng.randrange(1, 64)] * rng.choice((1, 1, 2, 50))


def _move(out: bytearray, rng: random.Random) -> None:
    start = rng.randrange(len(out))
    piece = out[start : start + rng.randrange(1, 64)]
    del out[start : start + len(piece)]
    place = rng.randrange(len(out) + 1)
    out[place:place] = piece


def _opcode(out: bytearray, rng: random.Random) -> None:
    place = rng.randrange(len(out))
    out[place : place + rng.randrange(2)] = bytes((rng.choice(_OPCODES),)) * rng.choice((1, 1, 500))


def _extreme(out: bytearray, rng: random.Random) -> None:
    form = rng.choice("<>") + rng.choice("HIQ")
    size = struct.calcsize(form)
    value = rng.choice(_EXTREMES) % (1 << (8 * size))
    # headers are where the lengths are, so the beginning is hit more often
    place = rng.randrange(min(len(out), 64) if rng.random() < 0.5 else len(out))
    out[place : place + size] = struct.pack(form, value)


def _length_after_opcode(out: bytearray, rng: random.Random) -> None:
    places = [i for i, byte in enumerate(out[:20000]) if byte in b"BXCqr\x8a\x8b\x8c\x8e\x95j\xef"]
    if places:
        place = rng.choice(places) + 1
        size = rng.choice((1, 2, 4, 8))
        value = rng.choice(_EXTREMES) % (1 << (8 * size))
        out[place : place + size] = value.to_bytes(size, rng.choice(("little", "big")))


_MUTATIONS: tuple[Callable[[bytearray, random.Random], None], ...] = (
    _flip,
    _flip,
    _random_byte,
    _cut_end,
    _cut_middle,
    _double,
    _move,
    _opcode,
    _extreme,
    _length_after_opcode,
)
