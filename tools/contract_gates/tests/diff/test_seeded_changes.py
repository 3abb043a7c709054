"""The gate on changes that somebody might make: each gets the verdict that it deserves.

Guarantee: each change is made to a copy of the real contracts and does change it; the rules that
speak up are exactly those listed, so neither a miss nor a false alarm passes.
"""

import copy
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from contract_gates.diff.compare import compare_releases, read_release
from contract_gates.findings import Finding
from contracts.generate.routes import topology
from contracts.generate.source import read_contracts

Change = Callable[[Any], object]
# libyaml's, where PyYAML was built with it.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class Seed(NamedTuple):
    """One change: of which file, what is done to it, and which rules must speak up."""

    name: str
    file: str
    change: Change
    rules: set[str]


CONFIRMED = "order/schemas/OrderConfirmed.json"
DECLINED = "payment/schemas/PaymentDeclined.json"
LEVEL = "catalog/schemas/StockLevelChanged.json"
BOOK = "common/book.json"
LINE = "common/order-line.json"
AUTHORIZE = "payment/schemas/AuthorizePayment.json"
UNAVAILABLE = "catalog/schemas/StockUnavailable.json"
ORDER, CATALOG, SEARCH = "order/openapi.yaml", "catalog/openapi.yaml", "search/openapi.yaml"


def assign(*path: Any) -> Change:
    """Put the last of these where the others lead."""
    *keys, last, value = path

    def change(document: Any) -> None:
        for key in keys:
            document = document[key]
        document[last] = value

    return change


def drop(*path: Any) -> Change:
    """Delete a key, or a value from a list."""
    *keys, last = path

    def change(document: Any) -> None:
        for key in keys:
            document = document[key]
        if isinstance(document, list):
            document.remove(last)
        else:
            del document[last]

    return change


def add(*path: Any) -> Change:
    """Append the last of these to the list that the others lead to."""
    *keys, value = path

    def change(document: Any) -> None:
        for key in keys:
            document = document[key]
        document.append(value)

    return change


def both(*changes: Change) -> Change:
    def change(document: Any) -> None:
        for each in changes:
            each(document)

    return change


STRING = {"type": "string", "minLength": 1, "maxLength": 10}
P = "properties"

