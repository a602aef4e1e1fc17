"""`dfl-tf web` and `dfl-tf train --web` as commands."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from dfl_tf.cli.main import run
from dfl_tf.cli.web_beside import page_beside, with_port
from dfl_tf.errors import UsageError
from dfl_tf.web.instance import read_instance
from dfl_tf.web.server import bind


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace, and a home of its own."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    for side in ("data_src", "data_dst"):
        (tmp_path / "project" / side).mkdir(parents=True)
    return tmp_path / "project"


def test_a_port_may_be_left_out():
    assert with_port(["ws", "--web"]) == ["ws", "--web=0"]
    assert with_port(["--web", "ws"]) == ["--web=0", "ws"]
    assert with_port(["--web", "8799", "ws"]) == ["--web", "8799", "ws"]
    assert with_port(["--web", "--plan"]) == ["--web=0", "--plan"]
    assert with_port(["--web=5", "ws"]) == ["--web=5", "ws"]


def test_the_page_begins_beside_a_run_and_ends_after_it(project):
    with page_beside(project, None, 0, after=0.1):
        while (found := read_instance(project)) is None:
            time.sleep(0.05)
        with pytest.raises(UsageError, match=f"--port {found.port}: cannot be served"):
            bind("127.0.0.1", found.port)
    while True:  # until the port is free again
        try:
            bind("127.0.0.1", found.port).close()
            break
        except UsageError:
            time.sleep(0.05)


def test_a_run_goes_on_without_a_page(project, monkeypatch, capsys):
    monkeypatch.setattr(sys, "executable", str(project / "absent"))
    ran = []
    with page_beside(project, None, 0):
        ran.append(True)
    assert ran
    assert "warning: the page was not started" in capsys.readouterr().err
    with page_beside(project, None, None):  # none was wanted
        ran.append(True)


def test_what_cannot_be_served_is_said(project, capsys):
    assert run(["web", str(project), "--show"]) == 2
    assert "was not started here yet" in capsys.readouterr().err
    with bind("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        assert run(["web", str(project), "--port", str(port)]) == 2
        assert f"--port {port}: cannot be served on" in capsys.readouterr().err
    assert run(["web", str(project), "--base-url", "/a/../b"]) == 2
    assert run(["web", str(project), "--host", "192.0.2.1", "--port", "8799"]) == 2
    told = capsys.readouterr().err
    assert "nothing is encrypted" in told
    assert "--host 192.0.2.1 --port 8799: cannot be served on" in told


def test_without_the_extra_it_names_what_to_install(project, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert run(["web", str(project)]) == 2
    assert "needs uvicorn, which is not installed: pip install" in capsys.readouterr().err


def test_a_token_that_others_can_read_is_replaced(project, monkeypatch):
    from dfl_tf.web.instance import Instance, instance_for, keep_instance, record_of

    assert keep_instance(project, Instance.new()) == ""
    kept = read_instance(project)
    assert instance_for(project, host="127.0.0.1", base_url="/x").token == kept.token
    path = record_of(project)
    path.chmod(0o644)
    assert read_instance(project) is None
    path.chmod(0o600)
    path.write_text("{")
    assert read_instance(project) is None
    blocked = project / "file"
    blocked.write_text("")
    monkeypatch.setenv("XDG_DATA_HOME", str(blocked))
    assert keep_instance(project, Instance.new()) != ""


def test_help_and_other_commands_import_no_server():
    code = (
        "import sys; from dfl_tf.cli.main import run; run(['train', '--help']); run(['--help']);"
        "sys.exit(any(m.split('.')[0] in ('starlette', 'uvicorn') for m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0
