"""The XSeg editor: faces, their labels and masks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import cv2
import numpy as np
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from dfl_tf.disk.text import printable
from dfl_tf.disk.tree_schema import Array, Integer, Number, Record, Row, Text
from dfl_tf.face.polygons import Polygon
from dfl_tf.facesets.labels import FEWEST_POINTS, usable_polygons
from dfl_tf.facesets.mask_outline import mask_outline
from dfl_tf.formats.faces.dfljpg import pixels_only
from dfl_tf.imaging import decode_image, encode_image, to_bgr
from dfl_tf.imaging.files import to_bytes
from dfl_tf.web.answers import NotListed, WebError, json_answer, sent
from dfl_tf.web.context import SiteContext, View
from dfl_tf.web.xseg import SIDES, FaceSide, LabeledFace

_THUMBNAIL = 96
_SHA = Text(longest=64, pattern="[0-9a-f]{64}", form="a SHA-256 in hex")
_POLYGON = Record(
    {"kind": Integer(0, 1), "points": Array(Row(Number(), Number()), longest=4000)},
)
_LABEL = Record(
    {
        "hash": _SHA,
        "image": Text(longest=32, pattern="[0-9a-f]{32}", form="32 hex digits"),
        "polygons": Array(_POLYGON, longest=500),
    }
)
_TRASH = Record({"hash": _SHA})


class XSegEditing:
    """The handlers."""

    def __init__(self, context: SiteContext) -> None:
        self._context = context
        self._sides = {side: FaceSide(context, side) for side in SIDES}

    def routes(self) -> list[BaseRoute]:
        """Their addresses, below ``api/xseg/``."""
        one = "/{side}/{face}"
        return [
            Route("/sides", self.sides),
            Route("/faces/{side}", self.faces),
            Route("/marks/{side}", self.marks),
            Route(f"/face{one}", self.face),
            Route(f"/image{one}", self.image),
            Route(f"/mask{one}", self.mask),
            Route(f"/outline{one}", self.outline),
            Route(f"/thumbnail{one}", self.thumbnail),
            Route(f"/label{one}", self.label, methods=["POST"]),
            Route(f"/trash{one}", self.trash, methods=["POST"]),
        ]

    def sides(self, request: Request) -> Response:
        """Src and dst, and why labels cannot be drawn there."""
        return json_answer(
            [
                {"side": side, "title": each.title(), "refusal": printable(each.refusal())}
                for side, each in self._sides.items()
            ]
        )

    def faces(self, request: Request) -> Response:
        """List the faces of a side."""
        side = self._side(request)
        listed = side.list_faces()
        return json_answer(
            {
                "edition": listed.edition,
                "refusal": printable(side.refusal()),
                "faces": [
                    [key, printable(name)]
                    for key, name in zip(listed.ids, listed.names, strict=True)
                ],
            }
        )

    def marks(self, request: Request) -> Response:
        """Which faces are labeled or masked, one character a face; see `ListedFaces.marks`."""
        listed = self._side(request).current()
        complete = listed.complete
        marks = "".join(listed.marks)
        return json_answer({"edition": listed.edition, "marks": marks, "complete": complete})

    def face(self, request: Request) -> Response:
        """One face: its label, and the hash that a write of it has to carry."""
        found = self._read(request)
        height, width, _ = found.metadata.shape
        return json_answer(
            {
                "name": printable(found.name),
                "hash": found.digest,
                "image": found.image,
                "width": width,
                "height": height,
                "masked": found.metadata.xseg_mask_bytes is not None,
                "polygons": _plain(found.metadata.seg_ie_polys),
            }
        )

    def image(self, request: Request) -> Response:
        """Its image, as training sees it: no orientation tag turns it."""
        found = self._read(request)
        return _image(pixels_only(found.jpeg, what=found.name), "image/jpeg", found)

    def mask(self, request: Request) -> Response:
        """The mask that was applied, as a gray PNG of its own size."""
        found = self._read(request)
        mask = found.metadata.mask()
        if mask is None:
            raise NotListed("applied mask")
        return _image(
            encode_image(np.rint(mask * 255).astype(np.uint8), ".png"), "image/png", found
        )

    def outline(self, request: Request) -> Response:
        """Polygons around the applied mask."""
        found = self._read(request)
        mask = found.metadata.mask()
        if mask is None:
            raise NotListed("applied mask")
        outline = mask_outline(mask, found.metadata.shape)
        return json_answer({"hash": found.digest, "polygons": _plain(outline)})

    def thumbnail(self, request: Request) -> Response:
        """A small image."""
        found = self._read(request)
        image = to_bytes(to_bgr(decode_image(found.jpeg, what=found.name)))
        size = (_THUMBNAIL, _THUMBNAIL)
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        return _image(encode_image(small, ".jpg", quality=80), "image/jpeg", found)

    def label(self, request: Request) -> Response:
        """Write the label of a face, if it is still the file that was drawn on."""
        told = sent(request, _LABEL)
        given = cast("list[Mapping[str, object]]", told["polygons"])
        try:
            polygons = usable_polygons([(each["kind"], each["points"]) for each in given])  # type: ignore[misc]
        except ValueError as error:
            raise WebError(f"The label is not stored: {error}.") from None
        key = request.path_params["face"]
        side = self._side(request)
        saved = side.save(key, polygons, str(told["hash"]), str(told["image"]))
        return json_answer({"hash": saved})

    def trash(self, request: Request) -> Response:
        """Move a face to the trash folder."""
        told = sent(request, _TRASH)
        folder = self._side(request).trash(request.path_params["face"], str(told["hash"]))
        return json_answer({"folder": printable(folder)})

    def _side(self, request: Request) -> FaceSide:
        found = self._sides.get(request.path_params["side"])
        if found is None:
            raise NotListed("side")
        return found

    def _read(self, request: Request) -> LabeledFace:
        """Read the face that is asked for; where hash or image is named, only what has it."""
        found = self._side(request).read(request.path_params["face"])
        wanted = request.query_params
        if wanted.get("hash", found.digest) != found.digest or (
            wanted.get("image", found.image) != found.image
        ):
            raise WebError(f"{printable(found.name)}: was changed meanwhile.", 409)
        return found


def _plain(polygons: list[Polygon]) -> list[dict[str, object]]:
    return [
        {"kind": kind, "points": points.tolist()}
        for kind, points in polygons
        if len(points) >= FEWEST_POINTS
    ]


def _image(content: bytes, media_type: str, found: LabeledFace) -> Response:
    headers = {"Cache-Control": "no-store", "X-Face-Hash": found.digest}
    return Response(content, media_type=media_type, headers=headers)


def _routes(context: SiteContext) -> list[BaseRoute]:
    return XSegEditing(context).routes()


VIEW = View("xseg", "XSeg", _routes)
