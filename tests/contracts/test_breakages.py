"""Changes that break a contract, each with the gate that must catch it.

One guarantee: each change is made to a copy of the repository's contracts, derived files or code,
really changes it, and is found by the named gate under the named rule.
"""

# ruff: noqa: E501  (One line a breakage: it quotes lines as they are.)

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from contract_gates.check.gates import GATES, check
from contract_gates.diff import compare
from contract_gates.findings import Finding, Level
from contract_gates.sources import ROOT, Folders

PACKAGE = "libs/contracts/src/contracts"
CONFIRMED = "contracts/order/schemas/OrderConfirmed.json"
DECLINED = "contracts/payment/schemas/PaymentDeclined.json"
RESERVE = "contracts/catalog/schemas/ReserveStock.json"
UNAVAILABLE = "contracts/catalog/schemas/StockUnavailable.json"
ORDER = "contracts/order/asyncapi.yaml"
CATALOG = "contracts/catalog/asyncapi.yaml"
PAYMENT = "contracts/payment/asyncapi.yaml"
ORDER_API = "contracts/order/openapi.yaml"
CATALOG_API = "contracts/catalog/openapi.yaml"
MONEY = "contracts/common/money.json"
# What a breakage writes where there was something else.
NOTE = {"type": "string", "maxLength": 9, "description": "A note."}

Edit = Callable[[Path], None]


def text(file: str, old: str, new: str) -> Edit:
    """The first `old` becomes `new`."""

    def edit(root: Path) -> None:
        content = (root / file).read_text(encoding="utf-8")
        assert old in content, f"{file} no longer has {old!r}"
        (root / file).write_text(content.replace(old, new, 1), encoding="utf-8")

    return edit


def value(file: str, pointer: str, new: Any) -> Edit:
    """The value at the pointer of a JSON file becomes `new`; it may have been absent."""

    def edit(root: Path) -> None:
        document = json.loads((root / file).read_text(encoding="utf-8"))
        *parents, last = pointer.split("/")
        held = document
        for part in parents:
            held = held[int(part) if isinstance(held, list) else part]
        held[int(last) if isinstance(held, list) else last] = new
        _write(root / file, document)

    return edit


def without(file: str, name: str) -> Edit:
    """A property is gone from a JSON schema, from its required ones and from its examples."""

    def edit(root: Path) -> None:
        document = json.loads((root / file).read_text(encoding="utf-8"))
        del document["properties"][name]
        document["required"] = [each for each in document["required"] if each != name]
        for example in document["examples"]:
            example.pop(name, None)
        _write(root / file, document)

    return edit


def removed(file: str, first: str, last: str) -> Edit:
    """All from the first text up to, but without, the next `last` is gone."""

    def edit(root: Path) -> None:
        before, found, rest = (root / file).read_text(encoding="utf-8").partition(first)
        _, stop, after = rest.partition(last)
        assert found, f"{file} no longer has {first!r}"
        assert stop, f"{file} no longer has {last!r} behind it"
        (root / file).write_text(before + last + after, encoding="utf-8")

    return edit


def both(first: Edit, second: Edit) -> Edit:
    """One edit after the other."""

    def edit(root: Path) -> None:
        first(root)
        second(root)

    return edit


def renamed(old: str, new: str) -> Edit:
    """A message has another name, everywhere."""

    def edit(root: Path) -> None:
        for path in [*root.glob("contracts/*/*.yaml"), *root.glob("contracts/*/schemas/*.json")]:
            content = path.read_text(encoding="utf-8")
            path.write_text(content.replace(old, new), encoding="utf-8")
            path.rename(path.with_name(path.name.replace(old, new)))

    return edit


def copied(old: str, new: str) -> Edit:
    """There is a second file like the first."""
    return lambda root: shutil.copy(root / old, root / new) and None


def _write(path: Path, document: Any) -> None:
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


@dataclass(frozen=True)
class Breakage:
    """`rule` is the one that catches it; before the slash stands the gate."""

    name: str
    rule: str
    edit: Edit
    # The services whose code is copied and asked; none where the gate asks for no code.
    code: list[str] = field(default_factory=list)
    level: Level = "error"

    @property
    def gate(self) -> str:
        return self.rule.partition("/")[0]


def asked(service: str, name: str, rule: str, edit: Edit) -> Breakage:
    """A breakage that shows only where the service's code is asked."""
    return Breakage(name, rule, edit, [service])


