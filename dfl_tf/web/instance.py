"""The token of a server and its address, kept from start to start in a file of mode 0600."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import platform
import secrets
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from dfl_tf_ops.process import user_data

from dfl_tf.disk import durable
from dfl_tf.disk.guarded import read_json
from dfl_tf.disk.tree_schema import Integer, Record, Text
from dfl_tf.errors import DflTfError, WorkspaceError

_SCHEMA = Record(
    {
        "name": Text(longest=64),
        "token": Text(longest=256),
        "host": Text(longest=256),
        "port": Integer(0, 65535),
        "base_url": Text(longest=256),
    }
)


@dataclass(frozen=True)
class Instance:
    """Who may enter, and where.

    Attributes
    ----------
    name : str
        Tells apart the cookies of several servers in one browser.
    token : str
    host : str
    port : int
        0 until it is known.
    base_url : str
        ``""`` or ``"/below/here"``.
    """

    name: str
    token: str
    host: str = "127.0.0.1"
    port: int = 0
    base_url: str = ""

    @classmethod
    def new(cls) -> Instance:
        """One with a fresh token."""
        return cls(secrets.token_hex(4), secrets.token_urlsafe(32))

    @property
    def cookie(self) -> str:
        """Name of the cookie."""
        return f"dfl_tf_{self.name}"

    @property
    def pass_(self) -> str:
        """What the cookie holds: made of the token, which stays out of the browser's store."""
        return hmac.new(self.token.encode(), b"cookie", hashlib.sha256).hexdigest()

    @property
    def place(self) -> str:
        """The address without its token."""
        host = "127.0.0.1" if self.host in ("", "0.0.0.0", "::") else self.host
        shown = f"[{host}]" if ":" in host else host
        return f"http://{shown}:{self.port}{self.base_url}/"

    @property
    def address(self) -> str:
        """The address that lets a browser in."""
        return f"{self.place}?token={self.token}"


def record_of(root: Path) -> Path | None:
    """Where the record of the server of a workspace lies; None without a home."""
    data = user_data()
    if data is None:
        return None
    named = f"{platform.node()}\0{root.resolve()}".encode("utf-8", "surrogateescape")
    return data / "web" / f"{hashlib.sha256(named).hexdigest()[:24]}.json"


def read_instance(root: Path) -> Instance | None:
    """What the last server of a workspace has kept; None if there is nothing of use."""
    path = record_of(root)
    if path is None or (path.exists() and not _is_private(path)):
        return None
    try:
        found = read_json(path, kind="the record of a server", schema=_SCHEMA, missing_ok=True)
    except DflTfError:
        return None
    return None if found is None else Instance(**found)


def _is_private(path: Path) -> bool:
    """Whether nobody else can have read or made it; a token that others know is not used."""
    status = path.lstat()
    owner = getattr(os, "getuid", lambda: status.st_uid)()
    return os.name == "nt" or (status.st_uid == owner and not status.st_mode & 0o077)


def keep_instance(root: Path, instance: Instance) -> str:
    """Keep it for the next start; returns why that failed, or an empty text."""
    path = record_of(root)
    if path is None:
        return "there is no home folder"
    try:
        durable.make_folder(path.parent)
        with durable.replacing(path) as file:
            os.chmod(file.name, 0o600)
            file.write(json.dumps(asdict(instance)).encode())
    except (WorkspaceError, OSError) as error:
        return str(error)
    return ""


def instance_for(root: Path, *, host: str, base_url: str) -> Instance:
    """The instance of a workspace: with the token of the last server, or a fresh one."""
    known = read_instance(root) or Instance.new()
    return replace(known, host=host, base_url=base_url)
