"""Every message can be looked up, checked and turned into a model and back without loss."""

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from pydantic import MISSING, ValidationError

import contracts
from contracts.models.catalog import ReserveStock, StockReserved, StockUnavailable
from contracts.registry import raw_schemas

CONTRACTS = Path(__file__).resolve().parents[3] / "contracts"
SCHEMAS = [
    json.loads(path.read_text(encoding="utf-8"))
    for path in sorted(CONTRACTS.glob("*/schemas/*.json"))
]


def name_and_version(schema: dict[str, Any]) -> tuple[str, int]:
    """By the `$id`: from version 2 on, the file and the title have the version in their name."""
    *_, name, version = schema["$id"].split(":")
    return name, int(version)


EXAMPLES = [
    pytest.param(*name_and_version(schema), example, id=f"{schema['title']}-{number}")
    for schema in SCHEMAS
    for number, example in enumerate(schema["examples"])
]
ORDER_ID = "0197a3c2-7b1e-7c44-9d3a-5f0e8c1b2a60"


def reserve_stock(**changes: Any) -> dict[str, Any]:
    line = {
        "book_id": "6f1c2b9e-4a57-5d0b-9c1e-2f3a4b5c6d7e",
        "quantity": 2,
        "unit_price": {"amount_minor": 1299, "currency": "EUR"},
    }
    return {"order_id": ORDER_ID, "lines": [line], **changes}


def reasons_against(name: str, data: Any, version: int = 1) -> list[str]:
    with pytest.raises(contracts.ContractViolationError) as violation:
        contracts.validate(name, version, data)
    return violation.value.reasons


def test_registry_holds_every_schema_of_the_contracts() -> None:
    declared = {name_and_version(schema): schema["$id"] for schema in SCHEMAS}
    found = {key: contracts.message_type(*key).dataschema for key in declared}
    assert found == declared
    newest = dict(sorted(declared))
    assert {name: each.version for name, each in contracts.MESSAGES.items()} == newest


@pytest.mark.parametrize(("name", "version", "example"), EXAMPLES)
def test_example_meets_its_contract_and_survives_a_round_trip(
    name: str, version: int, example: Any
) -> None:
    contracts.validate(name, version, example)
    assert contracts.encode(contracts.parse(name, version, example)) == example


@pytest.mark.parametrize("path", sorted(CONTRACTS.glob("common/*.json")), ids=lambda p: p.stem)
def test_example_of_a_shared_schema_is_used_or_valid(path: Path) -> None:
    schema = json.loads(path.read_text(encoding="utf-8"))
    assert schema["examples"]
    if schema["$id"] in raw_schemas():
        bundled = raw_schemas()[schema["$id"]]
        for example in schema["examples"]:
            jsonschema_rs.validate(dict(bundled), example, validate_formats=True)


def test_message_type_is_found_by_name_by_model_and_by_instance() -> None:
    found = contracts.message_type("ReserveStock")
    assert found.model is ReserveStock
    assert (found.owner, found.kind, found.version) == ("catalog", "command", 1)
    assert found.dataschema == "urn:bookstore:catalog:ReserveStock:1"
    assert contracts.message_type_of(ReserveStock) is found
    assert contracts.message_type_of(ReserveStock.model_validate(reserve_stock())) is found


@pytest.mark.parametrize(("name", "version"), [("ReserveStock", 99), ("Reserve", 1)])
def test_unknown_name_or_version_is_told_apart_from_bad_data(name: str, version: int) -> None:
    with pytest.raises(contracts.UnknownMessageError, match=f"{name} version {version}"):
        contracts.validate(name, version, {})


def test_unknown_fields_are_ignored_at_every_depth() -> None:
    data = reserve_stock(added_later="x")
    data["lines"][0]["unit_price"]["added_later"] = 1
    parsed = contracts.parse("ReserveStock", 1, data)
    assert contracts.encode(parsed) == reserve_stock()


def test_absent_optional_stays_absent_and_null_is_refused() -> None:
    absent = {"order_id": ORDER_ID, "reason": "released"}
    parsed = contracts.parse("StockUnavailable", 1, absent)
    assert isinstance(parsed, StockUnavailable)
    assert parsed.detail is MISSING
    assert contracts.or_none(parsed.detail) is None
    assert contracts.encode(parsed) == absent
    assert reasons_against("StockUnavailable", {**absent, "detail": None})[0].startswith("/detail:")
    with pytest.raises(ValidationError):
        StockUnavailable.model_validate({**absent, "detail": None})


def test_none_from_a_store_becomes_an_absent_field() -> None:
    detail: str | None = None
    refusal = StockUnavailable(
        order_id=ORDER_ID, reason="out_of_stock", detail=contracts.or_missing(detail)
    )
    assert "detail" not in contracts.encode(refusal)


@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        ("/order_id", "not-a-uuid"),
        ("/order_id", ORDER_ID.upper()),
        ("/lines", []),
        ("/lines", reserve_stock()["lines"] * 51),
        ("/lines/0/quantity", 0),
        ("/lines/0/quantity", 10**9),
        ("/lines/0/quantity", "2"),
        ("/lines/0/quantity", True),
        ("/lines/0/unit_price/amount_minor", -1),
        ("/lines/0/unit_price/amount_minor", 10_000_000_000),
        ("/lines/0/unit_price/amount_minor", 12.5),
        ("/lines/0/unit_price/currency", "eur"),
    ],
)
def test_value_out_of_bounds_is_refused_with_its_pointer(pointer: str, value: Any) -> None:
    data = copy.deepcopy(reserve_stock())
    *parents, last = pointer.strip("/").split("/")
    node: Any = data
    for part in parents:
        node = node[int(part)] if part.isdecimal() else node[part]
    node[last] = value
    assert any(
        reason.startswith(f"{pointer}: ") for reason in reasons_against("ReserveStock", data)
    )
    with pytest.raises(ValidationError):
        ReserveStock.model_validate(data)


@pytest.mark.parametrize("value", ["2026-01-15T10:30:30", "2026-01-15", 1_768_473_030, "soon"])
def test_date_time_needs_a_time_zone_and_is_no_number(value: Any) -> None:
    data = {"order_id": ORDER_ID, "reserved_until": value}
    assert reasons_against("StockReserved", data)[0].startswith("/reserved_until: ")


def test_date_time_is_parsed_aware() -> None:
    data = {"order_id": ORDER_ID, "reserved_until": "2026-01-15T12:30:30+02:00"}
    parsed = contracts.parse("StockReserved", 1, data)
    assert isinstance(parsed, StockReserved)
    assert parsed.reserved_until.utcoffset() is not None


def test_at_most_five_reasons_are_given() -> None:
    lines = [{"book_id": 1, "quantity": 0, "unit_price": {}}] * 50
    assert len(reasons_against("ReserveStock", reserve_stock(lines=lines))) == 5


@pytest.mark.parametrize("data", [None, [], "ReserveStock", 1])
def test_anything_but_an_object_is_refused(data: Any) -> None:
    assert reasons_against("ReserveStock", data)[0].startswith("/: ")


def test_models_are_frozen() -> None:
    command = ReserveStock.model_validate(reserve_stock())
    with pytest.raises(ValidationError):
        command.order_id = ORDER_ID  # type: ignore[misc]
