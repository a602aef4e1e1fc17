#!/usr/bin/env bash
# Makes (or reuses) .venv with everything that running, testing and exporting needs, installs the
# project in place with its C++ op library, and fetches the open models of face extraction into the
# user's data folder. Used by quickstart.sh and test.sh; run it again at will.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python="${PYTHON:-python3}"
venv="${DFL_TF_VENV:-.venv}"
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
  echo "dfl_tf needs Python 3.11 or newer (found: $("$python" --version 2>&1 || echo none)); set PYTHON=/path/to/python3.11" >&2
  exit 1
fi
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
stamp="$venv/.dfl_tf_installed"
want="$({ cat pyproject.toml setup.py tools/setup_venv.sh ops/cc/* 2>/dev/null || true; } | sha256sum) ${PWD}"
lost= # the library, after a `git clean` that kept the environment
[ "${DFL_TF_NATIVE:-}" = require ] && [ ! -f ops/dfl_tf_ops/_native.so ] && lost=yes
if [ -n "$lost" ] || [ ! -f "$stamp" ] || [ "$(cat "$stamp")" != "$want" ]; then
  echo "setting up $venv (a minute or two; TensorFlow is large) ..." >&2
  pip() { "$venv/bin/python" -m pip --disable-pip-version-check "$@"; }
  # Without an NVIDIA driver the CPU wheel of the same TensorFlow is enough and four times smaller;
  # with one, [and-cuda] brings the libraries that TensorFlow needs beside the driver.
  flavor=tensorflow
  if [ "$(uname -s)-$(uname -m)" = Linux-x86_64 ]; then
    if command -v nvidia-smi >/dev/null 2>&1; then flavor='tensorflow[and-cuda]'; else flavor=tensorflow-cpu; fi
  fi
  FLAVOR="$flavor" "$venv/bin/python" - > "$venv/requirements.txt" <<'PY'
import os, tomllib
project = tomllib.load(open("pyproject.toml", "rb"))["project"]
extras = project["optional-dependencies"]
wanted = list(project["dependencies"])
for name in ("dev", "export", "video", "extract", "identity", "web", "jax"):
    wanted += extras[name]
print("setuptools>=77", "wheel", sep="\n")
for line in wanted:
    print(line.replace("tensorflow>", os.environ["FLAVOR"] + ">", 1) if line.startswith("tensorflow>") else line)
PY
  pip install -qq -r "$venv/requirements.txt"
  pip install -qq --no-build-isolation --no-deps -e .
  printf '%s' "$want" > "$stamp"
fi
# What is there is only checked. Without a network everything but extraction works.
for which in faces identity; do
  if ! said="$("$venv/bin/dfl-tf" extract --get-models "$which" 2>&1)"; then
    echo "the $which models were not fetched: ${said##*$'\n'}" >&2
  fi
done
