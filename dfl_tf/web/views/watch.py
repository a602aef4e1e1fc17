"""The view of trainings: what they do now, and asking them for something."""

from __future__ import annotations

import yaml
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from dfl_tf.disk.text import printable
from dfl_tf.disk.tree_schema import ANYTHING, Record, Table, Text
from dfl_tf.errors import DflTfError, OptionError
from dfl_tf.formats.models.snapshots import check_snapshot_name
from dfl_tf.options import OPTIONS, RunOptions, specs
from dfl_tf.options.run import FIXED_FOR_A_RUN
from dfl_tf.options.schema import OptionSpec, parse, range_error, show
from dfl_tf.train.requests import Kind
from dfl_tf.web.answers import WebError, file_answer, json_answer, sent
from dfl_tf.web.context import SiteContext, View
from dfl_tf.web.trainings import Training, Trainings

_KINDS: tuple[Kind, ...] = ("preview", "save", "snapshot", "backup", "stop", "options")
_REQUEST = Record(
    {"kind": Text(_KINDS)},
    {"name": Text(longest=200), "note": Text(longest=4000), "options": Table(ANYTHING)},
)
_POINTS, _MOST_POINTS = 800, 4000
_MOST_COLUMNS = 24


class Watching:
    """The handlers."""

    def __init__(self, context: SiteContext, trainings: Trainings) -> None:
        self._context, self._trainings = context, trainings

    def routes(self) -> list[BaseRoute]:
        """Their addresses, below ``api/watch/``."""
        one = "/models/{model}"
        return [
            Route("/models", self.models),
            Route(one, self.detail),
            Route(f"{one}/series", self.series),
            Route(f"{one}/log", self.log),
            Route(f"{one}/previews", self.previews),
            Route(f"{one}/previews/{{image}}", self.image),
            Route(f"{one}/changeable", self.changeable),
            Route(f"{one}/requests", self.ask, methods=["POST"]),
        ]

    def models(self, request: Request) -> Response:
        """All models, how their trainings go, and the machine."""
        found = [training.summary() for training in self._trainings.all()]
        left_out, machine = self._context.unusable(), self._trainings.machine()
        return json_answer({"models": found, "left_out": left_out, "machine": machine})

    def detail(self, request: Request) -> Response:
        """One model: status, columns, marks, measurements, options, requests."""
        return json_answer(self._training(request).detail())

    def series(self, request: Request) -> Response:
        """Some columns over a range of iterations."""
        training, query = self._training(request), request.query_params
        names = query.getlist("column")[:_MOST_COLUMNS]
        first, last = _number(query.get("from"), -1e15), _number(query.get("to"), 1e15)
        points = int(_number(query.get("points"), _POINTS))
        training.book.read()
        made = training.book.series(names, first, last, min(max(points, 10), _MOST_POINTS))
        return json_answer(made)

    def log(self, request: Request) -> Response:
        """Lines for people, those after one that is known in this edition of the book."""
        book, query = self._training(request).book, request.query_params
        after = _number(query.get("after"), 0) if query.get("edition") == book.edition else 0
        book.read()
        lines = [line for line in list(book.messages) if _number(str(line["number"]), 0) > after]
        return json_answer({"edition": book.edition, "lines": lines})

    def previews(self, request: Request) -> Response:
        """The images that there are."""
        training = self._training(request)
        training.book.read()
        found = training.previews.listed(training.book.previews)
        return json_answer([image.record() for image in found])

    def image(self, request: Request) -> Response:
        """One of the images."""
        training = self._training(request)
        image = training.previews.find(request.path_params["image"], training.book.previews)
        stamped = request.query_params.get("stamp") == str(image.stamp)
        return file_answer(self._context.inside(image.path), unchanging=stamped)

    def changeable(self, request: Request) -> Response:
        """The options that can change while a training runs."""
        cls = OPTIONS[self._training(request).model.model_class]
        own = [spec for spec in specs(cls).values() if spec.ask != "new"]
        of_run = [s for key, s in specs(RunOptions).items() if key not in FIXED_FOR_A_RUN]
        return json_answer(
            [
                {
                    "key": spec.key,
                    "help": spec.help,
                    "allowed": spec.allowed(),
                    "choices": list(spec.choices) or (["n", "y"] if spec.kind is bool else []),
                    "default": show(spec.default),
                }
                for spec in (*own, *of_run)
            ]
        )

    def ask(self, request: Request) -> Response:
        """Ask a training for something, by the file that scripts use."""
        training, body = self._training(request), sent(request, _REQUEST)
        kind, content = body["kind"], ""
        if kind == "snapshot":
            content = _snapshot(str(body.get("name", "")), str(body.get("note", "")))
        if kind == "options":
            content = _options(training, body.get("options"))
        training.check_running()
        if kind in training.requests.waiting():
            raise WebError(f"{kind} is asked for already, and was not answered yet.", 409)
        for each in _KINDS:
            if each == kind:
                training.requests.ask(each, content)
        return json_answer({"asked": kind})

    def _training(self, request: Request) -> Training:
        return self._trainings.one(request.path_params["model"])


def _number(text: str | None, default: float) -> float:
    try:
        value = default if text is None else float(text)
    except ValueError:
        raise WebError(f"{printable(text)} is no number.") from None
    return value if abs(value) <= 1e15 else default


def _snapshot(name: str, note: str) -> str:
    name = name.strip()
    if name:
        try:
            check_snapshot_name(name)
        except DflTfError as error:
            raise WebError(str(error)) from None
    return f"{name}\n{note.strip()}\n"


def _options(training: Training, given: object) -> str:
    """The file of a request for options; what is wrong at first sight is said at once."""
    if not isinstance(given, dict) or not given:
        raise WebError("options: give at least one option to change.")
    known: dict[str, OptionSpec] = {
        **specs(RunOptions),
        **specs(OPTIONS[training.model.model_class]),
    }
    problems, values = [], {}
    for key, text in given.items():
        if key not in known:
            problems.append(f"{printable(key)} is no option of this model")
            continue
        try:
            value = parse(known[key], text)
            wrong = range_error(known[key], value)
        except (ValueError, OptionError) as error:
            wrong = str(error)
        if wrong:
            problems.append(f"{key}={printable(text)} {wrong}")
        else:
            values[key] = list(value) if isinstance(value, tuple) else value
    if problems:
        raise WebError("; ".join(problems) + ".")
    return yaml.safe_dump(values, allow_unicode=False)


def _routes(context: SiteContext) -> list[BaseRoute]:
    trainings = Trainings(context)
    context.looks.append(trainings.look)
    return Watching(context, trainings).routes()


VIEW = View("watch", "Watch", _routes)
