"""The services' HTTP contracts, and whether an implementation's own document agrees with one.

One guarantee: `differences` is empty if and only if both documents promise the same operations,
parameters, bodies, statuses, headers and schemas; the words around them do not matter.
"""

import json
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

_METHODS = ("get", "put", "post", "delete", "patch")
# Words for people, and hints for tools.
_WORDS = frozenset({"title", "description", "summary", "example", "examples", "deprecated"})

Document = Mapping[str, Any]


def load_openapi(service: str) -> dict[str, Any]:
    """A service's OpenAPI document, free of references to other files."""
    return dict(_documents()[service])


@cache
def _documents() -> dict[str, dict[str, Any]]:
    text = files("contracts").joinpath("_data", "openapi.json").read_text(encoding="utf-8")
    documents: dict[str, dict[str, Any]] = json.loads(text)
    return documents


def differences(contract: Document, actual: Document) -> list[str]:
    """What the two documents promise differently, a line each; `actual` is the implementation's."""
    promised, found = _operations(contract), _operations(actual)
    lines = [f"{name}: only in the contract" for name in sorted(promised.keys() - found.keys())]
    lines += [f"{name}: not in the contract" for name in sorted(found.keys() - promised.keys())]
    for name in sorted(promised.keys() & found.keys()):
        lines.extend(_compare(name, promised[name], found[name]))
    return lines


def _compare(where: str, contract: Any, actual: Any) -> Iterator[str]:
    if isinstance(contract, dict) and isinstance(actual, dict):
        for key in sorted(contract.keys() | actual.keys()):
            if key not in actual:
                yield f"{where}: {key} is only in the contract"
            elif key not in contract:
                yield f"{where}: {key} is not in the contract"
            else:
                yield from _compare(f"{where}: {key}", contract[key], actual[key])
    elif contract != actual:
        yield f"{where}: {contract!r} in the contract, {actual!r} in the implementation"


def _operations(document: Document) -> dict[str, Any]:
    """Every operation by method and path, as plain comparable data."""
    operations = {}
    for path, item in document["paths"].items():
        for method in _METHODS:
            if method in item:
                shared = item.get("parameters", [])
                operations[f"{method.upper()} {path}"] = _operation(item[method], shared, document)
    return operations


def _operation(operation: Document, shared: list[Any], document: Document) -> dict[str, Any]:
    parameters = [_found(each, document) for each in [*shared, *operation.get("parameters", [])]]
    plain: dict[str, Any] = {
        "operationId": operation.get("operationId"),
        "tags": operation.get("tags", []),
        "parameters": {
            f"{each['in']} {each['name']}": {
                "required": each.get("required", False),
                "schema": _without_null(_schema(each["schema"], document)),
            }
            for each in parameters
        },
        "responses": {
            str(status): _response(_found(response, document), document)
            for status, response in operation["responses"].items()
        },
    }
    if "requestBody" in operation:
        body = _found(operation["requestBody"], document)
        plain["body"] = {
            "required": body.get("required", False),
            "content": _content(body, document),
        }
    return plain


def _response(response: Document, document: Document) -> dict[str, Any]:
    return {
        "content": _content(response, document),
        "headers": {name: {} for name in response.get("headers", {})},
    }


def _content(part: Document, document: Document) -> dict[str, Any]:
    return {
        media_type: _schema(content.get("schema", {}), document)
        for media_type, content in part.get("content", {}).items()
    }


def _found(node: Document, document: Document) -> Document:
    """The node itself, or what it refers to within the document."""
    while "$ref" in node:
        found: Any = document
        for part in node["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        node = {**found, **{key: value for key, value in node.items() if key != "$ref"}}
    return node


def _schema(schema: Document, document: Document) -> dict[str, Any]:
    """A schema with its references resolved and without words; no schema here contains itself."""
    schema = _found(schema, document)
    plain: dict[str, Any] = {}
    for key, value in schema.items():
        if key in _WORDS:
            continue
        if key == "properties":
            plain[key] = {name: _schema(each, document) for name, each in value.items()}
        elif key in ("items", "additionalProperties") and isinstance(value, dict):
            plain[key] = _schema(value, document)
        elif key in ("anyOf", "oneOf", "allOf"):
            plain[key] = [_schema(each, document) for each in value]
        elif key in ("required", "enum"):
            plain[key] = sorted(value)
        elif key == "const":
            plain["enum"] = [value]
        else:
            plain[key] = value
    if plain.get("additionalProperties") is True:
        del plain["additionalProperties"]
    if "pattern" in plain and plain.get("format") == "uuid":
        del plain["format"]  # The pattern says it, and more.
    return plain


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter can be left out, but it cannot be null: HTTP knows no null there."""
    choices = [each for each in schema.get("anyOf", []) if each != {"type": "null"}]
    if len(choices) != 1:
        return schema
    rest = {k: v for k, v in schema.items() if k != "anyOf" and not (k == "default" and v is None)}
    return {**choices[0], **rest}
