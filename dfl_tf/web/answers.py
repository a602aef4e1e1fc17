"""What handlers answer, and what they are sent."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from dfl_tf.disk.guarded import parse_json
from dfl_tf.disk.plain_file import read_plain
from dfl_tf.disk.tree_schema import ANYTHING, Schema
from dfl_tf.errors import DflTfError

BODY = "dfl_tf.body"
"""Where the gate leaves the body of a request in its scope."""
IMAGES = {".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png"}
LARGEST_IMAGE = 64 << 20


class WebError(DflTfError):
    """A request that is refused.

    Parameters
    ----------
    message : str
    status : int
        Of HTTP.
    """

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class NotListed(WebError):
    """An id that stands for nothing, or for nothing any more."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what}: there is no such item any more; reload the page.", 404)


def json_answer(value: object, status: int = 200) -> Response:
    """JSON in ASCII, whatever bytes names have; NaN and infinity become null."""
    text = json.dumps(plain_values(value), allow_nan=False, separators=(",", ":"))
    return Response(text.encode("ascii"), status, media_type="application/json")


def plain_values(value: object) -> object:
    """A value as JSON knows it."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain_values(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain_values(each) for each in value]
    return str(value)


def file_answer(path: Path, *, unchanging: bool = False) -> Response:
    """An image file.

    Parameters
    ----------
    path : Path
        From `SiteContext.inside`.
    unchanging : bool
        Whether its address stands for this content only, so that a browser may keep it.

    Raises
    ------
    NotListed
        It is gone, or no image.
    """
    kind = IMAGES.get(path.suffix.lower())
    try:
        content = None if kind is None else read_plain(path, limit=LARGEST_IMAGE)
    except OSError:
        content = None
    if content is None:
        raise NotListed("image")
    kept = "private, max-age=604800, immutable" if unchanging else "no-store"
    return Response(content, media_type=kind, headers={"Cache-Control": kept})


def sent(request: Request, schema: Schema = ANYTHING) -> Mapping[str, object]:
    """The JSON object that a request carries.

    Raises
    ------
    WebError
        It is none, or does not fit the schema.
    """
    body: bytes = request.scope.get(BODY, b"")
    tree = parse_json(body, what="the request", kind="JSON", schema=schema, error=WebError)
    if not isinstance(tree, dict):
        raise WebError("the request must hold a JSON object.")
    return tree
