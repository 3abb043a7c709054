/** What becomes of a shipment, whatever comes in whatever order. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { advance, begin, cancel, isOverdue, type Known, type Shipment, trackingCode } from "../src/domain.ts";
import { derivedId } from "../src/ids.ts";

const NOW = Date.parse("2026-01-15T10:30:30Z");
const SCHEDULE = { packingSeconds: 60, transitSeconds: 600 };
const ORDER_ID = "0197a3c2-7b1e-7c44-9d3a-5f0e8c1b2a60";
const ORIGIN = { messageId: "m-1", correlationId: "c-1" };
const MONEY = { amount_minor: 1699, currency: "EUR" };
const CONFIRMED = {
  order_id: ORDER_ID,
  customer_id: "customer-42",
  lines: [{ book_id: "2dc9420b-9ab2-50b5-8006-586e68a5e2b6", quantity: 1, unit_price: MONEY }],
  total: MONEY,
};
const CANCELLED = { order_id: ORDER_ID, customer_id: "customer-42", refunded: MONEY };

function packing(): Shipment {
  return begin(undefined, CONFIRMED, ORIGIN, NOW, SCHEDULE)!;
}

function dispatched(): Shipment {
  return advance(packing(), NOW + 60_000, SCHEDULE)!.shipment;
}

function delivered(): Shipment {
  return advance(dispatched(), NOW + 660_000, SCHEDULE)!.shipment;
}

test("a confirmed order is packed, dispatched and delivered, each told once", () => {
  const first = advance(packing(), NOW + 60_000, SCHEDULE)!;
  const second = advance(first.shipment, NOW + 660_000, SCHEDULE)!;
  assert.deepEqual([first.told.type, second.told.type], ["ShipmentDispatched", "ShipmentDelivered"]);
  assert.equal(second.shipment.status, "delivered");
  assert.equal(advance(second.shipment, NOW + 10 ** 9, SCHEDULE), undefined);
});

test("no step comes before its time", () => {
  assert.equal(advance(packing(), NOW + 59_999, SCHEDULE), undefined);
  assert.equal(advance(dispatched(), NOW + 659_999, SCHEDULE), undefined);
});

test("a step that is taken late puts off no later one", () => {
  const late = advance(packing(), NOW + 10 ** 6, SCHEDULE)!.shipment;
  assert.equal(late.dispatchedAt, NOW + 10 ** 6);
  assert.equal(late.dueAt, NOW + 660_000);
});

test("what happened after a step was due finds it taken", () => {
  assert.equal(isOverdue(packing(), NOW + 59_999), false);
  assert.equal(isOverdue(packing(), NOW + 60_000), true);
  assert.equal(isOverdue(dispatched(), NOW + 660_000), true);
  assert.equal(isOverdue(delivered(), NOW + 10 ** 9), false);
  assert.equal(isOverdue(undefined, NOW), false);
});

test("a second confirmation changes nothing, at any status", () => {
  for (const shipment of [packing(), dispatched(), delivered()]) {
    assert.equal(begin(shipment, CONFIRMED, ORIGIN, NOW, SCHEDULE), undefined);
  }
});

test("a cancellation withdraws what is in the house and recalls what is on its way", () => {
  for (const [shipment, status] of [
    [packing(), "withdrawn"],
    [dispatched(), "recalled"],
  ] as const) {
    const ended = cancel(shipment, CANCELLED, NOW) as Shipment;
    assert.equal(ended.status, status);
    assert.equal(advance(ended, NOW + 10 ** 9, SCHEDULE), undefined);
  }
});

test("a cancellation leaves alone what has arrived, and what is cancelled", () => {
  const withdrawn = cancel(packing(), CANCELLED, NOW);
  const recalled = cancel(dispatched(), CANCELLED, NOW);
  for (const known of [delivered(), withdrawn, recalled]) {
    assert.equal(cancel(known, CANCELLED, NOW), undefined);
  }
});

test("a cancellation that comes first withdraws the order that comes late", () => {
  const tombstone = cancel(undefined, CANCELLED, NOW);
  assert.deepEqual(tombstone, { kind: "tombstone", orderId: ORDER_ID });
  const shipment = begin(tombstone, CONFIRMED, ORIGIN, NOW, SCHEDULE)!;
  assert.equal(shipment.status, "withdrawn");
  assert.equal(advance(shipment, NOW + 10 ** 9, SCHEDULE), undefined);
});

test("whatever comes in whatever order, what absorbs is never left", () => {
  const arrivals = ["confirm", "cancel", "time"] as const;
  let histories: { known: Known; told: string[] }[] = [{ known: undefined, told: [] }];
  for (let length = 0; length < 6; length++) {
    histories = histories.flatMap((history) => arrivals.map((arrival) => after(history, arrival)));
  }
  assert.equal(histories.length, 3 ** 6);
});

function after({ known, told }: { known: Known; told: string[] }, arrival: "confirm" | "cancel" | "time") {
  let next: Known;
  let tells = told;
  if (arrival === "confirm") next = begin(known, CONFIRMED, ORIGIN, NOW, SCHEDULE);
  if (arrival === "cancel") next = cancel(known, CANCELLED, NOW);
  if (arrival === "time" && known?.kind === "shipment") {
    const step = advance(known, NOW + 10 ** 9, { packingSeconds: 0, transitSeconds: 0 });
    next = step?.shipment;
    if (step) tells = [...told, step.told.type];
  }
  if (known?.kind === "shipment" && ["delivered", "withdrawn", "recalled"].includes(known.status)) {
    assert.equal(next, undefined);
  }
  assert.deepEqual(tells, ["ShipmentDispatched", "ShipmentDelivered"].slice(0, tells.length));
  return { known: next ?? known, told: tells };
}

test("ids are the ones that the services in Python derive", () => {
  // python -c "from messaging.envelope import derived_id; print(derived_id('a', 'ä', 0))"
  assert.equal(derivedId("a", "ä", 0), "5d6ead97-db0c-5f3c-a626-c62f4c289256");
});

test("a parcel has one tracking code, of characters that no one misreads", () => {
  assert.equal(trackingCode(ORDER_ID), trackingCode(ORDER_ID));
  assert.match(trackingCode(ORDER_ID), /^BK[0-9A-HJKMNP-TV-Z]{14}$/);
  const others = Array.from({ length: 1000 }, (_, n) => trackingCode(derivedId("order", n)));
  assert.equal(new Set(others).size, 1000);
});
