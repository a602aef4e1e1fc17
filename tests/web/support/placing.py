"""An extraction of squares, and the process behind its page: ``python placing.py SOCKET``."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import cv2

from tests.extract.squares import SquareDetector, SquareLandmarker, draw_frame


def extracted_workspace(root: Path, *, sides: tuple[str, ...] = ("src",), count: int = 8) -> Path:
    """Frames with a face each but the fourth (none) and the fifth (two), extracted."""
    from dfl_tf.extract.networks import ExtractNetworks
    from dfl_tf.extract.run import extract_faces
    from dfl_tf.extract.sources import FolderFrames
    from dfl_tf.options import ExtractOptions, default

    (root / "model").mkdir(parents=True)
    for side in ("src", "dst"):
        folder = root / f"data_{side}"
        (folder / "aligned").mkdir(parents=True)
        if side not in sides:
            continue
        for number in range(1, count + 1):
            squares = [] if number == 4 else [(100 + 3 * number, 60, 80)]
            if number == 5:
                squares.append((220, 90, 60))
            cv2.imwrite(str(folder / f"{number:05d}.png"), draw_frame(*squares))
        extract_faces(
            FolderFrames(folder, ["aligned"]),
            folder / "aligned",
            default(ExtractOptions, image_size=96),
            networks=ExtractNetworks(SquareDetector(), SquareLandmarker()),
            workers=1,
        )
    return root


def main() -> None:
    """Serve, with the landmarker of squares."""
    from dfl_tf.merge.tuner.serving import serve_answers
    from dfl_tf.web import place_process

    place_process.load_landmarker = SquareLandmarker
    connection = socket.socket(fileno=int(sys.argv[1]))
    serve_answers(connection, place_process.open_scene, place_process.answer)


if __name__ == "__main__":
    main()
