"""Log lines that can be found by conversation, message and trace."""

import asyncio
import logging
from collections.abc import Callable, Iterator

import orjson
import pytest
from opentelemetry.sdk.trace import TracerProvider

from observability import configure_logging, correlated
from observability.logs import ConsoleFormatter, JsonFormatter

log = logging.getLogger("a.logger")
Lines = Callable[[], list[str]]


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Lines:
    return lambda: capsys.readouterr().out.splitlines()


@pytest.fixture(autouse=True)
def own_logging() -> Iterator[None]:
    """What `configure_logging` changes is put back."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_a_line_is_one_json_object_that_says_who_and_what(lines: Lines) -> None:
    configure_logging("order-web")
    log.info("taken %d of\n%s", 3, "“żółć”")
    (line,) = map(orjson.loads, lines())
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "info",
        "service": "order-web",
        "logger": "a.logger",
        "message": "taken 3 of\n“żółć”",
    }


def test_a_line_names_the_conversation_the_message_and_the_span_it_belongs_to(
    lines: Lines,
) -> None:
    configure_logging("order-worker")
    tracer = TracerProvider().get_tracer("test")
    with correlated("conversation", "message"), tracer.start_as_current_span("s") as span:
        log.info("inside")
    log.info("outside")
    inside, outside = map(orjson.loads, lines())
    context = span.get_span_context()
    assert inside["correlation_id"] == "conversation"
    assert inside["message_id"] == "message"
    assert inside["trace_id"] == f"{context.trace_id:032x}"
    assert inside["span_id"] == f"{context.span_id:016x}"
    assert not {"correlation_id", "message_id", "trace_id", "span_id"} & outside.keys()


def test_conversations_nest_and_a_request_has_no_message(lines: Lines) -> None:
    configure_logging("order-web")
    with correlated("outer"):
        with correlated("inner", "message"):
            log.info("a")
        log.info("b")
    a, b = map(orjson.loads, lines())
    assert (a["correlation_id"], b["correlation_id"]) == ("inner", "outer")
    assert "message_id" not in b


async def test_conversations_that_run_at_once_do_not_mix(lines: Lines) -> None:
    configure_logging("order-worker")

    async def converse(name: str) -> None:
        with correlated(name):
            for _ in range(3):
                log.info("of %s", name)
                await asyncio.sleep(0)

    await asyncio.gather(*(converse(f"c{n}") for n in range(5)))
    found = [orjson.loads(line) for line in lines()]
    assert len(found) == 15
    assert all(line["message"] == f"of {line['correlation_id']}" for line in found)


def test_an_exception_stays_on_its_line(lines: Lines) -> None:
    configure_logging("order-web")
    try:
        raise ValueError("why")
    except ValueError:
        log.exception("failed")
    (line,) = map(orjson.loads, lines())
    assert line["level"] == "error"
    assert line["exception"].splitlines()[-1] == "ValueError: why"


def test_every_logger_speaks_once_at_its_level_and_libraries_only_when_it_matters(
    lines: Lines,
) -> None:
    configure_logging("order-web", level="warning")
    configure_logging("order-web", level="warning")
    log.info("too quiet")
    logging.getLogger("uvicorn.error").warning("from uvicorn")
    configure_logging("order-web", level="debug")
    logging.getLogger("botocore.hooks").debug("chatter")
    log.debug("wanted")
    assert [orjson.loads(line)["message"] for line in lines()] == ["from uvicorn", "wanted"]


def test_people_get_a_short_line_with_the_conversations_end() -> None:
    record = log.makeRecord("a", logging.WARNING, __file__, 1, "text %s", ("x",), None)
    with correlated("rest-12345678"):
        line = ConsoleFormatter().format(record)
    assert line.endswith("W [12345678] text x")
    assert ConsoleFormatter().format(record).endswith("W text x")


def test_text_that_is_no_unicode_is_logged_all_the_same() -> None:
    record = log.makeRecord("a", logging.INFO, __file__, 1, "bad \ud800 text", (), None)
    assert "text" in orjson.loads(JsonFormatter("s").format(record))["message"]