MESSAGES = [
    # Nobody is hurt.
    Seed("another description", CONFIRMED, assign(P, "total", "description", "New words."), set()),
    Seed("another example", CONFIRMED, drop("examples"), set()),
    Seed("optional field added", CONFIRMED, assign(P, "note", STRING), set()),
    Seed("optional field added to a shared schema", BOOK, assign(P, "blurb", STRING), set()),
    Seed("order of required fields", LEVEL, lambda s: s["required"].reverse(), set()),
    Seed("order of enum values", DECLINED, lambda s: s[P]["reason"]["enum"].reverse(), set()),
    Seed("allOf around the same", LEVEL, assign(
        P, "version", {"allOf": [{"type": "integer"}, {"minimum": 1, "maximum": 9007199254740991}]}
    ), set()),
    Seed("closed range instead of an open one of integers", LINE, both(
        drop(P, "quantity", "minimum"), assign(P, "quantity", "exclusiveMinimum", 0)
    ), set()),
    Seed("const instead of an enum of one", "common/envelope.json", both(
        drop(P, "specversion", "const"), assign(P, "specversion", "enum", ["1.0"])
    ), set()),
    # What old consumers do not take.
    Seed("maximum raised", LINE, assign(P, "quantity", "maximum", 2000),
         {"old-consumer-maximum", "response-maximum"}),
    Seed("maximum dropped", LEVEL, drop(P, "available", "maximum"), {"old-consumer-maximum"}),
    Seed("minimum lowered", LEVEL, assign(P, "version", "minimum", 0), {"old-consumer-minimum"}),
    Seed("maxLength raised", AUTHORIZE, assign(P, "payment_method", "maxLength", 300),
         {"old-consumer-length"}),
    Seed("minLength lowered", AUTHORIZE, assign(P, "payment_method", "minLength", 1),
         {"old-consumer-length"}),
    Seed("minItems lowered", CONFIRMED, assign(P, "lines", "minItems", 0), {"old-consumer-length"}),
    Seed("maxItems raised", CONFIRMED, assign(P, "lines", "maxItems", 51), {"old-consumer-length"}),
    Seed("enum value added", UNAVAILABLE, add(P, "reason", "enum", "recalled"),
         {"old-consumer-enum"}),
    Seed("enum opened", UNAVAILABLE, assign(P, "reason", {"$ref": "../../common/code.json"}),
         {"old-consumer-enum"}),
    Seed("required field made optional", CONFIRMED, drop("required", "total"),
         {"old-consumer-required"}),
    Seed("required field removed", CONFIRMED, both(drop("required", "total"), drop(P, "total")),
         {"old-consumer-required"}),
    Seed("optional field removed", DECLINED, drop(P, "detail"), {"field-removed"}),
    Seed("pattern dropped", AUTHORIZE, drop(P, "payment_method", "pattern"),
         {"old-consumer-pattern"}),
    Seed("format dropped", "catalog/schemas/StockReserved.json",
         drop(P, "reserved_until", "format"), {"old-consumer-format"}),
    Seed("null let in", DECLINED, assign(P, "detail", {"type": ["string", "null"], "minLength": 1,
         "maxLength": 1000}), {"old-consumer-type"}),
    Seed("integer becomes number", LEVEL, assign(P, "available", "type", "number"),
         {"old-consumer-type"}),
    Seed("anyOf with one more alternative", LEVEL, assign(P, "available", {"anyOf": [
         {"type": "integer", "minimum": 0, "maximum": 9007199254740991},
         {"type": "string", "minLength": 1}]}), {"old-consumer-type"}),
    # What old messages do not satisfy.
    Seed("maximum lowered", LEVEL, assign(P, "available", "maximum", 1000),
         {"old-message-maximum"}),
    Seed("minimum raised", LEVEL, assign(P, "version", "minimum", 2), {"old-message-minimum"}),
    Seed("maxLength lowered", AUTHORIZE, assign(P, "payment_method", "maxLength", 200),
         {"old-message-length"}),
    Seed("minItems raised", CONFIRMED, assign(P, "lines", "minItems", 2), {"old-message-length"}),
    Seed("maxItems lowered", CONFIRMED, assign(P, "lines", "maxItems", 49),
         {"old-message-length"}),
    Seed("uniqueItems demanded", CONFIRMED, assign(P, "lines", "uniqueItems", True),
         {"old-message-unique"}),
    Seed("enum value removed", DECLINED, drop(P, "reason", "enum", "voided"),
         {"old-message-enum"}),
    Seed("open string closed", "order/schemas/OrderRejected.json",
         assign(P, "reason", {"type": "string", "enum": ["out_of_stock"]}), {"old-message-enum"}),
    Seed("required field added", CONFIRMED,
         both(assign(P, "note", STRING), add("required", "note")), {"old-message-required"}),
    Seed("optional field made required", DECLINED, add("required", "detail"),
         {"old-message-required"}),
    Seed("pattern added", LEVEL, assign(P, "book_id", {"type": "string", "format": "uuid",
         "pattern": "^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$"}),
         {"old-message-pattern", "old-consumer-pattern"}),
    Seed("format added", CONFIRMED, assign(P, "customer_id", {
         "type": "string", "minLength": 1, "maxLength": 64, "pattern": "^[A-Za-z0-9_-]+$",
         "format": "uuid"}), {"old-message-format"}),
    Seed("multipleOf demanded", LEVEL, assign(P, "available", "multipleOf", 10),
         {"old-message-multiple"}),
    Seed("unknown fields refused", CONFIRMED,
         both(drop(P, "customer_id"), drop("required", "customer_id"),
              assign("additionalProperties", False)),
         {"old-message-closed", "old-consumer-required"}),
    Seed("keyword that nobody here can judge", CONFIRMED, assign("not", {"required": ["refund"]}),
         {"old-message-unjudged"}),
    Seed("envelope asks for more", "common/envelope.json", add("required", "traceparent"),
         {"old-message-required"}),
    # Both.
    Seed("type changed", LEVEL, assign(P, "version", STRING),
         {"old-consumer-type", "old-message-type"}),
    Seed("field renamed", LEVEL, lambda s: (
        s[P].update(stock_version=s[P].pop("version")), s["required"].remove("version"),
        s["required"].append("stock_version")),
         {"old-consumer-required", "old-message-required"}),
    Seed("enum value renamed", DECLINED, both(drop(P, "reason", "enum", "voided"),
         add(P, "reason", "enum", "withdrawn")), {"old-consumer-enum", "old-message-enum"}),
]  # fmt: skip

