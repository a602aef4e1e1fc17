"""The view that starts commands, and shows how they go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import cast

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from dfl_tf.disk.text import printable
from dfl_tf.disk.tree_schema import ANYTHING, Record, Table, Text
from dfl_tf.formats.models.files import FoundModel, check_name
from dfl_tf.options import KINDS as MODEL_KINDS
from dfl_tf.web.answers import NotListed, WebError, json_answer, sent
from dfl_tf.web.context import SiteContext, View
from dfl_tf.web.job_forms import Control
from dfl_tf.web.job_kinds import BY_NAME, KINDS, JobKind, Subject, saved_settings_words
from dfl_tf.web.jobs import SAVED, Jobs, PlacedJob

SIDES = ("src", "dst")
_SUBJECT = {
    "side": Text(("", *SIDES)),
    "model": Text(longest=64),
    "name": Text(longest=120),
    "class": Text(("", *MODEL_KINDS)),
}
_START = Record({"kind": Text(tuple(BY_NAME)), "values": Table(ANYTHING)}, _SUBJECT)
_NEW = "new"


class JobsView:
    """The handlers."""

    def __init__(self, context: SiteContext) -> None:
        self._context = context
        self._jobs = Jobs(context.workspace)

    def routes(self) -> list[BaseRoute]:
        """Their addresses, below ``api/jobs/``."""
        return [
            Route("/kinds", self.kinds),
            Route("/form/{kind}", self.form),
            Route("/list", self.listed),
            Route("/line", self.line, methods=["POST"]),
            Route("/plan", self.plan, methods=["POST"]),
            Route("/start", self.start, methods=["POST"]),
            *(
                Route(f"/{name}/{{job}}", handler, methods=["POST"])
                for name, handler in (
                    ("stop", self.stop),
                    ("resume", self.resume),
                    ("forget", self.forget),
                )
            ),
        ]

    def kinds(self, request: Request) -> Response:
        """The commands that can be started, and the models that they can be about."""
        models = self._context.models()
        return json_answer(
            {
                "kinds": [
                    {
                        "name": kind.name,
                        "title": kind.title,
                        "help": kind.help,
                        "subject": kind.subject,
                        "plan": bool(kind.plan),
                        "asks": kind.asks,
                        "models": [key for key, model in models.items() if _fits(kind, model)],
                        "classes": _classes(kind),
                    }
                    for kind in KINDS
                ],
                "models": {
                    key: {"title": printable(model.name), "class": model.model_class}
                    for key, model in models.items()
                },
            }
        )

    def form(self, request: Request) -> Response:
        """The fields of a command, for a class of models where that matters."""
        kind = _kind(request.path_params["kind"])
        model_class = kind.model_class or request.query_params.get("class", "")
        if kind.subject == "new model" and model_class not in _classes(kind):
            raise WebError(f"class={model_class[:20]}: one of {', '.join(_classes(kind))}.")
        fields = [_field(each) for each in self._jobs.forms.controls(kind, model_class)]
        if kind.name == "merge" and saved_settings_words(self._context.workspace.root):
            fields.insert(0, _SAVED_FIELD)
        return json_answer({"fields": fields})

    def listed(self, request: Request) -> Response:
        """All jobs, those that run first, then the newest."""
        return json_answer({"jobs": self._all()})

    def _all(self) -> list[dict[str, object]]:
        facts = [{"id": key, **self._jobs.facts(job)} for key, job in self._known().items()]
        return sorted(
            facts, key=lambda each: (each["state"] != "running", -cast("float", each["began"] or 0))
        )

    def line(self, request: Request) -> Response:
        """The command line of a form; empty, and what is wrong, while a value is."""
        kind, subject, values = self._asked(request)
        try:
            return json_answer({"line": self._jobs.line(kind, subject, values), "wrong": ""})
        except WebError as error:
            return json_answer({"line": "", "wrong": printable(error)})

    def plan(self, request: Request) -> Response:
        """What a command would do."""
        kind, subject, values = self._asked(request)
        if not kind.plan:
            raise WebError(f"{kind.title}: there is no plan of this command.")
        return json_answer({"plan": self._jobs.plan(kind, subject, values)})

    def start(self, request: Request) -> Response:
        """Start a command."""
        kind, subject, values = self._asked(request)
        self._jobs.start(kind, subject, values)
        return json_answer({"jobs": self._all()})

    def stop(self, request: Request) -> Response:
        """Interrupt a job, as Ctrl+C does."""
        job = self._one(request)
        self._jobs.job(job.kind, job.subject).stop()
        return json_answer({"jobs": self._all()})

    def resume(self, request: Request) -> Response:
        """Let a job go on that has ended before its end."""
        self._jobs.resume(self._one(request))
        return json_answer({"jobs": self._all()})

    def forget(self, request: Request) -> Response:
        """Take a job that has ended from the list."""
        self._jobs.forget(self._one(request))
        return json_answer({"jobs": self._all()})

    def _known(self) -> dict[str, PlacedJob]:
        return {self._context.id_of("job", job.slot): job for job in self._jobs.all()}

    def _one(self, request: Request) -> PlacedJob:
        found = self._known().get(request.path_params["job"])
        if found is None:
            raise NotListed("job")
        return found

    def _asked(self, request: Request) -> tuple[JobKind, Subject, Mapping[str, object]]:
        told = sent(request, _START)
        kind = _kind(str(told["kind"]))
        return kind, self._subject(kind, told), cast("Mapping[str, object]", told["values"])

    def _subject(self, kind: JobKind, told: Mapping[str, object]) -> Subject:
        if kind.subject == "workspace":
            return Subject()
        if kind.subject == "side":
            if not told.get("side"):
                raise WebError("side: give src or dst.")
            return Subject(side=str(told["side"]))
        wanted = str(told.get("model", ""))
        if wanted == _NEW and kind.subject == "new model":
            name, model_class = str(told.get("name", "")), str(told.get("class", ""))
            model_class = kind.model_class or model_class
            if model_class not in _classes(kind):
                raise WebError(f"class: one of {', '.join(_classes(kind))}.")
            name = name if MODEL_KINDS[model_class].named else model_class
            check_name(name, model_class)
            return Subject("", name, model_class)
        model = self._context.model(wanted)
        if not _fits(kind, model):
            raise WebError(f"{kind.title}: not for a model of the class {model.model_class}.")
        return Subject("", model.name, model.model_class)


def _kind(name: str) -> JobKind:
    found = BY_NAME.get(name)
    if found is None:
        raise NotListed("command")
    return found


def _classes(kind: JobKind) -> list[str]:
    """Of models that a command can make."""
    if kind.subject != "new model":
        return []
    return (
        [kind.model_class]
        if kind.model_class
        else [name for name, each in MODEL_KINDS.items() if each.swaps_faces]
    )


def _fits(kind: JobKind, model: FoundModel) -> bool:
    if kind.subject == "model":
        return MODEL_KINDS[model.model_class].swaps_faces
    return model.model_class in _classes(kind)


def _field(control: Control) -> dict[str, object]:
    facts = asdict(control)
    del facts["pattern"]
    return {**facts, "label": _label(control)}


def _label(control: Control) -> str:
    """As the flag is called: what the command line says."""
    return control.flag.lstrip("-").replace("-", " ")


_SAVED_FIELD: dict[str, object] = {
    **asdict(
        Control(
            key=SAVED,
            flag="--config",
            negative="",
            kind="bool",
            help="Merge with merge.yaml, and merge_frames.yaml, which the merge tuner has saved.",
            details="",
            group="",
            unit="",
            default=False,
            minimum=None,
            maximum=None,
            choices=(),
            multiple=False,
        )
    ),
    "label": "saved settings",
}

VIEW = View("jobs", "Jobs", lambda context: JobsView(context).routes())
