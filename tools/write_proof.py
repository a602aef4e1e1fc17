"""Write docs/proof.md from what `tools/full.sh` left in build/proof.

    python tools/write_proof.py

The required parts must have passed, without an uncommitted change; each part names the commit that
it ran with. A part that did not run here keeps what the page says of it, with its commit.
"""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "ops")]

from dfl_tf_ops.process import cores, cpu_info, memory_limit  # noqa: E402
from full import PARTS, Figures, Result, results  # noqa: E402

PAGE = ROOT / "docs" / "proof.md"
REQUIRED = ("power", "kills", "fuzz", "mutate")
"""Parts without which there is no proof; of the others the page says whether they ran."""


def machine() -> str:
    """Processor, cores and memory, and the versions that count."""
    limit = memory_limit()
    memory = "" if limit is None else f", {round(limit / 2**30)} GiB of memory"
    names = ("tensorflow", "tensorflow-cpu", "keras", "numpy", "numba")
    installed = [f"{name} {found}" for name in names if (found := _version(name))]
    return (
        f"{cpu_info('model name') or platform.processor()}, {cores()} cores{memory}; "
        f"{platform.system()}, Python {platform.python_version()}, {', '.join(installed)}"
    )


def _version(name: str) -> str:
    try:
        return version(name)
    except ImportError:
        return ""


def sentence(name: str, figures: Figures) -> str:
    """What a part found, in words."""
    counts = {key: f"{value:,}" for key, value in figures.items() if isinstance(value, int)}
    return {
        "slow": "{passed} slow tests passed",
        "mutate": "{caught} of {mutants} mutants caught",
        "fuzz": "{inputs} mutated inputs to {readers} readers, {faults} errors",
        "kills": "{kills} kills, {in_a_save} of them known to be inside a save; with them {tried} "
        "interruptions and damages of operations on files: {losses} lost",
        "power": "{states} states that a power cut may leave, of {operations} operations: "
        "{losses} lost",
        "quality": "similarity (SSIM) on held-out faces after {iterations} iterations: {ssim} with "
        "averaged weights, {weights_ssim} with the weights themselves, {without_warp_ssim} without "
        "random warp",
        "jax": "{passed} of {cases} steps do with JAX what they do with TensorFlow, in "
        "{variables} variables",
        "gpu_check": "{parts} parts of tools/gpu_check.py passed on the CPU",
        "notebook": "{cells} cells of docs/first_look.ipynb ran",
        "package": "{commands} commands of the wheel in a read-only place, {merged} frames merged",
        "endurance": "over {iterations} iterations memory changes by a factor of "
        "{memory_mb_growth}, processor time per iteration by {milliseconds_growth}",
        "bench": "{tools} benchmarks run",
    }[name].format(**{**figures, **counts})


def sections(text: str) -> dict[str, str]:
    """What a page says of each part, from its heading on."""
    found = re.split(r"(?m)^## (\w+)\n", re.sub(r"(?m)^Not run for this page: .*\n", "", text))
    return {
        name: f"## {name}\n{body}".rstrip()
        for name, body in zip(found[1::2], found[2::2], strict=True)
        if name in PARTS
    }


def page(parts: Mapping[str, Result], before: str = "") -> str:
    """The text of docs/proof.md; parts that are not given stand as in the page before.

    Raises
    ------
    ValueError
        If a required part is missing, or a part failed or ran with uncommitted changes.
    """
    kept = sections(before)
    passed = {name for name, result in parts.items() if result.passed}
    missing = [
        name for name in REQUIRED if name not in passed and (name in parts or name not in kept)
    ]
    if missing:
        raise ValueError(f"not passed yet: {', '.join(missing)}")
    failed = [name for name, result in parts.items() if not result.passed]
    if failed:
        raise ValueError(f"failed: {', '.join(failed)}")
    if any(result.modified for result in parts.values()):
        raise ValueError("parts were run with uncommitted changes: --again")
    date = max(result.date for result in parts.values())
    lines = [
        "# Proof",
        "",
        "What the second tier of tests found. Written by `tools/full.sh`; do not edit.",
        "",
        f"- Date: {date}",
        f"- Machine: {machine()}",
    ]
    for name in PARTS:
        if name not in parts:
            lines += ["", kept[name]] if name in kept else []
            continue
        result = parts[name]
        lines += [
            "",
            f"## {name}",
            "",
            f"{sentence(name, result.figures)} ({result.minutes} min).",
            "",
            f"Commit: {result.commit}",
        ]
        lines += ["", *(f"    {command}" for command in result.commands)]
    left_out = [name for name in PARTS if name not in parts and name not in kept]
    if left_out:
        lines += ["", f"Not run for this page: {', '.join(left_out)}."]
    return "\n".join(lines) + "\n"


def main() -> int:
    try:
        text = page(results(), PAGE.read_text(encoding="utf-8") if PAGE.exists() else "")
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    PAGE.write_text(text, encoding="utf-8")
    print(f"{PAGE.relative_to(ROOT)} is written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
