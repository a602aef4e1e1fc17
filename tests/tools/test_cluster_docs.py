"""The examples of docs/clusters.md do what the page says, with stand-ins for what is not here."""

from __future__ import annotations

import configparser
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from dfl_tf.errors import EXIT_CODES

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "clusters.md").read_text(encoding="utf-8")
STAND_IN = """#!/bin/bash
trap 'echo saved >> "$HERE/done"; exit 143' TERM
echo "$@" > "$HERE/asked"
[ -n "$CODE" ] && exit "$CODE"
while :; do sleep 0.02; done
"""


def block(heading: str, language: str) -> str:
    (section,) = re.findall(rf"^## {heading}\n(.*?)(?=^## )", PAGE, re.MULTILINE | re.DOTALL)
    found = re.search(rf"```{language}\n(.*?)```", section, re.DOTALL)
    assert found is not None
    return found[1]


@pytest.mark.parametrize(
    ("code", "requeued"),
    [(None, True), ("0", False), ("1", False), ("2", False), ("3", False)],
    ids=["SIGTERM", "done", "failed", "usage", "guard"],
)
def test_the_slurm_script_queues_itself_again_after_a_signal_only(tmp_path, code, requeued):
    for name, text in (("dfl-tf", STAND_IN), ("scontrol", '#!/bin/sh\necho "$@" > "$HERE/queued"')):
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
    activate = tmp_path / "dfl_tf" / ".venv" / "bin" / "activate"
    activate.parent.mkdir(parents=True)
    activate.touch()
    environ = {
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "HERE": str(tmp_path),
        "SLURM_JOB_ID": "17",
        "CODE": code or "",
    }
    script = tmp_path / "job.sh"
    script.write_text(block("SLURM", "bash"))
    job = subprocess.Popen(["bash", str(script)], env=environ)
    if code is None:
        while not (tmp_path / "asked").exists():
            time.sleep(0.01)
        job.send_signal(signal.SIGTERM)  # as --signal=B:TERM@300 does, to the script alone
    assert job.wait() == int(code or 143)
    assert (tmp_path / "queued").exists() == requeued
    if code is None:
        assert (tmp_path / "done").read_text() == "saved\n"
        assert (tmp_path / "queued").read_text() == "requeue 17\n"
    assert (tmp_path / "asked").read_text().startswith("train /projects/anna")


def test_the_unit_of_systemd_follows_the_table_of_exit_codes():
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[method-assign,assignment]
    parser.read_string(block("systemd", "ini"))
    service = parser["Service"]
    yes = {code.strip() for row in EXIT_CODES if row.again == "yes" for code in row.code.split(",")}
    no = {row.code for row in EXIT_CODES if row.again.startswith("no:")}
    assert set(service["SuccessExitStatus"].split()) == yes
    assert set(service["RestartPreventExitStatus"].split()) == no
    deadline = re.search(r"--save-deadline (\d+)", service["ExecStart"])
    assert deadline is not None
    assert int(deadline[1]) < int(service["TimeoutStopSec"])
