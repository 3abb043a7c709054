/**
 * What a shipment is, and what is to become of it: pure decisions, no I/O.
 *
 * One guarantee: a shipment's status only moves along these arrows, and those on the right absorb.
 *
 *     packing --packing time over--> dispatched --transit time over--> delivered
 *        |                               |
 *        +--OrderCancelled--> withdrawn  +--OrderCancelled--> recalled
 *
 * What decides is when things happened, not when they are heard of: a cancellation that came after a
 * step was due finds the step taken. So the same messages lead to the same end, a year later too.
 * An OrderCancelled that overtakes its OrderConfirmed leaves a tombstone; the late OrderConfirmed
 * then makes a shipment that is withdrawn from the start, and nothing of it is ever told.
 */
import { createHash } from "node:crypto";

import type {
  OrderCancelled,
  OrderConfirmed,
  OrderLine,
  ShipmentDelivered,
  ShipmentDispatched,
} from "../../../libs/contracts/src/contracts/typescript/messages.ts";
import { derivedId } from "./ids.ts";

export type Status = "packing" | "dispatched" | "delivered" | "withdrawn" | "recalled";

/** The OrderConfirmed that began a shipment: what its own messages later hang under. */
export interface Origin {
  messageId: string;
  correlationId: string;
  traceparent?: string | undefined;
}

/** An order's parcel. Times are epoch milliseconds; `dueAt` is when time moves it on. */
export interface Shipment {
  kind: "shipment";
  orderId: string;
  shipmentId: string;
  customerId: string;
  status: Status;
  lines: readonly OrderLine[];
  origin: Origin;
  updatedAt: number;
  dueAt?: number | undefined;
  dispatchedAt?: number | undefined;
  deliveredAt?: number | undefined;
}

/** Left by a cancellation that came before what it cancels. */
export interface Tombstone {
  kind: "tombstone";
  orderId: string;
}

/** All that is known of an order. */
export type Known = Shipment | Tombstone | undefined;

/** How long the steps take. */
export interface Schedule {
  packingSeconds: number;
  transitSeconds: number;
}

/** What a shipment has to tell, before it is in an envelope. */
export type Told =
  | { type: "ShipmentDispatched"; data: ShipmentDispatched }
  | { type: "ShipmentDelivered"; data: ShipmentDelivered };

/** What a step leads to. */
export interface Step {
  shipment: Shipment;
  told: Told;
}

/** Begin to pack what was ordered by `now`; undefined where the order has its shipment already. */
export function begin(
  known: Known,
  order: OrderConfirmed,
  origin: Origin,
  now: number,
  schedule: Schedule,
): Shipment | undefined {
  if (known?.kind === "shipment") return undefined;
  const shipment = {
    kind: "shipment" as const,
    orderId: order.order_id,
    shipmentId: derivedId(order.order_id, "shipment"),
    customerId: order.customer_id,
    lines: order.lines.map(essentials),
    origin,
    updatedAt: now,
  };
  if (known?.kind === "tombstone") return { ...shipment, status: "withdrawn" };
  return { ...shipment, status: "packing", dueAt: now + schedule.packingSeconds * 1000 };
}

/** Whether a step of its own comes before what happened at `at`. */
export function isOverdue(known: Known, at: number): boolean {
  return known?.kind === "shipment" && known.dueAt !== undefined && known.dueAt <= at;
}

/** Keep the parcel in the house, or call it back; undefined where there is nothing left to stop. */
export function cancel(known: Known, order: OrderCancelled, now: number): Shipment | Tombstone | undefined {
  if (known === undefined) return { kind: "tombstone", orderId: order.order_id };
  if (known.kind === "tombstone") return undefined;
  if (known.status === "packing") return ended(known, "withdrawn", now);
  if (known.status === "dispatched") return ended(known, "recalled", now);
  return undefined;
}

/** The step that is due by now; undefined where none is. */
export function advance(shipment: Shipment, now: number, schedule: Schedule): Step | undefined {
  if (shipment.dueAt === undefined || shipment.dueAt > now) return undefined;
  if (shipment.status === "packing") return dispatched(shipment, now, schedule);
  if (shipment.status === "dispatched") return delivered(shipment, now);
  return undefined;
}

/** What the carrier knows the parcel by: the same for an order each time it is asked for. */
export function trackingCode(orderId: string): string {
  const digest = createHash("sha256").update(`tracking/${orderId}`).digest();
  // Five bits a character, of the first fourteen bytes: 70 bits, so no two of a billion are alike.
  return "BK" + Array.from(digest.subarray(0, 14), (byte) => TRACKING_ALPHABET[byte & 31]).join("");
}

// Crockford's Base32: nothing in it is read for something else.
const TRACKING_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

function dispatched(shipment: Shipment, now: number, schedule: Schedule): Step {
  const dueAt = (shipment.dueAt ?? now) + schedule.transitSeconds * 1000;
  return {
    shipment: { ...shipment, status: "dispatched", dispatchedAt: now, updatedAt: now, dueAt },
    told: {
      type: "ShipmentDispatched",
      data: { ...identity(shipment), dispatched_at: new Date(now).toISOString() },
    },
  };
}

function delivered(shipment: Shipment, now: number): Step {
  return {
    shipment: { ...ended(shipment, "delivered", now), deliveredAt: now },
    told: {
      type: "ShipmentDelivered",
      data: { ...identity(shipment), delivered_at: new Date(now).toISOString() },
    },
  };
}

function ended(shipment: Shipment, status: Status, now: number): Shipment {
  const { dueAt: _, ...rest } = shipment;
  return { ...rest, status, updatedAt: now };
}

function identity(shipment: Shipment) {
  return {
    order_id: shipment.orderId,
    shipment_id: shipment.shipmentId,
    customer_id: shipment.customerId,
    tracking_code: trackingCode(shipment.orderId),
  };
}

/** Fields that a newer sender added are nothing that this service may keep or pass on. */
function essentials(line: OrderLine): OrderLine {
  const { amount_minor, currency } = line.unit_price;
  return { book_id: line.book_id, quantity: line.quantity, unit_price: { amount_minor, currency } };
}
