#!/usr/bin/env python3
"""How long the page *Watch* takes to open a training with a huge log, and how much memory.

    python tools/bench_log.py [--megabytes 1000] [--rounds N] [--json]

A model of the demo's faces is trained for some iterations. Its log is then continued to the asked
size by the same iterations with rising numbers, a save every hundredth and a message every
thousandth of them. In each round a new `dfl-tf web` is started, and what the page asks for when it
opens is asked for over HTTP: models, the model, its curves, its log. The first round reads the file
from the page cache of the kernel as well, since it was just written. Printed are the seconds from
the first request to the last answer and the most memory that the server had (VmHWM), medians of the
rounds; the exit code is 1 if one is more than `SECONDS` or `MIB`.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlencode, urlsplit

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "ops"), str(ROOT / "tools")]

from bench_web import running, wait_for  # noqa: E402

SECONDS, MIB = 3.0, 150.0
OPTIONS = ("--resolution=64", "--ae-dims=32", "--e-dims=16", "--d-dims=16", "--d-mask-dims=16",
           "--batch-size=4", "--log-every=1", "--target-iter=20")  # fmt: skip


def continued(log: Path, size: int) -> int:
    """Continue a log to a size; returns its iterations."""
    lines = log.read_text(encoding="utf-8").splitlines()
    line = [each for each in lines if each.startswith('{"event": "iteration"')][-1]
    number = int(json.loads(line)["iteration"])
    head, tail = re.split(r'(?<="iteration": )\d+', line, maxsplit=1)
    stamp = json.loads(line)["time"]
    with log.open("a", encoding="utf-8") as file:
        while file.tell() < size:
            for _ in range(1000):
                number += 1
                file.write(f"{head}{number}{tail}\n")
                if number % 100 == 0:
                    event = {"event": "save", "time": stamp, "iteration": number, "ms": 12.5}
                    file.write(json.dumps(event) + "\n")
            event = {"event": "message", "time": stamp, "level": "info", "text": f"at {number}"}
            file.write(json.dumps(event) + "\n")
    return number


class Page:
    """Asks what the page asks, with its cookie."""

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
        self._connection.request("GET", f"{parts.path}?{parts.query}")
        answer = self._connection.getresponse()
        answer.read()
        self._cookie = (answer.headers["Set-Cookie"] or "").partition(";")[0]

    def get(self, path: str) -> dict[str, object]:
        """JSON of an address."""
        self._connection.request("GET", path, headers={"Cookie": self._cookie})
        answer = self._connection.getresponse()
        data = answer.read()
        if answer.status != 200:
            raise SystemExit(f"{path}: {answer.status} {data[:200]!r}")
        return json.loads(data)  # type: ignore[no-any-return]


def opened(page: Page) -> tuple[float, int]:
    """Seconds until the page has all that it shows of a training, and the last iteration."""
    begin = time.monotonic()
    model = page.get("/api/watch/models")["models"][0]  # type: ignore[index]
    one = f"/api/watch/models/{model['id']}"
    detail = page.get(one)
    columns = [("column", name) for name in detail["columns"]][:8]  # type: ignore[attr-defined]
    series = page.get(f"{one}/series?{urlencode([*columns, ('points', 800)])}")
    page.get(f"{one}/log")
    return time.monotonic() - begin, int(series["iterations"][-1])  # type: ignore[index]


def peak_mib(pid: int) -> float:
    """The most memory that a process had at a time."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) / 1024


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args(arguments)
    environ = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'ops'}"}
    program = [sys.executable, "-m", "dfl_tf"]
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": environ}
    seconds, memory = [], []
    with tempfile.TemporaryDirectory(prefix="dfl-tf-log-") as name:
        place = Path(name) / "workspace"
        shutil.copytree(ROOT / "dfl_tf" / "demo_data", place)
        subprocess.run([*program, "train", place, "--name=log", *OPTIONS], check=True, **silent)  # type: ignore[call-overload]
        last = continued(place / "model" / "log_SAEHD_log.jsonl", args.megabytes * 10**6)
        for number in range(args.rounds):
            with running([*program, "web", place], **silent) as server:
                show = [*map(str, program), "web", str(place), "--show"]

                def address(show: Sequence[str] = tuple(show)) -> str:
                    done = subprocess.run(
                        show, capture_output=True, text=True, check=False, env=environ
                    )
                    return done.stdout.strip()

                wait_for("the start of the server", address)
                taken, shown = opened(Page(address()))
                if not last - last / 100 <= shown <= last:  # of points that stand for many
                    raise SystemExit(f"the curves end at {shown}, not at {last}")
                seconds.append(taken)
                memory.append(peak_mib(server.pid))
            print(f"round {number + 1}: {seconds[-1]:.2f} s, {memory[-1]:.0f} MiB", flush=True)
    figures = {
        "megabytes": args.megabytes,
        "iterations": last,
        "seconds": round(statistics.median(seconds), 2),
        "server_peak_mib": round(statistics.median(memory), 1),
        "rounds": args.rounds,
        "load": round(os.getloadavg()[0], 1),
    }
    if args.json:
        print(json.dumps(figures))
    else:
        print(
            f"a log of {args.megabytes} MB ({last} iterations) opens in {figures['seconds']} s "
            f"(<= {SECONDS:g}); the server had at most {figures['server_peak_mib']} MiB "
            f"(<= {MIB:g}); medians of {args.rounds}"
        )
    return int(statistics.median(seconds) > SECONDS or statistics.median(memory) > MIB)


if __name__ == "__main__":
    sys.exit(main())
