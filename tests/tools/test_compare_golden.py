"""`tools/compare_golden.py`: what it finds, what it refuses, what it says, how it ends."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import compare_golden
import numpy as np
import pytest
from golden_kinds.arrays import load_arrays, take_read
from golden_kinds.check import Check

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
CASE = "xseg_first_run_defaults"


def run(*args: object) -> int:
    return compare_golden.main([*map(str, args), "--jobs", "1"])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One case alone in a folder whose name says nothing, two levels down."""
    place = tmp_path / "a folder" / "x"
    place.mkdir(parents=True)
    shutil.copyfile(GOLDEN / "options" / f"{CASE}.json", place / "other name.json")
    return tmp_path


def edited(folder: Path, **changed: object) -> None:
    (path,) = folder.rglob("*.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))


def test_a_case_alone_is_found_at_any_depth_and_passes(folder, capsys):
    assert run(folder) == 0
    assert "1 of 1 cases pass" in capsys.readouterr().out


def test_a_miss_is_named_and_gives_1(folder, capsys):
    edited(folder, summary_text="another")
    assert run(folder) == 1
    out = capsys.readouterr().out
    assert out.startswith("MISS  options/other name")
    assert "summary: 1 > 0" in out


def test_json_is_strict_json_and_nothing_else(folder, capsys, monkeypatch):
    checks = [Check("a", float("nan"), 1.0), Check("b", float("inf"), 1.0), Check("c", 0.5, 1.0)]
    monkeypatch.setattr("golden_kinds.options.run", lambda folder, case: checks)
    assert run(folder, "--json") == 1
    document = json.loads(capsys.readouterr().out, parse_constant=lambda text: pytest.fail(text))
    (case,) = document["cases"]
    assert not document["passed"]
    assert [c["error"] for c in case["checks"]] == ["nan", "inf", 0.5]
    assert [c["passed"] for c in case["checks"]] == [False, False, True]


def test_only_chooses_cases_and_none_left_gives_1(folder, capsys):
    assert run(folder, "--only", "other*") == 0
    assert run(folder, "--only", "nothing*") == 1
    assert "no golden case that matches nothing*" in capsys.readouterr().err


def test_an_empty_folder_gives_1(tmp_path, capsys):
    assert run(tmp_path) == 1
    assert "no golden case found" in capsys.readouterr().err


@pytest.mark.parametrize("args", [["nowhere"], []])
def test_wrong_usage_gives_2(args, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        compare_golden.main(args)
    assert end.value.code == 2


def test_files_of_no_known_kind_are_a_failed_case_beside_the_others(folder, capsys):
    (folder / "strange").mkdir()
    np.savez(folder / "strange" / "what.npz", a=np.zeros(2))
    assert run(folder) == 1
    out = capsys.readouterr().out
    assert "files of no golden kind that is known" in out
    assert "1 of 2 cases pass" in out


def test_a_json_that_is_no_case_of_its_kind_fails(folder, capsys):
    (folder / "a folder" / "x" / "zz.json").write_text("[1, 2]")
    assert run(folder) == 1
    assert "FAIL  options/zz" in capsys.readouterr().out


@pytest.mark.parametrize("damage", ["cut", "noise", "empty"])
def test_a_damaged_file_is_a_failed_case_that_names_it(tmp_path, capsys, damage):
    place = tmp_path / "training"
    place.mkdir()
    data = (GOLDEN / "training" / "unit_lrcos.npz").read_bytes()
    broken = {"cut": data[: len(data) // 2], "noise": os.urandom(300), "empty": b""}[damage]
    (place / "unit_lrcos.npz").write_bytes(broken)
    assert run(place) == 1
    out = capsys.readouterr().out
    assert "unit_lrcos.npz cannot be read" in out
    assert "Traceback" not in out


def test_damaged_lists_of_cases_fail_and_leave_the_rest(tmp_path, capsys):
    place = tmp_path / "g"
    place.mkdir()
    (place / "warp.json").write_text("{")
    (place / "geometry.npz").write_bytes(b"PK\x03\x04 no")
    shutil.copyfile(GOLDEN / "data" / "index_hosts.json", place / "index_hosts.json")
    assert run(place) == 1
    out = capsys.readouterr().out
    assert "warp.json is not JSON" in out
    assert "geometry.npz cannot be read" in out
    assert "pass  data/index_hosts:index_host" in out


def test_what_nobody_compared_is_listed(tmp_path, capsys):
    place = tmp_path / "g"
    place.mkdir()
    shutil.copyfile(GOLDEN / "data" / "index_hosts.json", place / "index_hosts.json")
    np.savez(place / "masks.npz", stray_array=np.zeros(2), legacy_info=np.zeros(1))
    assert run(place) == 0
    out = capsys.readouterr().out
    assert "not compared: " in out
    assert "stray_array" in out
    assert "legacy_info" not in out


def test_arrays_remember_what_was_read():
    path = GOLDEN / "training" / "unit_lrcos.npz"
    arrays = load_arrays(path)
    take_read()
    name = next(iter(arrays))
    assert arrays.get("not there") is None
    assert take_read() == []
    assert arrays[name].size
    assert take_read() == [(str(path), name)]
    with pytest.raises(KeyError, match=r"nope is not in unit_lrcos\.npz"):
        arrays["nope"]


def test_a_process_that_dies_fails_its_case_and_no_other(monkeypatch):
    # Threads of this process stand in for the workers: only their deaths are played.
    class Pool:
        def __init__(self, *_: object, **__: object) -> None:
            self.broken = False

        def __enter__(self) -> Pool:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def submit(self, function, kind, folder, case):
            return Future(self, case)

    class Future:
        def __init__(self, pool: Pool, case: str) -> None:
            self.pool, self.case = pool, case

        def result(self):
            if self.case == "deadly" or self.pool.broken:
                self.pool.broken = True
                raise compare_golden.BrokenProcessPool
            return compare_golden.CaseResult("k", "f", self.case, checks=[Check("a", 0, 0)])

    monkeypatch.setattr(compare_golden, "ProcessPoolExecutor", Pool)
    jobs = [("k", "f", case) for case in ("one", "deadly", "two", "three")]
    results = list(compare_golden.run_all(jobs, 2))
    assert [r.case for r in results] == ["one", "deadly", "two", "three"]
    assert [r.passed for r in results] == [True, False, True, True]
    assert "died" in results[1].failure


@pytest.mark.golden
@pytest.mark.parametrize("name", ["options", "workspace", "formats"])
def test_committed_dialogues_and_workspace_files_pass(name, capsys):
    assert run(GOLDEN / name, "--summary") == 0
    assert "not compared" not in capsys.readouterr().out


@pytest.mark.golden
def test_a_training_file_with_few_arrays_runs_and_a_strange_one_in_it_is_a_miss(tmp_path):
    from golden_kinds import training

    with np.load(GOLDEN / "training" / "saehd_df_adabelief.f64.npz") as golden:
        kept = {key: golden[key] for key in ("meta_json", "loss_src", "gradG_stat", "names_o")}
    np.savez(tmp_path / "few.npz", **kept, strange=np.zeros(1))
    checks = training.run(tmp_path, "few")
    assert [c.name for c in checks if not c.passed] == ["strange is not compared"]
    assert {"names_o", "gradG_stat", "loss_src[1]"} <= {c.name for c in checks}
