"""`dfl-tf options`: explain every option, or write a config file to start from."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence

import click

from dfl_tf.cli.speaking import Command, WordChoice
from dfl_tf.errors import UsageError
from dfl_tf.options import (
    DEFAULT_MODEL,
    OPTIONS,
    ExtractOptions,
    MergeOptions,
    Options,
    OptionSpec,
    RunOptions,
    default,
    specs,
)
from dfl_tf.options.advice import advice_on
from dfl_tf.options.guide import ORDER, guidance
from dfl_tf.options.saehd import while_pretraining
from dfl_tf.options.schema import did_you_mean, show
from dfl_tf.options.yaml_file import dump

CLASSES: dict[str, type[Options]] = {
    **OPTIONS,
    "run": RunOptions,
    "merge": MergeOptions,
    "extract": ExtractOptions,
}


@click.command(cls=Command)
@click.argument("keys", nargs=-1, metavar="[KEY|WORD]...")
@click.option(
    "--model",
    "--class",
    "name",
    type=WordChoice([*CLASSES]),
    metavar="CLASS",
    help=f"Whose options: {', '.join(CLASSES)}; all by default.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the schema as JSON.")
@click.option("--yaml", "as_yaml", is_flag=True, help="Print a commented config file of defaults.")
def command(keys: tuple[str, ...], name: str | None, as_json: bool, as_yaml: bool) -> None:
    """Explain options: all of them in short, or some at length.

    A KEY is explained at length. Of any other WORD the options are listed that have it in their
    names or texts.
    """
    classes = {name: CLASSES[name]} if name else CLASSES
    if as_yaml:
        click.echo(dump(default(CLASSES[name or DEFAULT_MODEL])), nl=False)
        return
    chosen, exact = _choose(keys, classes)
    if as_json:
        table = {cls: [describe(spec) for spec in found] for cls, found in chosen.items()}
        click.echo(json.dumps(table, indent=1))
    elif keys and exact:
        click.echo("\n\n".join(_explanations(chosen)))
    elif keys:
        click.echo("\n".join(_overview(chosen)))
        click.echo("\nMore on one: dfl-tf options KEY.")
    else:
        click.echo("\n".join(_overview(chosen)))
        click.echo("\nThe order of a training:")
        for number, step in enumerate(ORDER, 1):
            head = f"  {number}. "
            click.echo(textwrap.fill(step, 92, initial_indent=head, subsequent_indent="     "))
        click.echo(
            "\nMore on one: dfl-tf options KEY. Those about something: dfl-tf options WORD. "
            "A file to start from: dfl-tf options --yaml."
        )


def _choose(
    words: Sequence[str], classes: dict[str, type[Options]]
) -> tuple[dict[str, list[OptionSpec]], bool]:
    """The options of some words, by class, and whether all words are keys.

    Raises
    ------
    UsageError
        No option has a word in its name or its texts.
    """
    everything = {name: list(specs(cls).values()) for name, cls in classes.items()}
    if not words:
        return everything, False
    known = {spec.key for found in everything.values() for spec in found}
    keys = {key for word in words if (key := word.replace("-", "_").lower().strip("_")) in known}
    rest = [word for word in words if word.replace("-", "_").lower().strip("_") not in known]
    wanted = set(keys)
    wrong = []
    for word in rest:
        having = {s.key for found in everything.values() for s in found if _has(s, word)}
        wanted |= having
        if not having:
            near = did_you_mean(word, known)
            wrong.append(f'"{word}" is in no name or text of an option{near}')
    if wrong:
        raise UsageError("; ".join(wrong))
    table = {name: [s for s in found if s.key in wanted] for name, found in everything.items()}
    return {name: found for name, found in table.items() if found}, not rest


def _has(spec: OptionSpec, word: str) -> bool:
    """Whether an option has a word in its name, its texts or its choices."""
    texts = [
        spec.key, spec.help, spec.details, spec.label, spec.unit, *spec.choices, *spec.flags,
        *(text for _, text in guidance(spec.key)),
        *(f"{rule.what} {rule.cure}" for rule in advice_on(spec.key)),
    ]  # fmt: skip
    wanted = word.lower()
    return any(
        form in text.lower() for text in texts for form in (wanted, wanted.replace("-", "_"))
    )


def describe(spec: OptionSpec) -> dict[str, object]:
    """All that is said about an option, JSON-able."""
    return {
        "key": spec.key,
        "type": spec.kind.__name__,
        "default": list(spec.default) if isinstance(spec.default, tuple) else spec.default,
        "allowed": spec.allowed(),
        "minimum": spec.minimum,
        "maximum": spec.maximum,
        "choices": list(spec.choices),
        "help": spec.help,
        "details": spec.details,
        "guidance": {label: text for label, text in guidance(spec.key)},
        "remarks": [rule.what for rule in advice_on(spec.key)],
        "group": spec.group,
        "unit": spec.unit,
        "fixed_after_first_iteration": spec.ask == "new",
        "legacy_label": spec.label,
        "legacy_range": spec.legacy_range,
        "flag": spec.flag,
        "environment": f"DFL_TF_OPT_{spec.key.upper()}",
    }


def _overview(chosen: dict[str, list[OptionSpec]]) -> list[str]:
    lines: list[str] = []
    for name, found in chosen.items():
        lines += ["", f"{name}:"] if lines else [f"{name}:"]
        width = max(len(spec.key) for spec in found)
        for spec in found:
            value = show(spec.default) or '""'
            lines.append(f"  {spec.key:<{width}}  {spec.help} [{value}]")
    return lines


def _explanations(chosen: dict[str, list[OptionSpec]]) -> list[str]:
    by_text: dict[str, list[str]] = {}
    for name, found in chosen.items():
        for spec in found:
            by_text.setdefault(_explain(spec), []).append(name)
    return [f"{text}\n  of:       {', '.join(names)}" for text, names in by_text.items()]


def _explain(spec: OptionSpec) -> str:
    lines = [f"{spec.key}: {spec.help}"]
    lines += textwrap.wrap(spec.details, 92, initial_indent="  ", subsequent_indent="  ")
    for label, text in guidance(spec.key):
        head = f"  {label + ':':<14}"
        lines += textwrap.wrap(text, 92, initial_indent=head, subsequent_indent=" " * 16)
    unit = f" ({spec.unit})" if spec.unit else ""
    lines += [
        f"  allowed:  {spec.allowed()}{unit}",
        f"  default:  {show(spec.default) or '(empty)'}",
    ]
    if spec.ask == "new":
        lines.append("  fixed after the first iteration")
    if forced := while_pretraining(spec.key):
        lines.append(f"  SAEHD:    {forced}")
    if spec.legacy_range:
        lines.append(f"  DeepFaceLab's own range: {spec.legacy_range}")
    lines.append(
        f"  set by:   {spec.flag}, DFL_TF_OPT_{spec.key.upper()}, or {spec.key}: in --config"
    )
    for rule in advice_on(spec.key):
        lines += textwrap.wrap(
            f"{rule.what} {rule.cure}",
            92,
            initial_indent="  remark:   ",
            subsequent_indent=" " * 12,
        )
    if spec.label:
        lines.append(f'  was asked as: "{spec.label}"')
    return "\n".join(lines)
