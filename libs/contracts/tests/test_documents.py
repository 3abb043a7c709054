"""The hand-written OpenAPI documents refer to what exists, and their examples are true to them."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

CONTRACTS = Path(__file__).resolve().parents[3] / "contracts"
OPENAPI = sorted(CONTRACTS.glob("*/openapi.yaml"))
ASYNCAPI = sorted(CONTRACTS.glob("*/asyncapi.yaml"))


@cache
def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def resolved(node: Any, file: Path) -> Any:
    """The node with every `$ref` replaced by what it leads to; KeyError if it leads nowhere."""
    if isinstance(node, list):
        return [resolved(item, file) for item in node]
    if not isinstance(node, dict):
        return node
    # Relative references do not resolve against a URN, so copies go without their $id.
    rest = {key: resolved(value, file) for key, value in node.items() if key not in ("$ref", "$id")}
    if "$ref" not in node:
        return rest
    location, _, pointer = node["$ref"].partition("#")
    target_file = (file.parent / location).resolve() if location else file
    target = load(target_file)
    for part in filter(None, pointer.split("/")):
        target = target[part.replace("~1", "/").replace("~0", "~")]
    return {**resolved(target, target_file), **rest}


def media_types(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, list):
        for item in node:
            yield from media_types(item)
    elif isinstance(node, dict):
        if "schema" in node:
            yield node
        for value in node.values():
            yield from media_types(value)


@pytest.mark.parametrize(
    "path", OPENAPI + ASYNCAPI, ids=lambda path: f"{path.parent.name}-{path.stem}"
)
def test_every_reference_leads_somewhere(path: Path) -> None:
    assert resolved(load(path), path)


@pytest.mark.parametrize("path", OPENAPI, ids=lambda path: path.parent.name)
def test_every_example_meets_its_schema(path: Path) -> None:
    document = resolved(load(path), path)
    checked = 0
    for name, schema in document["components"]["schemas"].items():
        for example in schema.get("examples", []):
            assert_valid(schema, example, name)
            checked += 1
    for holder in media_types(document):
        if "example" in holder:
            assert_valid(holder["schema"], holder["example"], str(holder["example"]))
            checked += 1
    assert checked


@pytest.mark.parametrize("path", OPENAPI, ids=lambda path: path.parent.name)
def test_every_operation_has_its_own_id_and_a_problem_has_its_media_type(path: Path) -> None:
    document = resolved(load(path), path)
    operations = [
        operation
        for item in document["paths"].values()
        for method, operation in item.items()
        if method in ("get", "post", "put")
    ]
    ids = [operation["operationId"] for operation in operations]
    assert len(set(ids)) == len(ids)
    for operation in operations:
        for status, response in operation["responses"].items():
            if int(status) >= 400:
                assert list(response["content"]) == ["application/problem+json"]


def assert_valid(schema: Any, example: Any, where: str) -> None:
    validator = jsonschema_rs.Draft202012Validator(schema, validate_formats=True)
    assert [error.message for error in validator.iter_errors(example)] == [], where
