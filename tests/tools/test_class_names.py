"""A name of a class means one thing in the whole of both packages."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_no_two_classes_have_one_name():
    where = defaultdict(list)
    for package in ("dfl_tf", "ops/dfl_tf_ops"):
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    where[node.name].append(str(path.relative_to(ROOT)))
    assert len(where) > 300
    assert {name: files for name, files in where.items() if len(files) > 1} == {}
