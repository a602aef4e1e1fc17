"""`dfl-tf recipe`: list, show and check recipes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import click

from dfl_tf.cli.speaking import CommandGroup
from dfl_tf.disk.guarded import read_yaml
from dfl_tf.disk.plain_file import read_plain
from dfl_tf.errors import UsageError
from dfl_tf.options import DEFAULT_MODEL, Layer, kind_of
from dfl_tf.options.recipe import Recipe
from dfl_tf.options.recipe_check import check_recipe, phase_lines
from dfl_tf.options.recipe_file import built_in_recipes, find_recipe, read_recipe

from .model_choice import class_option, json_flag, print_json

if TYPE_CHECKING:
    from dfl_tf.train.recipe_state import Standing

PATH = click.Path(path_type=Path)


class _Known(TypedDict, total=False):
    """What `check_recipe` takes that a workspace knows."""

    stored: Layer
    first: int
    errors_besides: list[str]


@click.group(cls=CommandGroup)
def command() -> None:
    """Recipes: trainings in phases, carried out by `dfl-tf train --recipe`."""


@command.command("list")
@json_flag
def list_(as_json: bool) -> None:
    """List the recipes that come with the program."""
    recipes = [read_recipe(path) for path in built_in_recipes().values()]
    if as_json:
        rows = [
            {"name": each.name, "model": each.model, "description": each.description,
             "phases": [phase.name for phase in each.phases]}
            for each in recipes
        ]  # fmt: skip
        print_json(rows)
        return
    width = max(len(each.name) for each in recipes)
    for each in recipes:
        click.echo(f"{each.name:{width}}  {each.model:7} {each.description}")
    click.echo('"dfl-tf recipe show NAME" prints one; copy it to a file to change it.')


@command.command()
@click.argument("name", metavar="FILE|NAME")
@json_flag
def show(name: str, as_json: bool) -> None:
    """Print a recipe as the file that it is."""
    path = find_recipe(name)
    read_recipe(path)  # says what is wrong with it
    if as_json:
        print_json({"file": path, "recipe": read_yaml(path, kind="recipe")})
        return
    click.echo(read_plain(path).decode(), nl=False)


@command.command()
@click.argument("name", metavar="FILE|NAME")
@click.argument("workspace", type=PATH, required=False)
@class_option("Class of the model; default the recipe's, else SAEHD.")
@click.option(
    "--name",
    "model_name",
    metavar="NAME",
    help="Name of a saved model of WORKSPACE to check the recipe for.",
)
@json_flag
def check(
    name: str,
    workspace: Path | None,
    model_class: str | None,
    model_name: str | None,
    as_json: bool,
) -> None:
    """Check a recipe: every error at once, or what each phase sets and resets.

    With WORKSPACE it is checked for a saved model, and the time that the phases take is
    estimated from that model's last iterations.
    """
    recipe = read_recipe(find_recipe(name))
    chosen = kind_of(model_class or recipe.model or DEFAULT_MODEL).name
    found: _Known = {}
    standing: Standing | None = None
    known: tuple[int, float | None] = (0, None)
    if workspace is not None:
        found, standing, known = _known(recipe, workspace, chosen, model_name)
    elif model_name is not None:
        raise UsageError("--name is a model of WORKSPACE; give the workspace, too")
    phases = check_recipe(recipe, chosen, **found)
    if as_json:
        facts = {
            "recipe": recipe.name, "model": chosen, "seconds_per_iteration": known[1],
            "phases": [phase.as_dict() for phase in phases],
        }  # fmt: skip
        print_json(facts)
        return
    click.echo(f"recipe {recipe.name} for {chosen}: {len(recipe.phases)} phases, no error")
    for line in phase_lines(phases, first=len(recipe.phases) - len(phases)):
        click.echo(line)
    if standing is not None:
        from dfl_tf.train.recipe import time_line

        if line := time_line(recipe, standing, *known):
            click.echo(line)


def _known(
    recipe: Recipe, workspace: Path, model_class: str, name: str | None
) -> tuple[_Known, Standing | None, tuple[int, float | None]]:
    """What a workspace says about a check.

    Returns
    -------
    (_Known, Standing or None, (int, float or None))
        For `check_recipe`; where the model stands; its iteration, and the seconds of its last ones.
    """
    from dfl_tf.formats import read_model
    from dfl_tf.formats.models.files import prefix_of
    from dfl_tf.formats.sessions.workspace import Workspace
    from dfl_tf.models.restore import stored_layer
    from dfl_tf.train.recipe import missing_faces
    from dfl_tf.train.recipe_state import stand
    from dfl_tf.train.sinks.json_lines import last_seconds, log_beside
    from dfl_tf.train.start import choose_name

    place = Workspace.open(workspace, need=())
    name, exists = choose_name(place.model, model_class, name)
    if not exists:
        return {"errors_besides": missing_faces(recipe, place)}, None, (0, None)
    state = read_model(place.model, name, model_class, only=())
    standing = stand(recipe, state.run, state.iteration)
    layer = stored_layer(state, f"the saved model {name}")
    log = log_beside(place.model, prefix_of(name, model_class))
    missing = missing_faces(recipe, place, first=standing.index, stored=layer.values)
    found: _Known = {"stored": layer, "first": standing.index, "errors_besides": missing}
    return found, standing, (state.iteration, last_seconds(log))
