"""Makes the evil files of this folder. They are harmless: what they name only would make a folder.

    python tests/formats/hostile/make_hostile.py

Each file stands for one attack; `test_hostile.py` says what has to happen. The files are made
from opcodes by hand, because Python's own pickler would not write most of them.
"""

# ruff: noqa: E501 - a table of bytes, one attack a line

from __future__ import annotations

import json
import struct
from pathlib import Path

import cv2
import numpy as np

HERE = Path(__file__).resolve().parent
NUMPY = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R"


def dtype(
    code: bytes,
    state: bytes = b"K\x03X\x01\x00\x00\x00<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00t",
) -> bytes:
    """A dtype with its state."""
    return (
        b"cnumpy\ndtype\nX"
        + struct.pack("<I", len(code))
        + code
        + b"K\x00K\x01\x87R("
        + state
        + b"b"
    )


def array(shape: bytes, code: bytes, data: bytes) -> bytes:
    """An array from its parts, which need not agree."""
    raw = b"B" + struct.pack("<I", len(data)) + data
    return NUMPY + b"(K\x01" + shape + dtype(code) + b"\x89" + raw + b"tb"


def call(module: str, name: str, text: str) -> bytes:
    """A call of a global with one text."""
    raw = text.encode()
    return f"c{module}\n{name}\n".encode() + b"X" + struct.pack("<I", len(raw)) + raw + b"\x85R"


def pickles() -> dict[str, bytes]:
    """Evil pickles by name."""
    start, end = b"\x80\x03", b"."
    nested = b"".join(b"](h" + bytes((i,)) + b"h" + bytes((i,)) + b"e\x94" for i in range(40))
    return {
        "calls_system.npy": start + b"}X\x01\x00\x00\x00w" + call("os", "system", "mkdir hacked") + b"s" + end,
        "calls_eval_stack_global.npy": b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93\x8c\x011\x85R.",
        "calls_getattr.npy": start + b"cbuiltins\ngetattr\ncnumpy\nndarray\nX\x05\x00\x00\x00dumps\x86R" + end,
        "inst_opcode.npy": b"(X\x01\x00\x00\x00xios\nsystem\n.",
        "obj_opcode.npy": b"(cos\nsystem\nX\x01\x00\x00\x00xo.",
        "persistent_id.npy": b"Psecret\n.",
        "extension_registry.npy": start + b"\x82\x01" + end,
        "nested_global.npy": b"\x80\x04\x8c\x05numpy\x8c\x0fmemmap.__init__\x93.",
        "numpy_load.npy": start + call("numpy", "load", "x") + end,
        "numpy_other_core.npy": start + call("numpy.core.multiarray", "fromfile", "x") + end,
        "ndarray_called.npy": start + b"cnumpy\nndarray\nJ\xff\xff\xff\x7f\x85\x85R" + end,
        "object_dtype.npy": start + array(b"K\x01\x85", b"O8", b"\x00" * 8) + end,
        "object_array_of_list.npy": start + NUMPY + b"(K\x01K\x01\x85" + dtype(b"f8") + b"\x89]tb" + end,
        "record_dtype.npy": start + array(b"K\x01\x85", b"V8", b"\x00" * 8) + end,
        "structured_dtype_state.npy": start
        + NUMPY
        + b"(K\x01K\x01\x85"
        + dtype(b"f8", b"K\x03X\x01\x00\x00\x00<NX\x01\x00\x00\x00a\x85}K\x08K\x01K\x10t")
        + b"\x89C\x08aaaaaaaatb"
        + end,
        "shape_bomb.npy": start + array(b"J\xff\xff\xff\x7fJ\xff\xff\xff\x7f\x86", b"f8", b"\x00" * 8) + end,
        "shape_overflow.npy": start + array(b"\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x00\x01\x85", b"f8", b"") + end,
        "negative_shape.npy": start + array(b"J\xff\xff\xff\xffJ\xff\xff\xff\xff\x86", b"f8", b"\x00" * 8) + end,
        "zero_size_text.npy": start + array(b"J\xff\xff\xff\x7f\x85", b"S0", b"") + end,
        "many_dimensions.npy": start + array(b"(" + b"K\x01" * 64 + b"t", b"f8", b"\x00" * 8) + end,
        "unfinished_array.npy": start + b"]" + NUMPY + b"a" + end,
        "bytes_bomb.npy": b"\x80\x04\x8e" + b"\xff" * 7 + b"\x7f.",
        "frame_bomb.npy": b"\x80\x04\x95" + b"\xff" * 7 + b"\x7f.",
        "unicode_bomb.npy": start + b"X\xff\xff\xff\xff" + end,
        "long_bomb.npy": start + b"\x8b\xff\xff\xff\x7f" + end,
        "long_negative.npy": start + b"\x8b\xff\xff\xff\xff" + end,
        "digits_bomb.npy": b"I" + b"9" * 5000 + b"\n.",
        "memo_bomb.npy": start + b"]r\xff\xff\xff\x7f" + end,
        "memo_bomb_text.npy": b"]p2147483647\n.",
        "memo_missing.npy": start + b"h\x05" + end,
        "container_bomb.npy": start + b"(" + b"}" * 60000 + b"l" + end,
        "deep_lists.npy": start + b"]" * 15000 + b"a" * 14999 + end,
        "deep_tuple_key.npy": start + b"})" + b"\x85" * 15000 + b"K\x01s" + end,
        "cycle.npy": b"\x80\x04]\x94h\x00a.",
        "billion_laughs.npy": b"\x80\x04](](K\x01K\x01e\x94" + nested + b"e.",
        "set_opcode.npy": b"\x80\x04\x8f.",
        "stack_underflow.npy": start + b"RRR" + end,
        "mark_underflow.npy": start + b"eu" + end,
        "build_on_list.npy": start + b"]}b" + end,
        "truncated.npy": start + b"}X\x05\x00\x00\x00abc",
        "no_stop.npy": start + b"}",
        "protocol_9.npy": b"\x80\x09}.",
        "not_a_pickle.npy": b"\x93NUMPY\x01\x00v\x00{'descr': '<f8', }\n" + b"\x00" * 64,
        "list_instead_of_dict.npy": start + b"]" + end,
        "text_instead_of_array.npy": start + b"}X\x01\x00\x00\x00kX\x01\x00\x00\x00vs" + end,
        "negative_iter_data.dat": start + b"}X\x04\x00\x00\x00iterJ\xfe\xff\xff\xffs" + end,
        "history_of_text_data.dat": start + b"}X\x0c\x00\x00\x00loss_historyX\x01\x00\x00\x00xs" + end,
        "options_list_data.dat": start + b"}X\x07\x00\x00\x00options]s" + end,
    }  # fmt: skip


