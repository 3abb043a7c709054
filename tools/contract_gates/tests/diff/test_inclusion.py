"""The engine against a judge: a validator that knows nothing of inclusion.

Guarantee: for generated pairs of schemas, a yes means that no drawn payload of the writer fails at
the reader; and where both are of the kinds that can be decided, a no comes with one that does.
"""

from typing import Any

import jsonschema_rs
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from contract_gates.diff.inclusion import FIELD_UNREAD, FIELD_UNWRITTEN, accepts, breaks
from contract_gates.diff.payloads import payloads

Schema = dict[str, Any]
SMALL = st.integers(-4, 8)
SIZES = st.integers(0, 3)
EXAMPLES = settings(deadline=None, max_examples=120, suppress_health_check=list(HealthCheck))
NAMES = ("a", "b", "c")


def valid(schema: Schema, data: Any) -> bool:
    return jsonschema_rs.Draft202012Validator(schema, validate_formats=True).is_valid(data)


@st.composite
def integers(draw: st.DrawFn) -> Schema:
    low, high = sorted((draw(SMALL), draw(SMALL)))
    schema: Schema = {"type": "integer"}
    if draw(st.booleans()):
        schema |= draw(st.sampled_from([{"minimum": low}, {"exclusiveMinimum": low - 1}]))
    if draw(st.booleans()):
        schema |= draw(st.sampled_from([{"maximum": high}, {"exclusiveMaximum": high + 1}]))
    return schema


@st.composite
def enums(draw: st.DrawFn) -> Schema:
    values = draw(st.lists(st.sampled_from(["x", "y", "z", 1, 2, None]), min_size=1, unique=True))
    return {"enum": values} if len(values) > 1 else {"const": values[0]}


@st.composite
def texts(draw: st.DrawFn) -> Schema:
    low, more = draw(SIZES), draw(SIZES)
    schema: Schema = {"type": "string"}
    if draw(st.booleans()):
        schema["minLength"] = low
    if draw(st.booleans()):
        schema["maxLength"] = low + more
    return schema


def decidable() -> st.SearchStrategy[Schema]:
    """The kinds for which a no is exact."""
    simple = st.one_of(integers(), enums(), texts(), st.just({"type": "boolean"}))
    return st.recursive(simple, lambda inner: st.one_of(lists(inner), objects(inner)), max_leaves=4)


@st.composite
def lists(draw: st.DrawFn, inner: st.SearchStrategy[Schema]) -> Schema:
    low = draw(SIZES)
    # At least one item, or the items' own schema would not matter.
    bounds = {"minItems": low, "maxItems": low + draw(st.integers(1, 2))}
    return {"type": "array", "items": draw(inner), **bounds}


@st.composite
def objects(draw: st.DrawFn, inner: st.SearchStrategy[Schema]) -> Schema:
    properties = draw(st.dictionaries(st.sampled_from(NAMES), inner, min_size=1))
    required = draw(st.lists(st.sampled_from(sorted(properties)), unique=True))
    closed = draw(st.sampled_from([{}, {"additionalProperties": False}]))
    return {"type": "object", "properties": properties, "required": required, **closed}


@st.composite
def anything(draw: st.DrawFn) -> Schema:
    """Every keyword that the engine knows."""
    numbers = st.one_of(
        integers(),
        integers().map(lambda schema: {**schema, "type": "number"}),
        st.sampled_from(
            [{"type": "integer", "multipleOf": 2}, {"type": "number", "multipleOf": 4}]
        ),
    )
    patterns = st.sampled_from(
        [{"type": "string", "pattern": "^[a-z]{2,3}$"}, {"type": "string", "format": "uuid"},
         {"type": "string", "format": "date-time"}, {"type": ["string", "null"]}]
    )  # fmt: skip
    simple = st.one_of(numbers, enums(), texts(), patterns)
    maps = simple.map(lambda schema: {"type": "object", "additionalProperties": schema})
    either = st.lists(simple, min_size=1, max_size=3)
    several = st.sampled_from(["anyOf", "oneOf"])
    mixed = st.tuples(several, either).map(lambda pair: {pair[0]: pair[1]})
    merged = st.tuples(integers(), integers()).map(lambda pair: {"allOf": list(pair)})
    unique = simple.map(
        lambda schema: {"type": "array", "items": schema, "uniqueItems": True, "maxItems": 3}
    )
    leaves = st.one_of(simple, maps, mixed, merged, unique)
    drawn: Schema = draw(
        st.recursive(leaves, lambda inner: st.one_of(lists(inner), objects(inner)), max_leaves=4)
    )
    return drawn


