"""The view of an extraction: which frames have faces, and faces that are put there by hand."""

from __future__ import annotations

import asyncio
import sys
import uuid
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from dfl_tf.disk.guarded import parse_json
from dfl_tf.disk.tree_schema import Integer, Number, Optional, Record, Row, Text
from dfl_tf.extract.journal import FILE
from dfl_tf.face.masks import FARTHEST
from dfl_tf.merge.tuner.messages import Dropped, Failed, Open, Render, Rendered
from dfl_tf.merge.tuner.renderer import Renderer
from dfl_tf.web.answers import NotListed, WebError, json_answer, sent
from dfl_tf.web.context import SiteContext, View

SIDES = ("src", "dst")
_PLACE = Number(-FARTHEST, FARTHEST)
_BOX = Row(_PLACE, _PLACE, _PLACE, _PLACE)
_BASED = Text(longest=64)
_PUT = Record(
    {
        "based_on": _BASED,
        "box": _BOX,
        "landmarks": Row(*[Row(_PLACE, _PLACE)] * 68),
        "face": Optional(Integer(0)),
    }
)
_CHOSEN = Record({"based_on": _BASED, "face": Integer(0)})
_SUGGEST = Record({"box": _BOX})
_NAMED = Record({}, {"number": Integer(1), "width": Integer(1), "height": Integer(1)})
_LONGEST_LANE = 64


def place_command() -> list[str]:
    """The words that start the process that does the work, but for its socket."""
    return [sys.executable, "-m", "dfl_tf.web.place_process"]


class ExtractionView:
    """The handlers."""

    def __init__(self, context: SiteContext) -> None:
        self._context = context
        place = context.workspace
        about = {
            "workspace": str(place.root.absolute()),
            "model_dir": str(place.model.absolute()),
        }
        self._process = Renderer(place_command(), Open(about))
        context.frames.append(self)

    def routes(self) -> list[BaseRoute]:
        """Their addresses, below ``api/extraction/``."""
        return [
            Route("/sides", self.sides),
            Route("/overview/{side}", self.overview),
            Route("/frame/{side}/{number}", self.frame),
            Route("/image/{side}/{number}", self.image),
            Route("/suggest/{side}/{number}", self.suggest, methods=["POST"]),
            Route("/place/{side}/{number}", self.place, methods=["POST"]),
            Route("/remove/{side}/{number}", self.remove, methods=["POST"]),
            Route("/restore/{side}/{number}", self.restore, methods=["POST"]),
        ]

    def sides(self, request: Request) -> Response:
        """Src and dst, and whether there was an extraction."""
        return json_answer([{"side": side, "extracted": self._extracted(side)} for side in SIDES])

    def size(self, side: str, name: str) -> tuple[int, int] | None:
        """Width and height of a frame: see `SiteContext.frames`."""
        found = self._named(side, name)
        return None if found is None else (found["width"], found["height"])

    def shown(self, side: str, name: str) -> tuple[str, bytes] | None:
        """A frame as a browser can show it: see `SiteContext.frames`."""
        found = self._named(side, name)
        answer = found and self._answer({"do": "image", "side": side, "number": found["number"]})
        return (answer.media_type, answer.data) if answer else None

    def _named(self, side: str, name: str) -> dict[str, int] | None:
        if side not in SIDES or not self._extracted(side):
            return None
        answer = self._answer({"do": "named", "side": side, "name": name})
        if answer is None:
            return None
        found = parse_json(answer.data, what="the answer", kind="JSON", schema=_NAMED)
        return found or None

    def _answer(self, values: Mapping[str, object]) -> Rendered | None:
        answer = self._process.ask(Render(0, uuid.uuid4().hex, 0, values)).result()
        return answer if isinstance(answer, Rendered) else None

    def _extracted(self, side: str) -> bool:
        place = self._context.workspace
        return ((place.src if side == "src" else place.dst) / FILE).is_file()

    async def overview(self, request: Request) -> Response:
        """All frames, and how many faces each has."""
        return await self._ask(request, "overview")

    async def frame(self, request: Request) -> Response:
        """The faces of a frame."""
        return await self._ask(request, "frame")

    async def image(self, request: Request) -> Response:
        """A frame; 204 if a newer one was asked for in the same lane before it was begun."""
        lane = request.query_params.get("lane", "")
        if len(lane) > _LONGEST_LANE:
            raise WebError(f"lane: at most {_LONGEST_LANE} characters.")
        return await self._ask(request, "image", lane=f"image {lane}" if lane else "")

    async def suggest(self, request: Request) -> Response:
        """Landmarks of the face in a box, as the landmarker finds them."""
        return await self._ask(request, "suggest", sent(request, _SUGGEST))

    async def place(self, request: Request) -> Response:
        """Put a face into a frame, or another in the place of one."""
        return await self._ask(request, "place", sent(request, _PUT))

    async def remove(self, request: Request) -> Response:
        """Take a face out of a frame."""
        return await self._ask(request, "remove", sent(request, _CHOSEN))

    async def restore(self, request: Request) -> Response:
        """Bring back a face that was taken out."""
        return await self._ask(request, "restore", sent(request, _CHOSEN))

    async def _ask(
        self,
        request: Request,
        what: str,
        told: Mapping[str, object] | None = None,
        *,
        lane: str = "",
    ) -> Response:
        values = {**(told or {}), "do": what, "side": _side(request), "number": _number(request)}
        # nothing that changes a frame may be dropped for a newer request
        lane = lane or uuid.uuid4().hex
        answer = await asyncio.wrap_future(self._process.ask(Render(0, lane, 0, values)))
        if isinstance(answer, Dropped):
            return Response(status_code=204)
        if isinstance(answer, Failed):
            raise WebError(answer.text, 409)
        headers = {"Cache-Control": "no-store"}
        outdated = told is not None and _says_error(answer.data)
        status = 409 if outdated else 200
        return Response(answer.data, status, media_type=answer.media_type, headers=headers)


def _says_error(data: bytes) -> bool:
    tree = parse_json(data, what="the answer", kind="JSON", error=WebError)
    return isinstance(tree, dict) and "error" in tree


def _side(request: Request) -> str:
    side = str(request.path_params["side"])
    if side not in SIDES:
        raise NotListed("side")
    return side


def _number(request: Request) -> int:
    text = str(request.path_params.get("number", "0"))
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise WebError(f"{text[:20]}: give the number of a frame.")
    return int(text)


VIEW = View("extraction", "Extraction", lambda context: ExtractionView(context).routes())
