"""`dfl-tf web`: the page for a machine without a screen."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dfl_tf.cli.paths import FILE, FOLDER
from dfl_tf.cli.speaking import Command
from dfl_tf.errors import UsageError
from dfl_tf.extras import install_command

if TYPE_CHECKING:
    from dfl_tf.formats.sessions.workspace import Workspace
    from dfl_tf.web.instance import Instance

_BASE_URL = re.compile(r"(/[A-Za-z0-9._~-]+)*/?")
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_ANY = ("", "0.0.0.0", "::")
_NICE = 10
"""A training beside the page comes first."""


def check_base_url(context: click.Context, parameter: click.Parameter, given: str) -> str:
    """`/below/here` without its last slash."""
    path = given if given.startswith("/") or not given else f"/{given}"
    if not _BASE_URL.fullmatch(path) or "/.." in path or "/./" in f"{path}/":
        raise click.BadParameter(
            f"{given!r} is no path of an address, such as /dfl", context, parameter
        )
    return path.rstrip("/")


@click.command(cls=Command)
@click.argument("workspace", type=FOLDER, default=".")
@click.option(
    "--model-dir",
    type=click.Path(path_type=Path),
    help="Folder of model files; default WORKSPACE/model.",
)
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    help="Port to serve on; default: the first free one from 8765.",
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    metavar="ADDRESS",
    help="Address to serve on. Any other than the default can be reached from outside, "
    "unencrypted: use an SSH tunnel or a proxy with TLS instead where you can.",
)
@click.option(
    "--allow-host",
    "allowed",
    multiple=True,
    metavar="NAME",
    help="A host name under which browsers see the server, beside localhost; may be repeated.",
)
@click.option(
    "--base-url",
    default="",
    callback=check_base_url,
    metavar="PATH",
    help="Serve below this path of the address, for a proxy that keeps it; default: its root.",
)
@click.option(
    "--read-only", is_flag=True, help="Show only: refuse every request to change something."
)
@click.option(
    "--enhancer",
    type=FILE,
    metavar="FILE",
    help="ONNX network for super resolution in the merge tuner, as in dfl-tf merge.",
)
@click.option(
    "--show", is_flag=True, help="Print the address of the server of WORKSPACE, then exit."
)
@click.option("--beside", type=float, hidden=True, help="End so long after stdin is closed.")
def command(
    workspace: Path,
    model_dir: Path | None,
    port: int | None,
    host: str,
    allowed: tuple[str, ...],
    base_url: str,
    read_only: bool,
    enhancer: Path | None,
    show: bool,
    beside: float | None,
) -> None:
    """Serve a page in which to watch trainings, and more, from any browser.

    It may be started and stopped at any time: it reads what trainings write, and asks them by the
    files that scripts use as well. From another machine, first: ssh -L 8765:localhost:8765 HOST.
    The address holds a token, which stays the same from start to start.
    """
    from dfl_tf.formats.sessions.workspace import Workspace
    from dfl_tf.web.instance import read_instance

    place = Workspace.open(workspace, model=model_dir, need=())
    if show:
        known = read_instance(place.root)
        if known is None or not known.port:
            raise UsageError(f"{workspace}: dfl-tf web was not started here yet.")
        click.echo(known.address)
        return
    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise UsageError(
            f"dfl-tf web needs {error.name}, which is not installed: {install_command('web')}"
        ) from None
    if host not in _LOOPBACK:
        click.echo(
            f"warning: {host or 'every address'} can be reached from other machines, and nothing "
            "is encrypted. An SSH tunnel or a proxy with TLS is safer.",
            err=True,
        )
    _serve(
        place,
        port,
        host,
        allowed,
        base_url,
        read_only=read_only,
        beside=beside,
        enhancer=enhancer,
    )


def _serve(
    place: Workspace,
    port: int | None,
    host: str,
    allowed: tuple[str, ...],
    base_url: str,
    *,
    read_only: bool,
    beside: float | None,
    enhancer: Path | None,
) -> None:
    from dfl_tf.web.context import SiteContext
    from dfl_tf.web.instance import instance_for, keep_instance
    from dfl_tf.web.server import Server, bind, end_with_stdin, make_app

    instance = instance_for(place.root, host=host, base_url=base_url)
    with bind("127.0.0.1" if host == "localhost" else host, port) as bound:
        instance = replace(instance, port=bound.getsockname()[1])
        problem = keep_instance(place.root, instance)
        if problem:
            click.echo(f"warning: the token holds for this start only: {problem}", err=True)
        hosts = [
            *allowed,
            *([] if host in (*_LOOPBACK, *_ANY) else [f"[{host}]" if ":" in host else host]),
        ]
        context = SiteContext(place, instance, read_only, enhancer)
        server = Server(make_app(context, hosts=hosts), context.events)
        _tell(instance, place.root)
        with contextlib.suppress(OSError, AttributeError):  # Windows has no such thing
            os.nice(_NICE)
        if beside is not None:
            end_with_stdin(server, after=beside)
        server.run(sockets=[bound])


def _tell(instance: Instance, workspace: Path) -> None:
    """Print the address; its token only on a terminal, for a log would keep it."""
    if sys.stdout.isatty():
        click.echo(instance.address)
    else:
        click.echo(f"{instance.place} (dfl-tf web {workspace} --show prints it with its token)")
    sys.stdout.flush()