def close_to(schema: Schema, draw: Any) -> Schema:
    """The schema with some parts replaced: two drawn apart would hardly ever fit each other."""
    changed = dict(schema)
    for keyword in ("minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems"):
        if keyword in changed and draw(st.booleans()):
            changed[keyword] = max(0, changed[keyword] + draw(st.integers(-1, 1)))
    if "required" in changed:
        changed["required"] = [each for each in changed["properties"] if draw(st.booleans())]
    if isinstance(changed.get("items"), dict):
        changed["items"] = close_to(changed["items"], draw)
    if "properties" in changed:
        changed["properties"] = {k: close_to(v, draw) for k, v in changed["properties"].items()}
    return changed


@EXAMPLES
@given(st.data(), anything())
def test_yes_means_that_whatever_is_written_is_read(data: Any, writer: Schema) -> None:
    reader = data.draw(st.one_of(anything(), st.just(close_to(writer, data.draw))))
    assume(not breaks(reader, writer))
    written = data.draw(payloads(writer))
    assert valid(reader, written), (reader, writer, written)


def extremes(schema: Schema) -> list[Any]:
    """Payloads at the ends of what a decidable schema lets through."""
    if "enum" in schema or "const" in schema:
        return list(schema.get("enum", [schema.get("const")]))
    kinds = {
        "boolean": lambda: [True, False],
        "integer": lambda: _ends_of_integers(schema),
        "string": lambda: [
            "x" * schema.get("minLength", 0), "x" * schema.get("maxLength", 60)
        ],
        "array": lambda: [
            [each] * schema[size] for size in ("minItems", "maxItems")
            for each in extremes(schema["items"])
        ],
        "object": lambda: _ends_of_objects(schema),
    }  # fmt: skip
    found: list[Any] = kinds[schema["type"]]()
    return found


def _ends_of_integers(schema: Schema) -> list[int]:
    low = schema.get("minimum", schema.get("exclusiveMinimum", -(10**6)) + 1)
    return [low, schema.get("maximum", schema.get("exclusiveMaximum", 10**6) - 1)]


def _ends_of_objects(schema: Schema) -> list[Any]:
    values = {name: extremes(each) for name, each in schema["properties"].items()}
    needed = {name: values[name][0] for name in schema["required"]}
    return [needed] + [needed | {name: each} for name in values for each in values[name]]


@EXAMPLES
@given(writer=st.one_of(integers(), enums()), reader=st.one_of(integers(), enums()))
def test_verdict_on_numbers_and_enums_is_exact(reader: Schema, writer: Schema) -> None:
    universe: list[Any] = [*range(-50, 50), 2**60, -(2**60), "x", "y", "z", None, 1.5]
    counterexamples = [v for v in universe if valid(writer, v) and not valid(reader, v)]
    assert bool(breaks(reader, writer)) == bool(counterexamples)


@EXAMPLES
@given(
    *(st.tuples(st.sets(st.sampled_from(NAMES)), st.sets(st.sampled_from(NAMES))) for _ in "rw"),
    st.booleans(),
)
def test_verdict_on_required_and_closed_fields_is_exact(
    read: tuple[set[str], set[str]], written: tuple[set[str], set[str]], is_closed: bool
) -> None:
    def of(names: set[str], required: set[str]) -> Schema:
        properties = {name: {"type": "integer"} for name in sorted({*names, *required, "z"})}
        return {"type": "object", "properties": properties, "required": sorted(required)}

    reader, writer = of(*read), of(*written)
    if is_closed:
        reader["additionalProperties"] = False
    names = [*writer["properties"]]
    all_of_them = [
        {name: 1 for i, name in enumerate(names) if mask >> i & 1}
        for mask in range(2 ** len(names))
    ]
    counterexamples = [v for v in all_of_them if valid(writer, v) and not valid(reader, v)]
    assert bool(breaks(reader, writer)) == bool(counterexamples)


