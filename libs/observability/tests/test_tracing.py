"""Traces that hang together over process borders, and cost nothing where nobody looks."""

from pathlib import Path
from typing import Any

import httpx
import orjson
from fastapi import FastAPI
from opentelemetry import propagate, trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from observability import configure_tracing
from observability.file_exporter import FileExporter
from observability.tracing import Tracing


def provider_to(path: Path, service: str) -> TracerProvider:
    provider = TracerProvider(resource=Resource.create({"service.name": service}))
    provider.add_span_processor(SimpleSpanProcessor(FileExporter(path)))
    return provider


def spans(path: Path) -> dict[str, Any]:
    return {span["name"]: span for span in map(orjson.loads, path.read_text().splitlines())}


def test_finished_spans_are_appended_as_one_json_object_a_line(tmp_path: Path) -> None:
    path = tmp_path / "made" / "spans.jsonl"
    for service in ("web", "worker"):  # Two processes may share the file.
        provider = provider_to(path, service)
        with provider.get_tracer("t").start_as_current_span(f"{service} work", attributes={"n": 1}):
            assert path.read_text().count(f"{service} work") == 0
        assert path.read_text().count(f"{service} work") == 1, "written at once, not at the end"
        provider.shutdown()
    found = spans(path)
    assert found.keys() == {"web work", "worker work"}
    assert found["worker work"]["attributes"] == {"n": 1}
    assert found["worker work"]["resource"]["attributes"]["service.name"] == "worker"


def test_a_message_carries_its_trace_over_to_the_next_process(tmp_path: Path) -> None:
    path = tmp_path / "spans.jsonl"
    sender, receiver = provider_to(path, "order"), provider_to(path, "catalog")
    carrier: dict[str, str] = {}
    with sender.get_tracer("t").start_as_current_span("send"):
        propagate.inject(carrier)
    parent = propagate.extract({"traceparent": carrier["traceparent"]})
    with receiver.get_tracer("t").start_as_current_span("process", context=parent):
        pass
    found = spans(path)
    assert found["process"]["parent_id"] == found["send"]["context"]["span_id"]
    assert found["process"]["context"]["trace_id"] == found["send"]["context"]["trace_id"]


def test_without_an_exporter_nothing_is_recorded() -> None:
    before = trace.get_tracer_provider()
    tracing = configure_tracing("order-web")
    assert not tracing.enabled
    assert trace.get_tracer_provider() is before
    app = object()
    tracing.instrument_app(app)
    tracing.shutdown()
    with trace.get_tracer("t").start_as_current_span("s") as span:
        assert not span.is_recording()


async def test_what_stands_in_a_query_is_in_no_trace(tmp_path: Path) -> None:
    path = tmp_path / "spans.jsonl"
    app = FastAPI()

    @app.get("/unsubscribe")
    async def unsubscribe(token: str) -> str:
        return token

    Tracing(provider_to(path, "notification")).instrument_app(app)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://mail") as client:
        assert (await client.get("/unsubscribe?token=capability")).json() == "capability"
    assert spans(path)["GET /unsubscribe"]["attributes"]["http.url"] == "http://mail/unsubscribe"
    assert "capability" not in path.read_text()
