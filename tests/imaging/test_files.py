import cv2
import numpy as np
import pytest

from dfl_tf.errors import WorkspaceError
from dfl_tf.imaging import (
    encode_image,
    read_image,
    read_image_unchanged,
    to_float,
    to_uint8,
    write_image,
)


@pytest.fixture
def image():
    return np.random.RandomState(0).randint(0, 256, size=(20, 30, 3)).astype(np.uint8)


@pytest.mark.parametrize("name", ["plain.png", "with space.png", "ünïcode ☺.png", "SHOUT.PNG"])
def test_any_path_round_trips(tmp_path, image, name):
    path = tmp_path / "a folder" / name
    path.parent.mkdir()
    write_image(path, image)
    np.testing.assert_array_equal(read_image(path), image)
    assert [p.name for p in path.parent.iterdir()] == [name]


def test_jpeg_is_written_with_the_asked_quality(tmp_path, image):
    write_image(tmp_path / "a.jpg", image, quality=100)
    write_image(tmp_path / "b.jpg", image, quality=30)
    assert (tmp_path / "a.jpg").stat().st_size > 2 * (tmp_path / "b.jpg").stat().st_size


def test_gray_and_alpha_become_three_channels(tmp_path, image):
    write_image(tmp_path / "gray.png", image[:, :, 0])
    gray = read_image(tmp_path / "gray.png")
    np.testing.assert_array_equal(gray, np.repeat(image[:, :, :1], 3, axis=2))
    alpha = np.dstack([image, image[:, :, 0]])
    write_image(tmp_path / "alpha.png", alpha)
    np.testing.assert_array_equal(read_image(tmp_path / "alpha.png"), image)
    assert read_image_unchanged(tmp_path / "alpha.png").shape == (20, 30, 4)


def test_sixteen_bits_are_scaled_by_65535(tmp_path):
    deep = np.array([[[0, 32768, 65535]]], dtype=np.uint16)
    write_image(tmp_path / "deep.png", deep)
    np.testing.assert_allclose(
        to_float(read_image_unchanged(tmp_path / "deep.png")), deep / 65535, atol=1e-7
    )
    np.testing.assert_array_equal(read_image(tmp_path / "deep.png"), [[[0, 128, 255]]])


def test_floats_are_truncated_not_rounded():
    np.testing.assert_array_equal(to_uint8(np.array([-1, 0.5, 0.999, 2.0])), [0, 127, 254, 255])


def test_failed_write_keeps_the_old_file(tmp_path, image, monkeypatch):
    path = tmp_path / "a.png"
    write_image(path, image)
    before = path.read_bytes()

    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", refuse)
    with pytest.raises(WorkspaceError, match=r"a\.png.*The disk is full"):
        write_image(path, image // 2)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_unreadable_files_are_named(tmp_path):
    (tmp_path / "broken.png").write_bytes(b"not an image")
    (tmp_path / "empty.jpg").write_bytes(b"")
    for name in ("broken.png", "empty.jpg", "missing.png"):
        with pytest.raises(WorkspaceError, match=name):
            read_image(tmp_path / name)


def test_unknown_formats_are_refused(image):
    with pytest.raises(ValueError, match="xyz"):
        encode_image(image, ".xyz")
    with pytest.raises(ValueError, match="float64"):
        encode_image(image / 255, ".png")


def test_exif_rotation_is_not_applied(tmp_path, image):
    exif = bytes.fromhex(
        "ffe1002245786966000049492a00080000000100120103000100000006000000"
    ) + bytes(4)
    data = encode_image(image, ".jpg", quality=100)
    (tmp_path / "turned.jpg").write_bytes(data[:2] + exif + data[2:])
    assert read_image(tmp_path / "turned.jpg").shape == image.shape
    assert cv2.imread(str(tmp_path / "turned.jpg")).shape[:2] == (30, 20)
