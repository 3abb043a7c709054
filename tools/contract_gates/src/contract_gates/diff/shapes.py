"""A schema as what it lets through: alternatives, each with one value per keyword.

One guarantee: the alternatives of a schema together let through at least what the schema does, and
exactly that where it holds neither `oneOf` nor a keyword in `Shape.unjudged`.

`anyOf` and `oneOf` become alternatives, `allOf` is merged: the stricter of two bounds, both of two
patterns. What is left is flat, and two flat shapes can be compared keyword by keyword.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from contract_gates.diff.documents import ANNOTATIONS

Schema = Mapping[str, Any] | bool

EVERY_TYPE = frozenset({"null", "boolean", "integer", "number", "string", "array", "object"})
_LOWER = ("minLength", "minItems", "minProperties")
_UPPER = ("maxLength", "maxItems", "maxProperties")
_KNOWN = frozenset(
    {"type", "enum", "const", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}
    | {"multipleOf", "pattern", "format", "uniqueItems", "items", "properties", "required"}
    | {"additionalProperties", *_LOWER, *_UPPER}
)


@dataclass(frozen=True)
class Bound:
    """An end of a range of numbers; `is_open` if the value itself is outside."""

    value: Fraction
    is_open: bool = False


@dataclass(frozen=True)
class Shape:
    """One alternative. `limits` holds the length and size keywords; None where nothing is said.

    `source` is the schema that it comes from, to say where something stands. `additional` is what
    an object's further fields must be like: False for none, None where nothing is said.
    """

    source: Mapping[str, Any]
    types: frozenset[str] = EVERY_TYPE
    values: tuple[Any, ...] | None = None
    low: Bound | None = None
    high: Bound | None = None
    multiples: frozenset[Fraction] = frozenset()
    limits: Mapping[str, int] = field(default_factory=dict)
    patterns: frozenset[str] = frozenset()
    formats: frozenset[str] = frozenset()
    is_unique: bool = False
    items: Schema | None = None
    properties: Mapping[str, Schema] = field(default_factory=dict)
    required: frozenset[str] = frozenset()
    additional: Schema | None = None
    unjudged: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_free(self) -> bool:
        """Whether its objects may have fields of any name: it names none, or says so."""
        return self.additional not in (None, False) or (
            self.additional is None and not self.properties
        )

    def limit(self, keyword: str) -> int | float:
        """A length or size; without one, zero for the least and infinity for the most."""
        return self.limits.get(keyword, 0 if keyword.startswith("min") else math.inf)


def shapes(schema: Schema) -> list[Shape]:
    """The schema's alternatives; none for `false`."""
    return [_merged(parts) for parts in _alternatives(schema)]


def _alternatives(schema: Schema) -> list[list[Mapping[str, Any]]]:
    """Each alternative as the flat schemas that all hold in it."""
    if isinstance(schema, bool):
        return [[{}]] if schema else []
    choices: list[list[list[Mapping[str, Any]]]] = [[[schema]]]
    choices.extend(_alternatives(part) for part in schema.get("allOf", ()))
    for keyword in ("anyOf", "oneOf"):
        if keyword in schema:
            choices.append([each for part in schema[keyword] for each in _alternatives(part)])
    return [list(itertools.chain(*picked)) for picked in itertools.product(*choices)]


def _merged(parts: Sequence[Mapping[str, Any]]) -> Shape:
    low, high = _range(parts)
    return Shape(
        source=max(parts, key=lambda part: len(part.keys() & _KNOWN)),
        types=_types(parts),
        values=_values(parts),
        low=low,
        high=high,
        multiples=frozenset(Fraction(str(value)) for value in _all(parts, "multipleOf")),
        limits=_limits(parts),
        patterns=frozenset(_all(parts, "pattern")),
        formats=frozenset(_all(parts, "format")),
        is_unique=any(_all(parts, "uniqueItems")),
        items=_both(_all(parts, "items")),
        properties=_properties(parts),
        required=frozenset(itertools.chain(*_all(parts, "required"))),
        additional=_both(_all(parts, "additionalProperties")),
        unjudged=_unjudged(parts),
    )


def _all(parts: Sequence[Mapping[str, Any]], keyword: str) -> list[Any]:
    return [part[keyword] for part in parts if keyword in part]


def _types(parts: Sequence[Mapping[str, Any]]) -> frozenset[str]:
    types = EVERY_TYPE
    for said in _all(parts, "type"):
        named = {said} if isinstance(said, str) else set(said)
        types &= named | ({"integer"} if "number" in named else set())
    return types


def _values(parts: Sequence[Mapping[str, Any]]) -> tuple[Any, ...] | None:
    lists = [*_all(parts, "enum"), *([value] for value in _all(parts, "const"))]
    if not lists:
        return None
    first, *others = lists
    return tuple(value for value in first if all(value in other for other in others))


def _range(parts: Sequence[Mapping[str, Any]]) -> tuple[Bound | None, Bound | None]:
    def bounds(closed: str, opened: str) -> list[Bound]:
        return [
            *(Bound(Fraction(str(value))) for value in _all(parts, closed)),
            *(Bound(Fraction(str(value)), is_open=True) for value in _all(parts, opened)),
        ]

    lows = bounds("minimum", "exclusiveMinimum")
    highs = bounds("maximum", "exclusiveMaximum")
    return (
        max(lows, key=lambda bound: (bound.value, bound.is_open), default=None),
        min(highs, key=lambda bound: (bound.value, not bound.is_open), default=None),
    )


def _limits(parts: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    found = {}
    for keywords, stricter in ((_LOWER, max), (_UPPER, min)):
        for keyword in keywords:
            if values := _all(parts, keyword):
                found[keyword] = stricter(values)
    return found


def _properties(parts: Sequence[Mapping[str, Any]]) -> dict[str, Schema]:
    said = _all(parts, "properties")
    names = dict.fromkeys(name for each in said for name in each)
    found = {}
    for name in names:
        both = _both([each[name] for each in said if name in each])
        assert both is not None
        found[name] = both
    return found


def _both(schemas: Sequence[Schema]) -> Schema | None:
    """One schema for several that all hold; None for none."""
    if len(schemas) < 2:
        return schemas[0] if schemas else None
    return {"allOf": list(schemas)}


def _unjudged(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Keywords that this module does not know, with their values."""
    known = _KNOWN | ANNOTATIONS | {"allOf", "anyOf", "oneOf", "$defs"}
    found = {key: part[key] for part in parts for key in part.keys() - known if key[:2] != "x-"}
    if len(parts) > 1 and any("additionalProperties" in part for part in parts):
        # It looks at the fields beside it alone, which are no longer apart once merged.
        limited = [part for part in parts if part.get("additionalProperties", True) is not True]
        if limited:
            found["additionalProperties"] = limited
    return found
