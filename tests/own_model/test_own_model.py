"""A class of models from another package works with every command (docs/own-model.md)."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dfl_tf.formats import find_models, read_model
from dfl_tf.options import KINDS, register_model
from dfl_tf.options.registry import ModelKind
from tests.merge.conftest import GOLDEN, make_workspace

HERE = Path(__file__).parent
DOC = HERE.parents[1] / "docs" / "own-model.md"


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """Run all commands where a package with the entry point is installed."""
    folder = tmp_path_factory.mktemp("own")
    record = folder / "site" / "toy-1.0.dist-info"
    record.mkdir(parents=True)
    (record / "METADATA").write_text("Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n")
    (record / "entry_points.txt").write_text("[dfl_tf.models]\ntoy = toy:KIND\n")
    with np.load(GOLDEN / "inputs.npz") as inputs:
        make_workspace(folder / "merge", {"A": inputs["landmarks_A"]})
    paths = [str(folder / "site"), str(HERE), os.environ.get("PYTHONPATH", "")]
    result = subprocess.run(
        [sys.executable, str(HERE / "commands.py"), str(folder)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1]), folder


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The class, registered in this process."""
    monkeypatch.syspath_prepend(str(HERE))
    from toy import KIND

    yield register_model(KIND)
    KINDS._kinds.pop(KIND.name)


def test_every_command_succeeds(done: tuple[dict[str, Any], Path]) -> None:
    commands, _ = done
    for name in ("options", "train", "resume", "show", "convert", "merge", "export", "check"):
        assert commands[name]["code"] == 0, (name, commands[name]["said"])


def test_it_trains_saves_resumes_and_loads(
    done: tuple[dict[str, Any], Path], toy: ModelKind
) -> None:
    commands, folder = done
    assert "--toy-dims" in commands["options"]["said"] or "toy_dims" in commands["options"]["said"]
    (found,) = find_models(folder / "models")
    assert (found.name, found.model_class, found.format) == ("my", "Toy", "legacy")
    names = {path.name for path in (folder / "models").glob("*.npy")}
    assert names == {f"my_Toy_{part}.npy" for part in toy.parts}
    state = read_model(folder / "models", "my", "Toy")
    assert (state.iteration, len(state.loss_history)) == (5, 5)
    assert state.options["toy_dims"] == 8
    assert list(state.tensors) == list(toy.parts)
    assert commands["loaded"] == ["my", 5, [1, 64, 64, 3]]


def test_its_previews_are_written(done: tuple[dict[str, Any], Path]) -> None:
    _, folder = done
    names = {path.name for path in (folder / "models").rglob("*.jpg")}
    assert {"Toy.jpg", "Toy masked.jpg", "0000000.jpg", "_last.jpg"} <= names


def test_its_conversion_is_proved(done: tuple[dict[str, Any], Path]) -> None:
    _, folder = done
    proof = json.loads((folder / "native" / "my_Toy_conversion.json").read_text())
    assert proof["passed"]
    assert set(proof["proof"]["largest_difference"]["forward"]) >= {"swap", "loss of src"}


def test_it_merges_and_is_exported(done: tuple[dict[str, Any], Path]) -> None:
    commands, folder = done
    assert len(list((folder / "merge" / "data_dst" / "merged").glob("*.png"))) == 6
    assert (folder / "my.dfm").is_file()
    differences = re.findall(r"largest difference ([\d.e-]+)", commands["check"]["said"])
    assert len(differences) == 3
    assert max(map(float, differences)) < 1e-4


def test_classes_are_known_by_the_table_only() -> None:
    """Outside models/ and options/ no code asks for a class of models by its name."""
    package = HERE.parents[1] / "dfl_tf"
    asking = re.compile(r"""(==|!=|\bin) \(?["'](SAEHD|AMP|Quick96|XSeg)["']""")
    rooms = [path for path in package.iterdir() if path.name not in ("models", "options")]
    files = [file for room in rooms for file in (room.rglob("*.py") if room.is_dir() else [room])]
    found = [
        f"{file.name}: {line.strip()}"
        for file in files
        if file.suffix == ".py"
        for line in file.read_text(encoding="utf-8").splitlines()
        if asking.search(line)
    ]
    assert found == []


def test_the_page_shows_the_toy_as_it_is() -> None:
    page = DOC.read_text(encoding="utf-8")
    for name in ("__init__.py", "model.py", "export.py"):
        assert (HERE / "toy" / name).read_text(encoding="utf-8") in page, name
