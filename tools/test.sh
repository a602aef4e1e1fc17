#!/usr/bin/env bash
# Sets up .venv (reused if there), then lint, types, layer contracts, spelling and the first tier of
# tests; `tools/full.sh` runs the second: slow tests, mutants, fuzz, kills, power cuts.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
DFL_TF_NATIVE="${DFL_TF_NATIVE:-require}" bash tools/setup_venv.sh
bin="${DFL_TF_VENV:-.venv}/bin"
# The tests of the page run in a real browser; CI (DFL_TF_BROWSER=require) fails without one.
chromium() { command -v "${DFL_TF_CHROMIUM:-chromium}" || command -v chromium-browser || command -v google-chrome; }
if ! chromium >/dev/null && command -v apt-get >/dev/null; then
  as_root=; [ "$(id -u)" = 0 ] || as_root="sudo -n"
  { $as_root apt-get update -qq && $as_root apt-get install -qq -y --no-install-recommends chromium; } >/dev/null 2>&1 || true
fi
chromium >/dev/null || echo "there is no Chromium here, and it could not be installed: the browser tests are NOT RUN" >&2
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
