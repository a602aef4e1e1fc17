#!/usr/bin/env python3
"""What an open page with live previews costs a training, and how much memory the server takes.

    python tools/bench_web.py [--rounds N] [--seconds S] [--json]

A training of the demo's faces runs, with a preview every ten seconds. In turn, server and browser
are frozen (SIGSTOP), and at work with the page *Watch* open (a real Chromium). Its iterations are
counted, in periods of so many seconds; the ratio of two periods beside each other says how much
faster it is without the page, and their median is printed, with the memory of the server at the end
and after five idle seconds without a browser. The browser gets only time that nothing else wants
(SCHED_IDLE), since it usually runs on another machine; the server runs as `dfl-tf web` does.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "ops"), str(ROOT / "tools")]

from dfl_tf_ops.process import resident_memory  # noqa: E402

WARM_UP_SECONDS = 4.0
"""Seconds after a change that are not counted."""
OPTIONS = ("--resolution=96", "--archi=liae-ud", "--ae-dims=64", "--e-dims=32", "--d-dims=32",
           "--d-mask-dims=16", "--batch-size=4", "--no-write-preview-history",
           "--log-every=1", "--save-every=0", "--target-iter=1000000")  # fmt: skip
PREVIEW_SECONDS = 10
BROWSER = """
import os, sys
os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
sys.path.insert(0, sys.argv[1])
from chromium import Chromium
with Chromium() as browser, browser.profile() as tabs:
    tab = tabs()
    tab.size(1280, 720)
    tab.open(sys.argv[2])
    tab.wait("Number(document.querySelector('[data-points]')?.dataset.points ?? 0) > 1")
    print(browser._pid, flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def running(words: Sequence[object], **how: object) -> Iterator[subprocess.Popen[str]]:
    """A process of a group of its own, which is killed at the end."""
    process = subprocess.Popen([*map(str, words)], text=True, start_new_session=True, **how)  # type: ignore[call-overload]
    try:
        yield process
    finally:
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def iterations(log: Path) -> list[tuple[float, int]]:
    """Times and numbers of the last iterations in the log of a training."""
    found = []
    with contextlib.suppress(OSError), log.open("rb") as file:
        file.seek(max(0, os.stat(log).st_size - 200_000))
        for line in file.read().splitlines():
            with contextlib.suppress(ValueError):
                event = json.loads(line)
                if event.get("event") == "iteration":
                    found.append((float(event["time"]), int(event["iteration"])))
    return found


def processor_seconds(pid: int) -> float:
    """What a process has had of processors."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return sum(int(ticks) for ticks in fields[11:13]) / os.sysconf("SC_CLK_TCK")


def wait_for(what: str, test: object, seconds: float = 180) -> None:
    """Wait until a function says yes."""
    deadline = time.monotonic() + seconds
    while not test():  # type: ignore[operator]
        if time.monotonic() > deadline:
            raise SystemExit(f"{what} did not happen within {seconds:g} s")
        time.sleep(0.2)


def rate(log: Path, seconds: float, asked: Path) -> float:
    """Iterations a second; a preview is asked for every few seconds."""
    time.sleep(WARM_UP_SECONDS)
    begin = time.time()
    while (left := begin + seconds - time.time()) > 0:
        asked.touch()
        time.sleep(min(PREVIEW_SECONDS, left))
    (first, one), *_, (last, other) = [row for row in iterations(log) if row[0] >= begin]
    return (other - one) / (last - first)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each period")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args(arguments)
    environ = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'ops'}"}
    program = [sys.executable, "-m", "dfl_tf"]
    with tempfile.TemporaryDirectory(prefix="dfl-tf-web-") as name, contextlib.ExitStack() as stack:
        place = Path(name) / "workspace"
        shutil.copytree(ROOT / "dfl_tf" / "demo_data", place)
        silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": environ}
        stack.enter_context(running([*program, "train", place, "--name=web", *OPTIONS], **silent))
        model = place / "model"
        log, asked = model / "web_SAEHD_log.jsonl", model / "web_SAEHD_preview.request"
        wait_for("the 20th iteration", lambda: len(iterations(log)) >= 20)
        server = stack.enter_context(running([*program, "web", place], **silent))
        show = [*program, "web", place, "--show"]

        def address() -> str:
            done = subprocess.run(
                [*map(str, show)], capture_output=True, text=True, check=False, env=environ
            )
            return done.stdout.strip()

        wait_for("the start of the server", address)
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "env": environ}
        browsing = [sys.executable, "-c", BROWSER, ROOT / "tools", address()]
        with running(browsing, **pipes) as browser:
            assert browser.stdout is not None
            chromium = int(browser.stdout.readline())
            ratios, shares = [], []
            for number in range(args.rounds):
                found = {}
                for shown in (False, True) if number % 2 else (True, False):
                    for group in (server.pid, chromium):
                        os.killpg(group, signal.SIGCONT if shown else signal.SIGSTOP)
                    used, clock = processor_seconds(server.pid), time.monotonic()
                    found[shown] = rate(log, args.seconds, asked)
                    if shown:
                        used = processor_seconds(server.pid) - used
                        shares.append(used / (time.monotonic() - clock))
                ratios.append(found[False] / found[True])
                print(
                    f"round {number + 1}: {found[False]:.2f} iterations a second without the page, "
                    f"{found[True]:.2f} beside it",
                    flush=True,
                )
            for group in (server.pid, chromium):
                os.killpg(group, signal.SIGCONT)
            beside = (resident_memory(server.pid) or 0) / 2**20
            os.killpg(chromium, signal.SIGKILL)
        time.sleep(5)
        idle = (resident_memory(server.pid) or 0) / 2**20
    figures = {
        "without_over_beside": round(statistics.median(ratios), 4),
        "server_processor_share": round(statistics.median(shares), 4),
        "rounds": args.rounds,
        "server_mib": round(beside, 1),
        "server_idle_mib": round(idle, 1),
        "load": round(os.getloadavg()[0], 1),
    }
    if args.json:
        print(json.dumps(figures))
        return 0
    print(
        f"without the page a training is {figures['without_over_beside']:.3f}x as fast as beside "
        f"it (<= 1.02; median of {args.rounds} rounds); the server takes "
        f"{100 * figures['server_processor_share']:.1f} % of a processor, {beside:.0f} MiB, "
        f"{idle:.0f} MiB when idle (<= 100)"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
