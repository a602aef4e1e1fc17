"""The named mutants fit the code; running them against their tests is for tools/full.sh."""

from __future__ import annotations

from pathlib import Path

import mutate
import pytest

ROOT = Path(mutate.ROOT)
MUTANTS = mutate.read_mutants()


@pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant.name for mutant in MUTANTS])
def test_mutant_fits_the_code(mutant: mutate.Mutant) -> None:
    for change in mutant.changes:
        path, text = mutate.mutate(ROOT, change)
        assert text != path.read_text(encoding="utf-8")
    for test in mutant.tests:
        assert (ROOT / test.partition("::")[0]).is_file()


def test_there_are_enough() -> None:
    assert len(MUTANTS) >= 30


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A program of one function, and a test of it."""
    (tmp_path / "dfl_tf").mkdir()
    (tmp_path / "ops" / "dfl_tf_ops").mkdir(parents=True)
    (tmp_path / "dfl_tf" / "one.py").write_text("class A:\n    def f(self):\n        return 1\n")
    test = "from dfl_tf.one import A\n\ndef test_f():\n    assert A().f() == 1\n"
    (tmp_path / "test_one.py").write_text(test)
    (tmp_path / "test_two.py").write_text("def test_nothing():\n    assert True\n")
    return tmp_path


def mutant(pattern: str, test: str, function: str = "A.f") -> mutate.Mutant:
    return mutate.Mutant("m", (mutate.Change(function, pattern, "return 2"),), (test,))


@pytest.mark.slow
def test_verdicts(tree: Path) -> None:
    before = (tree / "dfl_tf" / "one.py").read_bytes()
    assert mutate.judge(tree, mutant("return 1", "test_one.py"))["verdict"] == "caught"
    assert mutate.judge(tree, mutant("return 1", "test_two.py"))["verdict"] == "survived"
    assert mutate.judge(tree, mutant("return 1", "test_three.py"))["verdict"] == "error"
    assert mutate.judge(tree, mutant("return 3", "test_one.py"))["verdict"] == "error"
    assert mutate.judge(tree, mutant("return 1", "test_one.py", "A.g"))["verdict"] == "error"
    assert (tree / "dfl_tf" / "one.py").read_bytes() == before
