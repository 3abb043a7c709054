"""OpenAPI documents as what the pages show: operations by tag, each ready to be tried.

One guarantee: every operation of the document is there once, under its first tag.
"""

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlencode

from contract_docs.examples import example_of
from contract_docs.fields import Field, Lookup, Named, fields, resolved, rows, type_of
from contracts.generate.source import ContractsError

METHODS = frozenset({"get", "put", "post", "delete", "options", "head", "patch", "trace"})
# As RFC 9110 has them: Python's own names changed between its versions, and pages must not.
_PHRASES = {
    413: "Content Too Large",
    414: "URI Too Long",
    416: "Range Not Satisfiable",
    422: "Unprocessable Content",
}
PROBLEM = "application/problem+json"
# Codes stand in brackets in a problem's description: '(code invalid_json)', '(busy, bad_request)'.
_BRACKETS = re.compile(r"\(([^()]*)\)")
_CODE = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)*")


@dataclass(frozen=True)
class Parameter:
    """`place` is path, query, header or cookie; `fields` has its row, and one for its entries.

    `tried` ones are part of the curl line: what must be there, and what has an example.
    """

    place: str
    fields: list[Field]
    example: Any
    tried: bool

    @property
    def name(self) -> str:
        return self.fields[0].path


@dataclass(frozen=True)
class Body:
    """What is sent or answered in one media type; `named` if its schema has a name."""

    media_type: str
    type: str
    named: Named | None
    fields: list[Field]
    example: Any


@dataclass(frozen=True)
class Header:
    name: str
    description: str


@dataclass(frozen=True)
class Answer:
    """One response. `codes` are the problem's codes, none for a success."""

    status: str
    phrase: str
    description: str
    bodies: list[Body]
    headers: list[Header]
    codes: tuple[str, ...]

    @property
    def succeeds(self) -> bool:
        return self.status.startswith("2")


@dataclass(frozen=True)
class Operation:
    id: str
    method: str
    path: str
    summary: str
    description: str
    parameters: list[Parameter]
    body_required: bool
    bodies: list[Body]
    answers: list[Answer]
    curl: str

    @property
    def distinct_bodies(self) -> list[Body]:
        """One body for each schema, whatever the media types that it is taken in."""
        return [
            body
            for index, body in enumerate(self.bodies)
            if all(body.fields != earlier.fields for earlier in self.bodies[:index])
        ]


@dataclass(frozen=True)
class Tag:
    name: str
    description: str
    operations: list[Operation]


@dataclass(frozen=True)
class HttpApi:
    description: str
    tags: list[Tag]
    schemas: list[tuple[Named, list[Field]]]

    @property
    def operations(self) -> list[Operation]:
        return [operation for tag in self.tags for operation in tag.operations]


def read_http_api(
    document: Mapping[str, Any], common: Mapping[str, Named], files: Lookup
) -> HttpApi:
    """`common` are the shared schemas by title, and `files` finds them by their path.

    Any other schema is the document's own, and described on the service's page.
    """
    components = document.get("components", {}).get("schemas", {})
    schemas = {
        name: common.get(schema.get("title"), Named(name, schema, f"#schema-{name}"))
        for name, schema in components.items()
    }

    def lookup(reference: str) -> Named:
        if not reference.startswith("#"):
            return files(reference)  # Inside of shared schemas they are still the paths of files.
        found = schemas.get(reference.rpartition("/")[2])
        if found is None:
            raise _leads_nowhere(document, reference)
        return found

    declared = document.get("tags", [])
    by_tag: dict[str, list[Operation]] = {tag["name"]: [] for tag in declared}
    for operation, tag in _operations(document, lookup):
        by_tag.setdefault(tag, []).append(operation)
    told = {tag["name"]: str(tag.get("description", "")) for tag in declared}
    return HttpApi(
        description=str(document["info"].get("description", "")).strip(),
        tags=[Tag(name, told.get(name, ""), each) for name, each in by_tag.items() if each],
        schemas=[
            (named, fields(named.schema, lookup))
            for name, named in schemas.items()
            if named.schema is components[name]
        ],
    )


