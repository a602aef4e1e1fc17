"""Which networks an extraction takes: what the options name, else what is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from dfl_tf.errors import UsageError
from dfl_tf.extract import networks as module
from dfl_tf.extract.networks import NetworkFiles, load_networks
from dfl_tf.formats.weights.open_models import MESH
from dfl_tf.formats.weights.release_files import HOME_VARIABLE
from dfl_tf.options import ExtractOptions, default

from .squares import SquareDetector, SquareLandmarker


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation whose weight files are only looked for; what is loaded goes to `loaded`."""
    monkeypatch.delenv(HOME_VARIABLE, raising=False)
    monkeypatch.setattr(module, "start_tensorflow", lambda: None)
    for name in ("S3FD.npy", "2DFAN.npy", "3DFAN.npy"):
        (tmp_path / name).touch()

    def detector(path: Path) -> SquareDetector:
        made = SquareDetector()
        made.name = path.stem
        return made

    def landmarker(path: Path, second_pass: object) -> SquareLandmarker:
        made = SquareLandmarker()
        made.name = f"{path.stem} after {getattr(second_pass, 'name', None)}"
        return made

    monkeypatch.setattr(module.S3FD, "from_file", detector)
    monkeypatch.setattr(module.FAN, "from_file", landmarker)
    return tmp_path


def names(options: dict[str, object], files: NetworkFiles, **keys: bool) -> tuple[str, str]:
    found = load_networks(default(ExtractOptions, **options), files, **keys)
    return found.detector.name, found.landmarker.name


def test_without_an_installation_the_open_models_are_taken(home):
    assert names({}, NetworkFiles()) == ("mesh", "mesh")


@pytest.mark.parametrize(
    ("face_type", "file"), [("wf", "2DFAN"), ("head", "3DFAN"), ("mark_only", "3DFAN")]
)
def test_an_installation_that_is_named_is_taken(home, face_type, file):
    found = names({"face_type": face_type}, NetworkFiles(home))
    assert found == ("S3FD", f"{file} after S3FD")


def test_the_environment_names_an_installation_too(home, monkeypatch):
    monkeypatch.setenv(HOME_VARIABLE, str(home))
    assert names({}, NetworkFiles()) == ("S3FD", "2DFAN after S3FD")
    assert names({"detector": "mesh"}, NetworkFiles()) == ("mesh", "mesh")


def test_detector_and_landmarker_are_chosen_apart(home):
    files = NetworkFiles(home)
    assert names({"detector": "mesh", "landmarker": "fan"}, files) == ("mesh", "2DFAN after mesh")
    assert names({"landmarker": "mesh"}, files) == ("S3FD", "mesh")


def test_a_closer_look_takes_the_other_detector_and_accepts_more(home):
    found = load_networks(default(ExtractOptions), NetworkFiles(home), closer=True)
    assert (found.detector.name, found.landmarker.name) == ("mesh", "mesh")
    assert found.detector.version == f"{MESH.sha256[:16]} closer"
    assert names({"tiles": 2}, NetworkFiles(home), closer=True) == ("mesh", "mesh")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"detector": "s3fd"}, "S3FD.npy of DeepFaceLab is needed"),
        ({"landmarker": "fan"}, "2DFAN.npy of DeepFaceLab is needed"),
        ({"landmarker": "fan", "face_type": "head"}, "3DFAN.npy of DeepFaceLab is needed"),
    ],
)
def test_weights_that_are_not_there_are_named(home, options, said):
    with pytest.raises(UsageError, match=said):
        load_networks(default(ExtractOptions, **options), NetworkFiles())


def test_tiles_are_for_the_open_models(home):
    with pytest.raises(UsageError, match="tiles works with detector mesh only"):
        load_networks(default(ExtractOptions, tiles=2), NetworkFiles(home))
