"""Payloads by schema, for Hypothesis: any that a message's schema allows, and any near miss.

Guarantee: the strategies know the keywords of our schemas and no others; a schema that uses another
one raises UnknownKeyword instead of being half understood.

A seed draws the same for the same code and the same selection of tests only: Hypothesis also draws
constants that it finds in the modules which are loaded by then.

(hypothesis-jsonschema, which would do more than we need, fails on current Hypothesis.)
"""

import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, NamedTuple, TypeVar

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

T = TypeVar("T")

Schema = Mapping[str, Any]
Path = tuple[str | int, ...]

_KEYWORDS: Mapping[str, frozenset[str]] = {
    "object": frozenset({"properties", "required"}),
    "array": frozenset({"items", "minItems", "maxItems"}),
    "string": frozenset({"minLength", "maxLength", "pattern", "format", "enum", "const"}),
    "integer": frozenset({"minimum", "maximum"}),
}
_ANNOTATIONS = frozenset(
    {"$schema", "$id", "$defs", "title", "description", "examples", "type", "$ref", "x-closed"}
)
MISSING = "missing"
# A name that no contract has: what a later release might add.
UNKNOWN_FIELD = "added_later"
_UNKNOWN = st.fixed_dictionaries(
    {}, optional={UNKNOWN_FIELD: st.none() | st.integers(0, 9) | st.text(max_size=3)}
)


class UnknownKeyword(NotImplementedError):
    """A schema uses what this module does not know yet."""

    def __init__(self, kind: str, keyword: str) -> None:
        super().__init__(f"payloads.py has to learn {keyword!r} of a schema of type {kind!r}")


def payloads(schema: Schema) -> st.SearchStrategy[dict[str, Any]]:
    """Any object that the schema allows, optional fields absent or present, unknown ones too."""
    return _values(schema, schema)


