"""An evaluation as one job: what `dfl-tf evaluate` and `dfl_tf.evaluate` share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from dfl_tf.data import Faceset
from dfl_tf.data.heldout import draw
from dfl_tf.data.identity import Embedder, make_embedder
from dfl_tf.errors import UsageError
from dfl_tf.evaluate import duplicates, results
from dfl_tf.evaluate.measure import EvaluationFaces, measure
from dfl_tf.evaluate.results import Evaluation
from dfl_tf.evaluate.sheet import Chosen, collect, evaluation_sheet, faces_to_show
from dfl_tf.formats import ModelState, read_model
from dfl_tf.formats.models.average import averaged, generator_parts
from dfl_tf.formats.models.choose_model import choose_model
from dfl_tf.formats.models.files import prefix_of
from dfl_tf.formats.models.restore import find_kept
from dfl_tf.formats.sessions.workspace import Workspace
from dfl_tf.options import KINDS, specs

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from dfl_tf.models.base import FaceModel
    from dfl_tf.models.swap import SwapModel

FACES = 200
"""Faces of each person that are measured where no other number is asked for."""

EMBEDDED = 50
"""Faces of each person whose identity is measured, which takes a tenth of a second each."""

LoadState = Callable[[ModelState, str], "SwapModel"]
"""A state and the name of its model to the model, without optimizers."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class EvaluationRequest:
    """Which states of which model are measured, on which faces.

    Attributes
    ----------
    workspace : Path or None
        Gives every folder that is not named by itself.
    model_class, name : str or None
        Which model; without them the one that was saved last.
    states : tuple of str
        Beside the model itself: numbers of backups (``01``), names of snapshots, folders with
        model files, ``previous`` for the set of the save before.
    src, dst, model_dir : Path or None
    ema : bool
        Measure the averaged weights of each state as well.
    faces : int
        Faces of each person at most; 0 = all.
    identity : bool
        Whether it is measured whom the swap looks like.
    embedder : Path or None
        ONNX network of the user's own for that.
    models_dir : Path or None
        Folder of fetched models.
    """

    workspace: Path | None = None
    model_class: str | None = None
    name: str | None = None
    states: tuple[str, ...] = ()
    src: Path | None = None
    dst: Path | None = None
    model_dir: Path | None = None
    ema: bool = False
    faces: int = FACES
    identity: bool = True
    embedder: Path | None = None
    models_dir: Path | None = None


@dataclass(frozen=True)
class EvaluationReport:
    """What came out.

    Attributes
    ----------
    results : tuple of Evaluation
        The model itself first.
    notes : tuple of str
        What must be known to read the numbers, of all of them.
    faces : EvaluationFaces
        What they were measured on.
    near_duplicates : dict
        Side to the share of its held-out faces that have a near duplicate in training; empty if no
        faces are held out.
    """

    results: tuple[Evaluation, ...]
    notes: tuple[str, ...]
    faces: EvaluationFaces
    near_duplicates: dict[str, float] = field(default_factory=dict)

    def as_dict(self) -> dict[str, object]:
        """The results as one document."""
        return {
            **results.document(self.results),
            "notes": list(self.notes),
            "near_duplicates": self.near_duplicates,
            "left_out": self.faces.left_out.as_dict(),
        }


@dataclass(frozen=True)
class StoredState:
    """One state of a model on disk.

    Attributes
    ----------
    label : str
        For results.
    folder : Path
    name, model_class : str
    previous : bool
        Whether it is the set before the last save.
    ema : bool
        Whether its averaged weights are taken.
    """

    label: str
    folder: Path
    name: str
    model_class: str
    previous: bool = False
    ema: bool = False

    def read(self) -> ModelState:
        """Read the networks that make faces."""
        only = generator_parts(self.model_class, ema=self.ema)
        state = read_model(
            self.folder, self.name, self.model_class, only=only, previous=self.previous
        )
        return averaged(state) if self.ema else state


def evaluate(
    request: EvaluationRequest,
    load: LoadState,
    *,
    sheet: Callable[[npt.NDArray[np.uint8]], object] | None = None,
    say: Say = lambda line: None,
) -> EvaluationReport:
    """Measure a model, and other states of it, on the same faces.

    Parameters
    ----------
    request : EvaluationRequest
    load : callable
    sheet : callable, optional
        Gets a sheet of the worst and the median faces, shape (h, w, 3), uint8, BGR.
    say : callable
        Gets a line on what is being done.

    Raises
    ------
    UsageError, ModelFileError, WorkspaceError, FacesetError
        There is no such model or state, or the faces cannot be read.
    """
    place = _workspace(request)
    found = find_states(place, request)
    if request.ema:
        found += [replace(each, label=f"{each.label} ema", ema=True) for each in found]
    first = found[0].read()
    sides = {"src": Faceset.open(place.src), "dst": Faceset.open(place.dst)}
    faces, near = _faces(request, first, sides, say)
    embedder, notes = _embedder(request)
    notes = [*_about_faces(first, sides, faces), *_about_duplicates(near), *notes]
    made, collected = [], []
    chosen: Chosen = {}
    for number, each in enumerate(found):
        state = first if number == 0 else each.read()
        say(f"measuring {each.label}, iteration {state.iteration}")
        model = load(state, each.name)
        scores = measure(model, faces, embedder)
        result = Evaluation(
            each.label,
            each.model_class,
            state.iteration,
            architecture_of(model),
            scores,
            _was_held_out(state, first),
            notes=tuple(_about_state(state, first)),
        )
        made.append(result)
        if sheet is not None:
            chosen = chosen or faces_to_show(scores.faces)
            collected.append(collect(model, faces, chosen))
        del model
    if sheet is not None and chosen:
        sheet(evaluation_sheet(made, collected, chosen))
    return EvaluationReport(tuple(made), tuple(notes), faces, near)