def faces() -> dict[str, bytes]:
    """Evil aligned faces by name."""
    image = np.zeros((16, 16, 3), np.uint8)
    jpeg = cv2.imencode(".jpg", image)[1].tobytes()

    def with_payload(payload: bytes) -> bytes:
        return jpeg[:2] + b"\xff\xef" + struct.pack(">H", len(payload) + 2) + payload + jpeg[2:]

    png = bytearray(cv2.imencode(".png", np.zeros((8, 8), np.uint8))[1].tobytes())
    png[16:24] = struct.pack(">II", 0x7FFFFFF, 0x7FFFFFF)
    points = b"](" + b"](K\x01K\x02e" * 68 + b"e"
    mask = b"X\x09\x00\x00\x00xseg_maskB" + struct.pack("<I", len(png)) + bytes(png) + b"s"
    return {
        "runs_code.jpg": with_payload(b"\x80\x03" + call("os", "mkdir", "hacked") + b"."),
        "second_app15_runs_code.jpg": with_payload(b"\x80\x03}.")[:2]
        + with_payload(b"\x80\x03" + call("os", "mkdir", "hacked") + b".")[2:],
        "segment_past_end.jpg": jpeg[:2] + b"\xff\xef\xff\xff" + jpeg[2:],
        "segment_length_zero.jpg": jpeg[:2] + b"\xff\xef\x00\x00" + jpeg[2:],
        "no_image_data.jpg": with_payload(b"\x80\x03}.")[:60] + b"\xff\xd9",
        "landmarks_missing.jpg": with_payload(b"\x80\x03}X\x09\x00\x00\x00face_typeX\x01\x00\x00\x00fs."),
        "landmarks_of_nan.jpg": with_payload(
            b"\x80\x03}X\x09\x00\x00\x00landmarks" + points.replace(b"K\x01", b"G\x7f\xf8" + b"\x00" * 6, 1) + b"s."
        ),
        "mask_bomb.jpg": with_payload(b"\x80\x03}X\x09\x00\x00\x00landmarks" + points + b"s" + mask + b"."),
    }  # fmt: skip


