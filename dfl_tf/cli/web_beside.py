"""`dfl-tf train --web`: the page beside a run, as a process of its own."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click

FLAG = "--web"


def with_port(arguments: list[str]) -> list[str]:
    """Arguments in which ``--web`` has a value: 0, where no number follows it.

    A port may be left out, and what follows is the workspace more often than not.
    """
    found = []
    for number, word in enumerate(arguments):
        following = arguments[number + 1 : number + 2]
        bare = word == FLAG and not (following and following[0].isdecimal())
        found.append(f"{FLAG}=0" if bare else word)
    return found


@contextlib.contextmanager
def page_beside(
    root: Path, model: Path | None, port: int | None, *, after: float = 60.0
) -> Iterator[None]:
    """Serve the page while something runs, and a minute longer; it has no part in what runs.

    Parameters
    ----------
    root : Path
        The workspace.
    model : Path or None
        Folder of models, where it is not that of the workspace.
    port : int or None
        None serves no page; 0 takes the first free port.
    after : float
        Seconds that it is served longer.
    """
    if port is None:
        yield
        return
    line = [sys.executable, "-m", "dfl_tf", "web", f"--beside={after:g}", str(root)]
    line += [] if model is None else ["--model-dir", str(model)]
    line += ["--port", str(port)] if port else []
    page = None
    try:
        # not of our session: Ctrl-C is for the training, whose end the page shows
        page = subprocess.Popen(
            line, stdin=subprocess.PIPE, stdout=sys.stderr, start_new_session=True
        )
    except OSError as error:
        click.echo(f"warning: the page was not started: {error}", err=True)
    try:
        yield
    finally:
        if page is not None and page.stdin is not None:
            with contextlib.suppress(OSError):
                page.stdin.close()
            page.returncode = 0  # it is left to itself, and nobody waits for it