PATHS = "paths"
LIST = (PATHS, "/orders", "get")
PLACE = (PATHS, "/orders", "post")
OUTCOME = (*PLACE, "responses", "201")
SCHEMAS = ("components", "schemas")


def parameter(index: int, *rest: Any) -> tuple[Any, ...]:
    return (*LIST, "parameters", index, *rest)


def inlined(schema: dict[str, Any], *changes: Change) -> dict[str, Any]:
    changed = copy.deepcopy(schema)
    for each in changes:
        each(changed)
    return changed


HTTP = [
    # Nobody is hurt.
    Seed("endpoint added", ORDER, lambda d: d[PATHS].update(
        {"/orders/{order_id}/again": d[PATHS]["/orders/{order_id}/cancellation"]}), set()),
    Seed("variable of a path renamed", ORDER, lambda d: (
        d[PATHS].update({"/orders/{id}": d[PATHS].pop("/orders/{order_id}")}),
        d[PATHS]["/orders/{id}"].update(parameters=[
            {**d["components"]["parameters"]["OrderId"], "name": "id"}])), set()),
    Seed("optional parameter added", ORDER, add(*LIST, "parameters", {
        "name": "since", "in": "query", "schema": {"type": "string"}}), set()),
    Seed("parameter's maximum raised", ORDER,
         assign("components", "parameters", "Limit", "schema", "maximum", 500), set()),
    Seed("required parameter made optional", SEARCH,
         assign(PATHS, "/autocomplete", "get", "parameters", 0, "required", False), set()),
    Seed("value of a request's enum added", SEARCH, add(*SCHEMAS, "Sort", "enum", "newest"), set()),
    Seed("optional field of a request added", ORDER,
         assign(*SCHEMAS, "OrderRequest", P, "gift_note", STRING), set()),
    Seed("field of a response added", ORDER,
         assign(*SCHEMAS, "OrderPage", P, "total", {"type": "integer"}), set()),
    Seed("field of a response made required", ORDER,
         add(*SCHEMAS, "OrderPage", "required", "next_cursor"), set()),
    Seed("refusal added", ORDER, lambda d: d[PATHS]["/orders"]["get"]["responses"].update(
        {"429": {"$ref": "#/components/responses/Unavailable"}}), set()),
    Seed("way of writing that goes without saying, said", ORDER, lambda d: d["components"][
        "parameters"]["Limit"].update(style="form", explode=True, allowReserved=False), set()),
    Seed("server added", ORDER, add("servers", {"url": "/v2"}), set()),
    Seed("example and description changed", ORDER,
         assign("components", "headers", "Location", "description", "Where it is."), set()),
    # What the new services refuse.
    Seed("endpoint removed", ORDER, drop(PATHS, "/orders/{order_id}/events"),
         {"endpoint-removed"}),
    Seed("method removed", ORDER, drop(PATHS, "/customers/{customer_id}/contact", "delete"),
         {"endpoint-removed"}),
    Seed("parameter removed", ORDER, lambda d: d[PATHS]["/orders"]["get"]["parameters"].pop(1),
         {"parameter-removed"}),
    Seed("required parameter added", ORDER, add(*LIST, "parameters", {
        "name": "since", "in": "query", "required": True, "schema": {"type": "string"}}),
         {"parameter-required"}),
    Seed("parameter made required", ORDER, assign(*parameter(0, "required"), True),
         {"parameter-required"}),
    Seed("parameter's maximum lowered", ORDER,
         assign("components", "parameters", "Limit", "schema", "maximum", 100),
         {"request-maximum"}),
    Seed("parameter's default changed", ORDER,
         assign("components", "parameters", "Limit", "schema", "default", 20),
         {"default-changed"}),
    Seed("parameter written another way", SEARCH,
         assign(PATHS, "/search", "get", "parameters", 1, "explode", False), {"parameter-style"}),
    Seed("value of a request's enum removed", SEARCH,
         lambda d: d["components"]["schemas"]["Sort"]["enum"].pop(), {"request-enum"}),
    Seed("required field of a request added", ORDER, both(
        assign(*SCHEMAS, "OrderRequest", P, "coupon", STRING),
        add(*SCHEMAS, "OrderRequest", "required", "coupon")), {"request-required"}),
    Seed("field of a request removed, where others are ignored", "common/contact.json",
         drop(P, "name"), {"request-field-removed", "field-removed"}),
    Seed("field of a request removed, where others are refused", ORDER,
         both(drop(*SCHEMAS, "OrderRequest", P, "payment_method"),
              drop(*SCHEMAS, "OrderRequest", "required", "payment_method")), {"request-closed"}),
    Seed("media type of a request removed", "notification/openapi.yaml",
         drop(PATHS, "/unsubscribe", "post", "requestBody", "content", "multipart/form-data"),
         {"media-type-removed"}),
    Seed("body taken no more", ORDER,
         drop(PATHS, "/customers/{customer_id}/contact", "put", "requestBody"), {"body-removed"}),
    Seed("credentials asked for", ORDER, assign(*LIST, "security", [{"token": []}]),
         {"security-changed"}),
    Seed("server moved", ORDER, assign("servers", 0, "url", "/v2"), {"server-removed"}),
    Seed("server of one operation moved", ORDER, assign(*LIST, "servers", [{"url": "/v2"}]),
         {"server-removed"}),
    Seed("parameter written as JSON", ORDER, lambda d: d["components"]["parameters"][
        "Limit"].update(content={"application/json": {
            "schema": d["components"]["parameters"]["Limit"].pop("schema")}}), {"parameter-style"}),
    # What old clients do not understand.
    Seed("success of another kind", ORDER, lambda d: d[PATHS]["/orders"]["get"]["responses"].update(
        {"206": d[PATHS]["/orders"]["get"]["responses"]["200"]}), {"status-added"}),
    Seed("success that comes no more", ORDER, drop(*OUTCOME), {"status-removed"}),
    Seed("required field of a response removed", ORDER, both(
        drop(*SCHEMAS, "OrderPage", "required", "orders"),
        drop(*SCHEMAS, "OrderPage", P, "orders")), {"response-required"}),
    Seed("optional field of a response removed", ORDER,
         drop(*SCHEMAS, "OrderPage", P, "next_cursor"), {"response-field-removed"}),
    Seed("required field of a response made optional", ORDER,
         drop(*SCHEMAS, "OrderPage", "required", "orders"), {"response-required"}),
    Seed("type in a response changed", CATALOG,
         assign(*SCHEMAS, "StockCensus", P, "on_hand", {"type": "string"}), {"response-type"}),
    Seed("bound in a response dropped", CATALOG,
         drop(*SCHEMAS, "StockCensus", P, "on_hand", "minimum"), {"response-minimum"}),
    Seed("header of a response removed", ORDER, drop(*OUTCOME, "headers", "Location"),
         {"header-removed"}),
    Seed("media type of a response removed", ORDER, lambda d: d[PATHS]["/orders"]["get"][
        "responses"]["200"].update(content={"application/hal+json": {"schema": {}}}),
         {"media-type-removed"}),
    # Both: the same schema is sent and answered.
    Seed("value added to an enum that is asked for and answered", ORDER,
         add(*SCHEMAS, "OrderStatus", "enum", "on_hold"), {"response-enum"}),
    Seed("value removed from an enum that is asked for and answered", ORDER,
         drop(*SCHEMAS, "OrderStatus", "enum", "cancelled"), {"request-enum"}),
]  # fmt: skip

