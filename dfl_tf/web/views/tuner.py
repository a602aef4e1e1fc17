"""The view that tunes a merge: images of single frames, and settings for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import cast

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from dfl_tf.disk.guarded import parse_json
from dfl_tf.disk.text import printable
from dfl_tf.disk.tree_schema import ANYTHING, Array, Boolean, Integer, Optional, Record, Table, Text
from dfl_tf.merge.settings import FrameSettings
from dfl_tf.merge.tuner.messages import VIEWS, Dropped, Failed, Opened, Render
from dfl_tf.merge.tuner.timeline import ONE_FOR_ALL
from dfl_tf.merge.tuner.tuning_file import (
    CONFIG,
    FRAME_CONFIG,
    SLOTS,
    OutdatedError,
    Tuning,
    TuningFile,
    as_plain,
    save_settings,
    session_settings,
)
from dfl_tf.options import KINDS, MergeOptions, default, specs
from dfl_tf.options.merge import SLOW
from dfl_tf.options.schema import OptionSpec, Values
from dfl_tf.web.answers import WebError, json_answer, sent
from dfl_tf.web.context import SiteContext
from dfl_tf.web.context import View as PageView
from dfl_tf.web.job_answers import job_answer
from dfl_tf.web.tuning import ModelTuner, Tuners

LARGEST_WIDTH = 4096
_SLOT = Text(SLOTS)
_VALUES = Table(ANYTHING)
_CHANGE = Record(
    {
        "slot": _SLOT,
        "values": _VALUES,
        "span": Optional(Array(Integer(1), longest=2)),
        "revision": Integer(0),
    }
)
_COPY = Record({"slot": _SLOT, "to": _SLOT, "revision": Integer(0)})
_TAKE = Record({"slot": _SLOT, "source": Text(("files", "session")), "revision": Integer(0)})
_SAVE = Record({"slot": _SLOT, "replace": Boolean()})
_MERGE = Record({"slot": _SLOT, "how": Text(("", "resume", "overwrite"))})


class MergeTuning:
    """The handlers."""

    def __init__(self, context: SiteContext) -> None:
        self._context = context
        self._tuners = Tuners(
            context.workspace, read_only=context.read_only, enhancer=context.enhancer
        )

    def routes(self) -> list[BaseRoute]:
        """Their addresses, below ``api/tuner/``."""
        return [
            Route("/models", self.models),
            Route("/options", self.options),
            Route("/scene/{model}", self.scene),
            Route("/image/{model}", self.image),
            Route("/merge/{model}", self.merge),
            *(
                Route(f"/{name}/{{model}}", handler, methods=["POST"])
                for name, handler in (
                    ("change", self.change),
                    ("copy", self.copy),
                    ("take", self.take),
                    ("save", self.save),
                    ("start", self.start),
                    ("stop", self.stop),
                )
            ),
        ]

    def models(self, request: Request) -> Response:
        """The models that can be merged with."""
        return json_answer(
            [
                {"id": key, "title": printable(model.name), "class": model.model_class}
                for key, model in self._context.models().items()
                if KINDS[model.model_class].swaps_faces
            ]
        )

    def options(self, request: Request) -> Response:
        """What a control is made of, for each setting."""
        return json_answer(
            {"options": [_control(spec) for spec in specs(MergeOptions).values()], "slow": SLOW}
        )

    async def scene(self, request: Request) -> Response:
        """Frames, settings and what is saved."""
        tuner = self._tuner(request)
        opened = await asyncio.wrap_future(tuner.renderer.open())
        return await asyncio.to_thread(self._scene, tuner, opened)

    def _scene(self, tuner: ModelTuner, opened: Opened | Failed) -> Response:
        file = tuner.settings(opened)
        assert isinstance(opened, Opened)
        return json_answer(
            {
                "frames": [printable(name) for name in opened.frames],
                "faces": opened.faces,
                "lacks": opened.lacks,
                "notes": [*opened.notes, *file.tuning.notes],
                "session": tuner.session.is_file(),
                "tuning": self._tuning(tuner, file.tuning),
            }
        )

    def _tuning(self, tuner: ModelTuner, tuning: Tuning) -> dict[str, object]:
        root = self._context.workspace.root
        return {
            "revision": tuning.revision,
            "slots": {name: as_plain(each) for name, each in tuning.slots.items()},
            "saved": [name for name in (CONFIG, FRAME_CONFIG) if (root / name).is_file()],
            "lines": {
                name: printable(tuner.merge_line(each)) for name, each in tuning.slots.items()
            },
        }

    async def image(self, request: Request) -> Response:
        """An image of a frame; 204 if a newer request of the lane came before it was begun."""
        tuner = self._tuner(request)
        answer = await asyncio.wrap_future(tuner.renderer.ask(_render(request)))
        if isinstance(answer, Dropped):
            return Response(status_code=204)
        if isinstance(answer, Failed):
            raise WebError(answer.text, 409)
        headers = {
            "Cache-Control": "no-store",
            "X-Milliseconds": f"{answer.milliseconds:.0f}",
            "X-Asked": str(int(answer.asked)),
        }
        return Response(answer.data, media_type=answer.media_type, headers=headers)

    def change(self, request: Request) -> Response:
        """Change settings of all frames or of some."""
        told = sent(request, _CHANGE)
        span = cast("list[int] | None", told["span"])
        if span is not None and len(span) != 2:
            raise WebError("span: give the first and the last frame.")

        def make(file: TuningFile) -> Tuning:
            given = cast("Mapping[str, object]", told["values"])
            pair = None if span is None else (span[0], span[1])
            return file.change(str(told["slot"]), given, pair, _revision(told))

        return self._changed(request, make)

    def copy(self, request: Request) -> Response:
        """Give one slot the settings of the other."""
        told = sent(request, _COPY)
        return self._changed(
            request,
            lambda file: file.copy(str(told["slot"]), str(told["to"]), _revision(told)),
        )

    def take(self, request: Request) -> Response:
        """Give a slot the settings that files say."""
        told = sent(request, _TAKE)
        tuner = self._tuner(request)
        settings = self._stored(tuner, str(told["source"]))
        return self._changed(
            request, lambda file: file.take(str(told["slot"]), settings, _revision(told))
        )

    def _stored(self, tuner: ModelTuner, source: str) -> FrameSettings:
        if source == "session":
            return session_settings(self._context.inside(tuner.session))
        return tuner.saved_settings()

    def save(self, request: Request) -> Response:
        """Write merge.yaml, and merge_frames.yaml if some frames differ."""
        told = sent(request, _SAVE)
        tuner, file = self._opened(request)
        timeline = file.tuning.slots[str(told["slot"])]
        root = self._context.workspace.root
        there = [name for name in (CONFIG, FRAME_CONFIG) if (root / name).exists()]
        if there and not told["replace"]:
            raise WebError(f"{', '.join(there)}: there already.", 412)
        written = save_settings(timeline, root)
        return json_answer(
            {
                "written": [printable(path) for path in written],
                "tuning": self._tuning(tuner, file.tuning),
            }
        )

    def merge(self, request: Request) -> Response:
        """How the merge that was started from the page goes."""
        return json_answer(job_answer(self._tuner(request).job.state()))

    def start(self, request: Request) -> Response:
        """Merge all frames with the saved settings."""
        told = sent(request, _MERGE)
        tuner, file = self._opened(request)
        slot = str(told["slot"])
        root = self._context.workspace.root
        if not (root / CONFIG).is_file() or not file.agrees(slot, tuner.saved_settings()):
            raise WebError("These settings are not saved: save them as merge.yaml first.")
        tuner.start_merge(file.tuning.slots[slot], str(told["how"]))
        return json_answer(job_answer(tuner.job.state()))

    def stop(self, request: Request) -> Response:
        """Interrupt the merge; it can be resumed."""
        tuner = self._tuner(request)
        tuner.job.stop()
        return json_answer(job_answer(tuner.job.state()))

    def _tuner(self, request: Request) -> ModelTuner:
        return self._tuners.of(self._context.model(request.path_params["model"]))

    def _opened(self, request: Request) -> tuple[ModelTuner, TuningFile]:
        tuner = self._tuner(request)
        return tuner, tuner.settings(tuner.renderer.open().result())

    def _changed(self, request: Request, change: Callable[[TuningFile], Tuning]) -> Response:
        tuner, file = self._opened(request)
        try:
            changed = change(file)
        except OutdatedError as error:
            current = self._tuning(tuner, file.tuning)
            return json_answer({"error": str(error), "tuning": current}, 409)
        return json_answer({"tuning": self._tuning(tuner, changed)})


def _revision(told: Mapping[str, object]) -> int:
    return cast("int", told["revision"])


def _render(request: Request) -> Render:
    """What an image is asked for by its address."""
    asked = request.query_params
    values = parse_json(
        asked.get("settings", "{}"),
        what="the settings",
        kind="settings of a frame",
        schema=_VALUES,
        error=WebError,
    )
    view, lane = asked.get("view", "after"), asked.get("lane", "")
    frame, width = (_whole(asked.get(name, "0"), name) for name in ("frame", "width"))
    if view not in VIEWS or len(lane) > 64 or width > LARGEST_WIDTH:
        raise WebError(f"view: one of {', '.join(VIEWS)}; width: at most {LARGEST_WIDTH}.")
    return Render(0, lane, frame, values, view, width)


def _whole(text: str, name: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise WebError(f"{name}={text[:20]}: give a whole number.")
    return int(text)


def _control(spec: OptionSpec) -> dict[str, object]:
    """All that the page needs to know of an option."""
    here = {"label": spec.key.replace("_", " "), "for_all": spec.key in ONE_FOR_ALL}
    return {**spec.control(), **here, "works_with": _works_with(spec)}


def _works_with(spec: OptionSpec) -> dict[str, list[str]]:
    """The choices of other options with which an option has an effect, where not with all."""
    if spec.only_if is None:
        return {}
    usual: Values = asdict(default(MergeOptions))
    found = {}
    for other in specs(MergeOptions).values():
        choices = [c for c in other.choices if spec.only_if({**usual, other.key: c})]
        if 0 < len(choices) < len(other.choices):
            found[other.key] = choices
    return found


VIEW = PageView("tuner", "Merge", lambda context: MergeTuning(context).routes())
