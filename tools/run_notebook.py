"""Run the code of notebooks, each in one process from its first cell to its last; an error ends it.

python tools/run_notebook.py NOTEBOOK … [--json]

No Jupyter is needed. The last expression of a cell is printed, as a notebook shows it.
"""

from __future__ import annotations

import argparse
import ast
import json
import runpy
import tempfile
from pathlib import Path


def cells_of(path: Path) -> list[str]:
    """The code cells of a notebook."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    return ["".join(cell["source"]) for cell in cells]


def script_of(path: Path) -> str:
    """The code cells as one script; the last expression of a cell is printed."""
    parts = []
    for number, code in enumerate(cells_of(path), 1):
        tree = ast.parse(code, f"{path}, cell {number}")
        if tree.body and isinstance(tree.body[-1], ast.Expr):
            last = ast.unparse(tree.body.pop())
            parts.append(f"{ast.unparse(tree)}\nprint({last})")
        else:
            parts.append(ast.unparse(tree))
    return "\n".join(parts) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("notebooks", type=Path, nargs="+")
    parser.add_argument("--json", action="store_true", dest="as_json")
    args = parser.parse_args()
    done = 0
    for path in args.notebooks:
        with tempfile.TemporaryDirectory() as folder:
            script = Path(folder) / f"{path.stem}.py"
            script.write_text(script_of(path), encoding="utf-8")
            runpy.run_path(str(script))
        done += len(cells_of(path))
    if args.as_json:
        print(json.dumps({"cells": done}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
