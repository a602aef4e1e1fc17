"""Pictures: reading and writing, filters, sheets. BGR, no faces."""

from dfl_tf.imaging.files import (
    decode_image,
    encode_image,
    read_image,
    read_image_float,
    read_image_unchanged,
    to_bgr,
    to_float,
    to_uint8,
    write_image,
)
from dfl_tf.imaging.sheet import sheet

__all__ = [
    "decode_image",
    "encode_image",
    "read_image",
    "read_image_float",
    "read_image_unchanged",
    "sheet",
    "to_bgr",
    "to_float",
    "to_uint8",
    "write_image",
]
