"""Names are bytes: any of them passes through every command, and none acts on a terminal.

Files, folders, models, persons, options and texts of metadata bear escape sequences, control and
bidirectional characters and bytes that are not UTF-8.
"""

from __future__ import annotations

import os

NASTY = os.fsdecode(b"\xff\x1b]0;owned\x07\x9b2J\xe2\x80\xaegpj\xc2\x9b\x7f\r")
"""Not UTF-8; sets a title, erases, reverses, and returns to the start of the line."""