def _operations(document: Mapping[str, Any], lookup: Lookup) -> Iterator[tuple[Operation, str]]:
    for path, item in document["paths"].items():
        shared = item.get("parameters", [])
        for method in item:
            if method not in METHODS:
                continue
            declared = item[method]
            given = [
                _parameter(_follow(document, each), lookup)
                for each in (*shared, *declared.get("parameters", []))
            ]
            request = _follow(document, declared.get("requestBody", {}))
            bodies = _bodies(request, lookup)
            operation = Operation(
                id=declared["operationId"],
                method=method.upper(),
                path=path,
                summary=str(declared.get("summary", "")),
                description=str(declared.get("description", "")).strip(),
                parameters=given,
                body_required=bool(request.get("required")),
                bodies=bodies,
                answers=[
                    _answer(str(status), _follow(document, answer), document, lookup)
                    for status, answer in sorted(declared["responses"].items())
                ],
                curl=_curl(method.upper(), path, given, bodies),
            )
            yield operation, (declared.get("tags") or ["other"])[0]


def _follow(document: Mapping[str, Any], node: Mapping[str, Any]) -> dict[str, Any]:
    """A parameter, header, body or response; components of the document are referred to."""
    while "$ref" in node:
        target: Any = document
        for part in node["$ref"].removeprefix("#/").split("/"):
            if part not in target:
                raise _leads_nowhere(document, node["$ref"])
            target = target[part]
        node = target
    return dict(node)


def _leads_nowhere(document: Mapping[str, Any], reference: str) -> ContractsError:
    title = document["info"].get("title", "one service")
    return ContractsError([f"openapi.yaml of {title}: the $ref {reference} leads nowhere"])


def _parameter(declared: Mapping[str, Any], lookup: Lookup) -> Parameter:
    name, schema, required = declared["name"], declared["schema"], bool(declared.get("required"))
    if "description" in declared:
        schema = schema | {"description": declared["description"]}
    return Parameter(
        place=declared["in"],
        fields=rows(name, schema, lookup, required=required),
        example=declared.get("example", example_of(schema, lookup, name)),
        tried=required or "example" in declared,
    )


def _bodies(holder: Mapping[str, Any], lookup: Lookup) -> list[Body]:
    found = []
    for media_type, content in holder.get("content", {}).items():
        schema = content.get("schema", {})
        found.append(
            Body(
                media_type=media_type,
                type=type_of(schema, lookup),
                named=resolved(schema, lookup)[1],
                fields=fields(schema, lookup),
                example=content.get("example", example_of(schema, lookup)),
            )
        )
    return found


def _answer(
    status: str, declared: Mapping[str, Any], document: Mapping[str, Any], lookup: Lookup
) -> Answer:
    headers = {
        name: _follow(document, header) for name, header in declared.get("headers", {}).items()
    }
    description = str(declared["description"])
    problem = declared.get("content", {}).get(PROBLEM)
    return Answer(
        status=status,
        phrase=_phrase(status),
        description=description,
        bodies=_bodies(declared, lookup),
        headers=[
            Header(name, str(header.get("description", ""))) for name, header in headers.items()
        ],
        codes=() if problem is None else _codes(description, problem.get("example")),
    )


def _phrase(status: str) -> str:
    """Nothing for what is no single status, such as 'default' or '4XX'."""
    if not status.isdecimal():
        return ""
    return _PHRASES.get(int(status)) or HTTPStatus(int(status)).phrase


def _codes(description: str, example: Mapping[str, Any] | None) -> tuple[str, ...]:
    found = [] if example is None else [str(example["code"])]
    for inside in _BRACKETS.findall(description):
        parts = [part.removeprefix("or ").removeprefix("code ") for part in inside.split(", ")]
        if all(_CODE.fullmatch(part) for part in parts):
            found += parts
    return tuple(dict.fromkeys(found))


def _curl(method: str, path: str, parameters: list[Parameter], bodies: list[Body]) -> str:
    """A command for a shell in which BASE is where the service is served."""
    query = []
    options = []
    for parameter in parameters:
        if parameter.place == "path":
            value = quote(str(parameter.example), safe="")
            path = path.replace("{" + parameter.name + "}", value)
        elif parameter.place == "query" and parameter.tried:
            query.append((parameter.name, parameter.example))
        elif parameter.place == "header" and parameter.tried:
            options.append(f"-H {shlex.quote(f'{parameter.name}: {parameter.example}')}")
    if bodies:
        options.append(f"-H {shlex.quote(f'Content-Type: {bodies[0].media_type}')}")
        options.append(f"-d {shlex.quote(_payload(bodies[0]))}")
    target = f"{path}?{urlencode(query)}" if query else path
    verb = "" if method == "GET" else f"-X {method} "
    return " \\\n  ".join([f'curl -s {verb}"$BASE{target}"', *options])


def _payload(body: Body) -> str:
    if body.media_type == "application/x-www-form-urlencoded":
        return urlencode(body.example)
    return json.dumps(body.example, ensure_ascii=False)
