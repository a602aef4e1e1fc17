"""The view that compares two snapshots or backups of a model on the same held-out faces."""

from __future__ import annotations

from dataclasses import asdict

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from dfl_tf.disk.text import printable
from dfl_tf.disk.tree_schema import Record, Text
from dfl_tf.web.answers import file_answer, json_answer, sent
from dfl_tf.web.comparisons import Comparisons
from dfl_tf.web.context import SiteContext, View

_REQUEST = Record({"first": Text(longest=40), "second": Text(longest=40)})


class Comparing:
    """The handlers."""

    def __init__(self, context: SiteContext) -> None:
        self._context, self._comparisons = context, Comparisons(context)

    def routes(self) -> list[BaseRoute]:
        """Their addresses, below ``api/compare/``."""
        return [
            Route("/models", self.models),
            Route("/models/{model}", self.model),
            Route("/models/{model}/start", self.start, methods=["POST"]),
            Route("/models/{model}/sheets/{result}", self.sheet),
            Route("/cancel", self.cancel, methods=["POST"]),
        ]

    def models(self, request: Request) -> Response:
        """The models of the workspace."""
        found = self._context.models().items()
        return json_answer(
            [{"id": k, "name": printable(m.name), "model_class": m.model_class} for k, m in found]
        )

    def model(self, request: Request) -> Response:
        """The states of a model, what was compared, and what is being compared."""
        key = request.path_params["model"]
        states = [
            {**asdict(state), "name": printable(state.name), "note": printable(state.note)}
            for state in self._comparisons.states(key)
        ]
        results, running = self._comparisons.results(key), self._comparisons.running
        return json_answer({"states": states, "results": results, "running": running})

    def start(self, request: Request) -> Response:
        """Compare two states."""
        body = sent(request, _REQUEST)
        self._comparisons.start(request.path_params["model"], body["first"], body["second"])
        return json_answer({"started": True})

    def sheet(self, request: Request) -> Response:
        """The faces of a result."""
        names = request.path_params
        return file_answer(self._comparisons.sheet(names["model"], names["result"]))

    def cancel(self, request: Request) -> Response:
        """End the evaluation that is at work."""
        self._comparisons.cancel()
        return json_answer({"canceled": True})


VIEW = View("compare", "Compare", lambda context: Comparing(context).routes())
