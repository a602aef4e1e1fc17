"""`dfl-tf bench`, as a user runs it."""

from __future__ import annotations

import json

from click.testing import CliRunner

from dfl_tf.cli.bench import command

SMALL = ["--ae-dims=32", "--e-dims=16", "--d-dims=16", "--d-mask-dims=16", "--batch-size=2"]


def run(*args: str) -> str:
    result = CliRunner().invoke(command, args)
    assert result.exit_code == 0, result.output
    return result.output


def test_help_without_a_subcommand() -> None:
    output = run()
    for name in ("train", "samples", "ops", "io"):
        assert f"  {name} " in output


def test_a_training_of_the_demo_is_measured(tmp_path) -> None:
    path = tmp_path / "train.json"
    output = run("train", "--iterations=3", f"--report={path}", *SMALL)
    report = json.loads(path.read_text(encoding="utf-8"))
    assert report["options"]["ae_dims"] == 32
    assert report["batch_size"] == 2
    assert report["iterations"] == 3
    assert report["median_ms"] <= report["p95_ms"]
    assert set(report["parts_ms"]) == {"data wait", "forward and backward", "update"}
    assert report["peak_memory_mib"] > 100
    assert list(report["start_s"])[1:] == ["faces", "model", "first batch", "first step"]
    for text in ("ms median", "of pause", "% of this machine's matrix peak", "after the start"):
        assert text in output
    assert "differs" not in run("--compare", str(path), str(path))
    assert list(tmp_path.iterdir()) == [path]


def test_samples_are_measured() -> None:
    report = json.loads(run("samples", "--seconds=0.1", "--json", *SMALL))
    assert [row["workers"] for row in report["workers"]][:2] == [1, 2]
    assert all(row["images_per_second"] > 0 for row in report["workers"])
