"""Payloads that satisfy a schema, generated: old messages to try an upcaster or a reader on.

One guarantee: what `payloads` draws satisfies the schema, formats included, and holds only fields
that the schema names, as the house's own producers write it.
"""

import math
from datetime import UTC
from typing import Any

import jsonschema_rs
from hypothesis import strategies as st

from contract_gates.diff.inclusion import meaning
from contract_gates.diff.shapes import Schema, Shape, shapes

Payloads = st.SearchStrategy[Any]
# A number that nothing bounds is drawn from within what a double holds exactly.
_FAR = 2**53
_LONG_TEXT = 50
_MANY = 3


def payloads(schema: Schema) -> Payloads:
    """A strategy for values of the schema, whose `$ref`s are followed."""
    valid = jsonschema_rs.Draft202012Validator(meaning(schema), validate_formats=True)
    return _of(schema).filter(valid.is_valid)


def _of(schema: Schema) -> Payloads:
    return st.one_of([_of_shape(each) for each in shapes(schema)])


def _of_shape(shape: Shape) -> Payloads:
    if shape.values is not None:
        return st.sampled_from(shape.values) if shape.values else st.nothing()
    kinds: dict[str, Any] = {
        "null": lambda: st.none(),
        "boolean": lambda: st.booleans(),
        "integer": lambda: _integers(shape),
        "number": lambda: _numbers(shape),
        "string": lambda: _strings(shape),
        "array": lambda: _arrays(shape),
        "object": lambda: _objects(shape),
    }
    return st.one_of([kinds[kind]() for kind in sorted(shape.types)])


def _integers(shape: Shape) -> Payloads:
    low = -_FAR if shape.low is None else math.ceil(shape.low.value)
    high = _FAR if shape.high is None else math.floor(shape.high.value)
    if shape.multiples:
        step = math.lcm(*(max(1, int(each)) for each in shape.multiples))
        return st.integers(math.ceil(low / step), high // step).map(lambda n: n * step)
    return st.integers(low, high) if low <= high else st.nothing()


def _numbers(shape: Shape) -> Payloads:
    if shape.multiples:
        return _integers(shape)
    low = -float(_FAR) if shape.low is None else float(shape.low.value)
    high = float(_FAR) if shape.high is None else float(shape.high.value)
    return st.floats(low, high, allow_nan=False, allow_infinity=False)


def _strings(shape: Shape) -> Payloads:
    if "date-time" in shape.formats:
        return st.datetimes(timezones=st.just(UTC)).map(lambda moment: moment.isoformat())
    if "date" in shape.formats:
        return st.dates().map(lambda day: day.isoformat())
    if shape.patterns:
        # The simplest match of one; the schema itself filters by the others and by length.
        return st.from_regex(min(shape.patterns), fullmatch=min(shape.patterns)[-1:] == "$")
    if "uuid" in shape.formats:
        return st.uuids().map(str)
    least = int(shape.limit("minLength"))
    most = min(shape.limit("maxLength"), max(_LONG_TEXT, least))
    return st.text(min_size=least, max_size=int(most)) if least <= most else st.nothing()


def _arrays(shape: Shape) -> Payloads:
    least = int(shape.limit("minItems"))
    most = int(min(shape.limit("maxItems"), least + _MANY))
    items = st.integers() if shape.items is None else _of(shape.items)
    if most == 0 or items.is_empty:
        return st.just([]) if least == 0 else st.nothing()
    return st.lists(
        items, min_size=least, max_size=most, unique_by=repr if shape.is_unique else None
    )


def _objects(shape: Shape) -> Payloads:
    named = {name: _of(each) for name, each in shape.properties.items()}
    further = {name: st.just(1) for name in shape.required - named.keys()}
    needed = {name: each for name, each in named.items() if name in shape.required} | further
    optional = {
        name: each
        for name, each in named.items()
        if name not in shape.required and not each.is_empty
    }
    fields = st.fixed_dictionaries(needed, optional=optional)
    if not shape.is_free:
        return fields
    values = st.integers() if shape.additional in (None, True) else _of(shape.additional or True)
    others = st.dictionaries(st.sampled_from("uvwxyz"), values, max_size=_MANY)
    return st.tuples(others, fields).map(lambda both: both[0] | both[1])
