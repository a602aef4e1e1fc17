"""All of dfl_tf's commands in turn on a model of the toy class, in a process of their own.

    python -m tests.own_model.commands FOLDER

FOLDER holds ``merge``, a workspace with frames. Prints one JSON document.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
from pathlib import Path

import numpy as np

import dfl_tf
from dfl_tf.cli import demo
from dfl_tf.cli.main import run


def main(folder: Path) -> None:
    demo.unpack(folder / "people")
    models, merging = folder / "models", folder / "merge"
    train = ["train", folder / "people", "--model-dir", models, "--model=toy", "--name=my"]
    small = ["--resolution=64", "--toy-dims=8", "--batch-size=2", "--set=target_iter=3"]
    common = ["--seed=1", "--threads=1", "--xla=off"]
    done = {}
    for name, words in {
        "options": ["options", "--model=Toy"],
        "train": [*train, *small, *common, "--write-preview-history"],
        "resume": [*train, *common, "--set=target_iter=5"],
        "show": ["model", "show", models],
        "convert": ["model", "convert", models, folder / "native", "--to=native"],
        "merge": ["merge", merging, "--model-dir", models, "--model=Toy", "--workers=1"],
        "export": ["export", "dfm", models, "-o", folder / "my.dfm"],
        "check": ["export", "check", folder / "my.dfm", "--model-dir", models],
    }.items():
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            code = run([str(word) for word in words])
        done[name] = {"code": code, "said": said.getvalue()}
    model = dfl_tf.load_model(folder / "native", model_class="Toy", training=False)
    swap = model.swap(np.full((1, 64, 64, 3), 0.5, np.float32))
    done["loaded"] = [model.name, model.iteration, list(swap.image.shape)]
    print(json.dumps(done))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