@EXAMPLES
@given(st.data(), decidable())
def test_no_comes_with_something_written_that_is_not_read(data: Any, writer: Schema) -> None:
    reader = close_to(writer, data.draw)
    assume(breaks(reader, writer))
    assert any(valid(writer, each) and not valid(reader, each) for each in extremes(writer))


@pytest.mark.parametrize(
    ("reader", "writer", "kind", "pointer"),
    [
        ({"type": "integer", "maximum": 5}, {"type": "integer", "maximum": 10}, "maximum", ""),
        ({"exclusiveMinimum": 0}, {"type": "number", "minimum": 0}, "minimum", ""),
        ({"type": "integer"}, {"type": "number"}, "type", ""),
        ({"enum": [1, 2]}, {"type": "integer", "minimum": 1, "maximum": 3}, "enum", ""),
        ({"multipleOf": 4}, {"type": "integer", "multipleOf": 6}, "multiple", ""),
        ({"oneOf": [{"type": "string"}, {"type": "null"}]}, {"type": "string"}, "alternatives", ""),
        ({"$ref": "#/$defs/Tree"}, {"type": "object"}, "unjudged", ""),
        (
            {"properties": {"a": {"items": {"type": "string"}}}},
            {"type": "object", "properties": {"a": {"type": "array", "items": {"type": "null"}}}},
            "type",
            "/a/*",
        ),
        (
            {"additionalProperties": {"type": "integer"}},
            {"type": "object", "properties": {"a": {"type": "string"}}},
            "type",
            "/a",
        ),
        (
            {"type": "object", "properties": {"a": {"type": "string"}}},
            {"type": "object"},
            "type",
            "/a",
        ),
    ],
)
def test_reason_says_what_and_where(
    reader: Schema, writer: Schema, kind: str, pointer: str
) -> None:
    (reason,) = breaks(reader, writer)
    assert (reason.kind, reason.pointer) == (kind, pointer)


@pytest.mark.parametrize("keyword", ["dependentSchemas", "patternProperties"])
def test_a_field_that_is_called_as_a_keyword_for_people_is_compared(keyword: str) -> None:
    reader, writer = ({keyword: {"title": {"required": [name]}}} for name in ("a", "b"))
    (reason,) = breaks(reader, writer)
    assert reason.keyword == keyword


@pytest.mark.parametrize(
    ("reader", "writer"),
    [
        ({"type": "number"}, {"type": "integer"}),
        ({"type": "integer"}, {"type": "number", "multipleOf": 3}),
        ({"multipleOf": 2}, {"type": "integer", "multipleOf": 6}),
        ({"minimum": 0, "maximum": 9}, {"type": "integer", "enum": [0, 9]}),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, {"type": ["null", "string"]}),
        ({"oneOf": [{"type": "string"}, {"type": "null"}]}, {"const": "yes"}),
        ({"type": "string", "pattern": "^a"}, {"type": "string", "pattern": "^a", "maxLength": 3}),
        ({"not": {"const": 3}}, {"not": {"const": 3}, "type": "integer"}),
        ({"description": "new"}, {"description": "old", "examples": [1]}),
    ],
)  # fmt: skip
def test_what_fits_is_accepted(reader: Schema, writer: Schema) -> None:
    assert breaks(reader, writer) == []


def test_fields_that_only_one_side_names_are_noted_and_break_nothing() -> None:
    reader = {"type": "object", "properties": {"a": {}, "b": {}}}
    writer = {"type": "object", "properties": {"a": {}, "c": {}}}
    assert breaks(reader, writer) == []
    notes = {(reason.kind, reason.pointer) for reason in accepts(reader, writer)}
    assert notes == {(FIELD_UNREAD, "/c"), (FIELD_UNWRITTEN, "/b")}
