"""Parts of a document are found on their lines, in YAML and in JSON."""

import json
from pathlib import Path

import pytest

from contract_gates.positions import Document, UnreadableError

YAML = """\
openapi: 3.1.0
paths:
  /orders:
    get: &list
      responses:
        '200': {description: One page.}
    post: *list
tags:
  - name: orders
  - name: operations
"""


def written(folder: Path, name: str, text: str, encoding: str = "utf-8") -> Path:
    path = folder / name
    path.write_text(text, encoding=encoding)
    return path


def test_part_is_on_the_line_of_its_key_or_item(tmp_path: Path) -> None:
    document = Document(written(tmp_path, "a.yaml", YAML))
    assert document.data["paths"]["/orders"]["get"]["responses"]["200"]
    assert document.line_of([]) == 1
    assert document.line_of(["paths", "/orders", "get"]) == 4
    assert document.line_of(["paths", "/orders", "get", "responses", "200"]) == 6
    assert document.line_of(["tags", 1, "name"]) == 10


def test_what_an_alias_repeats_is_on_the_lines_of_its_anchor(tmp_path: Path) -> None:
    document = Document(written(tmp_path, "a.yaml", YAML))
    assert document.line_of(["paths", "/orders", "post"]) == 7
    assert document.line_of(["paths", "/orders", "post", "responses"]) == 5


def test_missing_part_is_on_the_line_of_what_should_hold_it(tmp_path: Path) -> None:
    document = Document(written(tmp_path, "a.yaml", YAML))
    assert document.line_of(["tags", 0, "description"]) == 9
    assert document.line_of(["paths", "/books", "get"]) == 2


def test_json_has_lines_too_and_is_read_as_json(tmp_path: Path) -> None:
    text = json.dumps({"a": {"b": [1, {"c": "\u00e9 on"}]}, "d": 1e5}, indent=2)
    document = Document(written(tmp_path, "a.json", text))
    assert document.data == json.loads(text)
    assert document.line_of(["a", "b", 1, "c"]) == 6


def test_repeated_key_is_found(tmp_path: Path) -> None:
    document = Document(written(tmp_path, "a.json", '{\n"a": 1,\n"b": {"c": 1,\n"c": 2}\n}'))
    assert list(document.repeated_keys()) == [("b", "c")]
    assert list(Document(written(tmp_path, "a.yaml", YAML)).repeated_keys()) == []


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [("a.yaml", "a: 1\nb: [1\nc: 2\n", 3), ("a.json", '{\n"a": 1,\n"b": 01\n}', 3)],
)
def test_what_does_not_parse_is_named_with_its_line(
    tmp_path: Path, name: str, text: str, line: int
) -> None:
    with pytest.raises(UnreadableError) as caught:
        Document(written(tmp_path, name, text))
    assert caught.value.line == line
    assert caught.value.path.name == name


@pytest.mark.parametrize(("text", "encoding"), [("a: \u00e9\n", "latin-1"), ("a: \x00\n", "utf-8")])
def test_what_is_no_text_is_named(tmp_path: Path, text: str, encoding: str) -> None:
    with pytest.raises(UnreadableError) as caught:
        Document(written(tmp_path, "a.yaml", text, encoding))
    assert caught.value.reason
