"""What the edge refuses, and that every refusal is a problem document."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

import httpx
import orjson
import pytest
from fastapi import APIRouter, FastAPI, Request
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.exc import IntegrityError

from chassis import Problem
from chassis.edge import Edge
from chassis.methods import Methods
from chassis.problems import MEDIA_TYPE, install_problem_handlers
from observability.logs import ids

LIMIT_BYTES = 1024


class Thing(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: Annotated[str, Field(max_length=2000)]
    size: int = 0


def toy_app() -> FastAPI:
    router = APIRouter()

    @router.post("/things")
    async def post_thing(thing: Thing) -> dict[str, Any]:
        return {"name": thing.name, **ids()}

    @router.post("/raw")
    async def post_raw(request: Request) -> dict[str, int]:
        """As a webhook does, which needs the bytes to check their signature."""
        return {"bytes": len(await request.body())}

    @router.get("/refused")
    async def get_refused() -> None:
        raise Problem(409, "out_of_stock", "Order fewer.", headers={"retry-after": "7"}, left=3)

    @router.get("/broken")
    async def get_broken() -> None:
        raise RuntimeError("postgresql://user:secret@host failed")

    @router.get("/down")
    async def get_down() -> None:
        raise ConnectionRefusedError("nobody listens there")

    @router.get("/wrong")
    async def get_wrong() -> None:
        raise IntegrityError("INSERT", None, Exception("a bug of ours"))

    @router.get("/shelves/{shelf}")
    async def get_shelf(shelf: int) -> None: ...

    @router.put("/shelves/{shelf}")
    async def put_shelf(shelf: int) -> None: ...

    @router.post("/shelves/all")
    async def post_shelves() -> None: ...

    app = FastAPI(redirect_slashes=False)
    methods = Methods([router])
    install_problem_handlers(app, methods)
    methods.include_into(app)
    app.add_middleware(
        Edge, max_body_bytes=LIMIT_BYTES, media_types={"/raw": ("text/plain", "application/json")}
    )
    return app


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(toy_app(), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


JSON = {"content-type": "application/json"}


async def in_chunks(body: bytes, size: int = 100) -> AsyncIterator[bytes]:
    """A body sent without Content-Length."""
    for start in range(0, len(body), size):
        yield body[start : start + size]


def refused(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The problem document, which must be whole."""
    assert (response.status_code, response.headers["content-type"]) == (status, MEDIA_TYPE)
    document: dict[str, Any] = orjson.loads(response.content)
    assert document["type"] == f"urn:bookstore:problem:{code}"
    assert (document["code"], document["status"]) == (code, status)
    assert document["title"]
    assert document["detail"]
    return document


def body_of(size: int) -> bytes:
    empty = len(orjson.dumps({"name": ""}))
    return orjson.dumps({"name": "x" * (size - empty)})


@pytest.mark.parametrize("path", ["/things", "/raw"])
async def test_a_body_of_exactly_the_limit_passes(client: httpx.AsyncClient, path: str) -> None:
    body = body_of(LIMIT_BYTES)
    assert (await client.post(path, content=body, headers=JSON)).status_code == 200
    assert (await client.post(path, content=in_chunks(body), headers=JSON)).status_code == 200


@pytest.mark.parametrize("path", ["/things", "/raw"])
async def test_a_body_that_announces_too_much_is_refused_unread(
    client: httpx.AsyncClient, path: str
) -> None:
    response = await client.post(path, content=body_of(LIMIT_BYTES + 1), headers=JSON)
    assert "1024 bytes" in refused(response, 413, "content_too_large")["detail"]


@pytest.mark.parametrize("path", ["/things", "/raw"])
async def test_a_body_that_announces_nothing_and_grows_too_large_is_refused(
    client: httpx.AsyncClient, path: str
) -> None:
    response = await client.post(path, content=in_chunks(body_of(LIMIT_BYTES + 1)), headers=JSON)
    refused(response, 413, "content_too_large")


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("content_type", ["text/plain", "", "application/x-www-form-urlencoded"])
async def test_a_body_that_is_not_declared_as_json_is_refused(
    client: httpx.AsyncClient, content_type: str, chunked: bool
) -> None:
    body = body_of(50)
    response = await client.post(
        "/things",
        content=in_chunks(body) if chunked else body,
        headers={"content-type": content_type},
    )
    refused(response, 415, "unsupported_media_type")


async def test_json_with_a_charset_is_json(client: httpx.AsyncClient) -> None:
    headers = {"content-type": "Application/JSON; charset=utf-8"}
    assert (await client.post("/things", content=body_of(50), headers=headers)).status_code == 200


