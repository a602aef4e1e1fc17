"""What the commands of `dfl-tf faceset` have in common."""

from __future__ import annotations

import csv
import io
import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from dfl_tf.cli.speaking import Command
from dfl_tf.disk.terminal import library_lines, native_output_apart

as_json_flag = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
yes_flag = click.option("--yes", is_flag=True, help="Do not ask.")
undo_flag = click.option(
    "--undo", is_flag=True, help="Take back the last run of a tool that moved files here."
)
dry_run_flag = click.option(
    "--dry-run", is_flag=True, help="Only print what would be done, with the numbers."
)


class DecodingCommand(Command):
    """Keeps what image libraries say of damaged files apart, and tells it at the end."""

    def invoke(self, ctx: click.Context) -> object:
        """See `click.Command`."""
        said: list[str] = []
        try:
            with native_output_apart() as said:
                return super().invoke(ctx)
        finally:
            for line in library_lines(said):
                click.echo(line, err=True)


class FolderCommand(DecodingCommand):
    """First completes what an interrupted run began in the faceset that it is called with."""

    def invoke(self, ctx: click.Context) -> object:
        """See `click.Command`."""
        names = [argument.name for argument in self.params if isinstance(argument, click.Argument)]
        for place in (ctx.params.get(name or "") for name in names):
            if isinstance(place, Path):
                complete_moves(place)
        return super().invoke(ctx)


def complete_moves(place: Path) -> None:
    """Complete what an interrupted move of files began in a faceset, and say so."""
    from dfl_tf.facesets.rearranging import finish_moves

    done = finish_moves(place)
    if done is not None:
        click.echo(f"{place}: {done} had been interrupted; it is complete now", err=True)


def take_back(place: Path, as_json: bool) -> None:
    """Undo the last move of files in a faceset, and say so."""
    from dfl_tf.facesets import rearranging

    what, gone = rearranging.take_back(place)
    if as_json:
        click.echo(json.dumps({"undone": what, "gone": gone}, indent=2))
        return
    click.echo(f"undone: {what}")
    if gone:
        click.echo(
            f"{len(gone)} files were removed or renamed since and are not brought back "
            f"({gone[0]})", err=True,
        )  # fmt: skip


def undo_line(command: str, place: Path) -> str:
    """The command line that takes back what was just done."""
    return f"dfl-tf faceset {command} --undo {shlex.quote(str(place))}"


def print_rows(
    rows: Sequence[Mapping[str, object]], facts: dict[str, object], *, as_json: bool, as_csv: bool
) -> None:
    """Print one row a face: as JSON (with the facts), as CSV, or as a table."""
    if as_json:
        click.echo(json.dumps(facts | {"faces": rows}, indent=1))
        return
    columns = list(rows[0]) if rows else []
    if as_csv:
        out = io.StringIO()
        writer = csv.DictWriter(out, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        click.echo(out.getvalue(), nl=False)
        return
    cells = [columns, *([_cell(row[column]) for column in columns] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        padded = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        click.echo("  ".join(padded).rstrip())


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
