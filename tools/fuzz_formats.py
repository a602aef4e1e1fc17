"""Feed damaged files to every reader: always an answer or one of our errors, never anything else.

    python tools/fuzz_formats.py [--count N] [--seed S] [--kinds K,...] [--json]

Each input is a valid small file with a few bytes changed, cut, doubled, moved, or with lengths,
indices and opcodes that matter overwritten. Readers run in a child process with a limit on its
memory and a time limit for each input; a forbidden global that would be run leaves a mark.
Counted: inputs read as valid, refused with our errors, and faults (other exceptions, time,
memory, death, code run). The same seed gives the same inputs.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import random
import resource
import signal
import struct
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from dfl_tf.errors import DflTfError
from dfl_tf.formats import (
    dfljpg,
    faceset_pak,
    json_tree,
    manifest,
    merge_session,
    metadata_file,
    model_legacy,
    safe_pickle,
    safetensors_file,
    scan,
)
from dfl_tf.options import yaml_file

MEMORY = 256 << 20
SECONDS = 5


@dataclass
class Tally:
    """One row of the table."""

    inputs: int = 0
    valid: int = 0
    refused: int = 0
    slowest: float = 0.0
    faults: list[str] = field(default_factory=list)


# -- seeds: small valid files ----------------------------------------------------------------------
def _face(number: int) -> dfljpg.FaceMetadata:
    rng = np.random.default_rng(number)
    mask = np.zeros((32, 32), np.float32)
    mask[8:24, 8:24] = 1
    return dfljpg.FaceMetadata(
        face_type="whole_face",
        landmarks=rng.random((68, 2)) * 48,
        source_filename="00001.png",
        source_rect=(1, 2, 30, 40),
        source_landmarks=rng.random((68, 2)) * 400,
        image_to_face_mat=rng.random((2, 3)),
        seg_ie_polys=[(1, rng.random((5, 2)).astype(np.float32)), (0, np.ones((3, 2), np.float32))],
        xseg_mask_bytes=dfljpg.encode_mask(mask),
        shape=(48, 48, 3),
        extra={"fork": [1, None, "x"]},
    )


def jpeg_seeds() -> list[bytes]:
    """Aligned faces: baseline, progressive, with restart intervals."""
    image = np.random.default_rng(0).integers(0, 255, (48, 48, 3)).astype(np.uint8)
    flags = ([], [cv2.IMWRITE_JPEG_PROGRESSIVE, 1], [cv2.IMWRITE_JPEG_RST_INTERVAL, 2])
    made = [cv2.imencode(".jpg", image, flag)[1].tobytes() for flag in flags]
    return [dfljpg.embed_metadata(data, _face(i)) for i, data in enumerate(made)]


def pak_seeds(folder: Path) -> list[bytes]:
    """A flat pak and one with persons."""
    seeds = []
    for person in (None, "somebody"):
        path = folder / "seed.pak"
        faces = [(f"{i}.jpg", person, _face(i), data) for i, data in enumerate(jpeg_seeds())]
        faceset_pak.write_pak(path, faces)
        seeds.append(path.read_bytes())
    return seeds


def _weights() -> dict[str, Any]:
    rng = np.random.default_rng(1)
    return {
        "iters:0": np.int64(7),
        "down1/downs_0/conv1/weight:0": rng.random((3, 3, 3, 4), np.float32),
        "down1/downs_0/conv1/bias:0": np.zeros(4, np.float32),
        "half:0": rng.random(6).astype(np.float16),
        "big:0": rng.random(3000).astype(np.float32),
    }


def _data() -> dict[str, Any]:
    return {
        "iter": 30,
        "options": {"resolution": np.int64(64), "archi": "df-ud", "gan_power": np.float64(0.1)},
        "loss_history": [[1.0 / (i + 1), 2.0] for i in range(30)],
        "sample_for_preview": [[np.ones((1, 8, 8, 3), np.float32)], []],
        "choosed_gpu_indexes": None,
    }


def pickle_seeds(value: Any) -> list[bytes]:
    """Every protocol of Python's own pickler, and ours."""
    return [pickle.dumps(value, protocol) for protocol in range(6)] + [
        safe_pickle.dumps_legacy(value, protocol=protocol) for protocol in (3, 4)
    ]


def hostile_seeds() -> list[bytes]:
    """Pickles that run code if they are let; mutated they must still not."""

    class Evil:
        def __init__(self, mark: str) -> None:
            self.mark = mark

        def __reduce__(self) -> Any:
            return (os.mkdir, (self.mark,))

    mark = os.environ["FUZZ_MARK"]
    return [pickle.dumps({"a": Evil(mark), "w": np.ones(3)}, p) for p in range(6)]