def samples(strategy: st.SearchStrategy[T], count: int, by: int) -> list[T]:
    """So many values of a strategy, the same ones for the same seed, code and selection of tests:
    for tests that take them all at once, as those on servers do.
    """
    found: list[T] = []

    @seed(by)
    @settings(
        max_examples=count,
        phases=[Phase.generate],
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(strategy)
    def keep(value: T) -> None:
        found.append(value)

    keep()
    return found


def resolved(schema: Schema, root: Schema) -> Schema:
    """The schema with its reference into `$defs` followed, and checked for unknown keywords."""
    while "$ref" in schema:
        target = root["$defs"][schema["$ref"].removeprefix("#/$defs/")]
        schema = {**target, **{name: v for name, v in schema.items() if name != "$ref"}}
    kind = schema["type"]
    for keyword in schema.keys() - _ANNOTATIONS - _KEYWORDS.get(kind, frozenset()):
        raise UnknownKeyword(kind, keyword)
    return schema


def _values(schema: Schema, root: Schema) -> st.SearchStrategy[Any]:
    schema = resolved(schema, root)
    match schema["type"]:
        case "object":
            return _objects(schema, root)
        case "array":
            # Long lists are rare: what a list may hold is seen in short ones.
            least, most = schema.get("minItems", 0), schema.get("maxItems", 3)
            items = _values(schema["items"], root)
            short = st.lists(items, min_size=least, max_size=min(most, least + 2))
            full = items.map(lambda item: [item] * most)
            return st.one_of(short, short, full)
        case "integer":
            bounds = [schema["minimum"], schema["maximum"]]
            return st.sampled_from(bounds) | st.integers(*bounds)
        case "string":
            return _strings(schema)
        case kind:
            raise UnknownKeyword(kind, "type")


def _objects(schema: Schema, root: Schema) -> st.SearchStrategy[dict[str, Any]]:
    required = set(schema.get("required", ()))
    fields = {name: _values(each, root) for name, each in schema["properties"].items()}
    known = st.fixed_dictionaries(
        {name: each for name, each in fields.items() if name in required},
        optional={name: each for name, each in fields.items() if name not in required},
    )
    return st.builds(lambda body, unknown: {**body, **unknown}, known, _UNKNOWN)


def _strings(schema: Schema) -> st.SearchStrategy[str]:
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "const" in schema:
        return st.just(schema["const"])
    if schema.get("format") == "date-time":
        return _date_times()
    if schema.get("format") == "uuid":
        return st.uuids().map(str)  # In lower case, as the pattern wants it, and drawn faster.
    least, most = schema.get("minLength", 0), schema.get("maxLength", 50)
    if "pattern" in schema:
        # In ECMA 262, which JSON Schema means, $ is the very end of the text, as \Z is here.
        pattern = re.compile(re.sub(r"\$$", r"\\Z", schema["pattern"]))
        return st.from_regex(pattern).filter(lambda text: least <= len(text) <= most)
    short = st.text(min_size=least, max_size=min(most, least + 20))
    longest = st.characters(codec="utf-8").map(lambda character: character * most)
    return st.one_of(short, short, longest)


def _date_times() -> st.SearchStrategy[str]:
    offsets = st.sampled_from((0, 0, 120, -210, 845)).map(
        lambda minutes: timezone(timedelta(minutes=minutes))
    )
    moments = st.datetimes(
        min_value=datetime(1970, 1, 2),  # noqa: DTZ001  # Hypothesis adds the offset.
        max_value=datetime(2199, 12, 30),  # noqa: DTZ001
        timezones=offsets,
    )
    zulu = moments.map(lambda moment: moment.astimezone(UTC).isoformat().replace("+00:00", "Z"))
    return moments.map(datetime.isoformat) | zulu


def known_part(payload: Any, schema: Schema, root: Schema | None = None) -> Any:
    """The payload without fields that the schema does not name, its times as moments."""
    root = schema if root is None else root
    schema = resolved(schema, root)
    if isinstance(payload, dict):
        fields = schema["properties"]
        return {
            name: known_part(value, fields[name], root)
            for name, value in payload.items()
            if name in fields
        }
    if isinstance(payload, list):
        return [known_part(each, schema["items"], root) for each in payload]
    if schema.get("format") == "date-time":
        return datetime.fromisoformat(payload)
    return payload


@dataclass(frozen=True)
class Violation:
    """A payload that breaks its schema in one place; `what` says how."""

    what: str
    where: str
    payload: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


def violations(schema: Schema) -> st.SearchStrategy[Violation]:
    """A payload that the schema allows, but for one part of it, which it forbids."""
    return payloads(schema).flatmap(
        lambda payload: st.sampled_from(list(_changes(payload, schema))).map(
            lambda change: _violation(payload, change)
        )
    )


def violations_of(payload: dict[str, Any], schema: Schema) -> list[Violation]:
    """The payload with each part of it broken in every way, one at a time."""
    return [_violation(payload, change) for change in _changes(payload, schema)]


class _Change(NamedTuple):
    """A part, what is wrong with it then, and its new value; a missing part has none."""

    path: Path
    what: str
    value: Any = None


def _violation(payload: dict[str, Any], change: _Change) -> Violation:
    where = "/" + "/".join(map(str, change.path))
    return Violation(change.what, where, _changed(payload, change))


def _changes(payload: dict[str, Any], schema: Schema) -> Iterator[_Change]:
    for path, value, its_schema, is_required in _parts(payload, schema, schema):
        if is_required:
            yield _Change(path, MISSING)
        for what, wrong in _wrong_values(value, its_schema):
            yield _Change(path, what, wrong)


def _parts(
    value: Any, schema: Schema, root: Schema, path: Path = ()
) -> Iterator[tuple[Path, Any, Schema, bool]]:
    """Each part below: where it stands, what it is, its schema, and whether it must be there."""
    if isinstance(value, dict):
        for name, part in value.items():
            if name in schema["properties"]:
                its_schema = resolved(schema["properties"][name], root)
                yield (*path, name), part, its_schema, name in schema.get("required", ())
                yield from _parts(part, its_schema, root, (*path, name))
    elif isinstance(value, list):
        for number, part in enumerate(value[:3]):
            its_schema = resolved(schema["items"], root)
            yield (*path, number), part, its_schema, False
            yield from _parts(part, its_schema, root, (*path, number))


def _wrong_values(value: Any, schema: Schema) -> Iterator[tuple[str, Any]]:
    """Values that the schema forbids in that place, and what is wrong with each."""
    yield "null", None
    match schema["type"]:
        case "object":
            yield "wrong type", [value]
            yield "wrong type", "text"
        case "array":
            yield "wrong type", {"0": value}
            if schema.get("minItems"):
                yield "too few items", value[: schema["minItems"] - 1]
            if "maxItems" in schema and value:
                yield "too many items", value[:1] * (schema["maxItems"] + 1)
        case "integer":
            yield "wrong type", str(value)
            yield "wrong type", value + 0.5
            yield "wrong type", True
            yield "too small", schema["minimum"] - 1
            yield "too large", schema["maximum"] + 1
        case "string":
            yield from _wrong_strings(schema)


def _wrong_strings(schema: Schema) -> Iterator[tuple[str, Any]]:
    yield "wrong type", 1
    yield "wrong type", ["text"]
    if "enum" in schema:
        yield "no value of the enum", "something_else"
    if "pattern" in schema:
        yield "not of the pattern", "\x00<>\n"
    if schema.get("format") == "date-time":
        yield "no date-time", "tomorrow"
        yield "a time of no zone", "2026-01-15T10:30:30"
    if schema.get("minLength"):
        yield "too short", ""
    if "maxLength" in schema:
        yield "too long", "a" * (schema["maxLength"] + 1)


def _changed(payload: dict[str, Any], change: _Change) -> dict[str, Any]:
    changed: dict[str, Any] = deepcopy(payload)
    node: Any = changed
    *parents, last = change.path
    for step in parents:
        node = node[step]
    if change.what == MISSING:
        del node[last]
    else:
        node[last] = change.value
    return changed