def _workspace(request: EvaluationRequest) -> Workspace:
    given = (request.src, request.dst, request.model_dir)
    if request.workspace is None and None in given:
        raise UsageError("give WORKSPACE, or all of --src, --dst and --model-dir")
    return Workspace.open(
        request.workspace or Path(),
        src=request.src,
        dst=request.dst,
        model=request.model_dir,
        need=("src", "dst"),
    )


def find_states(place: Workspace, request: EvaluationRequest) -> list[StoredState]:
    """Find the model and the other states of it that are asked for.

    Raises
    ------
    UsageError, ModelFileError
        There is no such model or state.
    """
    swapping = [known for known, kind in KINDS.items() if kind.swaps_faces]
    model = choose_model(
        place.model, request.name, request.model_class, classes=swapping, what="face model"
    )
    prefix = prefix_of(model.name, model.model_class)
    states = [StoredState(prefix, place.model, model.name, model.model_class)]
    for text in request.states:
        kept = find_kept(place.model, model.name, model.model_class, text)
        label = f"{prefix} {text}"
        states.append(StoredState(label, kept.folder, kept.name, kept.model_class, kept.previous))
    return states


def architecture_of(model: FaceModel) -> dict[str, object]:
    """The options of a model that decide the shapes of its networks."""
    options = model.options
    fixed = [key for key, spec in specs(type(options)).items() if spec.ask == "new"]
    found = {key: getattr(options, key) for key in fixed}
    return {**found, "resolution": int(options.resolution), "face_type": str(options.face_type)}


def share_of(state: ModelState) -> float:
    """The share of the faces that a model keeps out of its training."""
    value = state.options.get("holdout", 0.0)
    return float(value) if isinstance(value, int | float) else 0.0


def _since(state: ModelState) -> int | None:
    """The iteration since which the present share is held out; None if that is not known."""
    stored = state.run.get("holdout")
    if not isinstance(stored, dict) or stored.get("share") != share_of(state):
        return None
    since = stored.get("since")
    return since if isinstance(since, int) else None


def _was_held_out(state: ModelState, first: ModelState) -> bool:
    """Whether a state has never seen the faces that `first` holds out, as far as it knows."""
    share = share_of(first)
    return bool(share) and share_of(state) == share and _since(state) == 0


def _faces(
    request: EvaluationRequest, state: ModelState, sides: dict[str, Faceset], say: Say
) -> tuple[EvaluationFaces, dict[str, float]]:
    """The faces that are measured, and how many of them have near duplicates in training."""
    share, near = share_of(state), {}
    chosen = dict(sides)
    if share:
        for side, faceset in sides.items():
            mask = draw(faceset.origins(), share).chosen
            held = [i for i in range(len(faceset)) if mask[i]]
            trained = [i for i in range(len(faceset)) if not mask[i]]
            say(f"{side}: comparing {len(held)} held-out faces with {len(trained)} others")
            near[side] = duplicates.near_duplicates(faceset, held, trained)
            chosen[side] = faceset.subset(held)
    embedded = EMBEDDED if request.identity else 0
    faces = EvaluationFaces.choose(
        chosen["src"], chosen["dst"], most=request.faces, embedded=embedded
    )
    return faces, near


def _about_faces(
    state: ModelState, sides: dict[str, Faceset], faces: EvaluationFaces
) -> Iterable[str]:
    share = share_of(state)
    for side, faceset in (("src", faces.src), ("dst", faces.dst)):
        number, known = len(faces.chosen[side]), len(faceset)  # type: ignore[index]
        what = "held-out faces" if share else "faces"
        of_all = f"{known} {what}" if number == known else f"{number} of {known} {what}"
        yield f"{side}: measured on {of_all} ({len(sides[side])} in {sides[side].path})"
    if not share:
        yield (
            "the model was trained without holdout: it has seen these faces, and how good it is on "
            "others is not known. Train with --holdout 0.05 to measure that."
        )


def _about_duplicates(near: dict[str, float]) -> Iterable[str]:
    for side, share in near.items():
        yield f"{side}: {share:.0%} of the held-out faces have a near duplicate in training"


def _about_state(state: ModelState, first: ModelState) -> Iterable[str]:
    share = share_of(first)
    if not share:
        return
    if share_of(state) != share:
        yield f"it was trained with holdout {share_of(state):g}: it has seen some of these faces"
    elif (since := _since(state)) is None:
        yield "since when these faces are held out is not known"
    elif since:
        yield f"these faces were trained on until iteration {since}"


def _embedder(request: EvaluationRequest) -> tuple[Embedder | None, list[str]]:
    """What tells persons apart; without it a line says why, unless it was asked for by name."""
    if not request.identity:
        return None, []
    embedder = make_embedder(request.embedder, request.models_dir)
    try:
        embedder.ready()
    except UsageError as error:
        if request.embedder is not None or request.models_dir is not None:
            raise
        return None, [f"identity is not measured: {error}"]
    return embedder, []


def comparison(found: Sequence[Evaluation]) -> list[str]:
    """Which of several results is the best, or why that cannot be said.

    Parameters
    ----------
    found : sequence of Evaluation
        The first is compared with each of the others.
    """
    lines = []
    for other in found[1:]:
        reasons = results.incomparable(found[0], other)
        if reasons:
            lines.append(f"{found[0].model} and {other.model} are not compared: {reasons[0]}")
            lines += [f"  also: {reason}" for reason in reasons[1:]]
    if len(found) > 1 and not lines:
        best = results.best_of(found)
        lines.append(
            "none has a number to compare by"
            if best is None
            else f"best by {results.PRIMARY}: {best.model}, iteration {best.iteration}"
        )
    return lines
