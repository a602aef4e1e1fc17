"""Make the faces and clips of `dfl-tf demo` from a workspace of frames and aligned faces.

    python tools/make_demo_data.py WORKSPACE [--output dfl_tf/demo_data] [--only faces|clips]

The committed data was made from the synthetic workspace_s. Every face is shrunk to 160 px; its
landmarks, polygons, mask and matrix are scaled with it, and the result is written as one
`faceset.pak` for each side, as the legacy program packs them. The frames of each side become one
small video, from which `dfl-tf demo --whole-road` starts.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from dfl_tf.face import FaceType, align_matrix
from dfl_tf.formats.faces.dfljpg import embed_metadata, read_metadata
from dfl_tf.formats.faces.face_metadata import FaceMetadata
from dfl_tf.formats.faces.faceset_pak import write_pak
from dfl_tf.formats.faces.stored_mask import encode_mask
from dfl_tf.video.encode import encode
from dfl_tf.video.write import Encoding

SIDES = ("data_src", "data_dst")
CREDIT = """\
The people in this folder are rendered and do not exist. They were rendered from the
ICT-FaceKit Light morphable model (USC Institute for Creative Technologies, MIT licence) with
procedural skin, and may be used under the licence of this project; keep this line.
Made by tools/make_demo_data.py.
"""


def shrink(data: bytes, size: int, quality: int) -> tuple[FaceMetadata, bytes]:
    """One aligned face at a smaller size, with everything that is measured in its pixels."""
    metadata = read_metadata(data)
    if metadata is None:
        raise SystemExit("a file without face metadata is among the faces")
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    scale = size / image.shape[1]
    small = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
    mask = metadata.mask()
    if mask is not None:
        mask = cv2.resize(mask, (size, size), interpolation=cv2.INTER_AREA)
        mask = encode_mask((mask > 0.5).astype(np.float32))
    matrix = metadata.image_to_face_mat
    if metadata.source_landmarks is not None:
        kind = FaceType.from_name(metadata.face_type)
        matrix = align_matrix(metadata.source_landmarks, size, kind)
    metadata = replace(
        metadata,
        landmarks=metadata.landmarks * scale,
        seg_ie_polys=[(kind, points * scale) for kind, points in metadata.seg_ie_polys],
        xseg_mask_bytes=mask,
        image_to_face_mat=matrix,
        shape=(size, size, 3),
    )
    jpeg = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
    return metadata, embed_metadata(jpeg, metadata)


def make_faces(workspace: Path, output: Path, args: argparse.Namespace) -> None:
    """Write one pak a side."""
    for side, count in zip(SIDES, args.faces, strict=True):
        paths = sorted((workspace / side / "aligned").glob("*.jpg"))
        places = np.unique(np.linspace(0, len(paths) - 1, min(count, len(paths))).round())
        chosen = [paths[int(place)] for place in places]
        faces = []
        for path in chosen:
            metadata, jpeg = shrink(path.read_bytes(), args.size, args.quality)
            faces.append((path.name, None, metadata, jpeg))
        folder = output / side / "aligned"
        folder.mkdir(parents=True, exist_ok=True)
        write_pak(folder / "faceset.pak", faces)
        size = (folder / "faceset.pak").stat().st_size
        print(f"{folder / 'faceset.pak'}: {len(faces)} faces, {size / 1000:.0f} kB")


def make_clips(workspace: Path, output: Path, bitrate: float) -> None:
    """Write one video a side; the credit is in each."""
    how = Encoding(bitrate, tags={"comment": " ".join(CREDIT.split())})
    for side in SIDES:
        path = output / f"{side}.mp4"
        made = encode(workspace / side, path, rate=Fraction(25), audio=False, encoding=how)
        print(f"{path}: {made.frames} frames, {path.stat().st_size / 1000:.0f} kB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workspace", type=Path)
    default = Path(__file__).parents[1] / "dfl_tf" / "demo_data"
    parser.add_argument("--output", type=Path, default=default)
    parser.add_argument("--only", choices=("faces", "clips"))
    parser.add_argument("--size", type=int, default=160)
    parser.add_argument("--quality", type=int, default=90)
    parser.add_argument("--faces", type=int, nargs=2, default=(72, 48), metavar=("SRC", "DST"))
    parser.add_argument("--bitrate", type=float, default=1.0, help="of the clips, in Mbit/s")
    args = parser.parse_args()
    if args.only != "clips":
        make_faces(args.workspace, args.output, args)
    if args.only != "faces":
        make_clips(args.workspace, args.output, args.bitrate)
    (args.output / "CREDITS.txt").write_text(CREDIT)


if __name__ == "__main__":
    main()
