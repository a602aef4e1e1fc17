"""Seeds and readers of JSON, YAML and videos for `fuzz_formats`."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from fuzz_files import Kind, Reader, jpeg_seeds

from dfl_tf.bench import compare as bench_compare
from dfl_tf.data import face_index
from dfl_tf.devices import cluster
from dfl_tf.facesets.xseg_store import ApplyJournal, open_store
from dfl_tf.merge.output import Output
from dfl_tf.merge.session import FORMAT, VERSION, MergeJournal
from dfl_tf.merge.settings import FrameSettings, read_frame_values
from dfl_tf.merge.video_parts import Parts, read_record, remember
from dfl_tf.options import RunOptions, resolve, yaml_file
from dfl_tf.video.cut import Piece, cut
from dfl_tf.video.encode import FrameTimes
from dfl_tf.video.extract import FrameFiles, extract
from dfl_tf.video.info import read_info
from dfl_tf.video.parts import Whole, join
from dfl_tf.video.read_back import Written
from dfl_tf.video.timestamps import TIMES_FILE, read_times
from dfl_tf.video.write import Encoding

_SPLIT = b"\n-- the journal --\n"
_FRAMES = [Path(f"{i:05d}.png") for i in range(1, 30)]


# -- seeds -----------------------------------------------------------------------------------------
def yaml_seeds() -> list[bytes]:
    """Options, flat and nested, and as JSON."""
    nested = (
        b"model:\n  archi: liae-ud\n  resolution: 128\ntrain: {batch_size: 4, gan_power: 0.1}\n"
    )
    anchors = b"a: &x [1, 2]\nb: *x\nct_mode: rct\nlr_dropout: 'y'\n"
    run = b"workspace: 10\nsrc: a/b\nsave_every: 2.5\ndevices: 0,1\nreinit: [GAN]\nseed: 3\n"
    return [nested, anchors, run, b'{"resolution": 64, "archi": "df", "pretrain": false}']


def frame_seeds() -> list[bytes]:
    """Settings of single frames and of a range."""
    text = b'"00001": {mode: overlay, erode_mask_modifier: 5}\n1:10: {mask_mode: dst}\n'
    return [text, b"a: &a {blur_mask_modifier: 3}\n00002: *a\n", json.dumps({"00003": {}}).encode()]


def session_seeds() -> list[bytes]:
    """A merge session, and its journal behind a mark."""
    frame = {"key": "k", "sizes": [12, 30]}
    whole = {"format": FORMAT, "version": VERSION, "model": "new", "frames": {"00001.png": frame}}
    lines = b"".join(json.dumps([f"{i:05d}.png", frame]).encode() + b"\n" for i in (2, 3, 4))
    return [json.dumps(whole).encode() + _SPLIT + lines, json.dumps(whole, indent=1).encode()]


def times_seeds() -> list[bytes]:
    """Time stamps of three frames."""
    times = {"00001": "0", "00002": "1001/30000", "00003": "1001/15000"}
    return [json.dumps({"video": "x.mp4", "rate": "30000/1001", "times": times}).encode()]


def index_seeds() -> list[bytes]:
    """Rows of an index of faces, without the checksum."""
    return [
        json.dumps([[f"{i}.jpg", 100, 10**18, 0.5, True, False, ""] for i in range(9)]).encode()
    ]


def journal_seeds() -> list[bytes]:
    """The journal of masks that were applied."""
    face = {"name": "0.jpg", "image": "ab" * 16, "mask": "aGVsbG8="}
    lines = [{"work": "w"}, face, face | {"name": "1.jpg"}]
    return [b"".join(json.dumps(line).encode() + b"\n" for line in lines)]


def report_seeds() -> list[bytes]:
    """A benchmark report."""
    rows = [{"workers": n, "seconds": n / 7, "precision": "float32"} for n in (1, 2)]
    return [json.dumps({"kind": "step", "machine": {"cores": 2}, "rows": rows}).encode()]


def cluster_seeds() -> list[bytes]:
    """TF_CONFIG of two workers."""
    jobs = {"chief": ["a:1"], "worker": ["b:2", "c:3"]}
    return [json.dumps({"cluster": jobs, "task": {"type": "worker", "index": 1}}).encode()]


def parts_seeds() -> list[bytes]:
    """The journal of a merged video of six frames, in two parts."""
    sha, size = "ab" * 32, [32, 48]
    part = {"made_of": sha, "sizes": [12, 30], "shapes": [size, size], "coded": [size, size]}
    lines = [
        part
        | {"first": first, "count": 3, "clock": [1, 12800]}
        | {"seen": [{str(first + i): sha for i in range(3)}] * 2}
        for first in (0, 3)
    ]
    return [b"".join(json.dumps(line).encode() + b"\n" for line in lines)]


def record_seeds() -> list[bytes]:
    """What a finished merged video was made of."""
    record = {"output": "result.mp4", "made_of": "ab" * 32, "sizes": [12, 30], "audio": True}
    return [json.dumps(record, indent=1).encode()]


def video_seeds() -> list[bytes]:
    """Short videos, without sound."""
    forms = (
        ("mp4", "libx264"),
        ("matroska", "libx264"),
        ("mpegts", "mpeg2video"),
        ("avi", "mpeg4"),
    )
    return [_video(*form) for form in (*forms, ("avi", "mjpeg"))]


def _video(form: str, codec: str) -> bytes:
    made = io.BytesIO()
    rng = np.random.default_rng(0)
    with av.open(made, "w", format=form) as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height = 48, 32
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for number in range(6):
            image = np.clip(rng.normal(128 + 10 * number, 9, (32, 48, 3)), 0, 255)
            frame = av.VideoFrame.from_ndarray(image.astype(np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return made.getvalue()


# -- readers ---------------------------------------------------------------------------------------
def _read_options(data: bytes, folder: Path) -> None:
    path = folder / "input.yaml"
    path.write_bytes(data)
    layer = yaml_file.read_layer(path)
    for text in layer.texts.values():
        with contextlib.suppress(OSError):  # the command line has one message for all of these
            Path(text).exists()
    resolve(RunOptions, [layer], allow_unknown=True)


def _read_frames(data: bytes, folder: Path) -> None:
    path = folder / "frames.yaml"
    path.write_bytes(data)
    FrameSettings(frames=read_frame_values(path), frames_origin="frames.yaml").resolve(_FRAMES)


def _read_session(data: bytes, folder: Path) -> None:
    whole, _, journal = data.partition(_SPLIT)
    session = MergeJournal(
        folder / "new_SAEHD_merge_session.json", {"model": "new"}, Output(folder, folder)
    )
    session.path.write_bytes(whole)
    session.journal.write_bytes(journal)
    session.start(resume=True)
    for frame in _FRAMES[:4]:
        session.finished(frame, "k")


def _read_times(data: bytes, folder: Path) -> None:
    (folder / TIMES_FILE).write_bytes(data)
    known = read_times(folder)
    if known is not None:
        int(known.rate * 90000), [int(time * 90000) for time in known.times.values()]


def _read_index(data: bytes, folder: Path) -> None:
    """A cache that cannot be used is none: this reader never refuses."""
    path = folder / "index.json"
    head = f"{face_index._VERSION} {hashlib.sha256(data).hexdigest()}\n"
    path.write_bytes(head.encode() + data)
    for _, facts in face_index._read(path).values():
        float(facts.yaw), facts.reason.encode("utf-8", "surrogatepass")


def _read_journal(data: bytes, folder: Path) -> None:
    place = folder / "faces"
    if not place.exists():
        place.mkdir()
        for number, jpeg in enumerate(jpeg_seeds()[:2]):
            (place / f"{number}.jpg").write_bytes(jpeg)
    (place / "xseg_apply.journal").write_bytes(data)
    store = open_store(place)
    journal = ApplyJournal(store, "w")
    for index, name in enumerate(store.names):
        journal.mask_of(name, store.face(index)[1])
    journal.close(finished=False)


def _read_report(data: bytes, folder: Path) -> None:
    path = folder / "report.json"
    path.write_bytes(data)
    report = bench_compare.read_report(path)
    bench_compare.compare(report, report)


def _read_cluster(data: bytes, folder: Path) -> None:
    text = data.decode("utf-8", "surrogateescape")
    cluster.cluster_of(RunOptions(), {"TF_CONFIG": text})


def _read_parts(data: bytes, folder: Path) -> None:
    place, made_of = folder / "result.mp4.parts", "ab" * 32
    place.mkdir(exist_ok=True)
    (place / "journal").write_bytes(data)
    written = [Written(6, exact=True) for _ in range(2)]
    parts = Parts(place, lambda first, count: made_of, written[0])
    for first in (0, 3):
        for path, size in zip(parts.files(first), (12, 30), strict=True):
            path.write_bytes(bytes(size))
    parts.close()
    parts = Parts(place, lambda first, count: made_of, written[0])
    for part in parts.whole:
        for notes, texts in zip(written, part["seen"], strict=True):
            remember(notes, texts)
    parts.close()
    if parts.frames == written[0].total and any(len(notes.images) != 6 for notes in written):
        raise AssertionError("whole, and not all of it is noted")


def _read_record(data: bytes, folder: Path) -> None:
    (folder / "record.json").write_bytes(data)
    read_record(folder / "record.json")


def _part_reader(part: bytes) -> Reader:
    """Join a damaged part; what the whole one shows must come back, or an error."""
    timing = FrameTimes(Fraction(25), [Fraction(number, 25) for number in range(6)])
    notes = Written(6, shape=(32, 48))
    with av.open(io.BytesIO(part)) as container:
        for time, frame in zip(timing.times, container.decode(video=0), strict=True):
            notes.add(frame, time)

    def read(data: bytes, folder: Path) -> None:
        (folder / "part.mp4").write_bytes(data)
        whole = Whole(folder / "joined.mp4", timing, Fraction(1, 12800), Encoding())
        join(av, [folder / "part.mp4"], whole, notes)

    return read


def _video_reader(use: Any) -> Reader:
    def read(data: bytes, folder: Path) -> None:
        path = folder / "input.video"
        path.write_bytes(data)
        use(path, folder)

    return read


def text_kinds() -> dict[str, Kind]:
    """Name to seeds and reader."""
    videos, memory = video_seeds(), 4 << 30
    files, piece = FrameFiles(overwrite=True), Piece(end=Fraction(1, 10))
    extracted = _video_reader(lambda path, at: extract(path, at / "frames", files=files))
    cutting = _video_reader(lambda path, at: cut(path, at / "cut.mp4", piece))
    return {
        "options YAML": Kind(yaml_seeds(), _read_options, text=True),
        "frame settings": Kind(frame_seeds(), _read_frames, text=True),
        "merge --resume": Kind(session_seeds(), _read_session, text=True),
        "time stamps": Kind(times_seeds(), _read_times, text=True),
        "face index": Kind(index_seeds(), _read_index, text=True),
        "xseg journal": Kind(journal_seeds(), _read_journal, 0.5, text=True),
        "bench report": Kind(report_seeds(), _read_report, text=True),
        "TF_CONFIG": Kind(cluster_seeds(), _read_cluster, text=True),
        "video parts": Kind(parts_seeds(), _read_parts, text=True),
        "video record": Kind(record_seeds(), _read_record, 0.5, text=True),
        "video join": Kind(videos[:1], _part_reader(videos[0]), 0.1, memory=memory),
        "video info": Kind(videos, _video_reader(lambda path, _: read_info(path)), memory=memory),
        "video extract": Kind(videos, extracted, 0.3, memory=memory),
        "video cut": Kind(videos, cutting, 0.1, memory=memory),
    }
