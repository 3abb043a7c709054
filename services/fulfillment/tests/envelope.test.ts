/** What a message looks like on its way, and what is refused. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { read, write } from "../src/envelope.ts";
import { ContractViolation, DeadLetter, MalformedMessage, MessageTooLarge } from "../src/errors.ts";
import { derivedId } from "../src/ids.ts";

const NOW = Date.parse("2026-01-15T16:05:00Z");
const TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const CAUSE = {
  messageId: "0197a3c2-7b1f-7a10-8e55-1c2d3e4f5a6b",
  correlationId: "0197a3c2-7b1e-7c44-9d3a-5f0e8c1b2a60",
  traceparent: TRACEPARENT,
};
const DISPATCHED = {
  order_id: "0197a3c2-7b1e-7c44-9d3a-5f0e8c1b2a60",
  shipment_id: "3f0c8a52-6f9d-5c1e-8a77-2b1d4e5f6a70",
  customer_id: "customer-42",
  tracking_code: "BK7Q2M9X4T1C",
  dispatched_at: "2026-01-15T16:05:00Z",
};

function written(data: object = DISPATCHED, cause: object = CAUSE) {
  return write("ShipmentDispatched", data as typeof DISPATCHED, DISPATCHED.order_id, cause as typeof CAUSE, NOW);
}

function event(detail: unknown, type = "ShipmentDispatched"): string {
  return JSON.stringify({ "detail-type": type, detail });
}

test("what is written can be read back", () => {
  const message = read(event(JSON.parse(written().detail)));
  assert.equal(message.id, derivedId(CAUSE.messageId, "ShipmentDispatched", 0));
  assert.equal(message.version, 1);
  assert.equal(message.time.getTime(), NOW);
  assert.equal(message.correlationId, CAUSE.correlationId);
  assert.equal(message.causationId, CAUSE.messageId);
  assert.equal(message.traceparent, TRACEPARENT);
  assert.deepEqual(message.data, DISPATCHED);
});

test("writing again for the same cause gives the same id, and for another cause another", () => {
  assert.equal(written().id, written().id);
  const other = { ...CAUSE, messageId: "0197a3c2-9000-7b00-8a00-0123456789ab" };
  assert.notEqual(written().id, written(DISPATCHED, other).id);
});

test("an absent trace context is absent, not null", () => {
  const { detail } = written(DISPATCHED, { ...CAUSE, traceparent: undefined });
  assert.ok(!("traceparent" in JSON.parse(detail)));
});

test("data that break their contract are refused where they are written", () => {
  const { tracking_code: _, ...rest } = DISPATCHED;
  assert.throws(() => written(rest), ContractViolation);
});

test("a message beyond what the bus takes is refused where it is written", () => {
  assert.throws(() => written({ ...DISPATCHED, note: "x".repeat(256 * 1024) }), MessageTooLarge);
});

test("a message that was written in a leap second has a time", () => {
  const detail = { ...JSON.parse(written().detail), time: "2016-12-31T23:59:60.5Z" };
  assert.equal(read(event(detail)).time.toISOString(), "2016-12-31T23:59:59.500Z");
});

test("a broken trace context is ignored", () => {
  const detail = { ...JSON.parse(written().detail), traceparent: "00-nonsense" };
  assert.equal(read(event(detail)).traceparent, undefined);
});

test("the reason of a refusal never holds the value that was refused", () => {
  const detail = { ...JSON.parse(written().detail), correlationid: "4242424242424242" };
  assert.throws(
    () => read(event(detail)),
    (error: DeadLetter) => error instanceof MalformedMessage && !error.message.includes("4242"),
  );
});