ROUTES = [
    Seed("receive dropped", "notification/asyncapi.yaml",
         drop("operations", "receiveBookRevised"), {"receive-removed"}),
    Seed("receive added", "notification/asyncapi.yaml", both(
        assign("channels", "StockLevelChanged",
               {"$ref": "../catalog/asyncapi.yaml#/channels/StockLevelChanged"}),
        assign("operations", "receiveStockLevelChanged",
               {"action": "receive", "channel": {"$ref": "#/channels/StockLevelChanged"}})),
         {"receive-added"}),
]  # fmt: skip


@contextmanager
def edited(file: Path) -> Iterator[Any]:
    """The file's content, to be changed; it must be another afterwards."""
    is_json = file.suffix == ".json"
    text = file.read_text(encoding="utf-8")
    content = json.loads(text) if is_json else yaml.load(text, Loader=LOADER)
    before = copy.deepcopy(content)
    yield content
    assert content != before, "the change changes nothing"
    changed = json.dumps(content, indent=2) if is_json else yaml.dump(content, Dumper=DUMPER)
    file.write_text(changed, encoding="utf-8")


# The contracts as they are, read once for all changes.
released = cache(read_release)


def compare(
    base: Path, head: Path, base_topology: Mapping[str, Any] | None = None
) -> list[Finding]:
    return compare_releases(released(base), read_release(head), base_topology=base_topology)