def paks() -> dict[str, bytes]:
    """Evil packed facesets by name."""

    def pak(
        config: bytes, offsets: tuple[int, ...], images: bytes = b"", size: int | None = None
    ) -> bytes:
        table = struct.pack(f"<{len(offsets)}Q", *offsets)
        return (
            struct.pack("<QQ", 1, len(config) if size is None else size) + config + table + images
        )

    def entry(name: bytes) -> bytes:
        points = b"](" + b"](K\x01K\x02e" * 68 + b"e"
        return (
            b"}(X\x08\x00\x00\x00filenameX" + struct.pack("<I", len(name)) + name
            + b"X\x05\x00\x00\x00shapeK\x10K\x10K\x03\x87X\x09\x00\x00\x00landmarks" + points + b"u"
        )  # fmt: skip

    def listed(*entries: bytes) -> bytes:
        return b"\x80\x03](" + b"".join(entries) + b"e."

    return {
        "runs_code.pak": pak(b"\x80\x03" + call("os", "mkdir", "hacked") + b".", (0,)),
        "wrong_version.pak": struct.pack("<QQ", 2, 0) + b"\x00" * 64,
        "config_size_bomb.pak": pak(listed(), (0,), size=2**63),
        "header_only.pak": b"\x01\x00\x00\x00",
        "offset_bomb.pak": pak(listed(entry(b"a.jpg"), entry(b"b.jpg")), (0, 2**64 - 1, 2**63), b"x" * 9),
        "path_escape.pak": pak(listed(entry(b"../../evil.jpg")), (0, 400), b"x" * 9),
        "absolute_path.pak": pak(listed(entry(b"/etc/passwd")), (0, 400), b"x" * 9),
        "truncated_table.pak": pak(listed(entry(b"a.jpg"), entry(b"b.jpg")), ()),
        "list_of_text.pak": pak(b"\x80\x03](X\x01\x00\x00\x00ae.", (0, 4), b"x" * 9),
    }  # fmt: skip


def others() -> dict[str, bytes]:
    """Evil safetensors files and manifests by name."""

    def tensors(header: object, data: bytes = b"", size: int | None = None) -> bytes:
        text = header if isinstance(header, bytes) else json.dumps(header).encode()
        return struct.pack("<Q", len(text) if size is None else size) + text + data

    def one(shape: object, offsets: object, kind: str = "F32") -> dict[str, object]:
        return {"w": {"dtype": kind, "shape": shape, "data_offsets": offsets}}

    return {
        "header_bomb.safetensors": tensors({}, size=2**63),
        "shape_bomb.safetensors": tensors(one([2**40, 2**40], [0, 4]), b"\x00" * 4),
        "offset_past_end.safetensors": tensors(one([100], [0, 400]), b"\x00" * 4),
        "negative_offset.safetensors": tensors(one([1], [-4, 0]), b"\x00" * 4),
        "overlap.safetensors": tensors(
            one([1], [0, 4]) | {"v": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, b"\x00" * 4
        ),
        "hole.safetensors": tensors(one([1], [4, 8]), b"\x00" * 8),
        "unused_bytes.safetensors": tensors(one([1], [0, 4]), b"\x00" * 99),
        "double_name.safetensors": tensors(
            b'{"w":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},"w":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}'
        ),
        "unknown_dtype.safetensors": tensors(one([1], [0, 4], "OBJ"), b"\x00" * 4),
        "deep_json.safetensors": tensors(b"[" * 20000),
        "text_shape.safetensors": tensors(one("abc", [0, 4]), b"\x00" * 4),
        "bool_of_seven.safetensors": tensors(one([1], [0, 1], "BOOL"), b"\x07"),
        "deep_manifest.json": b"[" * 20000,
        "list_manifest.json": b"[1, 2]",
        "path_escape_manifest.json": b'{"version": 1, "files": {"../x": {}}, "checksum": "0"}',
        "future_manifest.json": b'{"version": 99}',
    }  # fmt: skip


def main() -> None:
    """Write all files."""
    for name, data in (pickles() | faces() | paks() | others()).items():
        (HERE / "files" / name).write_bytes(data)


if __name__ == "__main__":
    (HERE / "files").mkdir(exist_ok=True)
    main()
