"""How to get an optional package: never by a command that pulls a second TensorFlow.

`pip install "dfl-tf[X]"` asks for `tensorflow`, which pip would put beside `tensorflow-cpu`, since
it does not take one for the other. So the packages are named, as pyproject.toml has them.
"""

from __future__ import annotations

EXTRAS: dict[str, tuple[str, ...]] = {
    "tensorboard": ("tensorboard>=2.20",),
    "export": ("onnx>=1.19,<2", "onnxruntime>=1.22"),
    "video": ("av>=15,<19",),
    "extract": ("ai-edge-litert>=2",),
    "identity": ("dlib-bin>=20",),
    "web": ("starlette>=1", "uvicorn>=0.40"),
}
"""Extras that commands ask for, as in pyproject.toml."""


def install_command(extra: str) -> str:
    """The command that installs the packages of an extra, and nothing of TensorFlow."""
    packages = " ".join(f'"{each}"' for each in EXTRAS[extra])
    return f"pip install {packages}"
