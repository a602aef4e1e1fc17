"""Small workspaces from the demo's faces, and the command line in this process."""

from __future__ import annotations

import shutil
from pathlib import Path

import dfl_tf
from dfl_tf.cli.main import run
from dfl_tf.formats import read_pak

DEMO = Path(dfl_tf.__file__).parent / "demo_data"
TINY = (
    "--resolution=64", "--face-type=wf", "--archi=df", "--ae-dims=32", "--e-dims=16",
    "--d-dims=16", "--d-mask-dims=16", "--batch-size=2", "--no-preview",
)  # fmt: skip


def packed(root: Path) -> Path:
    """A workspace of two paks."""
    for side in ("data_src", "data_dst"):
        shutil.copytree(DEMO / side, root / side)
    return root


def loose(root: Path, count: int = 6) -> Path:
    """A workspace of two folders with some JPEG files each."""
    for side in ("data_src", "data_dst"):
        folder = root / side / "aligned"
        folder.mkdir(parents=True)
        pak = read_pak(DEMO / side / "aligned" / "faceset.pak")
        for index in range(count):
            (folder / pak[index].filename).write_bytes(pak.jpeg(index))
    return root


def call(capsys, *arguments: object) -> tuple[int, str, str]:
    """Run a command line; exit code, stdout and stderr."""
    code = run([str(argument) for argument in arguments])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def files(folder: Path) -> dict[str, bytes]:
    """Content of all files below a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
