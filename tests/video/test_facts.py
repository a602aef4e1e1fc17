"""Times, counts, rotation and sound are those of decoded frames, in every kind of file."""

from __future__ import annotations

import shlex
import shutil
from fractions import Fraction

import numpy as np
import pytest

av = pytest.importorskip("av")

from dfl_tf.cli.main import run  # noqa: E402
from dfl_tf.errors import UsageError, WorkspaceError  # noqa: E402
from dfl_tf.imaging import read_image, read_image_unchanged, write_image  # noqa: E402
from dfl_tf.video import read_back as read_back_module  # noqa: E402
from dfl_tf.video.cut import Piece, cut  # noqa: E402
from dfl_tf.video.encode import encode  # noqa: E402
from dfl_tf.video.extract import FrameFiles, extract  # noqa: E402
from dfl_tf.video.info import read_info  # noqa: E402
from dfl_tf.video.pyav import find_video, videos_named  # noqa: E402
from dfl_tf.video.read_back import Written, read_back  # noqa: E402
from dfl_tf.video.timeline import timeline  # noqa: E402
from tests.video import clips  # noqa: E402

TEN, LAST = 10, clips.FRAMES - 1
HDR = {"PQ": 16, "HLG": 18}


@pytest.fixture(scope="module")
def stream(tmp_path_factory):
    """An MPEG transport stream that starts at 10 s."""
    return clips.make(tmp_path_factory.mktemp("stream") / "a.ts", start=TEN)