def safetensors_seeds() -> list[bytes]:
    """One file with several dtypes."""
    parts: list[bytes] = []
    safetensors_file.dump(_weights(), lambda part: parts.append(bytes(part)))
    return [b"".join(parts)]


def manifest_seeds() -> list[bytes]:
    """A manifest with everything."""
    entry = manifest.FileEntry
    files = {"new_SAEHD_encoder.npy": entry(10, "ab" * 32, 5), "x.npy": entry(0, "0" * 64)}
    values = {"a": [1], "t": (1, b"x"), "n": float("nan"), "k": {1: "$"}, "w": np.ones(3), "$": 0}
    values["e"] = safe_pickle.EnumValue("facelib.FaceType", "FaceType", 4)
    payload = {"options": json_tree.encode(values, {})}
    made = manifest.Manifest("SAEHD", "new", "native", 5, files, {"seed": 1}, payload)
    return [made.to_bytes()]


def session_seeds() -> list[bytes]:
    """A legacy merger session of two frames, assembled by hand: its classes are not ours."""

    def instance(module: str, name: str, state: Any) -> bytes:
        return f"c{module}\n{name}\n)\x81".encode("latin1") + _body(state) + b"b"

    def frame(config: bytes) -> bytes:
        path = b"cpathlib\nPosixPath\n" + _body(("data_dst", "00001.png")) + b"R"
        info = b"}" + _body("filepath") + path + b"s" + _body("landmarks_list") + b"]s"
        nested = (
            b"cbuiltins\ngetattr\ncmerger.InteractiveMergerSubprocessor\n"
            b"InteractiveMergerSubprocessor\n" + _body("Frame") + b"\x86R)\x81"
        )
        state = b"}" + _body("frame_info") + b"cmerger.FrameInfo\nFrameInfo\n)\x81" + info + b"b"
        return nested + state + b"s" + _body("cfg") + config + b"sb"

    config = instance("merger.MergerConfig", "MergerConfigMasked", {"mode": "overlay", "erode": 5})
    frames = b"](" + frame(config) + frame(b"N") + b"e"
    rest = {"frames_idxs": [1], "frames_done_idxs": [0], "model_iter": 12345}
    items = b"".join(_body(key) + _body(value) + b"s" for key, value in rest.items())
    return [b"\x80\x03}" + _body("frames") + frames + b"s" + items + b"."]


def _body(value: Any) -> bytes:
    return safe_pickle.dumps_legacy(value, protocol=3)[2:-1]


def meta_seeds(folder: Path) -> list[bytes]:
    """The metadata of two faces."""
    for index, data in enumerate(jpeg_seeds()[:2]):
        (folder / f"{index}.jpg").write_bytes(data)
    metadata_file.save_metadata(folder)
    return [(folder / "meta.dat").read_bytes()]


def yaml_seeds() -> list[bytes]:
    """Options, flat and nested, and as JSON."""
    nested = (
        b"model:\n  archi: liae-ud\n  resolution: 128\ntrain: {batch_size: 4, gan_power: 0.1}\n"
    )
    anchors = b"a: &x [1, 2]\nb: *x\nct_mode: rct\nlr_dropout: 'y'\n"
    return [nested, anchors, b'{"resolution": 64, "archi": "df", "pretrain": false}']


# -- mutations -------------------------------------------------------------------------------------
_OPCODES = b"(.]}tRbe0123asucijqrXBC\x80\x81\x85\x86\x87\x8a\x8b\x8c\x8e\x93\x94\x95\x96QPpghlndo"
_EXTREMES = (0, 1, 255, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1, 2**64 - 1)


