"""`dfl-tf completion`: commands and flags by the Tab key."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from dfl_tf.cli.speaking import Command, WordChoice

WHERE = {
    "bash": 'add  eval "$(dfl-tf completion bash)"  to ~/.bashrc',
    "zsh": 'add  eval "$(dfl-tf completion zsh)"  to ~/.zshrc',
    "fish": "dfl-tf completion fish > ~/.config/fish/completions/dfl-tf.fish",
}


@click.command(
    cls=Command, help="Print the completion script of a shell: " + "; ".join(WHERE.values()) + "."
)
@click.argument("shell", type=WordChoice([*WHERE]))
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    """Print what makes a shell complete commands, flags and choices."""
    completion = get_completion_class(shell)
    assert completion is not None
    click.echo(completion(context.find_root().command, {}, "dfl-tf", "_DFL_TF_COMPLETE").source())
