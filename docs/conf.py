"""How Sphinx builds the manual; `tools/docs.sh` calls it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "ops")]
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

project = "dfl_tf"
author = "the dfl_tf authors"
copyright = "the dfl_tf authors; Apache-2.0"
html_title = "dfl_tf"

extensions = ["myst_parser", "sphinx.ext.autodoc", "numpydoc"]
source_suffix = {".md": "markdown"}
root_doc = "index"
exclude_patterns = ["_build"]
myst_heading_anchors = 4
myst_enable_extensions = ["deflist"]
highlight_language = "none"

html_theme = "furo"
html_show_sphinx = False
html_copy_source = False
templates_path: list[str] = []

autosummary_generate = False  # numpydoc brings it
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings say more
numpydoc_show_class_members = False
numpydoc_validation_checks: set[str] = set()
nitpicky = False
