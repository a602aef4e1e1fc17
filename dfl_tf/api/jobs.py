"""Whole jobs as functions: training, merging, evaluation, conversion, export."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from dfl_tf.api.opening import checked, load_model, restored
from dfl_tf.errors import UsageError
from dfl_tf.formats import ModelState
from dfl_tf.formats.models.choose_model import choose_model
from dfl_tf.formats.models.files import ModelFormat
from dfl_tf.formats.sessions.workspace import Workspace, user_path
from dfl_tf.jobs.events import Event
from dfl_tf.options import DEFAULT_MODEL, Layer, MergeOptions, RunOptions, XSegOptions, kind_of
from dfl_tf.options.inputs import OptionInputs

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from dfl_tf.evaluate.job import EvaluationReport
    from dfl_tf.export.report import ExportReport
    from dfl_tf.merge.run import MergeReport
    from dfl_tf.models.base import FaceModel
    from dfl_tf.models.swap import SwapModel
    from dfl_tf.train.trainer import TrainResult

R = TypeVar("R")


def train(
    workspace: str | Path,
    model_class: str = DEFAULT_MODEL,
    options: Mapping[str, object] | None = None,
    *,
    name: str | None = None,
    run: Mapping[str, object] | RunOptions | None = None,
    callbacks: Sequence[Callable[[Event], None]] = (),
) -> TrainResult:
    """Train a new or an existing model of a workspace, as `dfl-tf train` does.

    Parameters
    ----------
    workspace : str or Path
        A folder with data_src/aligned, data_dst/aligned and (made if absent) model.
    model_class : {"SAEHD", "AMP", "Quick96", "XSeg"}
    options : mapping, optional
        Options of the model by DeepFaceLab's keys; they win over those that are stored with it.
    name : str, optional
        Of the model; without it the one that was saved last, or a new one.
    run : mapping or RunOptions, optional
        Options of this run, such as ``{"save_every": 15, "no_preview": True}``.
    callbacks : sequence of callable
        Each gets every event of the run (`dfl_tf.train.events`), in the thread that trains. One
        that raises `TrainingDiverged` at an iteration makes it a collapse, to try what a run does
        about that.

    Returns
    -------
    TrainResult
        Its ``exit_code`` is that of the command.

    Raises
    ------
    OptionError, UsageError, WorkspaceError, ModelFileError, TrainingDiverged

    Examples
    --------
    >>> losses = []
    >>> def note(event):
    ...     if event.kind == "iteration":
    ...         losses.append(event.losses)
    >>> result = dfl_tf.train("workspace", "Quick96", {"target_iter": 500}, callbacks=[note])
    >>> result.iteration, result.exit_code
    (500, 0)
    """
    from dfl_tf.evaluate.validator import Validator
    from dfl_tf.train.job import run_training
    from dfl_tf.train.start import prepare

    kind = kind_of(model_class)
    made = run if isinstance(run, RunOptions) else None
    values = [options or {}, {} if isinstance(run, RunOptions) else run or {}]
    inputs = OptionInputs(
        (kind.options, RunOptions),
        given=tuple(Layer(dict(each), "train") for each in values),
        resolved_run=made,
    )
    place = Workspace.open(user_path(workspace), need=())
    prepared = prepare(place, kind.name, name, inputs)
    sinks = [_Callback(callback) for callback in callbacks]
    return run_training(prepared, sinks, Validator)


class _Callback:
    """A sink that is a function."""

    def __init__(self, function: Callable[[Event], None]) -> None:
        self.emit = function


def merge(
    workspace: str | Path | None = None,
    settings: Mapping[str, object] | MergeOptions | None = None,
    *,
    run: RunOptions | None = None,
    progress: Callable[[int, int], None] | None = None,
    say: Callable[[str], None] | None = None,
    stop: threading.Event | None = None,
    **request: Any,
) -> MergeReport:
    """Put the predicted faces into the frames of a workspace.

    Parameters
    ----------
    workspace : str or Path, optional
        Gives every folder that is not named by itself.
    settings : mapping or MergeOptions, optional
        Options of merging, the same for all frames.
    run : RunOptions, optional
        Devices and threads.
    progress : callable, optional
        Gets the numbers of frames done and to do.
    say : callable, optional
        Gets one line for each kind of thing that is left out before the run.
    stop : threading.Event, optional
        Once it is set the run ends after the frames in work.
    **request
        The other fields of `dfl_tf.merge.job.MergeRequest`: ``name``, ``model_class``,
        ``frames_dir``, ``output_dir``, ``frames="10:20"``, ``ema``, ``resume``, ``overwrite``, …

    Returns
    -------
    MergeReport
        How many frames were merged, which failed and why, and what was left out.

    Raises
    ------
    UsageError, OptionError, WorkspaceError, ModelFileError

    Examples
    --------
    >>> report = dfl_tf.merge("workspace", {"mode": "seamless"}, overwrite=True)
    >>> report.merged, report.failed
    (654, [])
    """
    from dfl_tf.merge import job

    wanted = _request(job.MergeRequest, "merge", request)
    if workspace is not None:
        wanted = replace(wanted, workspace=user_path(workspace))
    if not isinstance(settings, MergeOptions):
        settings = checked(MergeOptions, dict(settings or {}), "merge")
    chosen = settings

    def load(folder: Path, name: str, model_class: str) -> FaceModel:
        ema = wanted.ema and model_class != XSegOptions.NAME
        return load_model(folder, name, model_class, training=False, run=run, ema=ema)

    folders = job.find_folders(wanted)
    tasks = job.plan_tasks(wanted, folders, lambda paths: [chosen] * len(paths), say or job.quiet)
    opened = job.open_model(wanted, folders, tasks, load)
    return job.run_merge(wanted, folders, opened, tasks, progress=progress, stop=stop)


def evaluate(
    workspace: str | Path | None = None,
    *,
    run: RunOptions | None = None,
    sheet: str | Path | None = None,
    say: Callable[[str], None] | None = None,
    **request: Any,
) -> EvaluationReport:
    """Measure a model on faces that it was not trained on, as `dfl-tf evaluate` does.

    Parameters
    ----------
    workspace : str or Path, optional
        Gives every folder that is not named by itself.
    run : RunOptions, optional
        Precision, devices and threads.
    sheet : str or Path, optional
        Image file of the worst and the median faces.
    say : callable, optional
        Gets a line on what is being done.
    **request
        The other fields of `dfl_tf.evaluate.job.EvaluationRequest`: ``name``, ``model_class``,
        ``states=("01", "previous")``, ``ema``, ``faces``, ``identity``, …

    Returns
    -------
    EvaluationReport
        ``results[0].metrics`` are the numbers of the model as it was saved last.

    Raises
    ------
    UsageError, ModelFileError, WorkspaceError, FacesetError

    Examples
    --------
    >>> report = dfl_tf.evaluate("workspace", name="new", states=("01",))
    >>> [round(result.metrics["dst_ssim"], 2) for result in report.results]
    [0.87, 0.84]
    """
    from dfl_tf.disk.durable import write_file
    from dfl_tf.evaluate import job
    from dfl_tf.imaging import encode_image

    wanted = _request(job.EvaluationRequest, "evaluate", request)
    if workspace is not None:
        wanted = replace(wanted, workspace=user_path(workspace))
    target = None if sheet is None else user_path(sheet)

    def load(state: ModelState, name: str) -> SwapModel:
        # evaluate takes the classes that swap faces only (KINDS)
        return cast("SwapModel", restored(state, name, training=False, run=run))

    def draw(image: npt.NDArray[np.uint8]) -> None:
        assert target is not None
        write_file(target, encode_image(image, target.suffix))

    drawn = None if target is None else draw
    return job.evaluate(wanted, load, sheet=drawn, say=say or (lambda line: None))


def _request(cls: type[R], function: str, given: Mapping[str, Any]) -> R:
    """What a function was asked for; texts that name files and folders become paths."""
    known = {each.name: each for each in fields(cast(Any, cls))}
    if unknown := sorted(set(given) - set(known)):
        raise UsageError(
            f"{function}() has no {', '.join(unknown)}. Choose from {', '.join(sorted(known))}."
        )
    paths = {key for key, each in known.items() if "Path" in str(each.type)}
    values = {
        key: user_path(value) if key in paths and isinstance(value, str) else value
        for key, value in given.items()
    }
    return cls(**values)


def convert(
    source: str | Path,
    target: str | Path,
    to: ModelFormat,
    *,
    name: str | None = None,
    model_class: str | None = None,
    files_only: bool = False,
) -> dict[str, object]:
    """Write a model in the other format, read it back and prove that nothing changed.

    Parameters
    ----------
    source, target : str or Path
        Folders of model files; may be the same.
    to : {"legacy", "native"}
    name, model_class : str, optional
        Which model; without them the one that was saved last.
    files_only : bool
        Compare what is stored; run no network.

    Returns
    -------
    dict
        See `dfl_tf.formats.models.convert.convert`; ``"passed"`` says whether all is equal.

    Raises
    ------
    UsageError, ModelFileError
    """
    from dfl_tf.formats.models import convert as model_convert

    folder = user_path(source)
    found = choose_model(folder, name, model_class)
    proof = None if files_only else _network_proof
    return model_convert.convert(
        folder, user_path(target), found.name, found.model_class, to=to, proof=proof
    )


def _network_proof(first: ModelState, second: ModelState) -> dict[str, object]:
    """What both sides compute and how they train; the checksums are in the report already."""
    from dfl_tf.models.proof import prove

    return prove(first, second).as_dict(checksums=False)


def export_dfm(model: FaceModel | str | Path, path: str | Path, **settings: Any) -> ExportReport:
    """Write a SAEHD or AMP model as a DFM file for live programs.

    Parameters
    ----------
    model : FaceModel, str or Path
        A model, or the folder of the one that was saved last.
    path : str or Path
        Replaced only when the new file is whole and verified.
    **settings
        ``precision``, ``with_provenance``, ``verify`` and ``tolerance`` of
        `dfl_tf.export.dfm.export_dfm`.

    Returns
    -------
    ExportReport

    Raises
    ------
    UsageError, ModelFileError, ExportError
    """
    from dfl_tf.export.dfm import export_dfm as export

    if isinstance(model, str | Path):
        model = load_model(model, training=False)
    return export(model, user_path(path), **settings)
