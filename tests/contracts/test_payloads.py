"""Whatever a schema allows travels unchanged; whatever it forbids does not even set out.

Guarantee: every version of every message is drawn, by the seed at the report's end; the same seed
draws the same payloads for the same code and the same selection of tests (see `payloads`).
"""

import asyncio
import contextlib
import warnings
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError
from sqlalchemy import MetaData, select

from contracts import (
    MESSAGES,
    ContractViolationError,
    MessageType,
    encode,
    load_topology,
    message_type,
    parse,
    validate,
)
from contracts.registry import raw_schemas
from faults.gate import OpenGate
from faults.memory.database import MemoryDatabase
from messaging import Envelope, MessageTooLarge, Outbox, Sender, derived_id, messaging_tables
from messaging.envelope import MAX_ENTRY_BYTES

from .conftest import SEED
from .payloads import Violation, known_part, payloads, samples, violations

# Every version of every message, by the `$id`s of the schemas, which end in name and version.
VERSIONS = [
    message_type(name, int(version))
    for *_, name, version in (schema_id.split(":") for schema_id in sorted(raw_schemas()))
    if name in MESSAGES
]
ID = "0197a3c2-7b1e-7c44-9d3a-5f0e8c1b2a60"
EXAMPLES = 25
ON_THE_BUS = 400
PATIENCE_SECONDS = 30.0
TOPOLOGY = load_topology()
METADATA = MetaData()
TABLES = messaging_tables(METADATA)

each_version = pytest.mark.parametrize(
    "contract", VERSIONS, ids=lambda contract: f"{contract.name}-{contract.version}"
)
# Drawn anew each time: nothing is kept that would make one run differ from the next.
drawn = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


def enveloped(contract: MessageType, data: dict[str, Any], number: int = 0) -> Envelope:
    """The payload in an envelope of its sender."""
    (sender, *_) = TOPOLOGY.senders_of(contract.name)
    return Envelope(
        id=derived_id(f"payload/{SEED}", contract.dataschema, number),
        source=TOPOLOGY.services[sender].source,
        type=contract.name,
        subject=ID,
        time=datetime(2026, 1, 15, 10, 30, 30, tzinfo=UTC),
        dataschema=contract.dataschema,
        correlation_id=ID,
        data=data,
    )


@each_version
def test_every_payload_that_the_schema_allows_survives_model_and_envelope(
    contract: MessageType,
) -> None:
    name, version, schema = contract.name, contract.version, contract.schema

    @seed(SEED)
    @drawn
    @given(payloads(schema))
    def survives(payload: dict[str, Any]) -> None:
        validate(name, version, payload)
        again = encode(parse(name, version, payload))
        validate(name, version, again)
        assert known_part(again, schema) == known_part(payload, schema)
        assert known_part(payload, schema).keys() == again.keys()
        sent = enveloped(contract, payload)
        with contextlib.suppress(MessageTooLarge):  # Refused where it is written, and not later.
            assert Envelope.decode(orjson.loads(sent.encode())) == sent

    survives()


@each_version
def test_what_the_schema_forbids_reaches_no_outbox_past_model_or_not(
    contract: MessageType,
) -> None:
    name, version, model = contract.name, contract.version, contract.model

    with asyncio.Runner() as runner:

        @seed(SEED)
        @drawn
        @given(violations(contract.schema))
        def is_refused(violation: Violation) -> None:
            with pytest.raises(ContractViolationError):
                validate(name, version, violation.payload)
            smuggled = model.model_construct(**violation.payload)
            for payload in (smuggled, *accepted_by(model, violation)):
                written = runner.run(sent_in_a_transaction(payload))
                assert written == [] or violation.what == "wrong type"
                for each in written:  # Pydantic has turned it into the right type: True into 1.
                    validate(name, version, each)

        is_refused()


def accepted_by(model: type[BaseModel], violation: Violation) -> list[BaseModel]:
    """The payload as a model, if that takes it: it only takes a number for a moment."""
    try:
        return [model.model_validate(violation.payload)]
    except ValidationError:
        return []


