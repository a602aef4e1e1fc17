"""The view of trainings: what they do now, and asking them for something."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from dfl_tf.disk.text import printable
from dfl_tf.errors import WorkspaceError
from dfl_tf.train.status import TrainingStatus, status_of
from dfl_tf.web.answers import json_answer
from dfl_tf.web.context import Context, View


class Watching:
    """The handlers."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def routes(self) -> list[BaseRoute]:
        """Their addresses, below ``api/watch/``."""
        return [Route("/models", self.models)]

    def models(self, request: Request) -> Response:
        """All models, and how their trainings go."""
        try:
            found = status_of(self._context.workspace.model)
        except WorkspaceError:
            found = []
        ids = {(m.name, m.model_class): key for key, m in self._context.models().items()}
        return json_answer([self._record(each, ids) for each in found])

    @staticmethod
    def _record(status: TrainingStatus, ids: dict[tuple[str, str], str]) -> dict[str, object]:
        shown = {"id": ids.get((status.name, status.model_class)), "title": printable(status.name)}
        return {**status.record(), **shown}


VIEW = View("watch", "Watch", lambda context: Watching(context).routes())
