"""A schema's table says everything that the schema says."""

import html
import json
from typing import Any

import pytest

from contract_docs.documents import Documents
from contract_docs.examples import example_of
from contract_docs.fields import Bound, Named, bounds, fields, type_of
from contract_docs.text import highlighted, prose
from contract_docs.views import file_lookup

MONEY = {
    "type": "object",
    "description": "An amount.",
    "required": ["minor"],
    "properties": {"minor": {"type": "integer", "minimum": 0}, "currency": {"type": "string"}},
}
TREE = {"type": "object", "properties": {"children": {"type": "array", "items": {"$ref": "Tree"}}}}
KEY = {"type": "string", "pattern": "^k", "description": "A key."}
NAMED = {
    "Money": Named("Money", MONEY, "#Money"),
    "Tree": Named("Tree", TREE, None),
    "Key": Named("Key", KEY, "#Key"),
}


def lookup(reference: str) -> Named:
    return NAMED[reference]


def test_nested_fields_stand_below_their_object_with_their_whole_path() -> None:
    line = {"type": "object", "properties": {"price": {"$ref": "Money"}}}
    schema = {
        "type": "object",
        "required": ["lines"],
        "properties": {"lines": {"type": "array", "items": line}},
    }
    table = [(field.path, field.depth, field.required) for field in fields(schema, lookup)]
    assert table == [
        ("lines", 0, True),
        ("lines[].price", 1, False),
        ("lines[].price.minor", 2, True),
        ("lines[].price.currency", 2, False),
    ]


def test_a_description_beside_the_reference_wins() -> None:
    schema = {"type": "object", "properties": {"a": {"$ref": "Money"}, "b": {"$ref": "Key"}}}
    schema["properties"]["a"]["description"] = "The price."  # type: ignore[index]
    told = {field.path: field.description for field in fields(schema, lookup)}
    assert told["a"] == "The price."
    assert told["b"] == "A key."


def test_a_schema_that_contains_itself_ends() -> None:
    table = fields({"$ref": "Tree"}, lookup)
    assert [field.path for field in table][:2] == ["children", "children[].children"]
    assert len(table) < 4


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"minimum": 1, "maximum": 9007199254740991}, "1 to 9,007,199,254,740,991"),
        ({"minimum": 0}, "at least 0"),
        ({"maxLength": 500}, "at most 500 characters"),
        ({"minLength": 0, "maxLength": 1}, "at most 1 character"),
        ({"minLength": 3, "maxLength": 3}, "exactly 3 characters"),
        ({"minItems": 1}, "at least 1 entry"),
        ({"multipleOf": 10}, "a multiple of 10"),
    ],
)
def test_a_bound_reads_as_words(schema: dict[str, Any], words: str) -> None:
    assert bounds(schema) == (Bound(words),)


def test_a_keyword_without_words_is_shown_as_it_stands() -> None:
    assert bounds({"contentEncoding": "base64"}) == (Bound("contentEncoding", ('"base64"',)),)


def test_types_name_what_they_hold() -> None:
    assert type_of({"type": "array", "items": {"$ref": "Money"}}, lookup) == "array of Money"
    assert type_of({"type": ["string", "null"]}, lookup) == "string or null"
    counts = {"type": "object", "additionalProperties": {"type": "integer"}}
    assert type_of(counts, lookup) == "map of integer"


def test_every_scalar_bound_of_a_message_is_in_its_table(documents: Documents) -> None:
    for message in documents.messages:
        table = {field.path: field for field in fields(message.schema, file_lookup(documents))}
        for name, schema in message.schema["properties"].items():
            for keyword in ("maximum", "maxItems", "maxLength"):
                if keyword in schema:
                    words = " ".join(bound.text for bound in table[name].bounds)
                    assert f"{schema[keyword]:,}" in words


def test_an_example_of_the_contract_wins_over_one_made_up() -> None:
    schema = {"type": "object", "properties": {"a": KEY, "b": {"type": "integer", "minimum": 3}}}
    assert example_of(schema, lookup) == {"a": "A", "b": 3}
    assert example_of(schema | {"examples": [{"a": "k1"}]}, lookup) == {"a": "k1"}


def test_json_is_the_same_after_it_was_made_readable() -> None:
    value = {"a": ["<i>", {"c": 'say "x": y & z'}], "long": ["x" * 60, "y" * 60], "e": {}}
    without_marks = str(highlighted(value)).replace("<b>", "").replace("</b>", "")
    assert json.loads(html.unescape(without_marks)) == value


def test_prose_is_escaped_and_backticks_become_code() -> None:
    assert prose("a < b, `x<y>`") == "a &lt; b, <code>x&lt;y&gt;</code>"
