"""From one segment of a run to the next: other options, the same weights.

References
----------
design decisions 8 and 42.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from dfl_tf.devices.memory import out_of_memory
from dfl_tf.errors import DflTfError
from dfl_tf.formats import ModelState
from dfl_tf.formats.loss_history import LossHistory
from dfl_tf.models import rates
from dfl_tf.train import events
from dfl_tf.train.run import Run
from dfl_tf.train.segment import Rebuild, Segment, Shelved, parts_of
from dfl_tf.train.settings import Settings, at_once
from dfl_tf.train.situation import advice_on_switch

SAME_ON_ALL_WORKERS = (
    "precision", "accumulate", "total_variation_axes", "xla", "guard_collapse", "data",
)  # fmt: skip
FOLLOWER: dict[str, Any] = {
    "no_save": True,
    "no_preview": True,
    "backup_now": False,
    "save_every": 0.0,
    "save_every_iters": 0,
    "reinit": (),
    "init_from": "",
}
"""Run options of a worker that is not the chief."""


def common(settings: Settings) -> dict[str, object]:
    """What all processes of a training must have alike, as JSON values."""
    return {
        "options": asdict(settings.options),
        "run": {key: getattr(settings.run, key) for key in SAME_ON_ALL_WORKERS},
    }


def followed(settings: Settings, facts: Mapping[str, Any]) -> Settings:
    """The settings of a worker that is not the chief: the chief's `common` ones; it saves nothing.

    Parameters
    ----------
    settings : Settings
        Its own.
    facts : mapping
        From `common`, on the chief.
    """
    quiet: dict[str, object] = {"autobackup_hour": 0, "write_preview_history": False}
    if "ema" in facts["options"]:  # all weights are equal, so the chief's average is enough
        quiet["ema"] = 0.0
    options = type(settings.options)(**{**facts["options"], **quiet})
    run = replace(settings.run, **facts["run"], **FOLLOWER)
    return Settings(replace(settings.resolved, options=options), run)


def facts_of(segment: Segment, wanted: Settings, stored: Mapping[str, object]) -> dict[str, object]:
    """What the chief tells all workers about a change of options, as JSON values.

    Parameters
    ----------
    segment : Segment
        As it is now.
    wanted : Settings
    stored : mapping
        What is stored with the model from then on.
    """
    changes = segment.settings.begun().differences(wanted)
    begins = rates.START in stored and wanted.options.lr_schedule != "constant"
    return {
        **common(wanted),
        "changes": {key: list(values) for key, values in changes.items()},
        "rebuild": begins or not changes.keys() <= at_once(wanted.options),
    }


def switch(
    run: Run,
    wanted: Settings,
    facts: Mapping[str, Any],
    rebuild: Rebuild | None,
    *,
    chief: bool,
    alone: bool,
    stored: Mapping[str, object] | None = None,
) -> str:
    """Give a run other options between two iterations.

    Parameters
    ----------
    run : Run
    wanted : Settings
    facts : mapping
        See `facts_of`.
    rebuild : callable or None
    chief, alone : bool
        Whether this process decides, and whether it trains without others.
    stored : mapping, optional
        JSON values that the next save stores with the options.

    Returns
    -------
    str
        Why it goes on with the old options, or empty.

    Raises
    ------
    DflTfError
        The new model cannot be made, and neither can the old one.
    """
    started, before = time.monotonic(), run.settings
    trusted = not run.guard.suspicious
    iteration = int(run.model.iteration)
    remarks = advice_on_switch(before, wanted, iteration) if chief else []
    messages = [*wanted.notes(before), *(f"advice: {remark}" for remark in remarks)]
    if not facts["rebuild"]:
        run.segment.settings = wanted
        run.checkpoint.begin(run.segment, run.trace)
        if "guard_collapse" in facts["changes"]:
            run.watch()
    else:
        if rebuild is None:
            raise DflTfError("this training cannot rebuild its model with other options")
        if run.unsaved:
            run.save()  # so that parts which are switched off now lie there as they are
        run.save_is_whole()
        begun = {key: value for key, value in (stored or {}).items() if key in rates.STORED}
        error, told = _replace_segment(run, wanted, rebuild, chief=chief, alone=alone, begun=begun)
        messages += told
        if error:
            run.log.say(f"error: the options are not changed: {error}")
            return error
    changes = facts["changes"]
    listed = ", ".join(f"{key} {_show(a)} -> {_show(b)}" for key, (a, b) in changes.items())
    run.log.say(f"iteration {run.model.iteration}: options changed: {listed}")
    for message in messages:
        run.log.say(message)
    seconds = round(time.monotonic() - started, 3)
    run.log.emit(
        events.Switched(run.model.iteration, dict(changes), facts["rebuild"], seconds, messages)
    )
    run.note(stored or {})
    if trusted and (run.model.iteration or run.checkpoint.saved_iteration is not None):
        run.save()  # the options are stored with the model
    return ""


def _replace_segment(
    run: Run,
    wanted: Settings,
    rebuild: Rebuild,
    *,
    chief: bool,
    alone: bool,
    begun: Mapping[str, object],
) -> tuple[str, list[str]]:
    """Free the model, then build the next one; the old one again if that fails.

    Returns
    -------
    (str, list of str)
        Why the options could not be changed, or empty; what there is to say.
    """
    old = run.settings.begun()
    state = run.segment.snapshot({**run.run_state, **begun})
    shelf = dict(run.segment.shelf)
    for part in parts_of(run.model):
        shelf[part] = Shelved(state.tensors[part], state.iteration)
    run.segment.release()
    gc.collect()
    given = state if chief else None  # the others get all of it from the chief
    segment, problem = None, ""
    try:
        segment = rebuild(wanted, given)
    except Exception as error:
        if not alone or not (isinstance(error, DflTfError) or out_of_memory(error)):
            run.unsaved = False  # nothing is left that could be saved
            raise
        problem = str(error).strip() or type(error).__name__
    if segment is None:
        gc.collect()
        run.unsaved = False
        segment = rebuild(old, given)
        run.unsaved = state.iteration != run.checkpoint.saved_iteration
    elif wanted.run.reinit:
        run.checkpoint.give_up(wanted.run.reinit)
    if not chief:
        _keep_losses(segment, state)
    told = [*segment.messages, *segment.shelve(shelf, state.iteration)]
    run.begin(segment)
    return problem, told


def _keep_losses(segment: Segment, state: ModelState) -> None:
    model = segment.model
    if model.iteration == state.iteration:
        model.loss_history = LossHistory.of(state.loss_history)
        model.extra = dict(state.extra)


def _show(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
