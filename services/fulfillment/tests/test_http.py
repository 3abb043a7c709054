"""The HTTP API of a running process, against its contract; how a process starts, and fails to."""

import asyncio
import uuid

import pytest

from contracts.openapi import load_openapi


@pytest.fixture
async def http(start):
    return (await start("web")).http


def is_problem(answer, status, code):
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.json()
    assert answer.status_code == document["status"] == status
    assert document["code"] == code
    assert document["type"] == f"urn:bookstore:problem:{code}"
    assert document["detail"]
    return document


async def test_it_serves_its_contract_word_for_word(http):
    assert (await http.get("/openapi.json")).json() == load_openapi("fulfillment")


async def test_refusals_are_problem_documents(http):
    unknown = uuid.uuid4()
    document = is_problem(await http.get(f"/shipments/{unknown}"), 404, "shipment_not_found")
    contract = load_openapi("fulfillment")["components"]["responses"]["NotFound"]
    assert document == contract["content"]["application/problem+json"]["example"]
    is_problem(await http.get("/nowhere"), 404, "not_found")
    is_problem(await http.get("/shipments/"), 404, "not_found")
    for hostile in ("1", "A" * 300, "%00", "..%2f", str(unknown).upper()):
        refused = is_problem(await http.get(f"/shipments/{hostile}"), 422, "invalid_request")
        assert refused["errors"][0]["pointer"] == "/path/order_id"


async def test_only_reading_is_allowed(http):
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        answer = await http.request(method, "/ops/messages", json={})
        is_problem(answer, 405, "method_not_allowed")
        assert answer.headers["allow"] == "GET, HEAD"


async def test_head_answers_as_get_without_the_body(http):
    got, headed = [
        await http.request(method, "/openapi.json", headers={"X-Request-Id": "r"})
        for method in ("GET", "HEAD")
    ]
    assert (headed.status_code, headed.content) == (200, b"")
    for name in ("content-type", "content-length"):
        assert headed.headers[name] == got.headers[name]


async def test_operators_get_health_counts_and_metrics_from_every_role(start):
    worker = (await start("worker")).http
    assert (await worker.get("/health/live")).json() == {"status": "live"}
    assert (await worker.get("/health/ready")).json() == {"status": "ready"}
    census = (await worker.get("/ops/messages")).json()
    assert census["service"] == "fulfillment"
    assert census.keys() == {"service", "sent", "outbox", "handled", "dead_lettered"}
    metrics = (await worker.get("/metrics")).text
    for name in ("messages_handled_total", "messages_published_total", "aws_calls_total"):
        assert f"# TYPE {name} counter" in metrics
    # A worker has no API to describe.
    is_problem(await worker.get("/openapi.json"), 404, "not_found")


async def test_without_dynamodb_it_is_not_ready_and_says_so(start, gate):
    http = (await start("web")).http
    gate.close()
    is_problem(await http.get("/health/ready"), 503, "not_ready")
    answer = await http.get(f"/shipments/{uuid.uuid4()}")
    is_problem(answer, 503, "unavailable")
    assert answer.headers["retry-after"] == "2"
    assert (await http.get("/health/live")).status_code == 200
    gate.open()
    assert (await http.get("/health/ready")).status_code == 200


async def ended(start, role="web", **settings):
    """What a process that cannot start writes, and its exit code."""
    running = await start(role, ready=False, **settings)
    code = await asyncio.wait_for(running.process.wait(), 20)
    return code, (await running.process.stderr.read()).decode()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HTTP_PORT", "99999"),
        ("HTTP_PORT", "http"),
        ("VISIBILITY_SECONDS", "soon"),
        ("PACKING_SECONDS", "-1"),
        ("LOG_LEVEL", "chatty"),
        ("LOG_FORMAT", "xml"),
        ("AWS_ENDPOINT_URL", "localhost:4566"),
        ("AWS_ENDPOINT_URL", "http://localhost:99999"),
        ("AWS_REGION", "us east"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://["),
        ("TRACE_FILE", "/"),
    ],
)
async def test_a_wrong_setting_ends_the_process_with_one_line_that_names_it(start, name, value):
    code, written = await ended(start, **{name: value})
    assert code == 2
    (line,) = written.splitlines()
    assert line.startswith(f"fulfillment: {name}: ")


async def test_a_wrong_role_is_refused(start):
    code, written = await ended(start, role="king")
    assert (code, written) == (2, "fulfillment: usage: node src/main.ts web|worker|all\n")


async def test_a_taken_port_is_said_in_one_line(start):
    first = await start("web")
    code, written = await ended(start, HTTP_PORT=str(first.http.base_url.port))
    assert code == 2
    (line,) = written.splitlines()
    assert line.startswith("fulfillment: HTTP_PORT: ")
