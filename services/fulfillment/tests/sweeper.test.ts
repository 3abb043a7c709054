/** Which shipments the sweeper puts off. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { RetryLater } from "../src/errors.ts";
import type { Shipments, Stored } from "../src/store.ts";
import { Sweeper } from "../src/sweeper.ts";

const ORDER_ID = "0197a3c2-7b1e-7c44-9d3a-5f0e8c1b2a60";
const SHIPMENT = {
  kind: "shipment",
  orderId: ORDER_ID,
  shipmentId: "3f0c8a52-6f9d-5c1e-8a77-2b1d4e5f6a70",
  customerId: "customer-42",
  status: "packing",
  lines: [],
  origin: { messageId: ORDER_ID, correlationId: ORDER_ID },
  updatedAt: 0,
  dueAt: 0,
} as const;

/** Has one shipment that is due, whose step fails; it is looked after in one sweep. */
class FakeShipments {
  readonly putOffs: string[] = [];
  readonly #failure: Error;
  #isListed = false;

  constructor(failure: Error) {
    this.#failure = failure;
  }

  async due(): Promise<string[]> {
    if (this.#isListed) return [];
    this.#isListed = true;
    return [ORDER_ID];
  }

  async find(): Promise<Stored> {
    return { known: SHIPMENT, version: 1 };
  }

  async step(): Promise<boolean> {
    throw this.#failure;
  }

  async putOff({ known }: Stored): Promise<void> {
    this.putOffs.push(known!.orderId);
  }
}

async function putOffsAfter(failure: Error): Promise<string[]> {
  const shipments = new FakeShipments(failure);
  const schedule = { packingSeconds: 0, transitSeconds: 0 };
  const sweeper = new Sweeper(shipments as unknown as Shipments, schedule, 1);
  const running = sweeper.run();
  await new Promise((resolve) => setImmediate(resolve));
  sweeper.stop();
  await running;
  return shipments.putOffs;
}

test("a shipment that cannot take its step is put off", async () => {
  assert.deepEqual(await putOffsAfter(new Error("refused for good")), [ORDER_ID]);
});

test("a shipment that meets others at its step takes it at the next sweep", async () => {
  assert.deepEqual(await putOffsAfter(new RetryLater("others write to the same items", 1)), []);
});
