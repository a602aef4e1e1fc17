"""A tree schema as JSON Schema, for the authors of other tools."""

from __future__ import annotations

import math

from dfl_tf.disk.tree_schema import (
    Array,
    Boolean,
    Either,
    Integer,
    Number,
    Optional,
    Record,
    Row,
    Schema,
    Table,
    Text,
)

_INTEGERS = (-(2**63), 2**63 - 1)


def json_schema(schema: Schema) -> dict[str, object]:
    """Say in JSON Schema (draft 2020-12) what a tree schema accepts.

    What JSON Schema cannot say is left out: NUL characters and the number of digits.
    """
    match schema:
        case Text():
            return _text(schema)
        case Integer():
            return {"type": "integer", **_limits(schema.low, schema.high)}
        case Number():
            return {"type": "number", **_limits(schema.low, schema.high)}
        case Boolean():
            return {"enum": [False, True, *([0, 1] if schema.or_digit else [])]}
        case Optional():
            return {"anyOf": [{"type": "null"}, json_schema(schema.inner)]}
        case Either():
            return {"anyOf": [json_schema(choice) for choice in schema.choices]}
        case Row():
            size = len(schema.items)
            return {"type": "array", **_row(schema), "minItems": size, "maxItems": size}
        case Array():
            return {
                "type": "array",
                "items": json_schema(schema.item),
                "maxItems": schema.longest,
            }
        case Table():
            return {
                "type": "object",
                "propertyNames": json_schema(schema.key),
                "additionalProperties": json_schema(schema.value),
            }
        case Record():
            return _record(schema)
    return {}


def _text(schema: Text) -> dict[str, object]:
    if schema.choices:
        return {"enum": list(schema.choices)}
    pattern = {"pattern": f"^(?:{schema.pattern})$"} if schema.pattern else {}
    return {"type": "string", "maxLength": schema.longest, **pattern}


def _limits(low: float, high: float) -> dict[str, float]:
    limits = {}
    if math.isfinite(low) and low != _INTEGERS[0]:
        limits["minimum"] = low
    if math.isfinite(high) and high != _INTEGERS[1]:
        limits["maximum"] = high
    return limits


def _row(schema: Row) -> dict[str, object]:
    items = [json_schema(item) for item in schema.items]
    if all(item == items[0] for item in items):
        return {"items": items[0]} if items else {}
    return {"prefixItems": items}


def _record(schema: Record) -> dict[str, object]:
    properties = {**schema.required, **schema.optional}
    return {
        "type": "object",
        "required": list(schema.required),
        "properties": {key: json_schema(value) for key, value in properties.items()},
        "additionalProperties": schema.others is not None and json_schema(schema.others),
    }
