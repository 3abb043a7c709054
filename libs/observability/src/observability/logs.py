"""JSON logs, one object a line, that carry correlation, message and trace ids.

Guarantee: a line that is written while a message or a request is handled names its conversation,
so that one order's lines can be found across all services.
"""

import contextlib
import json
import logging
import sys
from collections.abc import Iterator
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

import orjson
from opentelemetry import trace

_conversation: ContextVar[tuple[str, str] | None] = ContextVar("conversation", default=None)


@contextlib.contextmanager
def correlated(correlation_id: str, message_id: str = "") -> Iterator[None]:
    """Everything logged inside belongs to this conversation (and message)."""
    token = _conversation.set((correlation_id, message_id))
    try:
        yield
    finally:
        _conversation.reset(token)


class JsonFormatter(logging.Formatter):
    """One line, one JSON object: time, level, service, logger, message, ids, exception."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "service": self._service,
            "logger": record.name,
            "message": record.getMessage(),
            **ids(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        try:
            return orjson.dumps(line).decode()
        except TypeError:  # Half of a surrogate pair, which a client can send within JSON.
            return json.dumps(line, ensure_ascii=False).encode("utf-8", "replace").decode()


class ConsoleFormatter(logging.Formatter):
    """For people: time, level, message, and the conversation's first eight characters."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S.%f")[:-3]
        # Its end: ids begin with the time, so those of one minute begin alike.
        conversation = ids().get("correlation_id", "")[-8:]
        where = f" [{conversation}]" if conversation else ""
        text = f"{time} {record.levelname[0]}{where} {record.getMessage()}"
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return text


def ids() -> dict[str, str]:
    """The ids of the conversation and the span that the caller is in."""
    found: dict[str, str] = {}
    conversation = _conversation.get()
    if conversation is not None:
        found["correlation_id"], message_id = conversation
        if message_id:
            found["message_id"] = message_id
    span = trace.get_current_span().get_span_context()
    if span.is_valid:
        found["trace_id"] = trace.format_trace_id(span.trace_id)
        found["span_id"] = trace.format_span_id(span.span_id)
    return found


def configure_logging(service: str, *, level: str = "INFO", json: bool = True) -> None:
    """Send every logger of this process to standard output, once, in one format."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter(service) if json else ConsoleFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for noisy in ("botocore", "aiobotocore", "asyncio", "stripe", "httpx", "aiohttp.access"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers[:] = []
        logging.getLogger(name).propagate = True
