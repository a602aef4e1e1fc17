"""Videos into frames and back: rate, time stamps, length and sound survive."""

from __future__ import annotations

import sys
from fractions import Fraction

import numpy as np
import pytest

from dfl_tf.errors import OptionError, UsageError, WorkspaceError
from dfl_tf.imaging import read_image, write_image
from dfl_tf.video.cut import Piece, cut, parse_time
from dfl_tf.video.encode import encode
from dfl_tf.video.extract import FrameFiles, extract
from dfl_tf.video.info import read_info
from dfl_tf.video.timestamps import read_times
from dfl_tf.video.write import Encoding

av = pytest.importorskip("av")

RATE = Fraction(30000, 1001)
FRAMES = 24
SIZE = (96, 128)


def make_image(i: int) -> np.ndarray:
    """A frame whose brightness tells its number."""
    image = np.full((*SIZE, 3), 20 + 8 * i, np.uint8)
    image[:, : SIZE[1] // 2, 0] = 255 - 8 * i
    return image


def save(path, image):
    path.parent.mkdir(exist_ok=True)
    write_image(path, image)


def make_video(
    path,
    *,
    times=None,
    pixel_format="yuv420p",
    audio=True,
    rotation=0,
    codec="libx264",
    sound_codec="aac",
    seconds=None,
    pixel_aspect=None,
):
    """Write a video of numbered frames and a sine tone."""
    clock = 1 / RATE if codec == "mpeg4" else Fraction(1, 30000)
    with av.open(str(path), "w") as container:
        video = container.add_stream(codec, rate=RATE)
        video.width, video.height, video.pix_fmt = SIZE[1], SIZE[0], pixel_format
        video.codec_context.time_base = clock
        if rotation:
            video.set_display_rotation(rotation)
        if pixel_aspect:
            video.codec_context.sample_aspect_ratio = pixel_aspect
        sound = container.add_stream(sound_codec, rate=44100) if audio else None
        for i in range(FRAMES):
            frame = av.VideoFrame.from_ndarray(make_image(i), format="bgr24")
            frame = frame.reformat(format=pixel_format)
            time = i / RATE if times is None else times[i]
            frame.pts, frame.time_base = round(time / clock), clock
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        if sound is not None:
            length = FRAMES / RATE if seconds is None else seconds
            wave = np.sin(np.arange(int(44100 * length)) * 2 * np.pi * 440 / 44100)
            block = av.AudioFrame.from_ndarray(
                (wave * 20000).astype(np.int16)[None], format="s16", layout="mono"
            )
            block.sample_rate, block.pts = 44100, 0
            form = "s16" if sound_codec.startswith("pcm") else "fltp"
            resampler = av.AudioResampler(format=form, layout="mono", rate=44100, frame_size=1024)
            for part in [*resampler.resample(block), *resampler.resample(None)]:
                container.mux(sound.encode(part))
            container.mux(sound.encode(None))
    return path


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    return make_video(tmp_path_factory.mktemp("video") / "data_dst.mp4")


def test_info_tells_exact_rate_and_sound(video):
    info = read_info(video)
    assert (info.width, info.height, info.frames) == (SIZE[1], SIZE[0], FRAMES)
    assert info.rate == RATE
    assert info.constant_rate
    assert info.bits == 8
    assert not info.hdr
    assert info.seconds == pytest.approx(float(FRAMES / RATE), abs=1e-4)
    assert [a.codec for a in info.audio] == ["aac"]


def test_extract_and_encode_keep_rate_length_and_sound(video, tmp_path):
    done = extract(video, tmp_path / "frames")
    assert done.frames == FRAMES
    names = sorted(p.name for p in (tmp_path / "frames").glob("*.png"))
    assert names == [f"{i:05d}.png" for i in range(1, FRAMES + 1)]
    middle = read_image(tmp_path / "frames" / "00011.png").astype(int)
    assert np.abs(middle - make_image(10)).mean() < 4
    (tmp_path / "frames" / "timestamps.json").unlink()
    made = encode(tmp_path / "frames", tmp_path / "out" / "result.mp4", reference=video)
    info, source = read_info(made.path), read_info(video)
    assert info.rate == RATE
    assert info.frames == FRAMES
    assert max(abs(a - b) for a, b in zip(info.times, source.times, strict=True)) < Fraction(
        1, 9000
    )
    assert made.audio
    assert [a.codec for a in info.audio] == ["aac"]
    assert packets(made.path) == packets(video)


def packets(path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(p) for p in container.demux(audio=0) if p.size]


def test_lossless_video_is_exact(tmp_path):
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (50, 70, 3), dtype=np.uint8) for _ in range(3)]
    for i, image in enumerate(images):
        save(tmp_path / "frames" / f"{i}.png", image)
    how = Encoding(lossless=True, tags={"comment": "AI-composited"})
    encode(tmp_path / "frames", tmp_path / "r.mp4", rate=Fraction(24), encoding=how)
    with av.open(str(tmp_path / "r.mp4")) as container:
        assert container.metadata["comment"] == "AI-composited"
        decoded = [f.to_ndarray(format="bgr24") for f in container.decode(video=0)]
    assert all(np.array_equal(a, b) for a, b in zip(decoded, images, strict=True))


