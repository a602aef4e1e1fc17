"""A video that cannot be read gives one clear line, in finite time, whatever is in it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

av = pytest.importorskip("av")

from dfl_tf.cli.main import run  # noqa: E402
from dfl_tf.errors import WorkspaceError  # noqa: E402
from dfl_tf.video import pyav  # noqa: E402
from dfl_tf.video.frames import packets_of  # noqa: E402
from dfl_tf.video.info import read_info  # noqa: E402
from dfl_tf.video.watch import watched  # noqa: E402
from tests.video import clips  # noqa: E402

CASES = Path(__file__).parent / "cases"


def test_damaged_stream_ends_every_time():
    # It hung in one of three runs: FFmpeg's threads waited for the interpreter to log.
    for _ in range(20):
        with pytest.raises(WorkspaceError, match="no frame of its video can be decoded"):
            read_info(CASES / "video_extract_hangs.avi")


def test_ffmpeg_never_logs_through_the_interpreter():
    av.logging.set_level(av.logging.ERROR)
    assert pyav.require_av().logging.get_level() is None


@pytest.mark.parametrize("command", ["info", "extract", "cut"])
def test_stream_without_pixel_format_is_one_line(command, tmp_path, capsys):
    out = {"info": [], "extract": [str(tmp_path / "f")], "cut": ["-o", str(tmp_path / "c.mp4")]}
    case = CASES / "video_no_pixel_format.mkv"
    assert run(["video", command, str(case), *out[command]]) == 1
    message = capsys.readouterr().err
    assert message.startswith(f"error: {case}: no frame of its video can be decoded")
    assert len(message.splitlines()) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", ["info", "extract", "cut"])
def test_metadata_may_be_any_bytes(command, tmp_path):
    out = {"info": [], "extract": [str(tmp_path / "f")], "cut": ["-o", str(tmp_path / "c.mp4")]}
    assert run(["video", command, str(CASES / "video_bad_text.avi"), *out[command]]) == 0


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names are Unicode there")
def test_names_may_be_any_bytes(tmp_path):
    video = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.mp4"))
    clips.make(tmp_path / "a.mp4", frames=5).rename(video)
    assert run(["video", "extract", str(video)]) == 0
    assert run(["video", "merge", str(video.with_suffix("")), "--reference", str(video)]) == 0
    assert run(["video", "cut", str(video)]) == 0
    assert len(list(tmp_path.glob("*/*.png"))) == 5


def test_names_are_no_addresses(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    clips.make(tmp_path / "a.mp4", frames=5).rename(tmp_path / "concat:x.mp4")
    assert read_info(Path("concat:x.mp4")).frames == 5


def test_damage_in_the_middle_is_counted_and_the_rest_read(tmp_path, caplog):
    video = clips.make(tmp_path / "a.mp4", sound=None)
    with av.open(str(video)) as container:
        places = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    data = bytearray(video.read_bytes())
    for pos, size in places[20:22]:
        data[pos : pos + size] = b"\xff" * size
    video.write_bytes(data)
    info = read_info(video)
    assert 25 <= info.frames <= clips.FRAMES
    assert "damaged packets left out" in caplog.text


def test_streams_that_appear_on_the_way_are_passed_over():
    class Container:
        left = iter(["a", IndexError, "b", IndexError])

        def demux(self, streams):
            for item in self.left:
                if item is IndexError:
                    raise IndexError
                yield item

    assert list(packets_of(Container(), ["video"])) == ["a", "b"]


def test_huge_frames_are_refused_before_memory_is_taken(tmp_path, monkeypatch):
    video = clips.make(tmp_path / "a.mp4", sound=None, frames=3)
    monkeypatch.setattr(pyav, "MAX_PIXELS", 64 * 64)
    with pytest.raises(WorkspaceError, match=r"frames of 128x96 pixels; at most 4096"):
        read_info(video)


def test_a_pipe_is_refused(tmp_path):
    os.mkfifo(tmp_path / "p.mp4")
    with pytest.raises(WorkspaceError, match="not a regular file"):
        read_info(tmp_path / "p.mp4")


def test_what_gives_nothing_is_given_up():
    def endless():
        time.sleep(60)
        yield 1

    with pytest.raises(WorkspaceError, match=r"x\.mp4: no frame could be decoded for 0\.3 s"):
        next(watched(endless, Path("x.mp4"), patience=0.3))


def test_errors_and_ends_pass_through():
    def three():
        yield from range(3)
        raise WorkspaceError("then this")

    found = watched(three, Path("x.mp4"))
    assert [next(found), next(found), next(found)] == [0, 1, 2]
    with pytest.raises(WorkspaceError, match="then this"):
        next(found)
    assert list(watched(lambda: iter("ab"), Path("x.mp4"))) == ["a", "b"]


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_an_interrupt_is_heard_while_ffmpeg_works():
    program = (
        "import time; from pathlib import Path; from dfl_tf.video.watch import watched\n"
        "def stuck():\n print('ready', flush=True); time.sleep(1000); yield 1\n"
        "next(watched(stuck, Path('x')))"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"
    child.send_signal(signal.SIGINT)
    assert child.wait() != 0
    child.stdout.close()


@pytest.mark.skipif(sys.platform == "win32", reason="links")
def test_nothing_is_written_through_a_link_beside_the_output(tmp_path):
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    work = tmp_path / "w"
    work.mkdir()
    for name in ("result.new.mp4", "result.mp4"):
        (work / name).symlink_to(victim)
    video = clips.make(tmp_path / "a.mp4", frames=5)
    assert run(["video", "extract", str(video), str(work / "f")]) == 0
    output = work / "result.mp4"
    assert run(["video", "merge", str(work / "f"), "-o", str(output), "--fps", "25"]) == 0
    assert victim.read_bytes() == b"precious"
    assert not output.is_symlink()
    assert (work / "result.new.mp4").is_symlink()
