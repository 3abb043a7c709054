"""The envelope: what goes out comes back, and what is malformed is named."""

import uuid
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from contracts import ContractViolationError
from contracts.models.catalog import RestockItems, StockUnavailable
from messaging import Envelope, MessageTooLarge, Sender, derived_id
from messaging.envelope import MAX_ENTRY_BYTES
from messaging.errors import MalformedMessage

ID = "11111111-1111-4111-8111-111111111111"


def envelope(**changes: Any) -> Envelope:
    fields: dict[str, Any] = {
        "id": ID,
        "source": "bookstore.order",
        "type": "RestockItems",
        "subject": "subject",
        "time": datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
        "dataschema": "urn:bookstore:catalog:RestockItems:1",
        "correlation_id": "conversation",
        "data": {"order_id": ID},
    }
    return Envelope(**{**fields, **changes})


texts = st.text(min_size=1, max_size=20).filter(
    lambda t: not any(0xD800 <= ord(c) < 0xE000 for c in t)
)


@given(
    st.builds(
        envelope,
        id=st.uuids().map(str),
        subject=texts,
        correlation_id=texts,
        time=st.datetimes(timezones=st.just(UTC), min_value=datetime(1970, 1, 1)),  # noqa: DTZ001
        causation_id=st.none() | texts,
        traceparent=st.none() | texts,
        data=st.dictionaries(texts, st.integers(-(2**53), 2**53) | texts | st.lists(texts)),
    )
)
def test_what_is_encoded_is_decoded_again(sent: Envelope) -> None:
    assert Envelope.decode(orjson.loads(sent.encode())) == sent


def test_the_encoding_is_a_cloudevents_document_without_nulls() -> None:
    east = datetime(2026, 1, 2, 5, 0, tzinfo=timezone(timedelta(hours=2)))
    assert orjson.loads(envelope(time=east).encode()) == {
        "specversion": "1.0",
        "id": ID,
        "source": "bookstore.order",
        "type": "RestockItems",
        "subject": "subject",
        "time": "2026-01-02T03:00:00.000000+00:00",
        "datacontenttype": "application/json",
        "dataschema": "urn:bookstore:catalog:RestockItems:1",
        "correlationid": "conversation",
        "data": {"order_id": ID},
    }


def test_unknown_attributes_are_ignored() -> None:
    document = orjson.loads(envelope().encode())
    assert Envelope.decode({**document, "comexampleother": [1]}) == envelope()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"specversion": "0.3"}, "specversion"),
        ({"specversion": None}, "specversion"),
        *(
            ({name: wrong}, f"'{name}'")
            for name in ("id", "source", "type", "subject", "time", "dataschema", "correlationid")
            for wrong in ("ABSENT", "", 7, None, ["x"])
        ),
        ({"data": "ABSENT"}, "lacks 'data'"),
        ({"data": [1]}, "'data' is no JSON object"),
        ({"data": None}, "'data' is no JSON object"),
        ({"id": "not-a-uuid"}, "id or time is malformed"),
        ({"time": "yesterday"}, "id or time is malformed"),
        ({"time": "2026-01-02T03:04:05"}, "no offset"),
    ],
)
def test_a_malformed_envelope_is_refused_with_the_reason(
    change: dict[str, Any], reason: str
) -> None:
    document = {**orjson.loads(envelope().encode()), **change}
    document = {name: value for name, value in document.items() if value != "ABSENT"}
    with pytest.raises(MalformedMessage, match=reason):
        Envelope.decode(document)


@pytest.mark.parametrize("detail", [None, "text", 1, []])
def test_what_is_no_object_is_refused(detail: Any) -> None:
    with pytest.raises(MalformedMessage, match="no JSON object"):
        Envelope.decode(detail)


@pytest.mark.parametrize("dataschema", ["urn:x", "urn:x:", "urn:x:1.0", "urn:x:-1", "urn:x:²"])
def test_a_dataschema_without_a_major_version_is_refused(dataschema: str) -> None:
    with pytest.raises(MalformedMessage, match="no version"):
        _ = envelope(dataschema=dataschema).version


def test_the_version_is_the_last_part_of_the_dataschema() -> None:
    assert envelope(dataschema="urn:bookstore:catalog:RestockItems:12").version == 12


def test_an_entry_of_exactly_what_the_bus_takes_passes_and_one_byte_more_does_not() -> None:
    def sized(length: int) -> Envelope:
        return envelope(data={"text": "x" * length})

    entry_bytes = len(sized(0).encode()) + len("bookstore.order") + len("RestockItems") + 14
    room = MAX_ENTRY_BYTES - entry_bytes
    assert sized(room).encode()
    with pytest.raises(MessageTooLarge, match=f"{MAX_ENTRY_BYTES + 1} bytes"):
        sized(room + 1).encode()


def test_size_is_counted_in_bytes_not_in_characters() -> None:
    with pytest.raises(MessageTooLarge):
        envelope(data={"text": "本" * (MAX_ENTRY_BYTES // 3)}).encode()


def test_ids_follow_from_their_cause() -> None:
    assert derived_id("a", "b", 1) == derived_id("a", "b", 1)
    assert len({derived_id("a", "b", 1), derived_id("a", "b", 2), derived_id("c", "b", 1)}) == 3
    assert uuid.UUID(derived_id("a"))


def test_a_sender_fills_in_what_the_contract_says() -> None:
    def sent(cause: str = "cause", index: int = 0, source: str = "order") -> Envelope:
        return Sender(source).envelope(
            RestockItems(order_id=ID), cause=cause, subject=ID, correlation_id="c", index=index
        )

    message = sent()
    assert (message.source, message.type) == ("bookstore.order", "RestockItems")
    assert message.dataschema == "urn:bookstore:catalog:RestockItems:1"
    assert message.data == {"order_id": ID}
    assert message.id == sent().id
    assert len({message.id, sent(cause="other").id, sent(index=1).id}) == 3


def test_an_absent_optional_field_stays_absent() -> None:
    refusal = StockUnavailable(order_id=ID, reason="released")
    message = Sender("catalog").envelope(refusal, cause="c", subject=ID, correlation_id="c")
    assert message.data == {"order_id": ID, "reason": "released"}


@pytest.mark.parametrize(
    ("payload", "pointer"),
    [
        (RestockItems.model_construct(order_id=None), "/order_id"),
        (RestockItems.model_construct(), "/"),
        (StockUnavailable.model_construct(order_id=ID, reason="no_reason"), "/reason"),
        (
            StockUnavailable.model_construct(order_id=ID, reason="released", detail=""),
            "/detail",
        ),
    ],
)
def test_a_payload_that_breaks_its_contract_gets_no_envelope(
    payload: BaseModel, pointer: str
) -> None:
    with pytest.raises(ContractViolationError) as violation:
        Sender("order").envelope(payload, cause="c", subject=ID, correlation_id="c")
    assert violation.value.reasons[0].startswith(f"{pointer}: ")