BREAKAGES = [
    # What only a comparison with the last release can see.
    Breakage("required field removed", "diff/old-consumer-required", without(CONFIRMED, "total")),
    Breakage("optional field removed", "diff/field-removed", without(UNAVAILABLE, "detail"), level="warning"),
    Breakage("optional made required", "diff/old-message-required", value(UNAVAILABLE, "required", ["order_id", "reason", "detail"])),
    Breakage("enum of a reply narrowed", "diff/old-message-enum", text(DECLINED, '        "expired_card",\n', "")),
    Breakage("enum of a reply widened", "diff/old-consumer-enum", text(DECLINED, '"expired_card",', '"expired_card",\n        "stolen_card",')),
    Breakage("type changed", "diff/old-message-type", value(MONEY, "properties/amount_minor/type", "string")),
    Breakage("maximum tightened", "diff/old-message-maximum", value(MONEY, "properties/amount_minor/maximum", 100)),
    Breakage("maxLength tightened", "diff/old-message-length", value("contracts/common/detail.json", "maxLength", 50)),
    Breakage("pattern tightened", "diff/old-message-pattern", value(MONEY, "properties/currency/pattern", "^(EUR|USD)$")),
    Breakage("new required request field", "diff/request-required", text(ORDER_API, "required: [customer_id, lines, payment_method]\n      properties:\n", "required: [customer_id, lines, payment_method, note]\n      properties:\n        note: {type: string, maxLength: 9, description: A note.}\n")),
    Breakage("HTTP endpoint removed", "diff/endpoint-removed", removed(CATALOG_API, "  /ops/stock:\n", "components:\n")),
    Breakage("response property removed", "diff/response-required", both(text(CATALOG_API, "        available: {type: integer, minimum: 0, description: Copies on hand that are not reserved.}\n", ""), text(CATALOG_API, "price, available, version", "price, version"))),
    Breakage("message renamed everywhere", "diff/message-removed", renamed("OrderRejected", "OrderRefused")),
    # Who sends what to whom.
    Breakage("message renamed by its owner alone", "topology/unsound", text(ORDER, "  OrderRejected:\n    address: OrderRejected", "  OrderRefused:\n    address: OrderRefused")),
    Breakage("address changed", "topology/unsound", text(CATALOG, "address: ReserveStock", "address: reserve-stock")),
    Breakage("$id changed", "topology/unsound", text(RESERVE, "urn:bookstore:catalog", "urn:bookstore:order")),
    Breakage("send dropped", "topology/unsound", removed(ORDER, "  sendOrderConfirmed:\n", "  sendOrderRejected:\n")),
    Breakage("wrong owner referred to", "topology/unsound", text(ORDER, "../catalog/asyncapi.yaml#/channels/StockReserved", "../payment/asyncapi.yaml#/channels/PaymentVoided")),
    Breakage("source not allowed", "topology/unsound", text(CATALOG, "source: [bookstore.order]", "source: [bookstore.payment]")),
    Breakage("bus changed", "topology/unsound", text(PAYMENT, "bus: bookstore", "bus: other")),
    Breakage("schema without channel", "topology/unsound", copied(RESERVE, "contracts/catalog/schemas/HoldStock.json")),
    # What is derived.
    Breakage("generated model edited", "derived/stale", text(f"{PACKAGE}/models/order.py", "lines: ", "items: ")),
    Breakage("generated TypeScript edited", "derived/stale", text(f"{PACKAGE}/typescript/messages.ts", "order_id: ", "orderId: ")),
    Breakage("topology.json edited", "derived/stale", text(f"{PACKAGE}/_data/topology.json", '"max_receive_count": 8', '"max_receive_count": 1')),
    Breakage("derived page edited", "derived/stale", text("docs/site/index.html", "</", "<!-- --></")),
    Breakage("contract changed, nothing generated", "derived/stale", value(MONEY, "properties/amount_minor/maximum", 9)),
    # What the code does.
    asked("search", "endpoint missing in the code", "http/differs", text("services/search/src/search_service/api.py", '"/autocomplete", operation_id', '"/completions", operation_id')),
    asked("payment", "response field renamed in the code", "http/differs", text("services/payment/src/payment_service/api.py", "    intent_id: str", "    intent: str")),
    asked("search", "parameter made required in the code", "http/differs", text("services/search/src/search_service/api.py", "QueryParameter(ge=1, le=20)] = 8", "QueryParameter(ge=1, le=20)]")),
    asked("notification", "handler missing in the code", "handlers/missing", text("services/notification/src/notification_service/handlers.py", "        Reaction(OrderRejected, handlers.mail_rejection),\n", "")),
    asked("notification", "receive dropped", "handlers/unreceived", removed("contracts/notification/asyncapi.yaml", "  receiveOrderRejected:\n", "  receiveOrderCancelled:\n")),
    # What the specifications say.
    Breakage("invalid AsyncAPI", "validity/asyncapi-document-resolved", text(ORDER, "action: send", "action: publish")),
    Breakage("invalid OpenAPI", "validity/struct", text(ORDER_API, "      operationId: place_order\n", "      operationId: place_order\n      method: post\n")),
    Breakage("OpenAPI refers to nothing", "validity/reference", text(ORDER_API, "#/components/schemas/OrderPage", "#/components/schemas/OrderSheet")),
    Breakage("schema refers to nothing", "validity/reference", text(RESERVE, "common/order-line.json", "common/line.json")),
    Breakage("invalid JSON Schema", "validity/json-schema", value(MONEY, "properties/currency/maxLength", "3")),
    Breakage("file that does not parse", "parse/unreadable", text(MONEY, '"type": "object",', '"type": "object"')),
    # What the house says.
    Breakage("description missing", "lint/properties-are-described", text(CONFIRMED, '"description": "What is ordered."', '"x-note": ""')),
    Breakage("version changed in place", "lint/schemas-are-named-after-their-files", text(CONFIRMED, "OrderConfirmed:1", "OrderConfirmed:2")),
    Breakage("example missing", "lint/messages-have-examples", value(CONFIRMED, "examples", [])),
    Breakage("null allowed", "lint/absent-is-not-null", value(UNAVAILABLE, "properties/note", {**NOTE, "type": ["string", "null"]})),
    Breakage("unknown fields refused", "lint/readers-are-tolerant", value(CONFIRMED, "additionalProperties", False)),
    Breakage("enum in an event", "lint/enums-of-events-are-closed", value(CONFIRMED, "properties/mood", {**NOTE, "enum": ["good"]})),
    Breakage("amount as a bare number", "lint/money-is-common-money", value(CONFIRMED, "properties/total", {"type": "integer"})),
    # What is shown to whoever starts from an example.
    Breakage("invalid example", "examples/invalid", value(CONFIRMED, "examples/0/total/currency", "euro")),
    Breakage("null for absent in an example", "examples/invalid", value(UNAVAILABLE, "examples/0/detail", None)),
    Breakage("example with a field that is not there", "examples/undeclared", value(CONFIRMED, "examples/0/totl", 1)),
    Breakage("envelope around another message", "examples/envelope", value("contracts/common/envelope.json", "examples/0/type", "ReserveStock")),
    Breakage("invalid HTTP example", "examples/invalid", text(ORDER_API, "example: {status: live}", "example: {status: alive}")),
]  # fmt: skip


