"""Which snapshots of a model are kept."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dfl_tf.errors import UsageError
from dfl_tf.formats.models.snapshots import AUTOMATIC, Kind, Snapshot
from dfl_tf.options.metrics import is_better_higher


@dataclass(frozen=True)
class Rules:
    """How many snapshots are kept.

    Attributes
    ----------
    regular : int
        The last so many of this kind; one at least.
    limit : int
        Bytes that all snapshots of the model may take; 0 = no limit.
    """

    regular: int = 2
    limit: int = 0


NO_LIMIT = Rules()


def surplus(found: Sequence[Snapshot], rules: Rules) -> list[Snapshot]:
    """The snapshots that may go, so that the rules hold.

    Only those that training made by itself go: `regular` ones but the last few; of a phase all but
    the newest; of those that may be compared all but the best. Beyond the limit the oldest of them
    go, but for the newest one and for the newest regular one, to which a roll-back goes.

    Parameters
    ----------
    found : sequence of Snapshot
        All of a model, the oldest first.
    rules : Rules
    """
    groups: dict[tuple[str, ...], list[Snapshot]] = {}
    for each in found:
        label = each.label
        group = {
            "regular": ("regular",),
            "phase": ("phase", label.recipe, label.phase),
            "best": ("best", label.metric, label.key),
        }.get(label.kind)
        if group is not None:
            groups.setdefault(group, []).append(each)
    going: list[Snapshot] = []
    for (kind, *_), members in groups.items():
        kept = members[-max(1, rules.regular) :] if kind == "regular" else members[-1:]
        if kind == "best":
            kept = [max(reversed(members), key=_goodness)]
        going += [each for each in members if each not in kept]
    return [*going, *beyond([each for each in found if each not in going], rules)]


def beyond(found: Sequence[Snapshot], rules: Rules) -> list[Snapshot]:
    """The snapshots that may go, so that the others fit within the limit; see `surplus`."""
    stay = [*_last(found, AUTOMATIC), *_last(found, ("regular",))]
    going: list[Snapshot] = []
    for each in found:
        if not rules.limit or total(found) - total(going) <= rules.limit:
            break
        if each.label.kind in AUTOMATIC and each not in stay:
            going.append(each)
    return going


def _last(found: Sequence[Snapshot], kinds: Sequence[Kind]) -> list[Snapshot]:
    return [each for each in found if each.label.kind in kinds][-1:]


def _goodness(snapshot: Snapshot) -> float:
    """How good a snapshot is by its metric, more is better."""
    label = snapshot.label
    value = label.metrics.get(label.metric)
    if value is None:
        return -math.inf
    return value if is_better_higher(label.metric) else -value


def refuse_beyond(
    found: Sequence[Snapshot], incoming: int, rules: Rules, kind: Kind = "manual"
) -> None:
    """Refuse a snapshot that would not fit within the limit whatever goes for it.

    Parameters
    ----------
    found : sequence of Snapshot
        Those that are there, the oldest first.
    incoming : int
        Bytes of the new one.
    rules : Rules
    kind : str
        Of the new one.

    Raises
    ------
    UsageError
    """
    stay = [each for each in found if each.label.kind not in AUTOMATIC]
    fixed = total(stay if kind == "regular" else [*stay, *_last(found, ("regular",))])
    if rules.limit and fixed + incoming > rules.limit:
        raise UsageError(
            f"the snapshot would have {incoming / 1e9:.3g} GB. Together with those that never go "
            f"by themselves ({fixed / 1e9:.3g} GB) that is more than the limit of "
            f"{rules.limit / 1e9:.3g} GB (--snapshots-max-gb). Raise it, or delete snapshots."
        )


def total(found: Iterable[Snapshot]) -> int:
    """Bytes of snapshots."""
    return sum(each.bytes for each in found)