async def test_a_content_length_that_is_no_number_is_refused(client: httpx.AsyncClient) -> None:
    headers = {**JSON, "content-length": "-5"}
    refused(await client.post("/things", content=b"{}", headers=headers), 400, "bad_request")


@pytest.mark.parametrize("body", [b"{", b"", b"{'name': 1}", b'{"name": "x"} trailing'])
async def test_invalid_json_is_a_problem(client: httpx.AsyncClient, body: bytes) -> None:
    response = await client.post("/things", content=body, headers=JSON)
    if body:
        refused(response, 400, "invalid_json")
    else:
        refused(response, 422, "invalid_request")


@pytest.mark.parametrize("body", [b'{"name": "\xff\xfe"}', b"\xff" * 10, b'{"name": "\xc3"}'])
async def test_invalid_utf8_is_a_problem(client: httpx.AsyncClient, body: bytes) -> None:
    response = await client.post("/things", content=body, headers=JSON)
    assert response.status_code == 400
    refused(response, 400, response.json()["code"])


async def test_a_broken_contract_names_each_place(client: httpx.AsyncClient) -> None:
    response = await client.post("/things", json={"size": "big", "other": 1})
    errors = refused(response, 422, "invalid_request")["errors"]
    assert {each["pointer"] for each in errors} == {"/body/name", "/body/size", "/body/other"}


async def test_a_long_list_of_errors_is_cut(client: httpx.AsyncClient) -> None:
    response = await client.post("/things", json={"name": "x", **{f"k{n}": 1 for n in range(50)}})
    errors = refused(response, 422, "invalid_request")["errors"]
    assert len(errors) == 21
    assert errors[-1]["message"] == "and 30 more"


@pytest.mark.parametrize("body", [b'{"name": "\\ud800"}', b'{"name": "x", "\\ud800": 1}'])
async def test_half_a_surrogate_pair_is_the_clients_fault(
    client: httpx.AsyncClient, body: bytes
) -> None:
    refused(await client.post("/things", content=body, headers=JSON), 422, "invalid_request")


async def test_a_problem_carries_its_headers_and_extensions(client: httpx.AsyncClient) -> None:
    response = await client.get("/refused")
    assert refused(response, 409, "out_of_stock")["left"] == 3
    assert response.headers["retry-after"] == "7"


async def test_what_is_not_there_is_a_problem_too(client: httpx.AsyncClient) -> None:
    refused(await client.get("/nowhere"), 404, "not_found")
    refused(await client.delete("/things"), 405, "method_not_allowed")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/shelves/1", "GET, PUT"),
        ("OPTIONS", "/shelves/1", "GET, PUT"),
        ("PUT", "/shelves/all", "POST"),
        ("GET", "/shelves/all", "POST"),
    ],
)
async def test_a_refused_method_is_told_which_the_path_has(
    client: httpx.AsyncClient, method: str, path: str, allowed: str
) -> None:
    response = await client.request(method, path)
    refused(response, 405, "method_not_allowed")
    assert response.headers["allow"] == allowed


async def test_a_bug_shows_neither_its_traceback_nor_a_secret(client: httpx.AsyncClient) -> None:
    response = await client.get("/broken")
    refused(response, 500, "internal_error")
    assert "secret" not in response.text
    assert "Traceback" not in response.text


async def test_the_clients_request_id_correlates_and_is_bounded(
    client: httpx.AsyncClient,
) -> None:
    headers = {"x-request-id": "r" * 200}
    answer = (await client.post("/things", json={"name": "x"}, headers=headers)).json()
    assert answer["correlation_id"] == "r" * 64
    assert "correlation_id" not in (await client.post("/things", json={"name": "x"})).json()


async def test_outage_is_answered_and_is_no_error_of_the_application() -> None:
    """One that reaches the server is written there with its traceback, for each request."""
    transport = httpx.ASGITransport(toy_app(), raise_app_exceptions=True)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        answer = await client.get("/down")
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert answer.headers["retry-after"] == "2"


async def test_what_is_no_outage_is_an_error_of_the_application(client: httpx.AsyncClient) -> None:
    answer = await client.get("/wrong")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")


async def test_path_may_take_other_media_types_than_json(client: httpx.AsyncClient) -> None:
    for content_type, status in (
        ("text/plain; charset=UTF-8", 200),
        ("application/json", 200),
        ("text/html", 415),
    ):
        headers = {"content-type": content_type}
        response = await client.post("/raw", content=b"hello", headers=headers)
        assert response.status_code == status
    refused(response, 415, "unsupported_media_type")
    assert "text/plain or application/json" in response.json()["detail"]
