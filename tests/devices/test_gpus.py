"""GPUs as their driver describes them: a program in the place of nvidia-smi."""

from __future__ import annotations

from types import SimpleNamespace
from unittest.mock import MagicMock, patch

import pytest

from dfl_tf.devices import configure, gpus
from dfl_tf.devices.cluster import devices_of, machine_of
from dfl_tf.devices.placement import Placement
from dfl_tf.errors import UsageError
from dfl_tf.options import RunOptions, SAEHDOptions, resolve

ANSWER = """0, GPU-aaa, NVIDIA RTX A2000, 3072, 3000
1, GPU-bbb, NVIDIA H200, 143771, 9000
2, GPU-ccc, NVIDIA RTX 3060, 12288, 12000
3, GPU-ddd, odd card, [N/A], [N/A]
"""


@pytest.fixture
def driver(tmp_path, monkeypatch):
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{ANSWER}END\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(gpus, "_installed", lambda package: True)
    gpus.forget_gpus()
    yield program
    gpus.forget_gpus()


def names(environ=None):
    return [gpu.name for gpu in gpus.find_gpus({} if environ is None else environ)]


def test_the_driver_is_asked(driver):
    assert names() == ["NVIDIA RTX A2000", "NVIDIA H200", "NVIDIA RTX 3060"]
    assert gpus.find_gpus({})[0].total_gib == 3.0
    assert names({"CUDA_VISIBLE_DEVICES": "2,GPU-aa,9,1"}) == [
        "NVIDIA RTX 3060",
        "NVIDIA RTX A2000",
    ]
    assert names({"CUDA_VISIBLE_DEVICES": "-1"}) == []
    assert gpus.best_gpu(3) == 2
    assert gpus.best_gpu(2) == 1
    driver.write_text("#!/bin/sh\nexit 9\n")
    gpus.forget_gpus()
    assert names() == []
    assert gpus.best_gpu(3) == 0


@pytest.mark.parametrize(
    ("devices", "batch"), [("", 8), ("best", 8), ("0", 4), ("1", 8), ("0,1", 4), ("cpu:0,cpu:1", 4)]
)
def test_the_default_batch_follows_the_memory_of_the_weakest(driver, devices, batch):
    machine = machine_of(RunOptions(devices=devices))
    assert resolve(SAEHDOptions, [], machine=machine).options.batch_size == batch
    assert resolve(
        SAEHDOptions, [], machine=machine_of(RunOptions(devices=devices, cpu=True))
    ).options.batch_size == 4  # fmt: skip


def test_best_is_one_device():
    assert devices_of(RunOptions(devices="Best")) == devices_of(RunOptions())


def configured(run, count=3):
    """How TensorFlow is set up on a machine with some GPUs."""
    cards = [SimpleNamespace(name=f"/physical_device:GPU:{n}") for n in range(count)]
    tf = MagicMock()
    tf.config.list_physical_devices.side_effect = lambda kind: cards if kind == "GPU" else ["cpu"]
    tf.config.get_visible_devices.side_effect = lambda kind: (
        tf.config.set_visible_devices.call_args[0][0]
    )
    tf.config.experimental.get_device_details.return_value = {"device_name": "some card"}
    tf.config.experimental.tensor_float_32_execution_enabled.return_value = run.tf32
    with (
        patch.object(configure, "import_tensorflow", lambda: tf),
        patch.object(configure, "_keep_order_of_sums"),
    ):
        configure._configure(run)
        lines, summary = configure.device_lines(run), configure.summary_devices(run)
    grown = [call.args[0] for call in tf.config.experimental.set_memory_growth.call_args_list]
    return grown, lines, summary


@pytest.mark.parametrize(
    ("devices", "seen"), [("", [2]), ("best", [2]), ("1", [1]), ("2,0", [2, 0])]
)
def test_only_chosen_gpus_are_visible_and_their_memory_grows(driver, devices, seen):
    grown, lines, summary = configured(RunOptions(devices=devices, threads=1))
    assert [int(card.name[-1]) for card in grown] == seen
    assert [device.index for device in summary] == seen
    memory = (3.0, 143771 / 1024, 12.0)
    assert [device.memory_gib for device in summary] == [memory[n] for n in seen]
    assert f"GPU {seen[0]} (some card, {memory[seen[0]]:.1f} GiB)" in lines[0]
    assert "TF32" in lines[0]


def test_full_float32_and_equal_bits_are_said(driver):
    run = RunOptions(devices="1", threads=1, tf32=False, deterministic=True)
    assert configured(run)[1][0].endswith("full float32, the same bits each time")


def test_a_gpu_that_is_not_used_is_said(driver, monkeypatch):
    monkeypatch.setattr(gpus, "_loads", lambda library: library != "libcudnn.so.9")
    assert gpus.missing_parts() == [
        "libcudnn.so.9 is missing (pip install nvidia-cudnn-cu12, or 'dfl-tf[gpu]' for all)"
    ]
    assert configure.device_lines(RunOptions()) == [
        "NVIDIA RTX A2000 is not used: libcudnn.so.9 is missing (pip install nvidia-cudnn-cu12, "
        "or 'dfl-tf[gpu]' for all)"
    ]
    assert configure.device_lines(RunOptions(cpu=True)) == []
    with pytest.raises(UsageError, match=r"finds no GPU\. libcudnn\.so\.9 is missing"):
        configure._configure(RunOptions(require_gpu=True))
    monkeypatch.setattr(gpus, "_installed", lambda package: False)
    assert gpus.missing_parts()[0].startswith("tensorflow-cpu is installed")


def test_a_chosen_gpu_is_the_first_that_tensorflow_shows():
    with patch("tensorflow.config.list_logical_devices", lambda kind: ["/GPU:0"]):
        chosen = Placement.choose(RunOptions(devices="1"), models_opt_on_gpu=True)
    assert chosen == Placement("/GPU:0", "/GPU:0", flat=True)