def mutate(data: bytes, rng: random.Random) -> bytes:
    """`data` with one to four random damages."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        if not out:
            break
        _MUTATIONS[rng.randrange(len(_MUTATIONS))](out, rng)
    return bytes(out)


def _flip(out: bytearray, rng: random.Random) -> None:
    out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)


def _random_byte(out: bytearray, rng: random.Random) -> None:
    out[rng.randrange(len(out))] = rng.randrange(256)


def _cut_end(out: bytearray, rng: random.Random) -> None:
    del out[rng.randrange(len(out)) :]


def _cut_middle(out: bytearray, rng: random.Random) -> None:
    start = rng.randrange(len(out))
    del out[start : start + rng.randrange(1, 64)]


def _double(out: bytearray, rng: random.Random) -> None:
    start = rng.randrange(len(out))
    out[start:start] = out[start : start + rng.randrange(1, 64)] * rng.choice((1, 1, 2, 50))


def _move(out: bytearray, rng: random.Random) -> None:
    start = rng.randrange(len(out))
    piece = out[start : start + rng.randrange(1, 64)]
    del out[start : start + len(piece)]
    place = rng.randrange(len(out) + 1)
    out[place:place] = piece


def _opcode(out: bytearray, rng: random.Random) -> None:
    place = rng.randrange(len(out))
    out[place : place + rng.randrange(2)] = bytes((rng.choice(_OPCODES),)) * rng.choice((1, 1, 500))


def _extreme(out: bytearray, rng: random.Random) -> None:
    form = rng.choice("<>") + rng.choice("HIQ")
    size = struct.calcsize(form)
    value = rng.choice(_EXTREMES) % (1 << (8 * size))
    # headers are where the lengths are, so the beginning is hit more often
    place = rng.randrange(min(len(out), 64) if rng.random() < 0.5 else len(out))
    out[place : place + size] = struct.pack(form, value)


def _length_after_opcode(out: bytearray, rng: random.Random) -> None:
    places = [i for i, byte in enumerate(out[:20000]) if byte in b"BXCqr\x8a\x8b\x8c\x8e\x95j\xef"]
    if places:
        place = rng.choice(places) + 1
        size = rng.choice((1, 2, 4, 8))
        value = rng.choice(_EXTREMES) % (1 << (8 * size))
        out[place : place + size] = value.to_bytes(size, rng.choice(("little", "big")))


_MUTATIONS: tuple[Callable[[bytearray, random.Random], None], ...] = (
    _flip,
    _flip,
    _random_byte,
    _cut_end,
    _cut_middle,
    _double,
    _move,
    _opcode,
    _extreme,
    _length_after_opcode,
)


# -- readers ---------------------------------------------------------------------------------------
def _read_jpeg(data: bytes, folder: Path) -> None:
    metadata = dfljpg.read_metadata(data)
    if metadata is not None:
        metadata.mask()
        dfljpg.embed_metadata(data, metadata)


def _read_pak(data: bytes, folder: Path) -> None:
    path = folder / "input.pak"
    path.write_bytes(data)
    faceset = faceset_pak.read_pak(path)
    for index in range(len(faceset)):
        faceset.jpeg(index)


def _read_part(data: bytes, folder: Path) -> None:
    path = folder / "input.npy"
    path.write_bytes(data)
    model_legacy.read_part(path)


def _read_data(data: bytes, folder: Path) -> None:
    path = folder / "input_data.dat"
    path.write_bytes(data)
    model_legacy.read_data(path)


def _read_safetensors(data: bytes, folder: Path) -> None:
    path = folder / "input.safetensors"
    path.write_bytes(data)
    safetensors_file.load(path)


def _read_manifest(data: bytes, folder: Path) -> None:
    manifest.parse_manifest(data, what="manifest")


def _read_hostile(data: bytes, folder: Path) -> None:
    safe_pickle.audit(data)
    safe_pickle.loads(data, what="hostile")


def _read_scan(data: bytes, folder: Path) -> None:
    path = folder / "scanned.pak"
    path.write_bytes(data)
    result = scan.scan_file(path)
    if not result.accepted:
        raise DflTfError("refused")


def _read_signed_manifest(data: bytes, folder: Path) -> None:
    """A damaged manifest whose checksum is right again, and the values that it carries."""
    try:
        body = json.loads(data.decode("utf-8", "surrogatepass"))
        body.pop("checksum", None)
        body["checksum"] = manifest._checksum(body)
    except (ValueError, AttributeError, TypeError, RecursionError):
        raise DflTfError("no JSON object any more") from None
    signed = json.dumps(body).encode("utf-8", "surrogatepass")
    parsed = manifest.parse_manifest(signed, what="manifest")
    json_tree.decode(dict(parsed.payload), {"0": np.ones(3)}, what="manifest")


def _read_session(data: bytes, folder: Path) -> None:
    path = folder / "input_merger_session.dat"
    path.write_bytes(data)
    merge_session.read_merge_session(path)


def _read_metadata_file(data: bytes, folder: Path) -> None:
    path = folder / "meta.dat"
    path.write_bytes(data)
    metadata_file.read_metadata_file(path)


def _read_yaml(data: bytes, folder: Path) -> None:
    path = folder / "input.yaml"
    path.write_bytes(data)
    yaml_file.read_layer(path)


def kinds(folder: Path) -> dict[str, tuple[list[bytes], Callable[[bytes, Path], None]]]:
    """Name to seeds and reader."""
    return {
        "DFLJPG": (jpeg_seeds(), _read_jpeg),
        "faceset.pak": (pak_seeds(folder), _read_pak),
        "weights .npy": (pickle_seeds(_weights()), _read_part),
        "data.dat": (pickle_seeds(_data()), _read_data),
        "hostile pickle": (hostile_seeds(), _read_hostile),
        "safetensors": (safetensors_seeds(), _read_safetensors),
        "manifest": (manifest_seeds(), _read_manifest),
        "signed manifest": (manifest_seeds(), _read_signed_manifest),
        "merger session": (session_seeds(), _read_session),
        "meta.dat": (meta_seeds(folder), _read_metadata_file),
        "options YAML": (yaml_seeds(), _read_yaml),
        "scan": (pak_seeds(folder), _read_scan),
    }


# -- running ---------------------------------------------------------------------------------------
class _TooSlow(BaseException):
    pass


def _alarm(*_: object) -> None:
    raise _TooSlow


def run_kind(name: str, count: int, seed: int) -> Tally:
    """Feed `count` inputs of one kind to its reader in a guarded child."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        mark = folder / "code-was-run"
        os.environ["FUZZ_MARK"] = str(mark)
        seeds, reader = kinds(folder)[name]
        tally = Tally()
        done = 0
        while done < count:
            read, write = os.pipe()
            pid = os.fork()
            if pid == 0:
                _child(write, seeds, reader, folder, name, range(done, count), seed)
            os.close(write)
            done += _collect(read, tally)
            status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            if status:
                tally.faults.append(f"input {done}: the process died with {status}")
                tally.inputs += 1
                done += 1
        if mark.exists():
            tally.faults.append("code of a hostile pickle was run")
        return tally


