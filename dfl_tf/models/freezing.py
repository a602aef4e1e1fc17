"""Networks that a training leaves as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from dfl_tf.errors import OptionError
from dfl_tf.models.step import Update
from dfl_tf.nn.layers import Network


def without_frozen(
    updates: Sequence[Update], networks: Mapping[str, Network], frozen: Sequence[str]
) -> list[Update]:
    """Return the updates of a step, without the weights of some networks.

    An update that would move nothing is left out, but not the first one, which reports the losses.

    Parameters
    ----------
    updates : sequence of Update
    networks : mapping
        Those of the model.
    frozen : sequence of str
        Some of their names; those that the model does not have mean nothing.

    Raises
    ------
    OptionError
        If the first update would move nothing.
    """
    kept = {id(v) for part in frozen if part in networks for v in networks[part].weights}
    if not kept:
        return list(updates)
    left = [
        replace(update, variables=tuple(v for v in update.variables if id(v) not in kept))
        for update in updates
    ]
    if left and not left[0].variables:
        raise OptionError(
            f"freeze={','.join(frozen)} leaves nothing to train. Leave out at least one of the "
            "networks that make faces."
        )
    return [update for update in left if update.variables]
