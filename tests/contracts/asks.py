"""What a consumer asks of a message, and the pacts (V4, asynchronous messages) that say so.

Guarantee: a pact file is a pure function of the asks, so a committed one that differs was not
written by them.

An ask names what its consumer cannot do without, and nothing else. Every consumer here refuses
what breaks the contract, so all that a schema requires is asked for, read or not; of optional
fields only those whose absence the handler refuses.
"""

import json
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pact import Pact, match

from contracts import Topology, message_type
from messaging import derived_id

from .sent_versions import this_release, version_sent

PACTS = Path(__file__).parent / "pacts"
REWRITE = "make test-contracts ARGS=--write-pacts"

# The ids that examples speak of; a scene puts those of its own order in their place.
ORDER_ID = "0197a3c2-7b1e-7c44-9d3a-5f0e8c1b2a60"
PAYMENT_ID = "0197a3c2-7b1f-7a10-8e55-1c2d3e4f5a6b"
BATCH_ID = "0197a3c2-9000-7b00-8a00-0123456789ab"
SHIPMENT_ID = "3f0c8a52-6f9d-5c1e-8a77-2b1d4e5f6a70"
BOOK_ID = "2dc9420b-9ab2-50b5-8006-586e68a5e2b6"
CUSTOMER_ID = "ada"
PRICE_MINOR = 1699

_UUID = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
_DATE_TIME = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,6})?(Z|\+00:00)$"


def text_like(example: str, pattern: str) -> Any:
    """Text that matches a regular expression."""
    return match.regex(example, regex=pattern)


def an_id(example: str) -> Any:
    """A UUID in lower case."""
    return text_like(example, _UUID)


def a_moment() -> Any:
    """A time in UTC."""
    return text_like("2026-01-15T10:30:30Z", _DATE_TIME)


def a_code(example: str) -> Any:
    """A machine-readable reason of an open set."""
    return text_like(example, r"^[a-z][a-z0-9_]{0,63}$")


def one_of(*values: str) -> Any:
    """One of the values that the consumer knows."""
    return text_like(values[0], f"^({'|'.join(values)})$")


def a_count(example: int) -> Any:
    """A whole number."""
    return match.int(example)


def some_text(example: str) -> Any:
    """Any text."""
    return match.str(example)


def customer() -> Any:
    """The shop's name for a customer."""
    return text_like(CUSTOMER_ID, r"^[A-Za-z0-9_-]{1,64}$")


def money(amount_minor: int = PRICE_MINOR) -> dict[str, Any]:
    """An amount in one currency."""
    return {
        "amount_minor": a_count(amount_minor),
        "currency": text_like("EUR", "^[A-Z]{3}$"),
    }


def some_of(item: Mapping[str, Any]) -> Any:
    """A list of at least one such item."""
    return match.each_like(item, min=1)


def any_of(item: Any) -> Any:
    """A list of such items, or an empty one."""
    return match.type([item], min=0)


def order_lines() -> Any:
    """What is ordered."""
    return some_of(
        {"book_id": an_id(BOOK_ID), "quantity": a_count(1), "unit_price": money()},
    )


def a_book() -> dict[str, Any]:
    """A book as it is offered."""
    return {
        "book_id": an_id(BOOK_ID),
        "title": some_text("Emma"),
        "authors": match.each_like("Jane Austen", min=1),
        "subjects": any_of("Courtship"),
        "language": text_like("en", r"^[a-z]{2,3}(-[A-Za-z0-9]{1,8})*$"),
        "price": money(),
    }


@dataclass(frozen=True)
class Ask:
    """One message of one consumer.

    `data` holds examples and matchers. `given` is what has to have happened for the example to make
    sense, in words of the consumer's scene; `shows` tells from the scene whether it was handled.
    `envelope` is what the consumer wants of the envelope beyond what all of them do. `version` is
    that of `data`: the one that the provider sends by its contract, unless it says another.
    """

    message: str
    data: Mapping[str, Any]
    shows: Callable[[Any], bool | Awaitable[bool]]
    given: Sequence[str] = ()
    envelope: Mapping[str, Any] = field(default_factory=dict)
    version: int | None = None


def pact_of(consumer: str, provider: str, asks: Iterable[Ask]) -> Pact:
    """What one consumer asks of one provider."""
    pact = Pact(consumer, provider).with_specification("V4")
    for ask in sorted(asks, key=lambda ask: ask.message):
        detail = _detail(ask, provider)
        interaction = pact.upon_receiving(ask.message, "Async")
        interaction.with_body(detail, content_type="application/json")
        # What rules route by.
        interaction.with_metadata({"source": detail["source"], "detail-type": ask.message})
    return pact


def _detail(ask: Ask, provider: str) -> dict[str, Any]:
    """The envelope as `Envelope.decode` reads it; what that takes without is not asked for, unless
    the consumer's own reader is stricter.
    """
    version = ask.version or version_sent(this_release(), provider, ask.message)
    return {
        "specversion": "1.0",
        "id": an_id(derived_id("pact", ask.message)),
        "source": f"bookstore.{provider}",
        "type": ask.message,
        "subject": some_text(ORDER_ID),
        "time": a_moment(),
        "dataschema": message_type(ask.message, version).dataschema,
        "correlationid": an_id(ORDER_ID),
        **ask.envelope,
        "data": dict(ask.data),
    }


def examples_of(pact: Pact) -> dict[str, dict[str, Any]]:
    """The example details by message, as the pact hands them to its consumer."""
    examples: dict[str, dict[str, Any]] = {}

    def take(body: str | bytes | None, metadata: Mapping[str, object]) -> None:
        examples[str(metadata["detail-type"])] = json.loads(body or "null")

    pact.verify(take, kind="Async")
    return examples


def pairs(topology: Topology) -> list[tuple[str, str]]:
    """Every consumer with each provider that sends something to it, by the topology."""
    return sorted(
        {
            (consumer, provider)
            for consumer, service in topology.services.items()
            for message in service.receives
            for provider in topology.senders_of(message)
        }
    )


def messages_between(topology: Topology, consumer: str, provider: str) -> list[str]:
    """What the provider sends to the consumer, by the topology."""
    receives = topology.services[consumer].receives
    return sorted(message for message in receives if provider in topology.senders_of(message))


def file_of(consumer: str, provider: str) -> Path:
    """Where the pact of the two is committed."""
    return PACTS / f"{consumer}-{provider}.json"


def written(pact: Pact, folder: Path) -> dict[str, Any]:
    """The pact as a document, without the release of the library that wrote it."""
    pact.write_file(folder, overwrite=True)
    document: dict[str, Any] = json.loads(
        (folder / f"{pact.consumer}-{pact.provider}.json").read_text(encoding="utf-8")
    )
    del document["metadata"]["pactRust"]
    return document


def text_of(document: Mapping[str, Any]) -> str:
    """As a pact file has it."""
    return json.dumps(document, indent=2, ensure_ascii=False, sort_keys=True) + "\n"


def without_each_part(document: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The document once without each of its fields, with the JSON Pointer of what is missing."""
    for path in _fields(document):
        lacking: Any = deepcopy(document)
        node = lacking
        for step in path[:-1]:
            node = node[step]
        del node[path[-1]]
        yield "/" + "/".join(map(str, path)), lacking


def _fields(node: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    if isinstance(node, dict):
        for name, value in node.items():
            yield (*path, name)
            yield from _fields(value, (*path, name))
    elif isinstance(node, list):
        for number, value in enumerate(node):
            yield from _fields(value, (*path, number))
