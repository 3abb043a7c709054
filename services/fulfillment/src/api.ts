/**
 * The HTTP API: what became of orders' parcels, health, metrics and operators' counts.
 *
 * One guarantee: it answers what contracts/fulfillment/openapi.yaml says, which it serves word for
 * word; `/health/ready` is green only while what the service stands on answers.
 */
import { GetQueueAttributesCommand, type SQSClient } from "@aws-sdk/client-sqs";

import { queueUrls } from "./aws.ts";
import { openapi, SERVICE } from "./contracts.ts";
import { type Shipment, trackingCode } from "./domain.ts";
import { codeOf } from "./errors.ts";
import { json, type Route } from "./http.ts";
import { exposition } from "./metrics.ts";
import type { Outbox } from "./outbox.ts";
import { invalid, Problem } from "./problems.ts";
import type { Shipments } from "./store.ts";

const READY_TIMEOUT_MILLISECONDS = 2_000;
// Narrower than a UUID's: lower case, as ids are written and compared everywhere here.
const ID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** What customers and operators may read; of the web role. */
export function publicRoutes(shipments: Shipments): Route[] {
  return [
    {
      path: "/shipments/{order_id}",
      traced: true,
      answer: async ({ order_id: orderId }) => {
        if (orderId === undefined || !ID.test(orderId)) {
          const message = "it has to be a UUID in lower case";
          throw invalid([{ pointer: "/path/order_id", message }]);
        }
        const { known } = await shipments.find(orderId);
        // A tombstone is no shipment: its order has not been heard of yet.
        if (known?.kind !== "shipment") {
          throw new Problem(404, "shipment_not_found", "There is no shipment of this order.");
        }
        return json(view(known));
      },
    },
    {
      path: "/ops/shipments",
      traced: false,
      answer: async () => json((await shipments.census()).statuses),
    },
    {
      path: "/openapi.json",
      traced: false,
      answer: async () => json(openapi()),
    },
  ];
}

/** What every role answers. */
export function operatorRoutes(shipments: Shipments, outbox: Outbox, sqs: SQSClient): Route[] {
  return [
    { path: "/health/live", traced: false, answer: async () => json({ status: "live" }) },
    {
      path: "/health/ready",
      traced: false,
      answer: async () => {
        await checkReady(shipments);
        return json({ status: "ready" });
      },
    },
    {
      path: "/metrics",
      traced: false,
      answer: async () => {
        const { text, mediaType } = await exposition();
        return { status: 200, headers: { "Content-Type": mediaType }, body: text };
      },
    },
    {
      path: "/ops/messages",
      traced: false,
      answer: async () => {
        const [{ sent, handled }, rows] = await Promise.all([shipments.census(), outbox.census()]);
        const deadLettered = await countDeadLetters(sqs);
        return json({ service: SERVICE, sent, outbox: rows, handled, dead_lettered: deadLettered });
      },
    },
  ];
}

/** The shipment as the contract shows it; what does not apply (yet) is absent. */
export function view(shipment: Shipment) {
  return {
    shipment_id: shipment.shipmentId,
    order_id: shipment.orderId,
    customer_id: shipment.customerId,
    status: shipment.status,
    lines: shipment.lines,
    tracking_code: shipment.dispatchedAt === undefined ? undefined : trackingCode(shipment.orderId),
    dispatched_at: iso(shipment.dispatchedAt),
    delivered_at: iso(shipment.deliveredAt),
    updated_at: iso(shipment.updatedAt),
  };
}

async function checkReady(shipments: Shipments): Promise<void> {
  let late: NodeJS.Timeout | undefined;
  const timeout = new Promise<never>((_, reject) => {
    late = setTimeout(() => {
      reject(new Problem(503, "not_ready", "What the service stands on is slow."));
    }, READY_TIMEOUT_MILLISECONDS);
  });
  const answered = shipments.census().catch((error: unknown) => {
    throw new Problem(503, "not_ready", `DynamoDB does not answer: ${codeOf(error)}.`);
  });
  try {
    await Promise.race([answered, timeout]);
  } finally {
    clearTimeout(late);
  }
}

async function countDeadLetters(sqs: SQSClient): Promise<number> {
  const name = "ApproximateNumberOfMessages";
  try {
    const { deadLetters } = await queueUrls(sqs);
    const answer = await sqs.send(
      new GetQueueAttributesCommand({ QueueUrl: deadLetters, AttributeNames: [name] }),
    );
    return Number(answer.Attributes?.[name]);
  } catch (error) {
    throw new Problem(503, "queue_unreachable", `The queue cannot be asked: ${codeOf(error)}.`);
  }
}

function iso(at: number | undefined): string | undefined {
  return at === undefined ? undefined : new Date(at).toISOString();
}
