"""Images: reading and writing, filters, sheets. BGR, no faces."""

from dfl_tf.imaging.files import (
    decode_image,
    encode_image,
    read_image,
    read_image_unchanged,
    to_bgr,
    to_float,
    to_uint8,
    write_image,
)
from dfl_tf.imaging.headers import check_image, image_size, set_pixel_limit, size_error
from dfl_tf.imaging.sheet import sheet, side_by_side, tiled

__all__ = [
    "check_image",
    "decode_image",
    "encode_image",
    "image_size",
    "read_image",
    "read_image_unchanged",
    "set_pixel_limit",
    "sheet",
    "side_by_side",
    "size_error",
    "tiled",
    "to_bgr",
    "to_float",
    "to_uint8",
    "write_image",
]
