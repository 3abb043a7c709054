"""Each rule of the house fires where it is broken, and nowhere in the contracts as they are."""

import shutil
from collections.abc import Callable

import pytest

from contract_gates.check.gates import check
from contract_gates.check.lint import RULES, exemptions, name_of
from contract_gates.check.lint.breach import Rule
from contract_gates.sources import Folders, Sources

Edit = Callable[[str, str, str], None]

# By rule: the file, what is there, what it becomes, and a word of what is said about it.
SPOILED: list[tuple[str, str, str, str, str]] = [
    (
        "command-names-are-imperative",
        "catalog/asyncapi.yaml",
        "    ReserveStock:\n      name: ReserveStock",
        "    ReservedStock:\n      name: ReserveStock",
        "ReservedStock",
    ),
    (
        "events-and-replies-are-past-tense",
        "order/asyncapi.yaml",
        "    OrderConfirmed:\n      name: OrderConfirmed",
        "    ConfirmOrder:\n      name: OrderConfirmed",
        "ConfirmOrder",
    ),
    (
        "operation-keys-say-action-and-message",
        "order/asyncapi.yaml",
        "  sendOrderConfirmed:",
        "  publishOrderConfirmed:",
        "publishOrderConfirmed",
    ),
    (
        "operation-ids-are-snake-case",
        "order/openapi.yaml",
        "operationId: place_order",
        "operationId: placeOrder",
        "placeOrder",
    ),
    (
        "schemas-are-named-after-their-files",
        "order/schemas/OrderConfirmed.json",
        '"title": "OrderConfirmed"',
        '"title": "Confirmation"',
        "title",
    ),
    (
        "properties-are-snake-case",
        "common/order-line.json",
        '    "quantity": {',
        '    "bookCount": {\n      "type": "integer",\n      "minimum": 0,\n      "maximum": 9,\n'
        '      "description": "Copies."\n    },\n    "quantity": {',
        "bookCount",
    ),
    (
        "properties-are-described",
        "order/openapi.yaml",
        "        step: {type: string, description: The saga's step.}",
        "        step: {type: string}",
        "step",
    ),
    (
        "messages-are-described",
        "catalog/asyncapi.yaml",
        "    description: All copies of the order are set aside.\n",
        "",
        "StockReserved",
    ),
    (
        "http-is-described",
        "order/openapi.yaml",
        "      description: Entries a page.\n",
        "",
        "limit",
    ),
    (
        "messages-have-examples",
        "common/id.json",
        ',\n  "examples": [\n    "0197a3c2-7b1e-7c44-9d3a-5f0e8c1b2a60"\n  ]',
        "",
        "example",
    ),
    (
        "bodies-have-examples",
        "order/openapi.yaml",
        "              example: {status: live}\n",
        "",
        "example",
    ),
    (
        "readers-are-tolerant",
        "catalog/schemas/StockReserved.json",
        '  "required"',
        '  "additionalProperties": false,\n  "required"',
        "refuses fields",
    ),
    (
        "absent-is-not-null",
        "common/detail.json",
        '"type": "string"',
        '"type": ["string", "null"]',
        "null",
    ),
    (
        "enums-of-events-are-closed",
        "payment/schemas/PaymentDeclined.json",
        '"x-closed"',
        '"x-comment"',
        "no value can ever be added",
    ),
    (
        "strings-are-bounded",
        "common/field-error.json",
        '      "maxLength": 200,\n',
        "",
        "no limit",
    ),
    (
        "integers-are-bounded",
        "common/money.json",
        '      "maximum": 9999999999,\n',
        "",
        "no limits",
    ),
    (
        "arrays-are-bounded",
        "order/schemas/OrderConfirmed.json",
        '      "maxItems": 50,\n',
        "",
        "no limit",
    ),
    (
        "times-are-named-as-such",
        "catalog/schemas/StockReserved.json",
        '    "reserved_until": {',
        '    "reserved": {',
        "reserved",
    ),
    (
        "money-is-common-money",
        "order/schemas/OrderCancelled.json",
        '      "$ref": "../../common/money.json"',
        '      "type": "integer",\n      "minimum": 0,\n      "maximum": 9',
        "refunded",
    ),
    (
        "ids-are-common-ids",
        "order/schemas/OrderCancelled.json",
        '      "$ref": "../../common/id.json"',
        '      "type": "string",\n      "format": "uuid"',
        "order_id",
    ),
    (
        "refusals-are-problems",
        "payment/openapi.yaml",
        "application/problem+json:",
        "application/json:",
        "problem document",
    ),
    (
        "refusals-are-foreseen",
        "catalog/openapi.yaml",
        "        '415': {$ref: '#/components/responses/UnsupportedMediaType'}\n",
        "",
        "415",
    ),
    (
        "keys-have-an-order",
        "common/money.json",
        '  "title": "Money",\n  "description": "An amount in one currency.",\n',
        '  "description": "An amount in one currency.",\n  "title": "Money",\n',
        "order",
    ),
    (
        "keys-stand-once",
        "common/money.json",
        '      "minimum": 0,\n',
        '      "minimum": 0,\n      "minimum": 1,\n',
        "minimum",
    ),
]


