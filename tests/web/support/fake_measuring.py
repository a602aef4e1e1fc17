"""Stands for `dfl_tf.web.faces_process`: numbers by the names of files, at once.

``00003.jpg`` has a yaw of -15 degrees (5 more for each number), a sharpness of 0.03 and belongs to
the second of two persons; arrangements turn the order around and reject the last two. With the word
``slow`` it says how far it is, and never ends by itself; with ``broken`` it fails.
"""

from __future__ import annotations

import json
import os
import sys
import time


def tell(**values: object) -> None:
    print(json.dumps(values), flush=True)


asked = json.loads(sys.stdin.readline())
place, method = asked["place"], asked["method"]
names = sorted(name for name in os.listdir(place) if name.endswith(".jpg"))
numbers = range(len(names))
tell(progress=[1, len(names)])
if "slow" in sys.argv:
    time.sleep(600)
if "broken" in sys.argv:
    tell(error=f"{place}: cannot be measured: <b>no</b>")
    sys.exit()
columns: dict[str, list[float | None]]
if method == "persons":
    columns = {
        "person": [1.0 + i % 2 for i in numbers],
        "person_distance": [i / 10 for i in numbers],
    }
elif method:
    kept = len(names) - 2
    columns = {
        f"rank {method}": [float(kept - 1 - i) if i < kept else None for i in numbers],
        f"rejected {method}": [float(i >= kept) for i in numbers],
    }
else:
    known = {
        "yaw": [5.0 * i - 30 for i in numbers],
        "pitch": [1.0 for _ in numbers],
        "blur": [None if i == 1 else i / 100 for i in numbers],
    }
    columns = {name: known.get(name, [0.5] * len(names)) for name in asked["columns"]}
    columns |= {"labeled": [float(i % 2) for i in numbers], "pixels": [64.0] * len(names)}
stamps = [(s.st_size, s.st_mtime_ns) for s in (os.stat(f"{place}/{name}") for name in names)]
tell(notes=["as a test has it"])
tell(names=names, stamps=stamps, columns=columns)
