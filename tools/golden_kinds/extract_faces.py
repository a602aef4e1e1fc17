"""Boxes, crops, peaks, stages and alignment with given network outputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from dfl_tf.extract.align import align_face
from dfl_tf.extract.detectors.s3fd import S3FD, suppress
from dfl_tf.extract.detectors.s3fd import decode as decode_maps
from dfl_tf.extract.found import Detection, Landmarks
from dfl_tf.extract.frame_faces import find_faces, prepare_frame
from dfl_tf.extract.landmarkers import fan
from dfl_tf.face import FaceType
from dfl_tf.formats import read_metadata
from golden_kinds.arrays import load_arrays, load_json, mean, near, same
from golden_kinds.check import Check
from golden_kinds.workspaces import frame

_LEVELS = 6


def decode(folder: Path, case: str) -> list[Check]:
    golden = load_arrays(folder / "s3fd.npz")
    maps = [
        (golden[f"dec{case}_conf{level}"], golden[f"dec{case}_loc{level}"])
        for level in range(_LEVELS)
    ]
    return [near("boxes", decode_maps(maps)[:, :4], golden[f"dec{case}_boxes"], 0)]


def nms(folder: Path, case: str) -> list[Check]:
    golden = load_arrays(folder / "s3fd.npz")
    kept = suppress(golden[f"nms{case}_dets"].astype(np.float64))
    return [same("keep", kept, golden[f"nms{case}_keep"].tolist())]


def s3fd_call(folder: Path, case: str) -> list[Check]:
    entry = load_json(folder / "s3fd_calls.json")[int(case)]
    height, width = entry["image_hw"]
    image = cv2.resize(
        frame("data_src/00010.jpg"), (width, height), interpolation=cv2.INTER_NEAREST
    )
    seen: list[np.ndarray] = []

    def network(x: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        seen.append(x)
        maps = []
        for level in range(_LEVELS):
            size = [max(1, side // 2 ** (level + 2)) for side in x.shape[:2]]
            conf, loc = np.zeros((*size, 2), np.float32), np.zeros((*size, 4), np.float32)
            conf[..., 0] = 1
            for cell in entry["cells"]:
                if cell["level"] == level:
                    place = cell["row"], cell["col"]
                    conf[place], loc[place] = (1 - cell["score"], cell["score"]), cell["loc"]
            maps.append((conf, loc))
        return maps

    boxes = [list(face.box) for face in S3FD(network).detect(image)]
    colors = seen[0].astype(np.float64).mean(axis=(0, 1))
    return [
        same("boxes", boxes, entry["boxes"]),
        same("size given to the network", list(seen[0].shape[:2]), entry["net_input_hw"]),
        near("mean given to the network", colors, entry["net_input_mean_rgb"], 1e-3),
    ]


def peaks(folder: Path, case: str) -> list[Check]:
    golden = load_arrays(folder / "fan.npz")
    found = fan.peaks(golden["dec_heat"])
    center, scale = golden[f"dec_center{case}"], float(golden[f"dec_scale{case}"])
    points = fan.to_frame(found, center, scale, golden["dec_heat"].shape[-1])
    return [near("points", points, golden[f"dec_pts{case}"], 1e-6)]


def crop(folder: Path, case: str) -> list[Check]:
    golden = load_arrays(folder / "fan.npz")
    rgb = cv2.cvtColor(frame("data_src/00003.jpg"), cv2.COLOR_BGR2RGB)
    cut = fan.crop(rgb, golden[f"crop{case}_center"], float(golden[f"crop{case}_scale"]))
    return [near("crop", cut, golden[f"crop{case}"], 2)]


def second_pass(folder: Path, case: str) -> list[Check]:
    entry = load_json(folder / "fan_second_pass.json")[int(case)]
    golden = load_arrays(folder / "fan_second_pass.npz")
    name, seen = f"c{entry['case']}", []
    peaks_given = golden[f"{name}_peaks"].astype(int)

    class Given:
        name = version = ""

        def detect(self, view: np.ndarray) -> list[Detection]:
            seen.append(view)
            return [Detection(tuple(entry["second_rect"]), 1.0)]

        def search(self, view: np.ndarray) -> list[Detection]:
            return []

    def landmarker(detector: Any) -> fan.FAN:
        calls = iter(peaks_given)
        return fan.FAN(
            lambda images: np.stack([_drawn(next(calls)) for _ in images]), second_pass=detector
        )

    image, face = frame(entry["frame"]), Detection(tuple(entry["rect"]), 1.0)
    (first,) = landmarker(None).find(image, [face])
    (both,) = landmarker(Given()).find(image, [face])
    assert first is not None
    assert both is not None
    view = seen[0][:, :, ::-1]
    return [
        near("first pass", first.points, golden[f"{name}_first"], 1e-3),
        near("second pass", both.points, golden[f"{name}_landmarks"], 1e-3),
        near("aligned image", view, golden[f"{name}_second_input_rgb"], 2),
        Check("aligned image, mean", mean(view, golden[f"{name}_second_input_rgb"]), 0.1),
    ]


def _drawn(places: np.ndarray) -> np.ndarray:
    """Heat maps by the rule of the README."""
    maps = np.zeros((68, 64, 64), np.float32)
    for i, (x, y) in enumerate(places):
        maps[i, y, x] = 1
        maps[i, y, min(63, x + 1)] = max(maps[i, y, min(63, x + 1)], 0.5)
        if i % 2:
            maps[i, min(63, y + 1), x] = 0.5
        elif y > 0:
            maps[i, y - 1, x] = 0.4
    return maps


def stages(folder: Path, case: str) -> list[Check]:
    content = load_json(folder / "stages.json")
    entry = content["calls"][int(case)]
    height, width = entry["image_hw"]
    image = np.ascontiguousarray(frame("data_src/00005.jpg")[:height, :width])
    seen: list[Any] = []
    given = [None if p is None else Landmarks(np.array(p)) for p in content["landmarks_given"]]

    class Given:
        name = version = ""

        def detect(self, view: np.ndarray) -> list[Detection]:
            seen.append([list(view.shape[:2]), view[2, 5].tolist()])
            found = len(seen) - 1 == entry["try_that_finds"]
            return [Detection(tuple(b), 1.0) for b in content["boxes_given"]] if found else []

        def search(self, view: np.ndarray) -> list[Detection]:
            return []

        def find(self, view: np.ndarray, boxes: list[Detection]) -> list[Landmarks | None]:
            return given[: len(boxes)]

    found = find_faces(image, Given(), Given(), max_faces=entry["max_faces"] or 0)
    checks = [
        same("what the detector saw", seen, entry["seen_hw_and_pixel_2_5_bgr"]),
        same("faces", len(found.faces), len(entry["rects"])),
    ]
    if found.faces:
        checks.append(same("rotation", found.rotation, entry["rotation"]))
    for i, (face, box, points) in enumerate(
        zip(found.faces, entry["rects"], entry["landmarks"], strict=False)
    ):
        missing = face.landmarks is None
        checks.append(same(f"landmarks {i} missing", missing, points is None))
        if points is not None and face.landmarks is not None:
            checks.append(near(f"landmarks {i}", face.landmarks.points, points, 0))
        if points is not None or entry["rotation"] != 180:  # there it stayed unturned
            (left, right), (top, bottom) = sorted(box[::2]), sorted(box[1::2])
            checks.append(same(f"box {i}", list(face.box), [left, top, right, bottom]))
    return checks


def align(folder: Path, case: str) -> list[Check]:
    entry = load_json(folder / "align.json")[int(case)]
    golden = load_arrays(folder / "align.npz")
    image = prepare_frame(frame(entry["frame"]))
    faces = []
    given = golden[f"case{entry['case']}|landmarks_in"]
    for landmarks, box in zip(given, entry["rects"], strict=True):
        if not np.isnan(landmarks).any():
            face = align_face(
                image,
                landmarks,
                tuple(box),
                face_type=FaceType.from_name(entry["face_type"]),
                size=entry["image_size"],
                source_filename=Path(entry["frame"]).name,
            )
            faces += [] if face is None else [face]
    checks = [same("faces", len(faces), entry["faces_detected"])]
    for face, expected in zip(faces, entry["files"], strict=False):
        file = expected["file"]
        jpeg = face.jpeg(entry["jpeg_quality"])
        written, stored = read_metadata(jpeg), read_metadata((folder / "align" / file).read_bytes())
        assert written is not None
        assert stored is not None
        for key in ("face_type", "source_filename", "source_rect", "shape"):
            checks.append(same(f"{file} {key}", list(_parts(written, key)), _parts(stored, key)))
            checks.append(same(f"{file} {key} (list)", _parts(written, key), _of(expected, key)))
        checks.append(
            near(f"{file} landmarks", written.landmarks, golden[f"{file}|landmarks"], 1e-3)
        )
        if written.image_to_face_mat is not None:
            matrix = golden[f"{file}|mat"]
            checks.append(near(f"{file} matrix", written.image_to_face_mat, matrix, 1e-3))
        if golden.get(f"{file}|crop", np.empty(0)).size:
            checks.append(near(f"{file} crop", face.image, golden[f"{file}|crop"], 1))
        decoded = [
            cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
            for data in (jpeg, (folder / "align" / file).read_bytes())
        ]
        checks.append(Check(f"{file} image, mean", mean(*decoded), 1))
    return checks


def _parts(metadata: Any, key: str) -> list[Any]:
    value = getattr(metadata, key)
    return [value] if isinstance(value, str) else [int(v) for v in value]


def _of(expected: dict[str, Any], key: str) -> list[Any]:
    value = expected[key]
    return [value] if isinstance(value, str) else list(value)
