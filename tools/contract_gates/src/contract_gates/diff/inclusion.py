"""Schema inclusion: does a reader accept everything that a writer may write?

One guarantee: where `accepts` gives no reason against it, every value that the writer's schema
lets through, with the fields that it names and no others, passes the reader's schema.

The house rules are part of the question. Readers ignore fields that they do not know, so an open
object may get more fields; a writer writes the fields that its schema names, so a field that only
the reader names is absent. Patterns and formats are compared as text; a keyword that is not known
here is judged only where both sides say the same.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import jsonschema_rs

from contract_gates.diff.documents import ANNOTATIONS
from contract_gates.diff.shapes import EVERY_TYPE, Bound, Schema, Shape, shapes

# Above that, a range of integers is compared by its ends, not by its values.
_FEW_INTEGERS = 1_000
# Reasons that break nothing by themselves; whoever asks knows whether they matter.
FIELD_UNWRITTEN = "field-unwritten"
FIELD_UNREAD = "field-unread"
NOTES = frozenset({FIELD_UNWRITTEN, FIELD_UNREAD})

_Path = tuple[str, ...]
# Keywords that hold schemas by names, which may be what keywords are called, too.
_NAMED = frozenset({"properties", "patternProperties", "dependentSchemas", "$defs"})
# A schema that contains itself does not stand alone, so no value can be tried on it.
_UNUSABLE = (jsonschema_rs.ReferencingError, ValueError)


@dataclass(frozen=True)
class Reason:
    """Why a reader would not accept something (or, of a kind in NOTES, what gets lost).

    `kind` is stable and short; `pointer` leads into the data, with `*` for any item. `reader` and
    `writer` are the two schemas that differ, `keyword` what differs in them.
    """

    kind: str
    pointer: str
    text: str
    keyword: str
    reader: Any
    writer: Any


def accepts(reader: Schema, writer: Schema) -> list[Reason]:
    """Reasons why the reader would refuse a value that the writer lets through, and notes.

    Both schemas stand alone: their `$ref`s are followed. An empty list, but for notes, is a yes.
    """
    return list(_accepts(reader, writer, ()))


def breaks(reader: Schema, writer: Schema) -> list[Reason]:
    """As `accepts`, without the notes."""
    return [reason for reason in accepts(reader, writer) if reason.kind not in NOTES]


def meaning(schema: Any) -> Any:
    """The schema without the words for people: two that mean the same are equal."""
    if isinstance(schema, list):
        return [meaning(each) for each in schema]
    if not isinstance(schema, Mapping):
        return schema
    return {
        key: {name: meaning(each) for name, each in value.items()}
        if key in _NAMED and isinstance(value, Mapping)
        else (value if key in ("enum", "const") else meaning(value))
        for key, value in schema.items()
        if key not in ANNOTATIONS and not key.startswith("x-")
    }


def _accepts(reader: Schema, writer: Schema, path: _Path) -> Iterator[Reason]:
    if meaning(reader) == meaning(writer):
        return
    readers = shapes(reader)
    for each in shapes(writer):
        if _is_empty(each):
            continue
        if len(readers) == 1 and not _says_one_of(reader):
            yield from _one_by_one(reader, readers[0], each, path)
        elif not all(_fits_one(reader, readers, kind, path) for kind in _by_type(each)):
            text = "none of the alternatives that are read is sure to fit what may be written"
            yield _reason("alternatives", path, text, "anyOf", reader, each.source)


def _by_type(shape: Shape) -> list[Shape]:
    """One shape for each type: an alternative may take the one, and another the other."""
    if shape.values is not None:
        return [shape]
    kinds = [shape.types & {"integer", "number"}]
    kinds += [frozenset({each}) for each in shape.types - {"integer", "number"}]
    return [replace(shape, types=kind) for kind in kinds if kind]


def _fits_one(reader: Schema, readers: list[Shape], writer: Shape, path: _Path) -> bool:
    if not readers:
        return False
    if (values := _few_values(writer)) is not None:
        return not _refused(reader, writer, values)
    if _says_one_of(reader):
        # That one alternative fits does not say that no other does, too.
        return False
    return any(
        all(reason.kind in NOTES for reason in _one_by_one(each.source, each, writer, path))
        for each in readers
    )


def _says_one_of(schema: Schema) -> bool:
    return not isinstance(schema, bool) and (
        "oneOf" in schema or any(map(_says_one_of, schema.get("allOf", ())))
        or any(map(_says_one_of, schema.get("anyOf", ())))
    )  # fmt: skip


def _one_by_one(schema: Schema, reader: Shape, writer: Shape, path: _Path) -> Iterator[Reason]:
    """Keyword by keyword, what the reader asks and the writer does not promise."""
    values = _few_values(writer)
    if values is not None and (reader.values is not None or writer.values is not None):
        yield from _values_accepted(schema, reader, writer, values, path)
        return
    for keyword, value in reader.unjudged.items():
        said = {key: told for key, told in writer.unjudged.items() if key == keyword}
        if meaning(said) != meaning({keyword: value}):
            text = f"whether {keyword} lets everything through cannot be judged"
            yield _reason("unjudged", path, text, keyword, reader.source, writer.source)
    excess = _excess_types(reader, writer)
    if excess:
        text = f"{_listed(excess)} may be written, {_listed(reader.types)} is read"
        yield _reason("type", path, text, "type", reader.source, writer.source)
        return
    if reader.values is not None:
        text = f"more may be written than {_listed(map(repr, reader.values))}"
        yield _reason("enum", path, text, "enum", reader.source, writer.source)
        return
    if writer.types & {"integer", "number"}:
        yield from _numbers_accepted(reader, writer, path)
    if "string" in writer.types:
        yield from _strings_accepted(reader, writer, path)
    if "array" in writer.types:
        yield from _arrays_accepted(reader, writer, path)
    if "object" in writer.types:
        yield from _objects_accepted(reader, writer, path)


def _excess_types(reader: Shape, writer: Shape) -> frozenset[str]:
    excess = writer.types - reader.types
    if "integer" in reader.types and _are_whole(writer):
        excess -= {"number"}
    return excess


def _values_accepted(
    schema: Schema, reader: Shape, writer: Shape, values: list[Any], path: _Path
) -> Iterator[Reason]:
    refused = _refused(schema, writer, values)
    if not refused:
        return
    shown = ", ".join(map(repr, refused[:5])) + (" and others" if len(refused) > 5 else "")
    keyword = "enum" if "enum" in writer.source or "enum" in reader.source else "const"
    yield _reason(
        "enum", path, f"{shown} may be written and is not read", keyword,
        reader.source, writer.source,
    )  # fmt: skip


def _numbers_accepted(reader: Shape, writer: Shape, path: _Path) -> Iterator[Reason]:
    step = _step(writer)
    low, high = (
        _rounded(writer.low, step, math.ceil, 1),
        _rounded(writer.high, step, math.floor, -1),
    )
    if reader.low is not None and (low is None or _is_below(low, reader.low)):
        text = f"{_least(low)} may be written, {_least(reader.low)} is read"
        yield _reason("minimum", path, text, "minimum", reader.source, writer.source)
    if reader.high is not None and (high is None or _is_above(high, reader.high)):
        text = f"{_most(high)} may be written, {_most(reader.high)} is read"
        yield _reason("maximum", path, text, "maximum", reader.source, writer.source)
    for multiple in reader.multiples:
        if step is None or step % multiple:
            text = f"what is no multiple of {multiple} may be written, only multiples are read"
            yield _reason("multiple", path, text, "multipleOf", reader.source, writer.source)


def _strings_accepted(reader: Shape, writer: Shape, path: _Path) -> Iterator[Reason]:
    yield from _limits_accepted(reader, writer, path, "minLength", "maxLength", "characters")
    for pattern in sorted(reader.patterns - writer.patterns):
        text = f"text is read only if it matches {pattern}, which is not sure of what is written"
        yield _reason("pattern", path, text, "pattern", reader.source, writer.source)
    for form in sorted(reader.formats - writer.formats):
        text = f"text is read only in the format {form}, which is not sure of what is written"
        yield _reason("format", path, text, "format", reader.source, writer.source)


def _arrays_accepted(reader: Shape, writer: Shape, path: _Path) -> Iterator[Reason]:
    yield from _limits_accepted(reader, writer, path, "minItems", "maxItems", "items")
    longest = writer.limit("maxItems")
    if reader.is_unique and not writer.is_unique and longest > 1:
        text = "an item may be written twice, and each is read only once"
        yield _reason("unique", path, text, "uniqueItems", reader.source, writer.source)
    if reader.items is not None and longest > 0:
        written = True if writer.items is None else writer.items
        yield from _accepts(reader.items, written, (*path, "*"))


def _objects_accepted(reader: Shape, writer: Shape, path: _Path) -> Iterator[Reason]:
    for name in sorted(reader.required - writer.required):
        text = f"{name} may be absent, and is required to be read"
        yield _reason("required", (*path, name), text, "required", reader.source, writer.source)
    yield from _sizes_accepted(reader, writer, path)
    for name, written in writer.properties.items():
        if name in reader.properties:
            yield from _accepts(reader.properties[name], written, (*path, name))
        elif reader.additional is False:
            text = f"{name} may be written, and only the fields that are named are read"
            yield _reason(
                "closed", (*path, name), text, "additionalProperties", reader.source, writer.source
            )
        elif reader.additional in (None, True):
            text = f"{name} may be written, and nobody reads it"
            yield _reason(
                FIELD_UNREAD, (*path, name), text, "properties", reader.source, writer.source
            )
        else:
            assert reader.additional is not None
            yield from _accepts(reader.additional, written, (*path, name))
    if writer.is_free:
        yield from _any_field_accepted(reader, writer, path)
        return
    for name in reader.properties.keys() - writer.properties.keys() - reader.required:
        text = f"{name} is read where it is there, and is not written"
        yield _reason(
            FIELD_UNWRITTEN, (*path, name), text, "properties", reader.source, writer.source
        )


def _any_field_accepted(reader: Shape, writer: Shape, path: _Path) -> Iterator[Reason]:
    """The writer may write a field of any name: those that the reader names, and others."""
    written = True if writer.additional is None else writer.additional
    for name in reader.properties.keys() - writer.properties.keys():
        yield from _accepts(reader.properties[name], written, (*path, name))
    if reader.additional not in (None, True):
        yield from _accepts(reader.additional, written, (*path, "*"))


def _sizes_accepted(reader: Shape, writer: Shape, path: _Path) -> Iterator[Reason]:
    """How many fields an object has; a writer that names its fields has no more than those."""
    fewest = max(writer.limit("minProperties"), len(writer.required))
    most = writer.limit("maxProperties")
    if not writer.is_free:
        most = min(most, len(writer.properties.keys() | writer.required))
    if fewest < reader.limit("minProperties"):
        text = f"{fewest} fields may be written, at least {reader.limit('minProperties')} is read"
        yield _reason("size", path, text, "minProperties", reader.source, writer.source)
    if most > reader.limit("maxProperties"):
        text = f"{_count(most)} fields may be written, {reader.limit('maxProperties')} are read"
        yield _reason("size", path, text, "maxProperties", reader.source, writer.source)


def _limits_accepted(
    reader: Shape, writer: Shape, path: _Path, least: str, most: str, unit: str
) -> Iterator[Reason]:
    if writer.limit(least) < reader.limit(least):
        text = (
            f"{writer.limit(least)} {unit} may be written, at least {reader.limit(least)} is read"
        )
        yield _reason("length", path, text, least, reader.source, writer.source)
    if writer.limit(most) > reader.limit(most):
        text = f"{_count(writer.limit(most))} {unit} may be written, {reader.limit(most)} are read"
        yield _reason("length", path, text, most, reader.source, writer.source)


def _few_values(shape: Shape) -> list[Any] | None:
    """All the values of a shape, where they are few; None where they are not."""
    if shape.values is not None:
        return list(shape.values)
    if shape.types <= {"null", "boolean"}:
        values: list[Any] = [None] if "null" in shape.types else []
        return values + ([True, False] if "boolean" in shape.types else [])
    if shape.types == {"integer"} and shape.low is not None and shape.high is not None:
        low, high = _rounded(shape.low, Fraction(1), math.ceil, 1), shape.high
        assert low is not None
        if high.value - low.value < _FEW_INTEGERS:
            return list(range(int(low.value), math.floor(high.value) + 1))
    return None


def _refused(reader: Schema, writer: Shape, values: list[Any]) -> list[Any]:
    """Those of the writer's own values that the reader's schema refuses."""
    try:
        written, read = _validator(writer.source), _validator(reader)
    except _UNUSABLE:
        return values
    return [each for each in values if written.is_valid(each) and not read.is_valid(each)]


def _validator(schema: Any) -> jsonschema_rs.Draft202012Validator:
    plain = schema if isinstance(schema, bool) else meaning(schema)
    return jsonschema_rs.Draft202012Validator(plain, validate_formats=True)


def _is_empty(shape: Shape) -> bool:
    """Whether it is plain to see that nothing passes; a writer of nothing breaks no reader."""
    if shape.values is not None:
        return not _refused(False, shape, list(shape.values))
    return not shape.types & EVERY_TYPE


def _are_whole(shape: Shape) -> bool:
    """Whether its numbers are all whole."""
    return any(multiple.denominator == 1 for multiple in shape.multiples)


def _step(shape: Shape) -> Fraction | None:
    """Its numbers are multiples of that; None where they may be any."""
    steps = set(shape.multiples) | ({Fraction(1)} if "number" not in shape.types else set())
    if not steps:
        return None
    numerators = math.lcm(*(each.numerator for each in steps))
    return Fraction(numerators, math.gcd(*(each.denominator for each in steps)))


def _rounded(bound: Bound | None, step: Fraction | None, towards: Any, inward: int) -> Bound | None:
    """The outermost multiple of the step within the bound."""
    if bound is None or step is None:
        return bound
    multiple = towards(bound.value / step) * step
    if bound.is_open and multiple == bound.value:
        multiple += inward * step
    return Bound(multiple)


def _is_below(low: Bound, other: Bound) -> bool:
    return (low.value, low.is_open) < (other.value, other.is_open)


def _is_above(high: Bound, other: Bound) -> bool:
    return (high.value, not high.is_open) > (other.value, not other.is_open)


def _least(bound: Bound | None) -> str:
    if bound is None:
        return "any number, however small,"
    return f"{'more than' if bound.is_open else 'at least'} {_number(bound.value)}"


def _most(bound: Bound | None) -> str:
    if bound is None:
        return "any number, however large,"
    return f"{'less than' if bound.is_open else 'up to'} {_number(bound.value)}"


def _number(value: Fraction) -> str:
    return str(value.numerator) if value.denominator == 1 else f"{float(value):g}"


def _count(value: float) -> str:
    return "any number of" if math.isinf(value) else f"up to {value}"


def _listed(words: Any) -> str:
    return " or ".join(sorted(words))


def _reason(kind: str, path: _Path, text: str, keyword: str, reader: Any, writer: Any) -> Reason:
    return Reason(kind, "/" + "/".join(path) if path else "", text, keyword, reader, writer)
