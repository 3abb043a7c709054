"""Providers against what is asked of them: the bytes that their own code sends keep every pact.

Guarantee: a message that a provider may send by the topology, and that no course makes it send, is
a failure that names it.
"""

import contextlib
import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jsonschema_rs
import orjson
import pytest
from pact import Verifier

from contracts import encode, load_topology, message_type, parse
from contracts.registry import raw_schemas

from .asks import REWRITE, file_of, messages_between, pairs, text_of, written
from .bookstore_course import Said
from .matrix import Matrix
from .participants import COURSES_IN_MEMORY, COURSES_ON_SERVERS, pact_between
from .payloads import known_part
from .server_scene import Servers

COURSE = "tests/contracts/bookstore_course.py"

SaidBy = Callable[[str], list[Said]]

TOPOLOGY = load_topology()
PAIRS = pairs(TOPOLOGY)
PROVIDERS = sorted({provider for _, provider in PAIRS})
ENVELOPE_SCHEMA = raw_schemas()["urn:bookstore:common:envelope:1"]
ENVELOPE_FIELDS = ENVELOPE_SCHEMA["properties"].keys()
ENVELOPE = jsonschema_rs.Draft202012Validator(dict(ENVELOPE_SCHEMA), validate_formats=True)


@pytest.fixture(scope="module")
async def said_by(on_servers: Callable[[], Servers]) -> SaidBy:
    """All that a provider says in the courses."""
    everything = [said for course in COURSES_IN_MEMORY for said in course()]
    for course in COURSES_ON_SERVERS:
        everything += await course(on_servers())
    return lambda provider: [s for s in everything if s.source == f"bookstore.{provider}"]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_provider_says_every_message_that_it_may_send(said_by: SaidBy, provider: str) -> None:
    said = {each.message for each in said_by(provider)}
    may_be_said = set(TOPOLOGY.services[provider].sends)
    assert sorted(may_be_said - said) == [], (
        f"no course makes {provider} say these: let {COURSE} do what makes it, or write a course "
        "for a new participant and add it to tests/contracts/participants.py"
    )
    assert sorted(said - may_be_said) == [], (
        f"{provider} says what its contract does not send: add the operations to "
        f"contracts/{provider}/asyncapi.yaml, and run `make generate`"
    )


@pytest.mark.parametrize("provider", PROVIDERS)
def test_what_leaves_for_the_bus_keeps_the_raw_schemas_and_says_nothing_else(
    said_by: SaidBy, provider: str
) -> None:
    for said in said_by(provider):
        document = orjson.loads(said.detail)
        assert [error.message for error in ENVELOPE.iter_errors(document)] == []
        assert document.keys() <= ENVELOPE_FIELDS  # So none of them is null, either.
        assert (document["source"], document["type"]) == (said.source, said.message)
        contract = message_type(said.message, int(document["dataschema"].rpartition(":")[2]))
        assert document["dataschema"] == contract.dataschema
        data = document["data"]
        again = encode(parse(contract.name, contract.version, data))
        assert shape_of(again) == shape_of(data), f"{said.message} has fields of no contract"
        # A moment may be written with more digits or fewer.
        assert known_part(again, contract.schema) == known_part(data, contract.schema)


@pytest.mark.parametrize(("consumer", "provider"), PAIRS)
def test_pact_file_is_what_the_consumer_asks(
    tmp_path: Path, pytestconfig: pytest.Config, consumer: str, provider: str
) -> None:
    text = text_of(written(pact_between(consumer, provider), tmp_path))
    file = file_of(consumer, provider)
    if pytestconfig.getoption("--write-pacts", False):
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
    committed = file.read_text(encoding="utf-8") if file.exists() else ""
    assert committed == text, f"{file.name} is not what {consumer} asks: {REWRITE} writes it anew"


def test_there_is_no_pact_of_anybody_else() -> None:
    expected = {file_of(*pair) for pair in PAIRS}
    assert set(file_of("any", "any").parent.iterdir()) - expected == set()


