/**
 * What the fulfillment service does about each message.
 *
 * One guarantee: every message may come twice, late or out of order; an order gets one shipment, and
 * what is told of it is told once.
 */
import type { OrderCancelled, OrderConfirmed } from "../../../libs/contracts/src/contracts/typescript/messages.ts";
import { check, type MessageName } from "./contracts.ts";
import { begin, cancel, isOverdue, type Schedule } from "./domain.ts";
import type { Envelope } from "./envelope.ts";
import { RetryLater, UnknownMessage } from "./errors.ts";
import type { Shipments } from "./store.ts";
import { currentTraceparent } from "./telemetry.ts";

// A sweep takes the step by then.
const RETRY_SECONDS = 1;

/** Handles a message; false for a copy of one that was handled before. */
export type Handle = (message: Envelope) => Promise<boolean>;

/** Pack what was paid for. */
export function beginShipment(shipments: Shipments, schedule: Schedule) {
  return (order: OrderConfirmed, message: Envelope) => {
    const origin = {
      messageId: message.id,
      correlationId: message.correlationId,
      // The steps to come, hours later, hang under this handling of the message.
      traceparent: currentTraceparent() ?? message.traceparent,
    };
    const at = message.time.getTime();
    return shipments.react(message, order.order_id, (known) => begin(known, order, origin, at, schedule));
  };
}

/** Keep the parcel in the house, or call it back; raises RetryLater until a step before is taken. */
export function cancelShipment(shipments: Shipments) {
  return (order: OrderCancelled, message: Envelope) => {
    const at = message.time.getTime();
    return shipments.react(message, order.order_id, (known) => {
      if (isOverdue(known, at)) throw new RetryLater("the parcel's own step comes first", RETRY_SECONDS);
      return cancel(known, order, at);
    });
  };
}

/** A `handle` for the consumer; no handler ever sees a payload that breaks its contract. */
export function dispatcher(shipments: Shipments, schedule: Schedule): Handle {
  const routes = [
    route("OrderConfirmed", 1, beginShipment(shipments, schedule)),
    route("OrderCancelled", 1, cancelShipment(shipments)),
  ];
  return async (message) => {
    const found = routes.find((each) => each.name === message.type && each.version === message.version);
    if (found === undefined) {
      throw new UnknownMessage(`nothing here handles ${message.type} version ${message.version}`);
    }
    check(message.type, message.version, message.data);
    return found.handle(message);
  };
}

function route<T>(
  name: MessageName,
  version: number,
  handler: (payload: T, message: Envelope) => Promise<boolean>,
): { name: string; version: number; handle: Handle } {
  return { name, version, handle: (message) => handler(message.data as T, message) };
}
