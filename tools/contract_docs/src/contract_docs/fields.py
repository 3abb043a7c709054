"""JSON Schemas as tables: a row for each field, nested ones below their object.

One guarantee: no keyword of a schema is dropped. What has no words of its own here is shown as it
stands in the document; only the pattern of a shared scalar is told where that is described.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

# Deeper than any contract here; a schema that contains itself ends by its name being met again.
DEEPEST = 8
# Said elsewhere on the page, or by the table itself.
_TOLD = frozenset(
    {
        *("$schema", "$id", "$defs", "$ref", "title", "description", "type", "format", "required"),
        *("properties", "items", "examples", "example", "additionalProperties"),
    }
)
_SPANS = (
    ("minimum", "maximum", "", ""),
    ("minLength", "maxLength", "character", "characters"),
    ("minItems", "maxItems", "entry", "entries"),
)


@dataclass(frozen=True)
class Named:
    """A schema that has a name; `href` is where it is described, if anywhere."""

    name: str
    schema: Mapping[str, Any]
    href: str | None


# From a `$ref` to what it names.
Lookup = Callable[[str], Named]


@dataclass(frozen=True)
class Bound:
    """A limit in words; `code` is the part that is to be read letter by letter."""

    text: str
    code: tuple[str, ...] = ()


@dataclass(frozen=True)
class Field:
    """One row. `path` leads there from the whole: `lines[].unit_price.currency`.

    `required` is None where the question makes no sense, as for an array's entries.
    """

    path: str
    depth: int
    type: str
    named: Named | None
    bounds: tuple[Bound, ...]
    required: bool | None
    description: str

    @property
    def name(self) -> str:
        return self.path.rpartition(".")[2]

    @property
    def parent(self) -> str:
        """The path without the last name: what tables show in a paler colour."""
        return self.path.removesuffix(self.name)


def resolved(schema: Mapping[str, Any], lookup: Lookup) -> tuple[dict[str, Any], Named | None]:
    """The schema with its `$ref` followed; what stands beside the reference wins."""
    reference = schema.get("$ref")
    if reference is None:
        return dict(schema), None
    named = lookup(reference)
    target, _ = resolved(named.schema, lookup)
    beside = {key: value for key, value in schema.items() if key != "$ref"}
    return target | beside, named


def fields(schema: Mapping[str, Any], lookup: Lookup) -> list[Field]:
    """All rows of the schema's table; a scalar or an array is one field called `value`."""
    whole, _ = resolved(schema, lookup)
    if "properties" in whole:
        return list(_properties(whole, lookup, "", 0, ()))
    return rows("value", whole, lookup, required=None)


def rows(
    name: str, schema: Mapping[str, Any], lookup: Lookup, *, required: bool | None
) -> list[Field]:
    """One field's row, and those of what it holds."""
    return list(_field(name, schema, lookup, 0, required, ()))


def type_of(schema: Mapping[str, Any], lookup: Lookup) -> str:
    """Such as 'string (uuid)', 'OrderLine' or 'array of OrderLine'."""
    whole, named = resolved(schema, lookup)
    declared = whole.get("type", "any")
    if declared == "array":
        return f"array of {type_of(whole.get('items', {}), lookup)}"
    if named is not None and declared == "object":
        return named.name
    text = declared if isinstance(declared, str) else " or ".join(declared)
    if text == "object" and isinstance(whole.get("additionalProperties"), Mapping):
        return f"map of {type_of(whole['additionalProperties'], lookup)}"
    return f"{text} ({whole['format']})" if "format" in whole else text


def bounds(schema: Mapping[str, Any]) -> tuple[Bound, ...]:
    """What values the schema admits, beyond their type."""
    found: list[Bound] = []
    told = set(_TOLD)
    if "const" in schema:
        found.append(Bound("always", (_json(schema["const"]),)))
    if "enum" in schema:
        found.append(Bound("one of", tuple(_bare(value) for value in schema["enum"])))
    for low, high, unit, units in _SPANS:
        if low in schema or high in schema:
            found.append(Bound(_span(schema.get(low), schema.get(high), unit, units)))
        told |= {low, high}
    if "multipleOf" in schema:
        found.append(Bound(f"a multiple of {schema['multipleOf']:,}"))
    if "pattern" in schema:
        found.append(Bound("matches", (schema["pattern"],)))
    if schema.get("additionalProperties") is False:
        found.append(Bound("no other fields"))
    if "default" in schema:
        found.append(Bound("default", (_json(schema["default"]),)))
    told |= {"const", "enum", "multipleOf", "pattern", "default"}
    found += [Bound(key, (_json(schema[key]),)) for key in schema if key not in told]
    return tuple(found)


def _properties(
    whole: Mapping[str, Any], lookup: Lookup, prefix: str, depth: int, within: tuple[str, ...]
) -> Iterator[Field]:
    required = whole.get("required", [])
    for name, schema in whole["properties"].items():
        yield from _field(prefix + name, schema, lookup, depth, name in required, within)


def _field(
    path: str,
    schema: Mapping[str, Any],
    lookup: Lookup,
    depth: int,
    required: bool | None,
    within: tuple[str, ...],
) -> Iterator[Field]:
    whole, named = resolved(schema, lookup)
    inner = named
    if whole.get("type") == "array":
        inner = resolved(whole.get("items", {}), lookup)[1]
    told_there = {"pattern"} if named is not None and named.href else set()
    yield Field(
        path=path,
        depth=depth,
        type=type_of(schema, lookup),
        named=inner,
        bounds=bounds({key: value for key, value in whole.items() if key not in told_there}),
        required=required,
        description=str(whole.get("description", "")),
    )
    if depth >= DEEPEST or (inner is not None and inner.name in within):
        return
    deeper = within if inner is None else (*within, inner.name)
    if "properties" in whole:
        yield from _properties(whole, lookup, f"{path}.", depth + 1, deeper)
    yield from _entries(path, whole, lookup, depth, deeper)


def _entries(
    path: str, whole: Mapping[str, Any], lookup: Lookup, depth: int, within: tuple[str, ...]
) -> Iterator[Field]:
    """The rows of what an array or a map holds, if there is more to say than its type."""
    held, suffix = whole.get("items"), "[]"
    if isinstance(whole.get("additionalProperties"), Mapping):
        held, suffix = whole["additionalProperties"], ".*"
    if not isinstance(held, Mapping):
        return
    entry, _ = resolved(held, lookup)
    if "properties" in entry:
        yield from _properties(entry, lookup, f"{path}{suffix}.", depth + 1, within)
    elif (
        bounds(entry) or "items" in entry or isinstance(entry.get("additionalProperties"), Mapping)
    ):
        yield from _field(path + suffix, held, lookup, depth + 1, None, within)


def _span(low: Any, high: Any, unit: str, units: str) -> str:
    if low == high:
        text = f"exactly {low:,}"
    elif low is None or (low == 0 and unit):
        text = f"at most {high:,}" if high is not None else "any number of"
    elif high is None:
        text = f"at least {low:,}"
    else:
        text = f"{low:,} to {high:,}"
    if not unit:
        return text
    return f"{text} {unit if (high if high is not None else low) == 1 else units}"


def _bare(value: Any) -> str:
    """An enum's value: words need no quotes."""
    return value if isinstance(value, str) and value else _json(value)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