@pytest.mark.parametrize("provider", PROVIDERS)
def test_provider_keeps_every_pact(said_by: SaidBy, provider: str, matrix: Matrix) -> None:
    asked = {
        (consumer, message)
        for consumer, its_provider in PAIRS
        if its_provider == provider
        for message in messages_between(TOPOLOGY, consumer, provider)
    }
    results = [each for round_ in rounds(said_by(provider)) for each in verified(provider, round_)]
    broken = {(consumer, message): why for consumer, message, why in results if why}
    kept = {(consumer, message) for consumer, message, _ in results} - broken.keys()
    for consumer, message in kept:
        matrix.kept(consumer, provider, message)

    assert broken == {}, f"{provider} does not say what is asked of it: mend its code or the ask"
    assert sorted(asked - kept) == [], (
        "no pact asks for these: add the asks (tests/contracts/<consumer>_asks.py), then run "
        f"`{REWRITE}`"
    )
    assert sorted(kept - asked) == [], (
        f"a pact asks for what {provider} does not send to that consumer: `{REWRITE}` writes the "
        "pacts anew"
    )


@pytest.mark.parametrize(
    ("provider", "message", "change", "where"),
    [
        ("payment", "PaymentRefunded", {"customer_id": None}, "$.data"),
        ("order", "OrderRejected", {"reason": "Out Of Stock"}, "$.data.reason"),
        ("catalog", "StockLevelChanged", {"available": "2"}, "$.data.available"),
        ("fulfillment", "ShipmentDispatched", {"shipment_id": "7"}, "$.data.shipment_id"),
    ],
)
def test_provider_that_says_something_else_breaks_the_pact(
    said_by: SaidBy, provider: str, message: str, change: Mapping[str, Any], where: str
) -> None:
    (messages, *_) = rounds(said_by(provider))
    document = orjson.loads(messages[message].detail)
    data = {**document["data"], **change}
    document["data"] = {name: value for name, value in data.items() if value is not None}
    messages = {**messages, message: Said(f"bookstore.{provider}", message, orjson.dumps(document))}

    found = {name: mismatches for _, name, mismatches in verified(provider, messages) if mismatches}

    assert list(found) == [message]
    assert found[message][0].startswith(where)


def rounds(said: Sequence[Said]) -> list[dict[str, Said]]:
    """One message of each type a round, so that each shape of each of them is shown once."""
    shapes: dict[str, dict[Any, Said]] = defaultdict(dict)
    for each in said:
        shapes[each.message].setdefault(shape_of(orjson.loads(each.detail)["data"]), each)
    return [
        {message: kinds[number % len(kinds)] for message, kinds in _listed(shapes)}
        for number in range(max(map(len, shapes.values()), default=0))
    ]


def _listed(shapes: Mapping[str, Mapping[Any, Said]]) -> list[tuple[str, list[Said]]]:
    return [(message, list(kinds.values())) for message, kinds in shapes.items()]


def shape_of(value: Any) -> Any:
    """Which fields there are, and which lists are empty."""
    if isinstance(value, dict):
        return tuple((name, shape_of(value[name])) for name in sorted(value))
    if isinstance(value, list):
        return tuple(sorted({repr(shape_of(each)) for each in value}))
    return type(value).__name__


def verified(provider: str, messages: Mapping[str, Said]) -> list[tuple[str, str, list[str]]]:
    """Consumer, message and mismatches of every interaction of the provider's pacts."""
    verifier = Verifier(provider).set_coloured_output(enabled=False)
    verifier.message_handler(
        {
            message: {
                "contents": said.detail,
                "metadata": {"source": said.source, "detail-type": said.message},
                "content_type": "application/json",
            }
            for message, said in messages.items()
        }
    )
    for consumer, its_provider in PAIRS:
        file = file_of(consumer, provider)
        if its_provider == provider and file.exists():  # That it has to exist is another test's.
            verifier.add_source(file)
    with contextlib.suppress(RuntimeError):  # Some pact is broken: the results say which.
        verifier.verify()
    return [
        (
            result["consumer"],
            result["description"],
            [
                f"{each.get('path', each.get('key', ''))}: {each['mismatch']}"
                for each in result.get("mismatch", {}).get("mismatches", [])
            ]
            or ([] if result["result"] == "OK" else [json.dumps(result)]),
        )
        for result in verifier.results["interactionResults"]
    ]