def rules(base: Path, head: Path) -> set[str]:
    return {finding.rule.removeprefix("diff/") for finding in compare(base, head)}


def test_contracts_agree_with_themselves(base: Path, head: Path) -> None:
    assert compare(base, head) == []


@pytest.mark.parametrize("seed", [*MESSAGES, *HTTP, *ROUTES], ids=lambda seed: seed.name)
def test_change_gets_its_verdict(base: Path, head: Path, seed: Seed) -> None:
    with edited(head / seed.file) as document:
        seed.change(document)
    assert rules(base, head) == seed.rules


# The topology document that the last release was run with, and what this one's lacks of it: what
# stands in the derivation, not in the contracts, can change as well.
QUEUE = ("services", "order", "queue")
RULE = ("services", "order", "rules", 0)
WAS = [
    ("bus renamed", assign("bus", "shop"), {"bus-changed"}),
    ("archive renamed", assign("archive", "name", "shop-archive"), {"archive-renamed"}),
    ("archive kept for less long", assign("archive", "retention_days", 90), {"retention-lowered"}),
    ("archive kept for longer", assign("archive", "retention_days", 7), set()),
    ("queue renamed", assign(*QUEUE, "name", "orders"), {"queue-renamed"}),
    ("dead letters renamed", assign("services", "order", "dead_letters", "name", "dead"),
     {"queue-renamed"}),
    ("queue kept for less long", assign(*QUEUE, "retention_seconds", 1_000_000),
     {"retention-lowered"}),
    ("queue kept for longer", assign(*QUEUE, "retention_seconds", 60), set()),
    ("undelivered kept for less long",
     assign("services", "order", "undelivered", "retention_seconds", 2_000_000),
     {"retention-lowered"}),
    ("fewer tries", assign(*QUEUE, "max_receive_count", 20), {"receive-count-lowered"}),
    ("more tries", assign(*QUEUE, "max_receive_count", 2), set()),
    ("other visibility", assign(*QUEUE, "visibility_seconds", 300), {"visibility-changed"}),
    ("delivery given up earlier", assign(*RULE, "retry", "maximum_attempts", 200),
     {"retry-lowered"}),
    ("source that no longer sends", add(*RULE, "pattern", "source", "bookstore.shop"),
     {"source-removed"}),
    ("service removed", lambda t: t["services"].update(
        shop=copy.deepcopy(t["services"]["order"])), {"service-removed"}),
    ("table removed", add("tables", {"name": "bookstore-carts", "key": "pk",
                                     "ttl_attribute": "expires_at"}), {"table-removed"}),
    ("table added", lambda t: t["tables"].pop(), set()),
    ("table's key changed", assign("tables", 0, "key", "id"), {"table-key-changed"}),
    ("table sorted", assign("tables", 0, "sort_key", "sk"), {"table-key-changed"}),
    ("other mail domain", assign("mail_domain", "shop.example"), {"mail-domain-changed"}),
]  # fmt: skip


@pytest.mark.parametrize(("change", "expected"), [each[1:] for each in WAS],
                         ids=[each[0] for each in WAS])  # fmt: skip
def test_change_of_the_topology_gets_its_verdict(
    base: Path, change: Change, expected: set[str]
) -> None:
    now = topology(read_contracts(base))
    was = copy.deepcopy(now)
    change(was)
    assert was != now
    found = compare(base, base, base_topology=was)
    assert {finding.rule.removeprefix("diff/") for finding in found} == expected


