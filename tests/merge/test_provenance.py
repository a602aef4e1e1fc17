"""The note on how an image was made: readable back, harmless to the pixels."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image

from dfl_tf.merge.provenance import SOURCE_TYPE, Provenance, embed, read_provenance, video_tags

NOTE = Provenance('A "new" <model> & more', "SAEHD", 1234)


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_note_is_read_back_and_pixels_stay(pixels, suffix, tmp_path):
    plain = cv2.imencode(suffix, pixels)[1].tobytes()
    noted = embed(plain, NOTE.packet())
    (tmp_path / f"x{suffix}").write_bytes(noted)
    found = read_provenance(tmp_path / f"x{suffix}")
    assert found == NOTE.fields
    assert found["source_type"] == SOURCE_TYPE
    assert found["source_type"].endswith("/compositeWithTrainedAlgorithmicMedia")
    assert found["system"] == 'A "new" <model> & more (SAEHD)'
    decoded = [cv2.imdecode(np.frombuffer(d, np.uint8), -1) for d in (plain, noted)]
    assert np.array_equal(*decoded)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_other_programs_find_the_packet(pixels, suffix, tmp_path):
    path = tmp_path / f"x{suffix}"
    path.write_bytes(embed(cv2.imencode(suffix, pixels)[1].tobytes(), NOTE.packet()))
    with Image.open(path) as image:
        image.load()
        packet = image.info["XML:com.adobe.xmp" if suffix == ".png" else "xmp"]
    text = packet.decode() if isinstance(packet, bytes) else packet
    assert SOURCE_TYPE in text


def test_image_without_note(pixels):
    assert read_provenance(cv2.imencode(".png", pixels)[1].tobytes()) is None
    assert read_provenance(b"no image at all") is None


def test_other_files_carry_no_notes():
    with pytest.raises(ValueError, match="PNG, JPEG and TIFF only"):
        embed(b"BM....", NOTE.packet())


def test_video_tags_say_the_same():
    tags = video_tags(NOTE.fields)
    assert SOURCE_TYPE in tags["comment"]
    assert "SAEHD" in tags["comment"]
