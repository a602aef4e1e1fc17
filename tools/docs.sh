#!/usr/bin/env bash
# Build the manual: docs/*.md -> build/docs/index.html, with an offline search. A warning is an error.
#
#     tools/docs.sh [OUTPUT]
#
# Sphinx gets an environment of its own (build/docs-venv, made on the first call; DFL_TF_DOCS_VENV names
# another one), which sees the packages of the project's for the docstrings.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
venv="${DFL_TF_VENV:-.venv}"
python="$venv/bin/python"
[ -x "$python" ] || python="$(command -v python3)"
own="${DFL_TF_DOCS_VENV:-build/docs-venv}"
if [ ! -x "$own/bin/sphinx-build" ]; then
    "$python" -m venv "$own"
    "$own/bin/python" -m pip install --quiet --disable-pip-version-check "sphinx>=8" furo myst-parser numpydoc
fi
packages="$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
pages="$("$own/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
echo "$packages" >"$pages/dfl_tf_packages.pth"
output="${1:-build/docs}"
"$python" tools/write_option_docs.py --check
"$own/bin/python" -m sphinx -W --keep-going -q -b html docs "$output"
echo "$output/index.html"
