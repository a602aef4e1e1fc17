"""Old option dictionaries: what is converted when a model is loaded (options.md 5)."""

from __future__ import annotations

from collections.abc import Mapping

from dfl_tf.errors import LegacyFormatError

from . import schema
from .foreign import DFL1_KEYS, MVE_COLOR_TRANSFERS
from .resolve import Layer
from .saehd import archi_error
from .schema import Options


def legacy_layer(
    cls: type[Options],
    stored: Mapping[str, object],
    *,
    origin: str,
    rmsprop_slots: bool | None = None,
    inferred: Mapping[str, object] | None = None,
) -> Layer:
    """Convert a stored option dictionary to today's keys and values.

    Parameters
    ----------
    cls : type
        Class of options of the model.
    stored : mapping
        `options` of data.dat, not modified. NumPy scalars become plain values.
    origin : str
        The file, for messages.
    rmsprop_slots : bool, optional
        Whether the optimizer file holds RMSprop accumulators (None: not known). Decides
        `adabelief` where the dictionary is older than that option.
    inferred : mapping, optional
        Values read off the shapes of the weights (`archi`, `inter_dims`, …), used where the
        dictionary is silent or cannot be believed.

    Returns
    -------
    Layer
        Of kind "stored"; `notes` says in words what was converted.

    Raises
    ------
    LegacyFormatError
        For models of DeepFaceLab 1.x.
    """
    values = {key: schema.plain(value) for key, value in stored.items()}
    shapes = dict(inferred or {})
    _refuse_dfl1(values, origin)
    notes: list[str] = []
    convert = (_dropout, _priorities, _flips, _color_transfer, _mask)
    for step in convert:
        step(cls.NAME, values, notes)
    if cls.NAME == "SAEHD":
        _optimizer(values, rmsprop_slots, notes)
        _hd_archi(values, shapes, notes)
    if cls.NAME == "AMP" and values.get("inter_dims") is None:
        values["inter_dims"] = shapes.get("inter_dims", 1024)
        found = "read off the weights" if "inter_dims" in shapes else "taken from the default"
        notes.append(f"inter_dims was not stored: {values['inter_dims']}, {found}")
    return Layer(
        values,
        origin,
        kind="stored",
        notes=tuple(f"{note} ({origin})" for note in notes),
        order=tuple(stored),
    )


def _refuse_dfl1(values: Mapping[str, object], origin: str) -> None:
    old = sorted(DFL1_KEYS & values.keys())
    # early 2.0 dictionaries may carry a stray old key; those of 1.x never have the new dimensions
    if old and "e_dims" not in values:
        raise LegacyFormatError(
            f"{origin}: this is a model of DeepFaceLab 1.x (it has {', '.join(old)}), a Keras "
            "network that cannot be converted; train a new model"
        )


def _dropout(_: str, values: dict[str, object], notes: list[str]) -> None:
    value = values.get("lr_dropout")
    if isinstance(value, bool):
        values["lr_dropout"] = "y" if value else "n"
        notes.append(f"lr_dropout {value} is {values['lr_dropout']} now")


def _priorities(name: str, values: dict[str, object], notes: list[str]) -> None:
    if name != "SAEHD" or "eyes_prio" not in values:
        return
    wanted = bool(values["eyes_prio"]) or bool(values.get("mouth_prio"))
    if values.get("eyes_mouth_prio") is None:
        values["eyes_mouth_prio"] = wanted
        notes.append(f"eyes_mouth_prio is {schema.show(wanted)}, from the older eyes_prio")
    if "mouth_prio" not in values:
        del values["eyes_prio"]


def _flips(_: str, values: dict[str, object], notes: list[str]) -> None:
    if "random_flip" in values and values.get("random_src_flip") is None:
        notes.append("random_flip is not used any more: src is not flipped, dst is")


def _color_transfer(_: str, values: dict[str, object], notes: list[str]) -> None:
    mode = values.get("ct_mode")
    if mode in MVE_COLOR_TRANSFERS:
        values["ct_mode"] = "none"
        notes.append(f"ct_mode {mode} of the MVE fork is not there: none is used")


def _mask(_: str, values: dict[str, object], notes: list[str]) -> None:
    if values.get("learn_mask") is False:
        notes.append("learn_mask was off: the mask decoder of this model has not been trained")


def _optimizer(values: dict[str, object], rmsprop_slots: bool | None, notes: list[str]) -> None:
    if values.get("adabelief") is not None:
        return
    values["adabelief"] = not rmsprop_slots
    if rmsprop_slots:
        notes.append("adabelief was not stored: off, since the model was trained with RMSprop")
    elif rmsprop_slots is None:
        notes.append("adabelief was not stored: on, as DeepFaceLab does")


def _hd_archi(values: dict[str, object], shapes: Mapping[str, object], notes: list[str]) -> None:
    archi = values.get("archi")
    if isinstance(archi, str) and archi_error(archi) and "archi" in shapes:
        values["archi"] = shapes["archi"]
        notes.append(
            f"archi {archi} is not known; the shapes of all weights are those of {shapes['archi']}"
        )
