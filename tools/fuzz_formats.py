"""Feed damaged files to every reader: always an answer or one of our errors, never anything else.

    python tools/fuzz_formats.py [--count N] [--seed S] [--kinds K,...] [--json]

Each input is a valid small file with a few bytes changed, cut, doubled, moved, or with lengths,
indices, opcodes and tokens that matter overwritten. Readers run in a child process with a limit on
its memory and a time limit for each input; the parent ends a child that does not even see the
limit (decoders run outside of Python). A forbidden global that would be run leaves a mark, and so
does a file that is written, renamed or removed outside of the folder of the input.
Counted: inputs read as valid, refused with our errors, and errors (other exceptions, time,
memory, death, code run, files written elsewhere). The same seed gives the same inputs.
`--json` prints one line: counts and errors together and for each reader.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import resource
import select
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fuzz_files import Kind, format_kinds
from fuzz_mutations import mutate
from fuzz_texts import text_kinds

from dfl_tf.errors import DflTfError

SECONDS = 10


@dataclass
class Tally:
    """One row of the table."""

    inputs: int = 0
    valid: int = 0
    refused: int = 0
    slowest: float = 0.0
    errors: list[str] = field(default_factory=list)


def kinds(folder: Path) -> dict[str, Kind]:
    """All sorts of input by name; seeds that need files are made in `folder`."""
    return {**format_kinds(folder), **text_kinds()}


# -- the child -------------------------------------------------------------------------------------
class _TooSlow(BaseException):
    pass


class _WroteElsewhere(BaseException):
    pass


def _alarm(*_: object) -> None:
    raise _TooSlow


_CHANGES = {
    "os.mkdir",
    "os.rename",
    "os.remove",
    "os.rmdir",
    "os.symlink",
    "os.link",
    "os.truncate",
}


def _watch(folder: Path) -> Callable[[str, tuple[object, ...]], None]:
    """Raise at every change outside of a folder; names within an open folder cannot leave it."""
    root = os.path.realpath(folder) + os.sep

    def hook(event: str, args: tuple[object, ...]) -> None:
        if event == "open":
            path, _, flags = args
            if not isinstance(flags, int) or not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                return
            paths = [path]
        elif event in _CHANGES and args[-1] == -1:
            paths = [item for item in args[:2] if isinstance(item, str | bytes)]
        else:
            return
        for path in paths:
            if isinstance(path, str | bytes):
                place = os.path.realpath(os.path.dirname(os.path.abspath(os.fsdecode(path))))
                if not (place + os.sep).startswith(root) and os.fsdecode(path) != os.devnull:
                    raise _WroteElsewhere(f"{event} {path!r}")

    return hook


def _child(pipe: int, kind: Kind, folder: Path, name: str, indices: range, seed: int) -> None:
    """Read the inputs and report each in one line; ends the process."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + kind.memory, used + kind.memory))
    signal.signal(signal.SIGALRM, _alarm)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # image libraries talk about every damage
    logging.disable()
    sys.addaudithook(_watch(folder))
    with os.fdopen(pipe, "w") as out:
        for index in indices:
            rng = random.Random(f"{seed}/{name}/{index}")
            data = mutate(rng.choice(kind.seeds), rng, text=kind.text)
            start = time.perf_counter()
            signal.setitimer(signal.ITIMER_REAL, SECONDS)
            try:
                kind.read(data, folder)
                verdict = "valid"
            except DflTfError:
                verdict = "refused"
            except (_TooSlow, _WroteElsewhere, Exception) as error:
                verdict = f"{type(error).__name__}: {str(error)[:200]!r}"
            signal.setitimer(signal.ITIMER_REAL, 0)
            print(json.dumps([index, verdict, time.perf_counter() - start]), file=out, flush=True)
    os._exit(0)


# -- the parent ------------------------------------------------------------------------------------
def run_kind(name: str, count: int, seed: int) -> Tally:
    """Feed `count` inputs of one kind to its reader in a guarded child."""
    with tempfile.TemporaryDirectory() as place:
        mark = Path(place) / "code-was-run"
        os.environ["FUZZ_MARK"] = str(mark)
        folder = Path(place) / "inputs"
        folder.mkdir()
        kind = kinds(folder)[name]
        tally = Tally()
        done = 0
        while done < count:
            read, write = os.pipe()
            pid = os.fork()
            if pid == 0:
                os.close(read)
                _child(write, kind, folder, name, range(done, count), seed)
            os.close(write)
            done += _collect(read, pid, tally)
            status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            if status:
                tally.errors.append(f"input {done}: the process died with {status}")
                tally.inputs += 1
                done += 1
        if mark.exists():
            tally.errors.append("code of a hostile pickle was run")
        if left := {entry.name for entry in Path(place).iterdir()} - {mark.name, folder.name}:
            tally.errors.append(f"files outside of the folder: {sorted(left)}")
        return tally


def _collect(pipe: int, pid: int, tally: Tally) -> int:
    """Count what the child reports; kill it when it has been silent for too long."""
    done = 0
    rest = b""
    while True:
        if not select.select([pipe], [], [], SECONDS + 5)[0]:
            os.kill(pid, signal.SIGKILL)
        piece = os.read(pipe, 1 << 16)
        if not piece:
            os.close(pipe)
            return done
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            index, verdict, seconds = json.loads(line)
            done += 1
            tally.inputs += 1
            tally.slowest = max(tally.slowest, round(seconds, 3))
            if verdict == "valid":
                tally.valid += 1
            elif verdict == "refused":
                tally.refused += 1
            else:
                tally.errors.append(f"input {index}: {verdict}")


def main() -> int:
    """Run and print the table; 1 if there was any error."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=800, help="inputs in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", help="only these, separated by commas")
    parser.add_argument("--json", action="store_true", help="print one line")
    options = parser.parse_args()
    os.environ.setdefault("FUZZ_MARK", "/nonexistent/fuzz")
    with tempfile.TemporaryDirectory() as place:
        shares = {name: kind.share for name, kind in kinds(Path(place)).items()}
    if options.kinds:
        shares = {name: shares[name] for name in options.kinds.split(",")}
    each = options.count / sum(shares.values())
    rows = {
        name: run_kind(name, -int(-each * share // 1), options.seed)
        for name, share in shares.items()
    }
    inputs = sum(row.inputs for row in rows.values())
    errors = sum(len(row.errors) for row in rows.values())
    if options.json:
        table = {name: asdict(tally) for name, tally in rows.items()}
        document = {"inputs": inputs, "faults": errors, "seed": options.seed, "readers": table}
        print(json.dumps(document))
    else:
        _print_table(rows, inputs)
    return 1 if errors else 0


def _print_table(rows: dict[str, Tally], inputs: int) -> None:
    print(f"{'':18}{'inputs':>8}{'valid':>8}{'refused':>9}{'slowest':>10}{'errors':>8}")
    for name, row in rows.items():
        numbers = f"{row.inputs:8}{row.valid:8}{row.refused:9}{row.slowest:9.3f}s"
        print(f"{name:18}{numbers}{len(row.errors):8}")
        for error in row.errors[:20]:
            print(f"    {error}")
    print(f"{'together':18}{inputs:8}")


if __name__ == "__main__":
    raise SystemExit(main())
