"""A workspace to merge, and a model that needs no TensorFlow: ``python merging.py WORDS``.

``render SOCKET`` is the rendering process of the page, anything else a command line of dfl-tf,
both with that model.
"""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from tests.merge.conftest import GOLDEN, make_workspace, swap


class Model:
    """What merging asks of a trained model."""

    iteration = 7
    takes_morph = False
    networks: dict[str, object] = {}  # noqa: RUF012 - read by the checksum of the weights
    options = SimpleNamespace(face_type="wf", resolution=32)

    def swap(self, images, morph):
        image, mask, dst_mask = swap(images)
        return SimpleNamespace(image=image, mask=mask, dst_mask=dst_mask)


def load(*_: object, **__: object) -> Model:
    """Stands for `dfl_tf.api.load_model`."""
    return Model()


def tunable_workspace(root: Path) -> Path:
    """Six frames with faces, and files that look like a model."""
    with np.load(GOLDEN / "inputs.npz") as inputs:
        landmarks = {name: inputs[f"landmarks_{name}"] for name in "AB"}
    make_workspace(root, landmarks)
    (root / "model" / "new_SAEHD_data.dat").touch()
    return root


def _main() -> int:
    import dfl_tf.api

    dfl_tf.api.load_model = load
    if sys.argv[1] != "render":
        from dfl_tf.cli.main import run

        return run(sys.argv[1:])
    from dfl_tf.merge.tuner.serving import serve
    from dfl_tf.web import render_process

    render_process.load_model = load
    serve(socket.socket(fileno=int(sys.argv[2])), render_process.open_scene)
    return 0


if __name__ == "__main__":
    sys.exit(_main())