def copy_of_the_repository(root: Path, code: list[str]) -> Folders:
    """What the gates read, and the code of the services that are to be asked."""
    shutil.copytree(ROOT / "contracts", root / "contracts")
    shutil.copytree(ROOT / PACKAGE, root / PACKAGE, ignore=shutil.ignore_patterns("__pycache__"))
    if (ROOT / "docs/site").exists():
        shutil.copytree(ROOT / "docs/site", root / "docs/site")
    for service in code:
        (root / "services" / service).mkdir(parents=True)
        shutil.copy(ROOT / f"services/{service}/pyproject.toml", root / f"services/{service}")
        shutil.copytree(ROOT / f"services/{service}/src", root / f"services/{service}/src")
    return Folders(
        contracts=root / "contracts",
        package=root / PACKAGE,
        services=root / "services",
        site=root / "docs/site",
    )


def everything_in(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }


def found_by(gate: str, folders: Folders) -> list[Finding]:
    if gate == "diff":
        return compare(ROOT / "contracts", folders.contracts)
    return check(folders, [gate] if gate in GATES else list(GATES))


@pytest.mark.parametrize("breakage", BREAKAGES, ids=lambda breakage: breakage.name)
def test_breakage_is_caught_by_its_gate(breakage: Breakage, tmp_path: Path) -> None:
    folders = copy_of_the_repository(tmp_path, breakage.code)
    before = everything_in(tmp_path)
    breakage.edit(tmp_path)
    assert everything_in(tmp_path) != before
    found = found_by(breakage.gate, folders)
    caught = [each for each in found if each.rule == breakage.rule]
    assert caught, f"only found: {list(map(str, found))}"
    assert {each.level for each in caught} == {breakage.level}
    assert all(each.file and each.remedy for each in caught)


def test_untouched_copy_passes_every_gate(tmp_path: Path) -> None:
    services = [path.parent.name for path in (ROOT / "services").glob("*/pyproject.toml")]
    folders = copy_of_the_repository(tmp_path, services)
    errors = [str(each) for each in check(folders, GATES) if each.level == "error"]
    assert errors == [], "mend what `make contracts` finds first: every breakage builds on it"
    found = [str(each) for each in compare(ROOT / "contracts", folders.contracts)]
    assert found == [], "contracts break a copy of themselves: mend what the messages name"
