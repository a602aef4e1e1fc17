"""The view of the faces: grid, measures, coverage, persons, trash and source frames."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from dfl_tf.disk.guarded import parse_json
from dfl_tf.disk.text import printable
from dfl_tf.disk.tree_schema import Array, Boolean, Integer, Number, Optional, Record, Row, Text
from dfl_tf.facesets.report.poses import PITCH_EDGES, YAW_EDGES
from dfl_tf.web.answers import NotListed, WebError, json_answer, sent
from dfl_tf.web.context import SiteContext, View
from dfl_tf.web.faces_catalog import (
    ARRANGEMENTS,
    COLUMNS,
    FREE,
    GROUPS,
    PERSONS,
    TRACKS,
    all_columns,
    choices,
    task_for,
)
from dfl_tf.web.faces_images import LAYERS, SIDES, FaceImages
from dfl_tf.web.faces_listing import FaceListing, FaceListings, ListedFace
from dfl_tf.web.faces_measuring import FaceMeasuring, Task
from dfl_tf.web.faces_places import FacePlace, FacePlaces
from dfl_tf.web.faces_trash import FaceTrash
from dfl_tf.web.faces_values import NAME, FaceValues, Question, coverage, find, persons

MOVED = "faces-moved"
"""The topic that tells that the faces of a folder are others now."""
_MOST_ROWS, _MOST_COLUMNS = 400, 4
_MOST_MOVED = 100_000
_COLUMN = Text((NAME, *all_columns()))
_QUESTION = Record(
    {},
    {
        "sort": _COLUMN,
        "descending": Boolean(),
        "ranges": Array(Row(_COLUMN, Optional(Number()), Optional(Number())), longest=20),
        "cell": Optional(
            Row(Integer(0, len(PITCH_EDGES) - 2), Integer(0, len(YAW_EDGES) - 2)),
        ),
    },
)
_MEASURE = Record(
    {
        "places": Array(Text(longest=40), longest=4),
        "columns": Array(Text(tuple(each.name for each in (*COLUMNS, *FREE))), longest=20),
        "method": Text(("", PERSONS, *(each.name for each in ARRANGEMENTS))),
        "strictness": Number(0, 1),
    }
)
_FACES = Record({"run": Text(longest=16), "faces": Array(Integer(1), longest=_MOST_MOVED)})
_STEP = Record({"step": Text(longest=16)})
_EMPTY = Record({})


class Faces:
    """The handlers."""

    def __init__(self, context: SiteContext) -> None:
        self._context = context
        self._places = FacePlaces(context)
        self._listings = FaceListings(context)
        self._values = FaceValues()
        self._images = FaceImages(context, self._listings)
        self._measuring = FaceMeasuring(context, self._listings, self._values)
        self._trash = FaceTrash(context, self._listings)

    def routes(self) -> list[BaseRoute]:
        """Their addresses, below ``api/faces/``."""
        face = "{place}/{run}/{number:int}"
        return [
            Route("/places", self.places),
            Route("/list/{place}", self.list),
            Route("/rows/{place}/{run}", self.rows),
            Route(f"/small/{face}", self.small),
            Route(f"/image/{face}", self.image),
            Route(f"/mask/{face}", self.mask),
            Route(f"/frame/{face}", self.frame),
            Route(f"/facts/{face}", self.facts),
            Route("/coverage", self.coverage),
            Route("/persons/{place}", self.persons),
            Route("/steps/{place}", self.steps),
            Route("/job", self.job),
            Route("/measure", self.measure, methods=["POST"]),
            Route("/cancel", self.cancel, methods=["POST"]),
            *(
                Route(f"/{name}/{{place}}", handler, methods=["POST"])
                for name, handler in (
                    ("trash", self.trash),
                    ("restore", self.restore),
                    ("undo", self.undo),
                    ("undo-others", self.undo_others),
                    ("finish", self.finish),
                )
            ),
        ]

    # -- what there is --------------------------------------------------------------------------

    def places(self, request: Request) -> Response:
        """The folders of faces, and what they can be sorted by."""
        return json_answer(
            {
                "places": [place.record() for place in self._places.listed()],
                "sides": SIDES,
                **choices(),
            }
        )

    def list(self, request: Request) -> Response:
        """The faces that a question is about, by their numbers."""
        place = self._places.find(request.path_params["place"])
        question = _question(request)
        listing = self._listings.of(place, fresh="fresh" in request.query_params)
        found = find(listing, self._values, question)
        home = self._places.home_of(place)
        return json_answer(
            {
                "run": self._listings.run,
                "order": found.order.tolist(),
                "total": len(listing.faces),
                "unknown": max(found.unknown.values(), default=0),
                "task": task_for(found.unknown),
                "left_out": [printable(line) for line in listing.left_out.lines()],
                "pak": "" if listing.pak is None else _unpack_line(place),
                "interrupted": self._trash.interrupted(home),
                "home": home.id,
            }
        )

    def rows(self, request: Request) -> Response:
        """Names and numbers of some faces; those that are gone are left out."""
        listing = self._listing(request)
        numbers = _numbers(request.query_params.get("n", ""))
        columns = [c for c in request.query_params.get("c", "").split(",") if c in all_columns()]
        there = [number for number in numbers if number in listing.by_number]
        rows: list[dict[str, object]] = [
            {"number": number, "name": printable(listing.by_number[number].name)}
            for number in there
        ]
        for column in columns[:_MOST_COLUMNS]:
            at = np.array(there, np.int64)
            values = self._values.get(listing.place.id, column, at)[0].tolist()
            for row, value in zip(rows, values, strict=True):
                row[column] = value
        return json_answer(rows)

    def facts(self, request: Request) -> Response:
        """All that is known of a face."""
        listing, face = self._face(request)
        facts = self._images.facts(listing, face)
        at = np.array([face.number], np.int64)
        measured = []
        for column in (*COLUMNS, *GROUPS, *TRACKS):
            values, known = self._values.get(listing.place.id, column.name, at)
            if known[0]:
                value = float(values[0])
                measured.append({"title": column.title, "unit": column.unit, "value": value})
        return json_answer(facts | {"measured": measured})

    # -- images ---------------------------------------------------------------------------------

    def small(self, request: Request) -> Response:
        """A small copy of a face."""
        asked = request.query_params
        side = _whole(asked.get("side", "128"), "side")
        layers = [layer for layer in asked.get("layers", "").split(",") if layer]
        if side not in SIDES or not set(layers) <= set(LAYERS):
            raise WebError(
                f"side: one of {', '.join(map(str, SIDES))}; layers: of {', '.join(LAYERS)}."
            )
        listing, face = self._face(request)
        tag = f'"{face.number}-{self._listings.run}-{side}-{"-".join(sorted(set(layers)))}"'
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=_kept(tag))
        made = self._images.small(listing, face, side, set(layers))
        return Response(made, media_type="image/jpeg", headers=_kept(tag))

    def image(self, request: Request) -> Response:
        """A face as it is."""
        data, kind = self._images.whole(*self._face(request))
        return Response(data, media_type=kind, headers=_kept(""))

    def mask(self, request: Request) -> Response:
        """The applied mask of a face."""
        data = self._images.mask(*self._face(request))
        return Response(data, media_type="image/png", headers=_kept(""))

    def frame(self, request: Request) -> Response:
        """The frame of a face."""
        data = self._images.frame(*self._face(request))
        return Response(data, media_type="image/jpeg", headers={"Cache-Control": "no-store"})

    # -- measures -------------------------------------------------------------------------------

    def coverage(self, request: Request) -> Response:
        """Where src and dst look."""
        sides = {}
        for side in ("src", "dst"):
            place = self._places.of_side(side)
            if place is not None:
                sides[side] = self._listings.of(place)
        return json_answer(coverage(sides, self._values))

    def persons(self, request: Request) -> Response:
        """The groups of persons of a place, as far as they were told apart."""
        place = self._places.find(request.path_params["place"])
        return json_answer(persons(self._listings.of(place), self._values))

    def job(self, request: Request) -> Response:
        """What is being measured."""
        return json_answer(self._measuring.job)

    def measure(self, request: Request) -> Response:
        """Begin to measure."""
        told = sent(request, _MEASURE)
        columns, method = cast("list[str]", told["columns"]), str(told["method"])
        places = [self._places.find(key) for key in cast("list[str]", told["places"])]
        if not places or bool(columns) == bool(method):
            raise WebError("name places, and either columns or a method.")
        known = {each.name: each.title for each in (*COLUMNS, *FREE, *ARRANGEMENTS)}
        title = ", ".join(known[each] for each in columns) or known.get(method, "Persons")
        strictness = float(cast("float", told["strictness"]))
        self._measuring.start(Task(title, columns, method, strictness), places)
        return json_answer(self._measuring.job)

    def cancel(self, request: Request) -> Response:
        """End what is being measured."""
        self._measuring.cancel()
        return json_answer(self._measuring.job)

    # -- trash ----------------------------------------------------------------------------------

    def steps(self, request: Request) -> Response:
        """What was taken out and put back."""
        home = self._home(request)
        return json_answer(
            {
                "steps": [step.record() for step in self._trash.steps(home)],
                "others": printable(self._trash.last_of_others(home)),
            }
        )

    def trash(self, request: Request) -> Response:
        """Move faces to the trash folder."""
        place, numbers = self._sent_faces(request)
        if place.of:
            raise WebError("these faces are in the trash already.")
        return self._moved(place, self._trash.take_out(place, numbers).record())

    def restore(self, request: Request) -> Response:
        """Put faces of a trash folder back."""
        place, numbers = self._sent_faces(request)
        if not place.of:
            raise WebError("these faces are not in the trash.")
        home = self._places.home_of(place)
        return self._moved(home, self._trash.put_back(home, place, numbers).record())

    def undo(self, request: Request) -> Response:
        """Undo a step."""
        step = str(sent(request, _STEP)["step"])
        home = self._home(request)
        return self._moved(home, self._trash.undo(home, step).record())

    def undo_others(self, request: Request) -> Response:
        """Undo what a command moved."""
        sent(request, _EMPTY)
        home = self._home(request)
        why, gone = self._trash.undo_others(home)
        return self._moved(home, {"undone": printable(why), "gone": gone})

    def finish(self, request: Request) -> Response:
        """Complete a move that was interrupted."""
        sent(request, _EMPTY)
        home = self._home(request)
        return self._moved(home, {"finished": printable(self._trash.finish(home))})

    # -- parts ----------------------------------------------------------------------------------

    def _moved(self, home: FacePlace, told: Mapping[str, object]) -> Response:
        """Tell all browsers that files of a folder were moved."""
        self._context.events.publish(MOVED, {"home": home.id})
        return json_answer(told)

    def _home(self, request: Request) -> FacePlace:
        return self._places.home_of(self._places.find(request.path_params["place"]))

    def _listing(self, request: Request) -> FaceListing:
        place = self._places.find(request.path_params["place"])
        self._check_run(request.path_params["run"])
        return self._listings.kept(place)

    def _face(self, request: Request) -> tuple[FaceListing, ListedFace]:
        listing = self._listing(request)
        return listing, listing.find(request.path_params["number"])

    def _check_run(self, run: object) -> None:
        if run != self._listings.run:  # numbers of an earlier run mean other faces
            raise NotListed("face")

    def _sent_faces(self, request: Request) -> tuple[FacePlace, Sequence[int]]:
        told = sent(request, _FACES)
        self._check_run(told["run"])
        place = self._places.find(request.path_params["place"])
        return place, cast("list[int]", told["faces"])


def _question(request: Request) -> Question:
    """What is asked for by the address of a list."""
    asked: Mapping[str, object] = parse_json(
        request.query_params.get("q", "{}"),
        what="q",
        kind="a question about faces",
        schema=_QUESTION,
        error=WebError,
    )
    infinity = float("inf")
    ranges = [
        (name, -infinity if low is None else float(low), infinity if high is None else float(high))
        for name, low, high in cast(
            "list[tuple[str, float | None, float | None]]", asked.get("ranges", [])
        )
        if name != NAME
    ]
    cell = cast("list[int] | None", asked.get("cell"))
    return Question(
        str(asked.get("sort", NAME)),
        bool(asked.get("descending", False)),
        ranges,
        None if cell is None else (cell[0], cell[1]),
    )


def _numbers(text: str) -> list[int]:
    parts = text.split(",") if text else []
    if len(parts) > _MOST_ROWS:
        raise WebError(f"n: at most {_MOST_ROWS} faces at once.")
    return [_whole(part, "n") for part in parts]


def _whole(text: str, name: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 12):
        raise WebError(f"{name}={text[:20]}: give a whole number.")
    return int(text)


def _unpack_line(place: FacePlace) -> str:
    return printable(f"dfl-tf faceset unpack {shlex.quote(str(place.path))}")


def _kept(tag: str) -> dict[str, str]:
    """An address holds a number of one run, which stands for one state of a file."""
    headers = {"Cache-Control": "private, max-age=604800, immutable"}
    return {**headers, "ETag": tag} if tag else headers


VIEW = View("faces", "Faces", lambda context: Faces(context).routes())
