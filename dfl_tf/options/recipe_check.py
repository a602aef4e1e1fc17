"""Checking a recipe before it runs: options, order, and what each phase resets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from dfl_tf.options.schema import Value

from .recipe import Phase, Recipe
from .registry import kind_of
from .resolve import GAN_SHAPE, Layer, OptionErrors, resolve
from .run import FIXED_FOR_A_RUN, RunOptions
from .schema import Machine, Options, show, specs
from .training import TrainingOptions


@dataclass(frozen=True)
class CheckedPhase:
    """What is known of a phase before it runs.

    Attributes
    ----------
    name : str
    options : TrainingOptions
        Those of the model in this phase.
    sets : mapping
        What the phase changes, by key: (before, then); in the first phase what it sets.
    until : str
        When it ends, in words.
    resets : tuple of str
        What starts fresh or empty when it begins.
    notes : tuple of str
        Further notes.
    """

    name: str
    options: TrainingOptions
    sets: Mapping[str, tuple[Value, Value]]
    until: str
    resets: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, object]:
        """The same as plain JSON-able types."""
        sets = {key: then for key, (_, then) in self.sets.items()}
        return {
            "name": self.name, "set": sets, "until": self.until,
            "resets": list(self.resets), "notes": list(self.notes),
        }  # fmt: skip


def check_recipe(
    recipe: Recipe,
    model_class: str,
    *,
    stored: Layer | None = None,
    machine: Machine | None = None,
    first: int = 0,
    errors_besides: Sequence[str] = (),
) -> list[CheckedPhase]:
    """Resolve the options of every phase, one after the other.

    Parameters
    ----------
    recipe : Recipe
    model_class : str
    stored : Layer, optional
        Options of the model that goes on with the recipe; without it the model is new.
    machine : Machine, optional
        For the batch size.
    first : int
        Number of the phase from which the model goes on.
    errors_besides : sequence of str
        Found elsewhere, reported together with those found here.

    Returns
    -------
    list of CheckedPhase
        From `first` on.

    Raises
    ------
    OptionErrors
        With every problem of all phases: unknown keys, values out of range, options that cannot
        change any more, phases that are never reached or end at once.
    """
    cls = kind_of(model_class).options
    problems = [] if recipe.model in ("", model_class) else [
        f"recipe {recipe.name} is for {recipe.model}, not for {model_class}"
    ]  # fmt: skip
    problems += [*order_errors(recipe), *errors_besides]
    checked: list[CheckedPhase] = []
    before: Layer | None = stored
    run_before = RunOptions()
    for index in range(first, len(recipe.phases)):
        phase = recipe.phases[index]
        layer = with_schedule_end(recipe, index, 0)
        if index != first:
            layer = layer.only([*phase.set.values, "lr_end"])
        own, other = split(layer)
        options: TrainingOptions | None = None
        notes: tuple[str, ...] = ()
        try:
            layers = [own] if before is None else [before, own]
            resolved = resolve(cls, layers, machine=machine, elsewhere=list(specs(RunOptions)))
            options, notes = resolved.options, (*resolved.adjustments, *resolved.warnings)
        except OptionErrors as error:
            problems += [f"phase {phase.name}: {problem}" for problem in error.errors]
        run, found = _run_options(run_before, other, phase.name)
        problems += found
        if options is None:
            continue
        if wrong := kind_of(model_class).freeze_error(options):
            problems.append(f"phase {phase.name}: {wrong}")
        last = checked[-1].options if checked else None
        sets = _changes(last, options, own) | _changes(run_before if checked else None, run, other)
        if "lr_end" not in recipe.layer(index).values:  # it depends on where the phase begins
            sets.pop("lr_end", None)
        resets = () if last is None else what_resets(last, options)
        until = phase.until.text()
        checked.append(CheckedPhase(phase.name, options, sets, until, resets, notes))
        values = {key: getattr(options, key) for key in specs(cls)}
        before, run_before = Layer(values, "the model", kind="stored"), run
    if problems:
        raise OptionErrors(list(dict.fromkeys(problems)))
    return checked


def with_schedule_end(recipe: Recipe, index: int, start: int) -> Layer:
    """All that a recipe has set once a phase has begun, with the end of its learning rate.

    Parameters
    ----------
    recipe : Recipe
    index : int
        Of the phase.
    start : int
        Iteration at which it begins.
    """
    layer = recipe.layer(index)
    if layer.values.get("lr_schedule") != "cosine" or "lr_end" in layer.values:
        return layer
    end = recipe.phases[index].until.last_iteration(start)
    return replace(layer, values={**layer.values, "lr_end": end})


def split(layer: Layer) -> tuple[Layer, Layer]:
    """Options of the model, and those of the run."""
    table = specs(RunOptions)
    own = {key: value for key, value in layer.values.items() if key not in table}
    other = {key: value for key, value in layer.values.items() if key in table}
    return replace(layer, values=own), replace(layer, values=other)


def _run_options(before: RunOptions, layer: Layer, phase: str) -> tuple[RunOptions, list[str]]:
    problems = [
        f"phase {phase}: {key} applies to a whole run; give it on the command line instead "
        f"(from {layer.place(key)})"
        for key in layer.values
        if key in FIXED_FOR_A_RUN
    ]
    try:
        parsed = resolve(RunOptions, [layer]).options
    except OptionErrors as error:
        return before, [*(f"phase {phase}: {problem}" for problem in error.errors), *problems]
    return replace(before, **{key: getattr(parsed, key) for key in layer.values}), problems


def _changes(before: Options | None, now: Options, given: Layer) -> dict[str, tuple[Value, Value]]:
    if before is None:
        return {key: (None, getattr(now, key)) for key in given.values}
    return {
        key: (getattr(before, key), getattr(now, key))
        for key in specs(type(now))
        if getattr(before, key) != getattr(now, key)
    }


def order_errors(recipe: Recipe) -> list[str]:
    """Phases that are never reached, or that end as they begin."""
    errors = []
    for phase, following in zip(recipe.phases, recipe.phases[1:], strict=False):
        if phase.until.endless:
            errors.append(
                f"phase {phase.name} has no until and never ends, so that {following.name} is "
                "never reached"
            )
    reached: tuple[int, Phase] | None = None
    pretraining = False
    for phase in recipe.phases:
        now = bool(phase.set.values.get("pretrain", pretraining))
        if pretraining and not now:
            reached = None  # the count of iterations begins again
        pretraining = now
        at = phase.until.at_iteration
        if at is None:
            continue
        if reached is not None and at <= reached[0]:
            errors.append(
                f"phase {phase.name} ends at iteration {at}, where {reached[1].name} "
                f"({reached[0]}) has gone beyond already"
            )
        reached = (at, phase)
    return errors


def what_resets(before: Options, now: Options) -> tuple[str, ...]:
    """What starts fresh or empty when a model goes on with other options (options.md 4).

    Parameters
    ----------
    before, now : TrainingOptions
    """

    def was(key: str) -> object:
        return getattr(before, key, None)

    def is_now(key: str) -> object:
        return getattr(now, key, None)

    resets = []
    if was("pretrain") and not is_now("pretrain"):
        archi = str(is_now("archi") or "")
        inters = "inter" if archi.startswith("df") else "inter_AB and inter_B"
        resets.append("iteration 0 and an empty loss history: pretraining ends")
        if archi:
            resets.append(f"{inters} with fresh weights and empty slots: pretraining ends")
    if was("adabelief") != is_now("adabelief"):
        resets.append("the slots of all optimizers: adabelief is another optimizer")
    if was("gan_power") and is_now("gan_power") and any(
        was(key) != is_now(key) for key in GAN_SHAPE
    ):  # fmt: skip
        resets.append("the GAN and its optimizer: its shape changes")
    for key, part in (("gan_power", "the GAN"), ("true_face_power", "the code discriminator")):
        if is_now(key) and not was(key):
            resets.append(f"{part} begins with fresh weights, unless the model has trained it")
    return tuple(resets)


def phase_lines(phases: Sequence[CheckedPhase], current: str = "", *, first: int = 0) -> list[str]:
    """Phases in lines for people; `first` is the number of the first of them in its recipe."""
    lines = []
    for number, phase in enumerate(phases, start=first + 1):
        mark = "  <- current" if phase.name == current else ""
        ends = f"ends {phase.until}" if phase.until else "has no end"
        lines.append(f"{number}. {phase.name}: {ends}{mark}")
        if phase.sets:
            listed = ", ".join(f"{key}={show(then)}" for key, (_, then) in phase.sets.items())
            lines.append(f"   sets {listed}")
        lines += [f"   resets {text}" for text in phase.resets]
        lines += [f"   note: {text}" for text in phase.notes]
    return lines