def without_levels(head: Path) -> None:
    """StockLevelChanged is no more, neither in catalog, which sends it, nor in search."""
    with edited(head / "catalog/asyncapi.yaml") as document:
        drop("operations", "sendStockLevelChanged")(document)
        drop("channels", "StockLevelChanged")(document)
        drop("components", "messages", "StockLevelChanged")(document)
    with edited(head / "search/asyncapi.yaml") as document:
        drop("operations", "receiveStockLevelChanged")(document)
        drop("channels", "StockLevelChanged")(document)
    (head / LEVEL).unlink()


def test_credentials_of_another_kind_under_the_same_name_are_refused(
    base: Path, tmp_path: Path
) -> None:
    def asks_for(release: str, scheme: dict[str, str]) -> Path:
        folder = Path(shutil.copytree(base, tmp_path / release / "contracts"))
        with edited(folder / ORDER) as document:
            document["components"]["securitySchemes"] = {"token": scheme}
            document["security"] = [{"token": []}]
        return folder

    before = asks_for("before", {"type": "http", "scheme": "bearer"})
    after = asks_for("after", {"type": "apiKey", "in": "header", "name": "X-Key"})
    assert rules(before, after) == {"security-changed"}


def test_message_that_is_removed_is_one_finding(base: Path, head: Path) -> None:
    without_levels(head)
    (finding,) = compare(base, head)
    assert (finding.rule, finding.level) == ("diff/message-removed", "error")
    assert "search" in finding.message


def test_what_the_last_release_announced_can_go(head: Path, tmp_path: Path) -> None:
    announced = Path(shutil.copytree(head, tmp_path / "announced"))
    with edited(announced / LEVEL) as document:
        assign("deprecated", True)(document)
    with edited(announced / ORDER) as document:
        assign(PATHS, "/orders/{order_id}/events", "get", "deprecated", True)(document)
        assign(*parameter(1, "deprecated"), True)(document)
    with edited(announced / "common/contact.json") as document:
        assign(P, "name", "deprecated", True)(document)
    without_levels(head)
    with edited(head / ORDER) as document:
        drop(PATHS, "/orders/{order_id}/events")(document)
        document[PATHS]["/orders"]["get"]["parameters"].pop(1)
    with edited(head / "common/contact.json") as document:
        drop(P, "name")(document)
    levels = {
        finding.rule.removeprefix("diff/"): finding.level for finding in compare(announced, head)
    }
    assert levels == dict.fromkeys(
        (
            *("message-removed", "endpoint-removed", "parameter-removed"),
            *("request-field-removed", "field-removed"),
        ),
        "warning",
    )


def test_message_can_be_added(base: Path, head: Path) -> None:
    without_levels(head)
    assert rules(head, base) == {"receive-added"}


def test_only_what_loses_nothing_is_a_warning(base: Path, head: Path) -> None:
    with edited(head / DECLINED) as document:
        drop(P, "detail")(document)
    with edited(head / LEVEL) as document:
        assign(P, "version", "minimum", 0)(document)
    levels = {finding.rule: finding.level for finding in compare(base, head)}
    assert levels == {"diff/field-removed": "warning", "diff/old-consumer-minimum": "error"}


def test_finding_says_where_who_and_what_to_do(base: Path, head: Path) -> None:
    with edited(head / LINE) as document:
        assign(P, "quantity", "maximum", 2000)(document)
    finding = next(each for each in compare(base, head) if "consumer" in each.rule)
    text = (head / LINE).read_text(encoding="utf-8").splitlines()
    assert finding.file == f"contracts/{LINE}"
    assert '"maximum": 2000' in text[finding.line - 1]
    for words in (
        "OrderConfirmed /lines/*/quantity",
        "up to 2000 may be written, up to 1000 is read",
        "(order)",
        "catalog, fulfillment, notification, search",
    ):
        assert words in finding.message
    assert finding.remedy.startswith("Take it back, or add it as a new version")


def test_change_to_a_shared_schema_is_one_finding(base: Path, head: Path) -> None:
    with edited(head / "common/money.json") as document:
        assign(P, "amount_minor", "minimum", 1)(document)
    found = [each for each in compare(base, head) if each.rule == "diff/old-message-minimum"]
    assert len(found) == 1
    assert "and 6 more" in found[0].message, found[0].message
