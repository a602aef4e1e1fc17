"""One of several parts of a work that are done apart, as by a job array, and joined later."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from dfl_tf.errors import UsageError, WorkspaceError

T = TypeVar("T")

_TEXT = re.compile(r"(\d{1,6})/(\d{1,6})")
_NAME = re.compile(r"(\d{1,6})-of-(\d{1,6})")
_NAMED = 5


@dataclass(frozen=True, order=True)
class Shard:
    """Part `number` of `total`, counted from 1.

    Examples
    --------
    >>> Shard.parse("2/3").share([10, 11, 12, 13, 14, 15, 16])
    [12, 13]
    >>> Shard(2, 3).name
    '2-of-3'
    """

    number: int
    total: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.total:
            raise UsageError(
                f"shard {self}: the first number is from 1 to the second, such as 1/8 … 8/8"
            )

    def __str__(self) -> str:
        return f"{self.number}/{self.total}"

    @property
    def name(self) -> str:
        """As part of the name of a file or folder."""
        return f"{self.number}-of-{self.total}"

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Read ``I/N``.

        Raises
        ------
        UsageError
            The text is nothing of the kind.
        """
        found = _TEXT.fullmatch(text.strip())
        if found is None:
            raise UsageError(f'"{text}" is not I/N, such as 1/8')
        return cls(int(found[1]), int(found[2]))

    @classmethod
    def all_of(cls, total: int) -> list[Shard]:
        """Every part of a work."""
        return [cls(number, total) for number in range(1, total + 1)]

    def share(self, items: Sequence[T]) -> list[T]:
        """The part of some items: neighbors, and all parts together are all items in order."""
        first, last = ((len(items) * n) // self.total for n in (self.number - 1, self.number))
        return list(items[first:last])


Sharding = Shard | Literal["join"] | None
"""A part that is worked on, the joining of all parts, or neither."""


def total_of(names: Iterable[str], where: object) -> int:
    """How many shards there are, by the names of those that were worked on; 0: none was.

    Raises
    ------
    WorkspaceError
        They are parts of different wholes.
    """
    totals = {int(found[2]) for name in names if (found := _NAME.fullmatch(name))}
    if len(totals) > 1:
        counts = " and ".join(map(str, sorted(totals)))
        raise WorkspaceError(
            f"{where}: holds shards of {counts}; remove those that do not belong to this work"
        )
    return max(totals, default=0)


def lacking(shard: Shard, share: Sequence[str], done: Iterable[str] | None) -> str:
    """What a shard lacks, in words; empty if nothing.

    Parameters
    ----------
    shard : Shard
    share : sequence of str
        Names of its frames.
    done : iterable of str, or None
        Those that are finished; None: the shard has left nothing.
    """
    if done is None:
        return f"shard {shard} is missing"
    finished = set(done)
    open_ones = [name for name in share if name not in finished]
    if not open_ones:
        return ""
    named = ", ".join(open_ones[:_NAMED]) + (" and more" if len(open_ones) > _NAMED else "")
    return f"shard {shard} has not finished {len(open_ones)} of {len(share)} frames ({named})"


def check_complete(problems: Iterable[str], where: object, *, resume: bool) -> None:
    """Refuse to join what is not whole, unless the rest is to be done by who joins.

    Raises
    ------
    WorkspaceError
        With every problem.
    """
    found = [text for text in problems if text]
    if found and not resume:
        raise WorkspaceError(
            f"{where}: {'; '.join(found)}. Run these shards again, or join with --resume, which "
            "does here what they have left."
        )
