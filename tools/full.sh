#!/usr/bin/env bash
# The second tier of tests (decision 51): what takes hours, or nearly never fails.
#
#     tools/full.sh [PART …] [--again]
#
# Parts: slow mutate fuzz kills power quality jax gpu_check notebook package endurance bench. Without one all run, and
# docs/proof.md is written at the
# end. Each part leaves one line of JSON in build/proof/PART.json. A part that passed with this very
# commit is not run again, so a broken off run is resumed by the same command; --again runs it once more.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
venv="${DFL_TF_VENV:-.venv}"
if [ -x "$venv/bin/python" ]; then
    bin="$(cd "$venv/bin" && pwd)" # DFL_TF_VENV may be relative or absolute
    export PATH="$bin:$PATH"
fi
export PYTHONPATH="$PWD:$PWD/ops${PYTHONPATH:+:$PYTHONPATH}" TF_CPP_MIN_LOG_LEVEL="${TF_CPP_MIN_LOG_LEVEL:-2}"
exec python tools/full.py "$@"
