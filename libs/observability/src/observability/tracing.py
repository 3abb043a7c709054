"""OpenTelemetry traces that follow an order over HTTP, the bus, SQL and AWS calls.

Guarantee: with an exporter configured, every span of a conversation hangs under the one that caused
it, across processes, because each message carries its traceparent. Without one nothing is recorded.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from sqlalchemy.ext.asyncio import AsyncEngine

if TYPE_CHECKING:  # The SDK costs memory, so it is loaded only where spans are recorded.
    from opentelemetry.sdk.trace import TracerProvider


class Tracing:
    """The tracing of one process; `enabled` is False where no exporter is configured."""

    def __init__(self, provider: "TracerProvider | None") -> None:
        self._provider = provider

    @property
    def enabled(self) -> bool:
        """Whether spans are recorded at all."""
        return self._provider is not None

    def instrument_app(self, app: Any) -> None:
        """Spans for HTTP requests; health and metrics are left out."""
        if self._provider is None:
            return
        from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor

        FastAPIInstrumentor.instrument_app(
            app,
            tracer_provider=self._provider,
            excluded_urls="health/.*,metrics,ops/.*",
            exclude_spans=["receive", "send"],
            server_request_hook=_drop_query,
        )

    def instrument_engine(self, engine: AsyncEngine) -> None:
        """Spans for SQL statements (texts only, no parameters)."""
        if self._provider is None:
            return
        from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor

        SQLAlchemyInstrumentor().instrument(
            engine=engine.sync_engine,
            tracer_provider=self._provider,
            # It declares SQLAlchemy below 2.1 only; a test sees to it that 2.1 gives spans, too.
            skip_dep_check=True,
        )

    def shutdown(self) -> None:
        """Flush what is recorded."""
        if self._provider is not None:
            self._provider.shutdown()


def _drop_query(span: Any, _: Any) -> None:
    """A query may hold what a reader of traces must not have: the token of an unsubscribe link acts
    for its customer, and never expires.
    """
    known = span.attributes if span.is_recording() else {}
    for name in _URLS & known.keys():
        span.set_attribute(name, str(known[name]).partition("?")[0])
    if "url.query" in known:
        span.set_attribute("url.query", "")


# As OpenTelemetry's semantic conventions call them, before 1.23 and since.
_URLS = frozenset({"http.url", "http.target", "url.full"})


def configure_tracing(
    service: str, *, otlp_endpoint: str | None = None, trace_file: Path | None = None
) -> Tracing:
    """Record spans if an OTLP endpoint or a file is given; call once, before clients are made."""
    if otlp_endpoint is None and trace_file is None:
        return Tracing(None)
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor

    provider = TracerProvider(resource=Resource.create({"service.name": service}))
    if trace_file is not None:
        from observability.file_exporter import FileExporter

        provider.add_span_processor(SimpleSpanProcessor(FileExporter(trace_file)))
    if otlp_endpoint is not None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        url = f"{otlp_endpoint.rstrip('/')}/v1/traces"
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=url)))
    trace.set_tracer_provider(provider)
    from opentelemetry.instrumentation.botocore import AiobotocoreInstrumentor

    AiobotocoreInstrumentor().instrument(  # type: ignore[no-untyped-call]
        tracer_provider=provider
    )
    return Tracing(provider)