@pytest.fixture(scope="module")
def broken_off(stream):
    """A recording that starts within a group of pictures, as receivers make them."""
    data = stream.read_bytes()
    path = stream.with_name("mid.ts")
    path.write_bytes(data[188 * (len(data) // 188 // 5) :])
    return path


def test_cut_of_a_transport_stream_loses_nothing(stream, tmp_path):
    for first, last in ((0, LAST), (13, 30), (37, LAST)):
        piece = Piece(Fraction(first, clips.RATE), Fraction(last + 1, clips.RATE))
        cut(stream, tmp_path / "c.mp4", piece)
        assert clips.numbers(tmp_path / "c.mp4") == list(range(first, last + 1))


def test_recording_that_starts_within_a_group_keeps_times_and_sound(broken_off, tmp_path):
    shown = clips.numbers(broken_off)
    assert 0 < shown[0] < 13  # the first ones cannot be decoded
    with av.open(str(broken_off)) as container:
        packets = sum(p.size > 0 for p in container.demux(video=0))
    info = read_info(broken_off)
    assert info.frames == len(shown) <= packets
    assert info.times == tuple(Fraction(i, clips.RATE) for i in range(len(shown)))
    extract(broken_off, tmp_path / "f")
    encode(tmp_path / "f", tmp_path / "r.mp4", reference=broken_off)
    assert clips.numbers(tmp_path / "r.mp4") == shown
    assert sound_offset(tmp_path / "r.mp4") == pytest.approx(sound_at(broken_off), abs=0.03)
    cut(broken_off, tmp_path / "c.mkv", Piece(Fraction(2, 25)))
    assert clips.numbers(tmp_path / "c.mkv") == shown[2:]


def sound_at(path) -> float:
    """When the first packet from a tenth before the first frame on begins, after that frame."""
    first = clips.times(path)[0]
    with av.open(str(path)) as container:
        found = [p.pts * p.time_base - first for p in container.demux(audio=0) if p.pts is not None]
    return float(next(time for time in found if time >= -0.1))


def sound_offset(path) -> float:
    with av.open(str(path)) as container:
        packet = next(p for p in container.demux(audio=0) if p.pts is not None)
        return float(packet.pts * packet.time_base - clips.times(path)[0])


@pytest.mark.parametrize("name", ["s.mp4", "s.ts", "s.mkv", "s.avi", "s.mov", "s.flv"])
def test_sound_that_starts_later_stays_later(name, tmp_path):
    source = clips.make(tmp_path / "source.mkv", sound_start=Fraction(1, 2))
    assert clips.sound_begins(source) == pytest.approx(0.5, abs=0.03)
    cut(source, tmp_path / name, Piece(Fraction(4, 25)))
    # A decoder of AVI gives the first frame one frame late.
    slack = 0.07 if name.endswith("avi") else 0.04
    assert clips.sound_begins(tmp_path / name) == pytest.approx(0.34, abs=slack)
    extract(source, tmp_path / "f")
    encode(tmp_path / "f", tmp_path / ("r" + name), reference=source)
    assert clips.sound_begins(tmp_path / ("r" + name)) == pytest.approx(0.5, abs=slack)


def test_recordings_joined_go_on_one_after_the_other(stream, tmp_path, caplog):
    other = clips.make(tmp_path / "b.ts", start=3, frames=20)
    joined = tmp_path / "joined.ts"
    joined.write_bytes(stream.read_bytes() + other.read_bytes())
    info = read_info(joined)
    assert info.times == tuple(Fraction(i, clips.RATE) for i in range(clips.FRAMES + 20))
    assert caplog.text.count("its clock was reset 1 times") == 1
    cut(joined, tmp_path / "c.mp4")
    assert clips.numbers(tmp_path / "c.mp4") == [*range(clips.FRAMES), *range(20)]
    extract(joined, tmp_path / "f")
    assert encode(tmp_path / "f", tmp_path / "r.mp4", reference=joined).audio


def test_times_are_made_from_the_rate_where_there_are_none(tmp_path, caplog):
    raw = clips.make(tmp_path / "raw.h264", kind="h264", sound=None)
    info = read_info(raw)
    assert info.times == tuple(Fraction(i, 25) for i in range(clips.FRAMES))
    assert caplog.text.count("no usable time stamps") == 1
    assert run(["video", "cut", str(raw)]) == 0  # no H.264 with times in such a file: .mp4
    assert clips.numbers(tmp_path / "raw_cut.mp4") == list(range(clips.FRAMES))


def test_avi_stores_times_of_decoding_only(tmp_path):
    source = clips.make(tmp_path / "b.avi", clock=None, sound=None)
    assert read_info(source).times == tuple(Fraction(i, 25) for i in range(clips.FRAMES))


def test_timeline_completes_and_orders_stamps():
    unit, rate = Fraction(1, 100), Fraction(25)
    line = timeline([0, 4, None, 12, 12, 20], unit, rate)
    assert [float(t) for t in line.times] == pytest.approx([0, 0.04, 0.08, 0.12, 0.16, 0.2])
    assert len(line.notes) == 2
    assert timeline([4, 16, 12, 20, 8], unit, rate).times[1] == Fraction(4, 100)
    jump = timeline([0, 4, 100_000_000, 100_000_004], unit, rate, broadcast=True)
    assert jump.times[-1] == Fraction(12, 100)


@pytest.mark.parametrize(("degrees", "turns"), [(90, 1), (180, 2), (270, 3)])
def test_phone_videos_stay_upright(degrees, turns, tmp_path):
    phone = clips.make(
        tmp_path / "phone.mov", sound=None, frames=3,
        setup=lambda stream: stream.set_display_rotation(degrees),
    )  # fmt: skip
    upright = np.rot90(clips.image(0), turns)
    info = read_info(phone)
    assert (info.height, info.width) == upright.shape[:2]
    cut(phone, tmp_path / "c.mp4")
    extract(phone, tmp_path / "f")
    for shown in (clips.decoded(tmp_path / "c.mp4")[0], read_image(tmp_path / "f/00001.png")):
        assert shown.shape == upright.shape
        assert np.abs(shown.astype(int) - upright).mean() < 6
    assert read_info(tmp_path / "c.mp4").orientation.upright


def test_mirrored_videos_are_mirrored(tmp_path):
    def mirror(stream):
        stream.set_display_matrix([-65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30])

    try:
        source = clips.make(tmp_path / "m.mov", sound=None, frames=2, setup=mirror)
    except (TypeError, ValueError):
        source = clips.make(
            tmp_path / "m.mov", sound=None, frames=2,
            setup=lambda s: s.set_display_rotation(0, hflip=True),
        )  # fmt: skip
    extract(source, tmp_path / "f")
    shown = read_image(tmp_path / "f" / "00001.png").astype(int)
    assert np.abs(shown - clips.image(0)[:, ::-1]).mean() < 6


def test_ten_bits_are_rounded_to_eight_or_kept_in_sixteen(tmp_path, caplog):
    deep = clips.make(tmp_path / "d.mkv", codec="ffv1", pixel_format="yuv420p10le", sound=None)
    extract(deep, tmp_path / "f")
    assert "10 bits are rounded to 8" in caplog.text
    extract(deep, tmp_path / "g", files=FrameFiles(bits=16))
    eight = read_image_unchanged(tmp_path / "f" / "00005.png")
    sixteen = read_image_unchanged(tmp_path / "g" / "00005.png")
    assert (eight.dtype, sixteen.dtype) == (np.uint8, np.uint16)
    assert np.abs(sixteen / 257 - eight).max() <= 0.51
    assert len(np.unique(sixteen)) > len(np.unique(sixteen // 257 * 257)) or sixteen.max() < 65535
    cut(deep, tmp_path / "c.mp4")
    assert clips.numbers(tmp_path / "c.mp4") == list(range(clips.FRAMES))
    assert read_info(tmp_path / "c.mp4").bits == 8


@pytest.mark.parametrize("name", sorted(HDR))
def test_hdr_is_refused_with_a_command_that_works_as_printed(name, tmp_path, capsys):
    def tag(stream):
        stream.codec_context.color_trc = HDR[name]
        stream.codec_context.color_primaries = stream.codec_context.colorspace = 9

    source = clips.make(
        tmp_path / "my video's.mp4", pixel_format="yuv420p10le", setup=tag, frames=12
    )
    for request in (["extract", str(source), str(tmp_path / "f")], ["cut", str(source)]):
        assert run(["video", *request]) == 1
        message = capsys.readouterr().err
        assert name in message
    words = shlex.split(message.strip().rpartition("Convert it first: ")[2])
    assert words.pop(0) == "dfl-tf"
    assert run(words) == 0
    assert run(["video", "extract", words[-1], str(tmp_path / "f")]) == 0
    assert len(list((tmp_path / "f").glob("*.png"))) == 12
    assert not read_info(tmp_path / "my video's_sdr.mp4").hdr
    levels = [read_image(p)[-8:, -8:].mean() for p in sorted((tmp_path / "f").glob("*.png"))]
    assert levels == sorted(levels)
    assert levels[-1] > levels[0]


def test_sidecar_of_another_video_is_refused(stream, tmp_path, capsys):
    workspace = tmp_path / "w"
    workspace.mkdir()
    shutil.copy(stream, workspace / "data_dst.ts")
    assert run(["video", "extract", str(workspace / "data_dst.ts")]) == 0
    merged = workspace / "data_dst" / "merged"
    merged.mkdir()
    for path in (workspace / "data_dst").glob("*.png"):
        shutil.copy(path, merged / path.name)
    assert run(["video", "merge", str(workspace)]) == 0
    assert "with sound" in capsys.readouterr().out
    clips.make(workspace / "data_dst.ts", start=TEN, frames=clips.FRAMES + 1)
    assert run(["video", "merge", str(workspace)]) == 2
    assert "timestamps.json is of another video" in capsys.readouterr().err


@pytest.mark.parametrize("suffix", ["ts", "MTS", "m2ts", "flv", "mkv", "avi", "3gp", "divx"])
def test_reference_is_found_by_any_suffix(stream, suffix, tmp_path):
    kind = suffix if suffix in ("flv", "avi", "3gp") else "mpegts"
    clips.make(tmp_path / f"data_dst.{suffix}", kind=kind, frames=5, clock=None)
    (tmp_path / "data_dst.txt").write_text("notes about it")
    (tmp_path / "data_dst.json").write_text("{}")
    (tmp_path / "data_dst").mkdir()
    write_image(tmp_path / "data_dst.png", clips.image(0))
    assert videos_named(tmp_path, "data_dst") == [tmp_path / f"data_dst.{suffix}"]
    assert find_video(tmp_path / "data_dst.*").name == f"data_dst.{suffix}"


def test_frames_past_99999_follow_by_their_numbers(tmp_path, caplog):
    for i, number in enumerate((99998, 99999, 100000, 100001)):
        (tmp_path / "f").mkdir(exist_ok=True)
        write_image(tmp_path / "f" / f"{number:05d}.png", clips.image(4 * i))
    encode(tmp_path / "f", tmp_path / "r.mp4", rate=Fraction(25))
    assert clips.numbers(tmp_path / "r.mp4") == [0, 4, 8, 12]
    assert caplog.text.count("the order of the numbers in their names") == 1


def written_of(path) -> Written:
    """What was encoded into a whole and good video."""
    first = clips.times(path)[0]
    noted = Written(clips.FRAMES, shape=clips.SIZE, sound=Fraction(0))
    noted.sound_tolerance = Fraction(1, 10)
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            noted.add(frame, frame.pts * frame.time_base - first)
    return noted


@pytest.mark.parametrize("name", ["r.mp4", "r.ts"])
@pytest.mark.parametrize("error", ["count", "time", "image", "sound", "size", None])
def test_what_was_written_is_read_back(name, error, tmp_path):
    video = clips.make(tmp_path / name)
    written = written_of(video)
    if error == "count":
        written.times.append(Fraction(9))
    elif error == "time":
        written.times[7] += Fraction(1, 100)
    elif error == "image":
        written.images[LAST] = np.zeros_like(written.images[LAST])
    elif error == "sound":
        written.sound = Fraction(1)
    elif error == "size":
        written.shape = (96, 130)
    if error is None:
        read_back(video, video, written)
        return
    with pytest.raises(WorkspaceError, match="does not read back"):
        read_back(video, video, written)


def test_a_video_that_reads_back_differently_replaces_nothing(stream, tmp_path, monkeypatch):
    (tmp_path / "c.mp4").write_bytes(b"earlier")
    monkeypatch.setattr(read_back_module, "_differences", lambda *_: iter(["wrong"]))
    with pytest.raises(WorkspaceError, match=r"c\.mp4: what was written does not read back"):
        cut(stream, tmp_path / "c.mp4")
    assert (tmp_path / "c.mp4").read_bytes() == b"earlier"
    assert [p.name for p in tmp_path.iterdir()] == ["c.mp4"]


def test_old_sidecar_names_its_video(stream, tmp_path):
    done = extract(stream, tmp_path / "f")
    sidecar = done.folder / "timestamps.json"
    text = sidecar.read_text()
    start, end = text.index('"identity"'), text.index("},") + 2
    sidecar.write_text(text[:start] + text[end:])
    encode(done.folder, tmp_path / "r.mp4", reference=stream)
    other = shutil.copy(stream, tmp_path / "other.ts")
    with pytest.raises(UsageError, match=r"is of a\.ts, not of"):
        encode(done.folder, tmp_path / "r.mp4", reference=tmp_path / other)
