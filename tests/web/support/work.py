"""Stands for dfl-tf: prints its words and lines of progress as ``work.json`` in its folder says."""

from __future__ import annotations

import json
import shlex
import sys
import time
from pathlib import Path


def main() -> int:
    """Run the number of steps that the file asks for, and end with its exit code."""
    words = shlex.join(sys.argv[1:])
    with open("work.words", "a", encoding="utf-8") as kept:
        print(words, file=kept)
    how = json.loads(Path("work.json").read_text(encoding="utf-8"))
    print(words, flush=True)
    for step in range(1, how["steps"]):
        line = f"{sys.argv[1]} {step}/{how['steps']} · 1.0 frames/s · 0:01 left"
        print(line, file=sys.stderr, flush=True)
    try:
        time.sleep(how["seconds"])
    except KeyboardInterrupt:
        print("interrupted; the same command continues from here", file=sys.stderr)
        return 130
    return int(how["code"])


if __name__ == "__main__":
    sys.exit(main())
