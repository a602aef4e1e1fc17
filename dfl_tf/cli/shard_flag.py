"""`--shard`, of the commands whose work a job array can divide."""

from __future__ import annotations

import click

from dfl_tf.errors import UsageError
from dfl_tf.jobs.shard import Shard, Sharding


class ShardType(click.ParamType):
    """``I/N`` or ``join``."""

    name = "shard"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Sharding:
        """The shard."""
        if isinstance(value, Shard):
            return value
        if str(value).strip().lower() == "join":
            return "join"
        try:
            return Shard.parse(str(value))
        except UsageError as error:
            return self.fail(f"{error}, or join", param, ctx)


shard_flag = click.option(
    "--shard",
    type=ShardType(),
    metavar="I/N|join",
    help="Do only part I of N, as a job of an array on shared storage; when all are done, the same "
    "command with --shard join makes one result of them, which is that of an undivided run. "
    "Default: undivided.",
)