async def sent_in_a_transaction(payload: BaseModel) -> list[Any]:
    """The payloads of that type in the outbox, once a transaction has tried to send this one."""
    engine: Any = MemoryDatabase(METADATA, now=lambda: datetime.now(UTC)).engine(OpenGate())
    outbox = Outbox(engine, TABLES, lambda sent: None)
    with warnings.catch_warnings(), contextlib.suppress(ContractViolationError):
        warnings.simplefilter("ignore")  # Pydantic's own doubts, which stop nothing.
        async with outbox.transaction() as transaction:
            message = Sender("order").envelope(
                payload, cause="smuggled", subject=ID, correlation_id=ID
            )
            transaction.send([message])
    async with engine.connect() as connection:
        details = (await connection.execute(select(TABLES.outbox.c.detail))).scalars()
        return [orjson.loads(detail)["data"] for detail in details]


async def test_payloads_cross_the_bus_unchanged(aws: Any) -> None:
    """From PutEvents in tens over the rules to each receiver's queue."""
    sent = {
        message.id: message
        for number, (contract, payload) in enumerate(_drawn_for_the_bus())
        for message in [enveloped(contract, payload, number)]
        if _fits(message)
    }
    assert {message.dataschema for message in sent.values()} == {v.dataschema for v in VERSIONS}
    expected = {
        (receiver, message.id)
        for message in sent.values()
        for receiver in TOPOLOGY.receivers_of(message.type)
    }
    for entries in _requests(sent.values()):
        answer = await aws.events.put_events(Entries=entries)
        assert answer["FailedEntryCount"] == 0

    arrived = {
        (receiver, message.id): message
        for receiver in TOPOLOGY.services
        for message in await _received(
            aws, receiver, {message_id for name, message_id in expected if name == receiver}
        )
    }

    assert arrived.keys() == expected
    assert [key for key, message in arrived.items() if message != sent[key[1]]] == []
    for message in arrived.values():
        parse(message.type, message.version, message.data)


def _fits(message: Envelope) -> bool:
    """Whether the bus takes it; what is too large is refused where it is written."""
    try:
        message.encode()
    except MessageTooLarge:
        return False
    return True


def _drawn_for_the_bus() -> list[tuple[MessageType, dict[str, Any]]]:
    one_of_each = st.fixed_dictionaries({each: payloads(each.schema) for each in VERSIONS})
    rounds = samples(one_of_each, ON_THE_BUS // len(VERSIONS) + 1, SEED)
    return [each for round_ in rounds for each in round_.items()]


def _requests(messages: Iterable[Envelope]) -> Iterator[list[dict[str, str]]]:
    """Ten entries at a time, or fewer where they are too large together."""
    entries: list[dict[str, str]] = []
    size = 0
    for message in messages:
        detail = message.encode()
        if entries and (len(entries) == 10 or size + len(detail) > MAX_ENTRY_BYTES - 2_000):
            yield entries
            entries, size = [], 0
        size += len(detail)
        entries.append(
            {
                "EventBusName": TOPOLOGY.bus,
                "Source": message.source,
                "DetailType": message.type,
                "Detail": detail.decode(),
            }
        )
    yield entries


async def _received(aws: Any, receiver: str, wanted: set[str]) -> list[Envelope]:
    """Those messages from the receiver's queue, and no others that lie in it."""
    url = aws.applied.queue_urls[receiver]
    found: list[Envelope] = []
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len({message.id for message in found}) < len(wanted):
            answer = await aws.sqs.receive_message(
                QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1
            )
            messages = answer.get("Messages", [])
            envelopes = [Envelope.decode(orjson.loads(m["Body"])["detail"]) for m in messages]
            found += [envelope for envelope in envelopes if envelope.id in wanted]
            if messages:
                await aws.sqs.delete_message_batch(
                    QueueUrl=url,
                    Entries=[
                        {"Id": str(number), "ReceiptHandle": message["ReceiptHandle"]}
                        for number, message in enumerate(messages)
                    ],
                )
    return found