def test_odd_sizes_get_one_more_row_and_column(tmp_path):
    save(tmp_path / "frames" / "1.png", np.full((51, 71, 3), 90, np.uint8))
    made = encode(tmp_path / "frames", tmp_path / "r.mp4", rate=Fraction(24))
    info = read_info(made.path)
    assert (info.height, info.width) == (52, 72)


def test_changing_frame_times_survive(tmp_path):
    times = [Fraction(i, 30) + (Fraction(1, 2) if i > 10 else 0) for i in range(FRAMES)]
    source = make_video(tmp_path / "vfr.mkv", times=times, audio=False)
    extract(source, tmp_path / "data_dst")
    for path in (tmp_path / "data_dst").glob("*.png"):
        target = tmp_path / "data_dst" / "merged" / path.name
        target.parent.mkdir(exist_ok=True)
        path.rename(target)
    made = encode(tmp_path / "data_dst" / "merged", tmp_path / "r.mp4")
    found = read_info(made.path).times
    assert max(abs(a - b) for a, b in zip(found, times, strict=True)) < Fraction(1, 500)


def test_every_third_frame_keeps_its_time(video, tmp_path):
    done = extract(video, tmp_path, every=3, files=FrameFiles(kind="jpg"))
    assert done.frames == 8
    assert done.rate == RATE / 3
    known = read_times(tmp_path)
    assert known.rate == RATE / 3
    assert float(known.times["00002"]) == pytest.approx(float(3 / RATE), abs=1e-4)
    made = encode(tmp_path, tmp_path / "r.mp4", reference=video)
    assert read_info(made.path).frames == 8
    assert read_info(made.path).seconds == pytest.approx(float(FRAMES / RATE), abs=2e-3)


def test_extract_at_another_rate(video, tmp_path):
    done = extract(video, tmp_path, rate=Fraction(15))
    assert done.frames == 12
    second = read_image(tmp_path / "00002.png").astype(int)
    assert np.abs(second - make_image(1)).mean() < 4


def test_rotated_video_gives_upright_frames(tmp_path):
    source = make_video(tmp_path / "phone.mp4", audio=False, rotation=90)
    extract(source, tmp_path / "frames", every=12)
    image = read_image(tmp_path / "frames" / "00001.png")
    assert image.shape == (SIZE[1], SIZE[0], 3)


def test_extract_refuses_to_mix_with_older_frames(video, tmp_path):
    extract(video, tmp_path, every=8)
    with pytest.raises(UsageError, match=r"holds 3 .png files already; --overwrite"):
        extract(video, tmp_path)
    extract(video, tmp_path, every=12, files=FrameFiles(overwrite=True))
    assert len(list(tmp_path.glob("*.png"))) == 2


def test_cut_takes_the_frames_between_two_times(video, tmp_path):
    written = cut(video, tmp_path / "c.mp4", Piece(Fraction(6) / RATE, Fraction(18) / RATE))
    info = read_info(tmp_path / "c.mp4")
    assert written == info.frames == 12
    assert info.rate == RATE
    assert len(info.audio) == 1
    extract(tmp_path / "c.mp4", tmp_path / "frames")
    first = read_image(tmp_path / "frames" / "00001.png").astype(int)
    assert np.abs(first - make_image(6)).mean() < 5


def test_cut_outside_of_the_video_is_an_error(video, tmp_path):
    with pytest.raises(OptionError, match="nothing of it is shown"):
        cut(video, tmp_path / "c.mp4", Piece(start=Fraction(50)))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("75", 75), ("1:15.5", Fraction(151, 2)), ("01:00:00.25", Fraction(14401, 4))],
)
def test_times_are_read(text, seconds):
    assert parse_time(text) == seconds


def test_bad_time_is_an_error():
    with pytest.raises(OptionError, match="HH:MM:SS"):
        parse_time("soon")


def test_file_that_is_no_video(tmp_path):
    (tmp_path / "x.mp4").write_bytes(b"nothing")
    with pytest.raises(WorkspaceError, match="cannot be read as a video"):
        read_info(tmp_path / "x.mp4")


def test_frames_of_different_size_are_named(tmp_path):
    for i, side in enumerate((32, 32, 48)):
        save(tmp_path / "f" / f"{i}.png", np.zeros((side, side, 3), np.uint8))
    with pytest.raises(WorkspaceError, match=r"2\.png: is 48x48, the first image is 32x32"):
        encode(tmp_path / "f", tmp_path / "r.mp4", rate=Fraction(24))
    assert not list(tmp_path.glob("*.mp4"))


