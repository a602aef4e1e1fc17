#!/usr/bin/env bash
# Sets up .venv (reused if there), then lint, types, layer contracts, spelling and the first tier of
# tests; `tools/full.sh` runs the second: slow tests, mutants, fuzz, kills, power cuts.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
DFL_TF_NATIVE="${DFL_TF_NATIVE:-require}" bash tools/setup_venv.sh
bin="${DFL_TF_VENV:-.venv}/bin"
export TF_CPP_MIN_LOG_LEVEL="${TF_CPP_MIN_LOG_LEVEL:-2}"
"$bin/ruff" check .
"$bin/ruff" format --check .
"$bin/mypy"
PYTHONPATH=.:ops "$bin/lint-imports"
"$bin/codespell" dfl_tf ops tests tools docs README.md ARCHITECTURE.md CHANGELOG.md CONTRIBUTING.md
"$bin/vulture"
"$bin/python" tools/count_any.py
"$bin/clang-format" --dry-run --Werror ops/cc/*.cc
"$bin/python" -m pytest -n 2 --dist loadfile -m "not slow" "$@"
