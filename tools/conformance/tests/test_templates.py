"""Placeholders, paths and parts of documents."""

import pytest

from conformance.messages import ids_in, with_fresh_ids
from conformance.templates import contains, fill, read

ID = "0197a3c2-7b1e-7c44-9d3a-5f0e8c1b2a60"


def test_a_placeholder_alone_keeps_the_type_of_its_value() -> None:
    values = {"count": 3, "name": "Ada"}
    template = {"count": "{count}", "text": ["{name} has {count}"], "as_is": "{Not One}"}
    assert fill(template, values.__getitem__) == {
        "count": 3,
        "text": ["Ada has 3"],
        "as_is": "{Not One}",
    }


def test_a_path_leads_through_objects_and_lists() -> None:
    assert read({"results": [{"book_id": "b"}]}, "$.results.0.book_id") == "b"


@pytest.mark.parametrize("path", ["$.none", "$.results.1", "$.results.x", "$.text.a"])
def test_a_path_to_nowhere_is_told(path: str) -> None:
    with pytest.raises(LookupError, match="there is no"):
        read({"results": [1], "text": "a"}, path)


@pytest.mark.parametrize(
    ("part", "holds"),
    [
        ({"a": 1}, True),
        ({"a": 2}, False),
        ({"c": 1}, False),
        ({"b": [{"x": 1}, {}]}, True),
        ({"b": [{"x": 1}]}, False),
        ({"b": {"x": 1}}, False),
    ],
)
def test_a_document_contains_its_parts_alone(part: object, holds: bool) -> None:
    assert contains({"a": 1, "b": [{"x": 1, "y": 2}, {"z": 3}]}, part) is holds


def test_an_id_becomes_the_same_fresh_one_wherever_it_stands() -> None:
    known: dict[str, str] = {}
    first = with_fresh_ids({"order_id": ID, "lines": [{"book_id": ID, "quantity": 2}]}, known)
    second = with_fresh_ids({"order_id": ID}, known)
    fresh = first["order_id"]
    assert fresh != ID
    assert first == {"order_id": fresh, "lines": [{"book_id": fresh, "quantity": 2}]}
    assert second == {"order_id": fresh}
    assert ids_in(first) == {fresh}
