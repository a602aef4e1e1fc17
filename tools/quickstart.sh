#!/usr/bin/env bash
# From a fresh clone to a trained model: sets up .venv and runs the built-in demo.
# Further arguments go to `dfl-tf demo` (e.g. --seconds 30).
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
bash "$here/tools/setup_venv.sh"
venv="${DFL_TF_VENV:-.venv}"
case "$venv" in /*) ;; *) venv="$here/$venv" ;; esac
exec "$venv/bin/dfl-tf" demo "$@"