@pytest.fixture(scope="module")
def sources() -> Sources:
    return Sources(Folders())


def test_every_rule_is_seen_to_fire() -> None:
    assert [name_of(rule) for rule in RULES] == [case[0] for case in SPOILED]


@pytest.mark.parametrize(("rule", "file", "old", "new", "said"), SPOILED, ids=lambda case: case)
def test_rule_fires_on_the_line_where_it_is_broken(
    folders: Folders, edit: Edit, rule: str, file: str, old: str, new: str, said: str
) -> None:
    edit(file, old, new)
    found = [each for each in check(folders, ["lint"]) if each.rule == f"lint/{rule}"]
    assert found, f"{rule} overlooked it"
    lines = (folders.contracts / file).read_text(encoding="utf-8").splitlines()
    for finding in found:
        assert finding.file == f"contracts/{file}"
        assert 1 <= finding.line <= len(lines)
        assert said in finding.message
        assert finding.remedy


@pytest.mark.parametrize("rule", RULES, ids=name_of)
def test_rule_holds_in_the_contracts_but_for_exemptions(rule: Rule, sources: Sources) -> None:
    exempted = exemptions.EXEMPTIONS.get(name_of(rule), {})
    assert len(list(rule(sources))) == len(exempted)
    assert rule.__doc__


def test_exemption_that_exempts_nothing_is_a_finding(
    folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = "contracts/common/money.json#/properties/currency"
    monkeypatch.setitem(exemptions.EXEMPTIONS, "arrays-are-bounded", {place: "none"})
    (finding,) = check(folders, ["lint"])
    assert finding.rule == "lint/needless-exemption"
    assert "/properties/currency is exempted from arrays-are-bounded" in finding.message


def test_enum_of_a_schema_that_an_event_refers_to_counts_as_the_events(
    folders: Folders, edit: Edit
) -> None:
    edit("common/stock-repair.json", '"$ref": "./code.json"', '"enum": ["held", "sold"]')
    (finding,) = check(folders, ["lint"])
    assert finding.rule == "lint/enums-of-events-are-closed"
    assert finding.file == "contracts/common/stock-repair.json"


def test_later_version_is_called_after_its_message_and_its_number(
    folders: Folders, edit: Edit
) -> None:
    schemas = folders.contracts / "order" / "schemas"
    shutil.copy(schemas / "OrderConfirmed.json", schemas / "OrderConfirmedV2.json")
    edit("order/schemas/OrderConfirmedV2.json", '"OrderConfirmed"', '"OrderConfirmedV2"')
    (finding,) = check(folders, ["lint"])
    assert "$id" in finding.message
    edit("order/schemas/OrderConfirmedV2.json", "OrderConfirmed:1", "OrderConfirmed:2")
    assert check(folders, ["lint"]) == []
