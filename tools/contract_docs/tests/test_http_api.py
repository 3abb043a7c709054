"""Operations are complete, and their curl lines are what a shell reads them as."""

import json
import shlex
from typing import Any

import pytest

from contract_docs.documents import Documents
from contract_docs.fields import Named
from contract_docs.http_api import HttpApi, read_http_api
from contract_docs.views import common_by_title, file_lookup

PROBLEM = {"application/problem+json": {"schema": {"type": "object"}, "example": {"code": "busy"}}}
DOCUMENT: dict[str, Any] = {
    "info": {"description": "An API."},
    "tags": [{"name": "things", "description": "Things."}],
    "paths": {
        "/things/{id}": {
            "parameters": [
                {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
            ],
            "put": {
                "operationId": "put_thing",
                "tags": ["things"],
                "parameters": [
                    {
                        "name": "mode",
                        "in": "query",
                        "schema": {"type": "string"},
                        "example": "a b",
                    },
                    {"name": "limit", "in": "query", "schema": {"type": "integer"}},
                    {"$ref": "#/components/parameters/Key"},
                ],
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/T"}}},
                },
                "responses": {
                    "204": {"description": "Done."},
                    "503": {
                        "description": "Later (code busy), or never (gone, no_more); see (RFC 1).",
                        "content": PROBLEM,
                    },
                },
            },
            "get": {"operationId": "get_thing", "responses": {"204": {"description": "There."}}},
        }
    },
    "components": {
        "parameters": {
            "Key": {"name": "Key", "in": "header", "required": True, "schema": {"type": "string"}}
        },
        "schemas": {
            "T": {
                "type": "object",
                "properties": {"name": {"type": "string", "example": "it's"}},
            }
        },
    },
}


def no_file(reference: str) -> Named:
    raise AssertionError(f"{reference} is no file")


def words_of(curl: str) -> list[str]:
    """As a shell reads it, which joins lines that end with a backslash; shlex does not."""
    return shlex.split(curl.replace("\\\n", ""))


@pytest.fixture
def api() -> HttpApi:
    return read_http_api(DOCUMENT, {}, no_file)


def test_operations_stand_under_their_tags(api: HttpApi) -> None:
    tags = {tag.name: [operation.id for operation in tag.operations] for tag in api.tags}
    assert tags == {"things": ["put_thing"], "other": ["get_thing"]}


def test_a_curl_line_has_what_is_required_and_what_has_an_example(api: HttpApi) -> None:
    put, get = api.operations
    assert words_of(put.curl) == [
        *("curl", "-s", "-X", "PUT", "$BASE/things/ID?mode=a+b"),
        *("-H", "Key: KEY", "-H", "Content-Type: application/json", "-d", '{"name": "it\'s"}'),
    ]
    assert get.curl == 'curl -s "$BASE/things/ID"'


def test_problem_codes_come_from_the_example_and_from_brackets(api: HttpApi) -> None:
    done, later = api.operations[0].answers
    assert done.codes == ()
    assert later.codes == ("busy", "gone", "no_more")
    assert later.phrase == "Service Unavailable"


def test_parameters_of_the_path_hold_for_each_of_its_operations(api: HttpApi) -> None:
    for operation in api.operations:
        assert operation.parameters[0].name == "id"


def test_every_curl_line_of_the_contracts_is_well_formed(documents: Documents) -> None:
    for document in documents.openapi.values():
        read = read_http_api(document, common_by_title(documents), file_lookup(documents))
        for operation in read.operations:
            words = words_of(operation.curl)
            assert words[0] == "curl"
            assert "{" not in next(word for word in words if word.startswith("$BASE"))
            if "Content-Type: application/json" in words:
                assert json.loads(words[words.index("-d") + 1])