def test_missing_pyav_names_the_extra(video, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(UsageError, match=r'pip install "av>='):
        read_info(video)


def in_file_order(path) -> list[tuple[str, float]]:
    with av.open(str(path)) as container:
        found = [p for p in container.demux() if p.pts is not None and p.size]
        return [
            (p.stream.type, float(p.pts * p.time_base)) for p in sorted(found, key=lambda p: p.pos)
        ]


def test_sound_lies_beside_the_image_in_the_file(tmp_path):
    # Longer than the ten seconds within which FFmpeg sorts by itself.
    source = make_video(tmp_path / "long.mp4", seconds=20)
    for i in range(160):
        save(tmp_path / "frames" / f"{i:03d}.png", np.full((16, 16, 3), i, np.uint8))
    encode(tmp_path / "frames", tmp_path / "r.mp4", reference=source, rate=Fraction(8))
    last = {"video": 0.0, "audio": 0.0}
    for kind, time in in_file_order(tmp_path / "r.mp4"):
        last[kind] = time
        assert abs(last["video"] - last["audio"]) < 8


def test_sound_of_a_part_begins_with_its_first_frame(video, tmp_path):
    extract(video, tmp_path / "frames")
    for i in range(1, 13):
        (tmp_path / "frames" / f"{i:05d}.png").unlink()
    made = encode(tmp_path / "frames", tmp_path / "r.mp4", reference=video)
    assert read_info(made.path).frames == 12
    found, whole = packets(made.path), packets(video)
    first = whole.index(found[0])
    assert first * 1024 / 44100 == pytest.approx(float(12 / RATE), abs=0.05)
    assert found == whole[first : first + len(found)]


def test_sound_that_the_container_does_not_take_becomes_aac(tmp_path):
    source = make_video(tmp_path / "old.avi", codec="mpeg4", sound_codec="pcm_s16le")
    extract(source, tmp_path / "frames")
    made = encode(tmp_path / "frames", tmp_path / "r.mp4", reference=source)
    info = read_info(made.path)
    assert [a.codec for a in info.audio] == ["aac"]
    assert loudness(made.path) == pytest.approx(loudness(source), rel=0.1)
    assert cut(source, tmp_path / "c.mp4", Piece(Fraction(6) / RATE, Fraction(18) / RATE)) == 12


def loudness(path) -> float:
    with av.open(str(path)) as container:
        resampler = av.AudioResampler(format="flt", layout="mono", rate=44100)
        frames = [f for frame in container.decode(audio=0) for f in resampler.resample(frame)]
    return float(np.concatenate([f.to_ndarray()[0] for f in frames]).std())


def test_frames_hidden_by_an_edit_list_are_not_counted(video, tmp_path):
    with av.open(str(video)) as source, av.open(str(tmp_path / "t.mp4"), "w") as target:
        stream = source.streams.video[0]
        copy = target.add_stream_from_template(stream)
        for packet in source.demux(stream):
            if packet.dts is not None:
                shift = round(10 / RATE / packet.time_base)
                packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
                packet.stream = copy
                target.mux(packet)
    done = extract(tmp_path / "t.mp4", tmp_path / "frames")
    assert done.frames == read_info(tmp_path / "t.mp4").frames == FRAMES - 10
    first = read_image(tmp_path / "frames" / "00001.png").astype(int)
    assert np.abs(first - make_image(10)).mean() < 4


def test_stretched_pixels_and_notes_are_kept(tmp_path):
    source = make_video(tmp_path / "pal.mp4", audio=False, pixel_aspect=Fraction(16, 15))
    extract(source, tmp_path / "frames")
    encode(tmp_path / "frames", tmp_path / "r.mp4", reference=source)
    assert read_info(tmp_path / "r.mp4").pixel_aspect == Fraction(16, 15)
    how = Encoding(tags={"comment": "AI-composited"})
    encode(tmp_path / "frames", tmp_path / "n.mp4", rate=RATE, encoding=how)
    cut(tmp_path / "n.mp4", tmp_path / "c.mp4", Piece(end=Fraction(1, 4)))
    with av.open(str(tmp_path / "c.mp4")) as container:
        assert container.metadata["comment"] == "AI-composited"


def test_a_video_never_replaces_its_source(video, tmp_path):
    save(tmp_path / "frames" / "1.png", make_image(0))
    before = video.read_bytes()
    with pytest.raises(UsageError, match="would replace the video it is made from"):
        encode(tmp_path / "frames", video, reference=video)
    with pytest.raises(UsageError, match="would replace the video it is made from"):
        cut(video, video, Piece(end=Fraction(1, 4)))
    assert video.read_bytes() == before


@pytest.mark.parametrize("name", ["r.txt", "r.webm", "file/r.mp4"])
def test_videos_that_cannot_be_written_are_named(video, tmp_path, name):
    save(tmp_path / "frames" / "1.png", make_image(0))
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(WorkspaceError, match=rf"{name}: "):
        encode(tmp_path / "frames", tmp_path / name, reference=video)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "frames"]
