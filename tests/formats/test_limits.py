"""What is written is read again, up to the very limit of each format, and not beyond."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dfl_tf.errors import FacesetError, LegacyFormatError, ModelFileError
from dfl_tf.formats.faces import dfljpg
from dfl_tf.formats.models import safetensors_file
from dfl_tf.formats.pickles import interpreter
from dfl_tf.formats.pickles.interpreter import MAX_DEPTH
from dfl_tf.formats.pickles.opcodes import MAX_INTEGER_BYTES
from dfl_tf.formats.pickles.safe_pickle import dumps_legacy, loads
from tests.formats.samples import make_jpeg, make_metadata


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def test_pickles_nest_as_deep_as_they_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    assert loads(dumps_legacy(nested(MAX_DEPTH)), what="x") == nested(MAX_DEPTH)
    with pytest.raises(TypeError, match=f"deeper than {MAX_DEPTH}"):
        dumps_legacy(nested(MAX_DEPTH + 1))
    deep = dumps_legacy(nested(MAX_DEPTH))
    monkeypatch.setattr(interpreter, "MAX_DEPTH", MAX_DEPTH - 1)
    with pytest.raises(LegacyFormatError, match="nested deeper"):
        loads(deep, what="x")


@pytest.mark.parametrize("sign", [1, -1])
def test_integers_of_pickles(sign: int) -> None:
    largest = sign * (2 ** (8 * MAX_INTEGER_BYTES - 1) - 1)
    assert loads(dumps_legacy(largest), what="x") == largest
    with pytest.raises(TypeError, match="integer of more than 64 bytes"):
        dumps_legacy(sign * 2 ** (8 * MAX_INTEGER_BYTES))


def test_headers_of_safetensors(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    arrays = {f"tensor{i:04}": np.float32(i) for i in range(50)}
    parts: list[bytes] = []
    safetensors_file.dump(arrays, lambda part: parts.append(bytes(part)))
    path = tmp_path / "x.safetensors"
    path.write_bytes(b"".join(parts))
    length = len(parts[1])
    monkeypatch.setattr(safetensors_file, "MAX_HEADER", length)
    assert safetensors_file.load(path) == arrays
    monkeypatch.setattr(safetensors_file, "MAX_HEADER", length - 1)
    with pytest.raises(ModelFileError, match=f"header of {length} bytes"):
        safetensors_file.load(path)
    parts.clear()
    with pytest.raises(ModelFileError, match="50 arrays need"):
        safetensors_file.dump(arrays, lambda part: parts.append(bytes(part)))
    assert not parts


def test_metadata_of_faces() -> None:
    jpeg = make_jpeg(0)
    metadata = replace(make_metadata(0), xseg_mask_bytes=None, source_filename="n")
    room = dfljpg.MAX_PAYLOAD - len(dfljpg._payload(metadata, "x")) + 1
    # a text of more than 255 bytes needs no other form than a short one
    full = replace(metadata, source_filename="n" * room)
    written = dfljpg.embed_metadata(jpeg, full)
    read = dfljpg.read_metadata(written)
    assert read is not None
    assert read.source_filename == full.source_filename
    with pytest.raises(FacesetError, match=f"a JPEG holds {dfljpg.MAX_PAYLOAD}"):
        dfljpg.embed_metadata(jpeg, replace(metadata, source_filename="n" * (room + 1)))
