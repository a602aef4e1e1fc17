"""Seeds and readers of the binary formats for `fuzz_formats`: faces, paks, models, sessions."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from dfl_tf.errors import DflTfError
from dfl_tf.formats import scan
from dfl_tf.formats.faces import (
    dfljpg,
    face_metadata,
    faceset_files,
    faceset_pak,
    metadata_file,
    stored_mask,
)
from dfl_tf.formats.models import json_tree, manifest, safetensors_file
from dfl_tf.formats.models import legacy as model_legacy
from dfl_tf.formats.pickles import safe_pickle
from dfl_tf.formats.sessions import merge_session

Reader = Callable[[bytes, Path], None]
"""Reads an input, in a folder of its own; what it raises is judged."""


@dataclass(frozen=True)
class Kind:
    """One sort of input.

    Attributes
    ----------
    seeds : list of bytes
        Small valid files.
    read : callable
    share : float
        How many of all inputs are of this kind, against the others.
    text : bool
        JSON or YAML: whole tokens are replaced as well.
    memory : int
        Bytes that the reader may take.
    """

    seeds: list[bytes]
    read: Reader
    share: float = 1.0
    text: bool = False
    memory: int = 256 << 20


def _face(number: int) -> face_metadata.FaceMetadata:
    rng = np.random.default_rng(number)
    mask = np.zeros((32, 32), np.float32)
    mask[8:24, 8:24] = 1
    return face_metadata.FaceMetadata(
        face_type="whole_face",
        landmarks=rng.random((68, 2)) * 48,
        source_filename="00001.png",
        source_rect=(1, 2, 30, 40),
        source_landmarks=rng.random((68, 2)) * 400,
        image_to_face_mat=rng.random((2, 3)),
        seg_ie_polys=[(1, rng.random((5, 2)).astype(np.float32)), (0, np.ones((3, 2), np.float32))],
        xseg_mask_bytes=stored_mask.encode_mask(mask),
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


def _read_unpack(data: bytes, folder: Path) -> None:
    """Unpacking removes a pak only if every face of it lies beside it."""
    place = folder / "unpacked"
    place.mkdir(exist_ok=True)
    (place / "faceset.pak").write_bytes(data)
    try:
        faceset_files.unpack_folder(place, keep_pak=False)
        if not (place / "faceset.pak").exists():
            for path in place.rglob("*.jpg"):
                if not path.read_bytes().startswith(b"\xff\xd8"):
                    raise AssertionError(f"{path.name} is not an image")
    finally:
        shutil.rmtree(place)


def format_kinds(folder: Path) -> dict[str, Kind]:
    """Name to seeds and reader."""
    manifests = manifest_seeds()
    return {
        "DFLJPG": Kind(jpeg_seeds(), _read_jpeg),
        "faceset.pak": Kind(pak_seeds(folder), _read_pak),
        "weights .npy": Kind(pickle_seeds(_weights()), _read_part),
        "data.dat": Kind(pickle_seeds(_data()), _read_data),
        "hostile pickle": Kind(hostile_seeds(), _read_hostile),
        "safetensors": Kind(safetensors_seeds(), _read_safetensors),
        "manifest": Kind(manifests, _read_manifest, text=True),
        "signed manifest": Kind(manifests, _read_signed_manifest, text=True),
        "merger session": Kind(session_seeds(), _read_session),
        "meta.dat": Kind(meta_seeds(folder), _read_metadata_file),
        "scan": Kind(pak_seeds(folder), _read_scan),
        "faceset unpack": Kind(pak_seeds(folder), _read_unpack, 0.5),
    }
