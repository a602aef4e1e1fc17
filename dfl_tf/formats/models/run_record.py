"""What the parts of a training store with a model besides weights: the schema of `ModelState.run`.

Each part has keys of its own. They are declared here, are read by `stored` and are checked before
anything is written. Keys that are not known were stored by a newer version: they are carried along.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from dfl_tf.disk.guarded import check_tree
from dfl_tf.disk.tree_schema import (
    ANYTHING,
    Array,
    Boolean,
    Integer,
    Number,
    Optional,
    Record,
    Row,
    Schema,
    Table,
    Text,
)
from dfl_tf.errors import ModelFileError

Key = Literal[
    "seed",
    "positions",
    "retry",
    "lr_start",
    "slots_since",
    "convolutions",
    "recipe",
    "rollback",
    "snapshots",
    "validation",
    "holdout",
    "metrics",
    "quarantine",
    "face_losses",
]


@dataclass(frozen=True)
class RunEntry:
    """One key.

    Attributes
    ----------
    schema : Schema
    holds : str
        What it is, for people.
    """

    schema: Schema
    holds: str


def _record(required: dict[str, Schema], optional: dict[str, Schema] | None = None) -> Record:
    return Record(required, optional or {}, others=ANYTHING)


_COUNT: Final = Integer(0)
_NUMBERS: Final = Table(Optional(Number()))
_STREAMS: Final = "what its last run saved"
_RATES: Final = "state of rates"

ENTRIES: Final[Mapping[Key, RunEntry]] = {
    # data: the streams of faces (`train.batch_source`)
    "seed": RunEntry(Integer(), _STREAMS),
    "positions": RunEntry(Table(_COUNT), _STREAMS),
    "retry": RunEntry(_COUNT, _STREAMS),
    # `models.rates`
    "lr_start": RunEntry(_COUNT, _RATES),
    "slots_since": RunEntry(Table(_COUNT), _RATES),
    # `dfl_tf_ops.convolution_forms`
    "convolutions": RunEntry(
        _record({"machine": ANYTHING, "forms": Table(ANYTHING)}), "forms of convolutions"
    ),
    # `train.recipe_state`
    "recipe": RunEntry(
        _record(
            {"recipe": Text(), "phase": Text(), "start": _COUNT},
            {
                "seconds": Number(0),
                "done": Array(
                    Record({"name": Text(), "until": Text(), "start": _COUNT, "end": _COUNT}, {})
                ),
                "finished": ANYTHING,
                "set": ANYTHING,
            },
        ),
        "state of a recipe",
    ),
    # `train.rollback`
    "rollback": RunEntry(
        _record(
            {"retry": _COUNT, "tries": _COUNT, "until": _COUNT},
            {
                "remedies": Table(ANYTHING),
                "since": Table(_COUNT),
                "undone": Array(Row(_COUNT, _COUNT)),
            },
        ),
        "state of roll-backs",
    ),
    # `train.snapshots`: those that are kept for roll-backs, newest last
    "snapshots": RunEntry(Array(Row(Text(), _COUNT)), "list of snapshots"),
    # `train.validation`: all measurements, what is held out, and the numbers of the last one
    "validation": RunEntry(
        Array(
            _record(
                {
                    "iteration": _COUNT,
                    "value": Optional(Number()),
                    "key": Text(),
                    "best": Boolean(),
                    "metrics": _NUMBERS,
                }
            )
        ),
        _STREAMS,
    ),
    "holdout": RunEntry(_record({}, {"share": Number(), "since": _COUNT}), _STREAMS),
    "metrics": RunEntry(Table(Number()), _STREAMS),
    # `train.quarantine`
    "quarantine": RunEntry(
        Array(
            _record(
                {"side": Text(), "data": Text(), "face": Text(), "iteration": _COUNT, "why": Text()}
            )
        ),
        "list of faces that are left out",
    ),
    # `train.outliers`
    "face_losses": RunEntry(_record({"faces": Text(), "data": Text()}), "losses of faces"),
}


def stored(run: Mapping[str, object], key: Key) -> Any:
    """Return what is stored under a key, or None.

    Parameters
    ----------
    run : mapping
        `ModelState.run`.
    key : str

    Raises
    ------
    ModelFileError
        If it is not what its part stores.
    """
    if key not in run:
        return None
    entry = ENTRIES[key]
    schema = Record({key: entry.schema}, {})
    check_tree({key: run[key]}, schema, what="the model", kind=entry.holds, error=ModelFileError)
    return run[key]


def check_run(run: Mapping[str, object]) -> None:
    """Refuse to write what could not be read again.

    Raises
    ------
    ModelFileError
        If one of the declared keys holds something else.
    """
    for key in ENTRIES:
        stored(run, key)