def _child(
    pipe: int,
    seeds: list[bytes],
    reader: Callable[[bytes, Path], None],
    folder: Path,
    name: str,
    indices: range,
    seed: int,
) -> None:
    """Read the inputs and report each in one line; ends the process."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    signal.signal(signal.SIGALRM, _alarm)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # image libraries talk about every damage
    with os.fdopen(pipe, "w") as out:
        for index in indices:
            rng = random.Random(f"{seed}/{name}/{index}")
            data = mutate(rng.choice(seeds), rng)
            start = time.perf_counter()
            signal.setitimer(signal.ITIMER_REAL, SECONDS)
            try:
                reader(data, folder)
                verdict = "valid"
            except DflTfError:
                verdict = "refused"
            except (_TooSlow, Exception) as error:
                verdict = f"{type(error).__name__}: {str(error)[:200]!r}"
            signal.setitimer(signal.ITIMER_REAL, 0)
            print(json.dumps([index, verdict, time.perf_counter() - start]), file=out, flush=True)
    os._exit(0)


def _collect(pipe: int, tally: Tally) -> int:
    done = 0
    with os.fdopen(pipe) as lines:
        for line in lines:
            index, verdict, seconds = json.loads(line)
            done += 1
            tally.inputs += 1
            tally.slowest = max(tally.slowest, seconds)
            if verdict == "valid":
                tally.valid += 1
            elif verdict == "refused":
                tally.refused += 1
            else:
                tally.faults.append(f"input {index}: {verdict}")
    return done


def main() -> int:
    """Run and print the table; 1 if there was any fault."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=800, help="inputs in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", help="only these, separated by commas")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    os.environ.setdefault("FUZZ_MARK", "/nonexistent/fuzz")
    with tempfile.TemporaryDirectory() as place:
        names = list(kinds(Path(place)))
    if options.kinds:
        names = [name for name in names if name in options.kinds.split(",")]
    each = -(-options.count // len(names))
    rows = {name: run_kind(name, each, options.seed) for name in names}
    if options.json:
        print(json.dumps({name: vars(tally) for name, tally in rows.items()}, indent=2))
    else:
        print(f"{'':18}{'inputs':>8}{'valid':>8}{'refused':>9}{'slowest':>10}{'faults':>8}")
        for name, row in rows.items():
            numbers = f"{row.inputs:8}{row.valid:8}{row.refused:9}{row.slowest:9.3f}s"
            print(f"{name:18}{numbers}{len(row.faults):8}")
            for fault in row.faults[:20]:
                print(f"    {fault}")
        print(f"{'together':18}{sum(row.inputs for row in rows.values()):8}")
    return 1 if any(row.faults for row in rows.values()) else 0


if __name__ == "__main__":
    raise SystemExit(main())
