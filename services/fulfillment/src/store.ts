/**
 * The shipments in DynamoDB, and what commits with a change of one.
 *
 * One guarantee: a shipment's change, the inbox record of the message that caused it, the messages
 * that it leads to and what operators count happen in one transaction, or not at all; of two who
 * change a shipment at once, one decides again on what the other has left.
 *
 *     order#<order>   shipment            the shipment, or the tombstone of one; its `version`
 *     due#<shard>     <when>#<order>      shipments that time will move, by that time
 *     outbox, parked                      see outbox.ts
 *     census          counts              sent.<type>, status.<status>
 *
 * What was handled stands in the ledger's table, in the shape of the other services' inboxes
 * (libs/idempotency), so that operators find one: `fulfillment-inbox#<message>`, and the counts by
 * type in `fulfillment-inbox#`.
 */
import { type DynamoDBDocumentClient, GetCommand, QueryCommand } from "@aws-sdk/lib-dynamodb";

import { ConditionFailed, type Commits, type Count, type Write } from "./commits.ts";
import { SERVICE, tableFor } from "./contracts.ts";
import { advance, type Known, type Schedule, type Shipment } from "./domain.ts";
import { type Envelope, write } from "./envelope.ts";
import { RetryLater } from "./errors.ts";
import { type Outbox, type Row, sortable } from "./outbox.ts";
import { currentTraceparent } from "./telemetry.ts";

// A partition takes a thousand writes a second (DynamoDB, "Partitions and data distribution"), and a
// step writes two of these items.
export const DUE_SHARDS = 4;
// Longer than queue retention plus redrive (4 + 14 days): no copy of a message comes later.
const KEEP_SECONDS = 21 * 24 * 3600;
// Of one order there are two messages and a step: somebody else cannot be faster for ever.
const MAX_TRIES = 5;

const LEDGER = tableFor("ledger");
const INBOX = `${SERVICE}-inbox#`;
const CENSUS = { pk: "census", sk: "counts" };

/** What is stored of an order; `version` 0 is nothing. */
export interface Stored {
  known: Known;
  version: number;
}

/** What operators count. */
export interface Census {
  sent: Record<string, number>;
  handled: Record<string, number>;
  statuses: Record<string, number>;
}

/** Reads and changes shipments. `onCommit` is told of rows that have just been committed. */
export class Shipments {
  readonly #dynamodb: DynamoDBDocumentClient;
  readonly #commits: Commits;
  readonly #outbox: Outbox;
  readonly #onCommit: (rows: readonly Row[]) => void;
  readonly #table = tableFor("shipments");

  constructor(
    dynamodb: DynamoDBDocumentClient,
    commits: Commits,
    outbox: Outbox,
    onCommit: (rows: readonly Row[]) => void,
  ) {
    this.#dynamodb = dynamodb;
    this.#commits = commits;
    this.#outbox = outbox;
    this.#onCommit = onCommit;
  }

  /** What is known of an order, as committed. */
  async find(orderId: string): Promise<Stored> {
    const answer = await this.#dynamodb.send(
      new GetCommand({ TableName: this.#table, Key: orderKey(orderId), ConsistentRead: true }),
    );
    if (answer.Item === undefined) return { known: undefined, version: 0 };
    const { pk: _pk, sk: _sk, version, expires_at: _expires, ...known } = answer.Item;
    return { known: known as Known, version: version as number };
  }

  /**
   * Handle a message by what `decide` makes of its order: a new state, or undefined for none.
   * False when the message had been handled before.
   */
  async react(message: Envelope, orderId: string, decide: (known: Known) => Known): Promise<boolean> {
    const received = reception(message);
    for (let tried = 0; tried < MAX_TRIES; tried++) {
      const stored = await this.find(orderId);
      const next = decide(stored.known);
      const writes = [received.write, ...this.#change(stored, next)];
      try {
        await this.#commits.commit({ writes, counts: [received.count, ...this.#moves(stored.known, next)] });
        return true;
      } catch (error) {
        if (!(error instanceof ConditionFailed)) throw error;
        if (error.positions.has(0)) return false;
      }
    }
    throw new RetryLater("the order's shipment is changed by others", 1);
  }

  /** Take the shipment's step that is due; false where none is, or where somebody else took it. */
  async step(stored: Stored, schedule: Schedule): Promise<boolean> {
    const shipment = stored.known;
    const now = Date.now();
    const step = shipment?.kind === "shipment" ? advance(shipment, now, schedule) : undefined;
    if (step === undefined) return false;
    const { origin, orderId } = step.shipment;
    const cause = { ...origin, traceparent: currentTraceparent() ?? origin.traceparent };
    const message = write(step.told.type, step.told.data, orderId, cause, now);
    const outgoing = this.#outbox.row(message, now);
    const sent = { table: this.#table, key: CENSUS, attribute: `sent.${message.type}`, by: 1 };
    try {
      await this.#commits.commit({
        writes: [...this.#change(stored, step.shipment), outgoing.write],
        counts: [sent, ...this.#moves(shipment, step.shipment)],
      });
    } catch (error) {
      if (error instanceof ConditionFailed) return false;
      throw error;
    }
    this.#onCommit([outgoing.row]);
    return true;
  }

  /** Orders of a shard whose shipment was due by `until` (epoch milliseconds), the most overdue first. */
  async due(shard: number, until: number, limit: number): Promise<string[]> {
    const answer = await this.#dynamodb.send(
      new QueryCommand({
        TableName: this.#table,
        KeyConditionExpression: "pk = :shard AND sk < :until",
        ExpressionAttributeValues: { ":shard": `due#${shard}`, ":until": `${sortable(until)}~` },
        ConsistentRead: true,
        Limit: limit,
      }),
    );
    return (answer.Items ?? []).map((item) => item["order_id"] as string);
  }

  /** Look at a shipment again at `at`, so that one that cannot take its step does not keep the others. */
  async putOff(stored: Stored, at: number): Promise<void> {
    if (stored.known?.kind !== "shipment") return;
    const writes = this.#change(stored, { ...stored.known, dueAt: at });
    await this.#commits.commit({ writes, counts: [] });
  }

  /** The counts, and so whether DynamoDB answers for both tables. */
  async census(): Promise<Census> {
    const [own, inbox] = await Promise.all([
      this.#dynamodb.send(new GetCommand({ TableName: this.#table, Key: CENSUS, ConsistentRead: true })),
      this.#dynamodb.send(new GetCommand({ TableName: LEDGER, Key: { pk: INBOX }, ConsistentRead: true })),
    ]);
    return {
      sent: named(own.Item, "sent."),
      handled: named(inbox.Item, "handled."),
      statuses: named(own.Item, "status."),
    };
  }

  #change({ known, version }: Stored, next: Known): Write[] {
    if (next === undefined) return [];
    const item = { ...next, ...orderKey(next.orderId), version: version + 1 };
    const condition =
      version === 0
        ? { ConditionExpression: "attribute_not_exists(pk)" }
        : {
            ConditionExpression: "version = :seen",
            ExpressionAttributeValues: { ":seen": version },
          };
    // No OrderConfirmed comes later than this, so nobody will miss the tombstone then.
    const kept = next.kind === "tombstone" ? { ...item, expires_at: expiry() } : item;
    return [{ Put: { TableName: this.#table, Item: kept, ...condition } }, ...this.#places(known, next)];
  }

  /** Where the sweeper finds it, before and after; the same item twice would refuse the transaction. */
  #places(before: Known, after: Known): Write[] {
    const from = dueItem(before);
    const to = dueItem(after);
    if (from?.sk === to?.sk) return [];
    const writes: Write[] = [];
    if (from) writes.push({ Delete: { TableName: this.#table, Key: { pk: from.pk, sk: from.sk } } });
    if (to) writes.push({ Put: { TableName: this.#table, Item: to } });
    return writes;
  }

  #moves(before: Known, after: Known): Count[] {
    if (after?.kind !== "shipment") return [];
    const count = { table: this.#table, key: CENSUS };
    const moves = [{ ...count, attribute: `status.${after.status}`, by: 1 }];
    if (before?.kind === "shipment") moves.push({ ...count, attribute: `status.${before.status}`, by: -1 });
    return moves;
  }
}

/** The inbox record, whose condition fails for a copy, and what it adds to the count. */
function reception(message: Envelope): { write: Write; count: Count } {
  return {
    write: {
      Put: {
        TableName: LEDGER,
        Item: { pk: INBOX + message.id, type: message.type, expires_at: expiry() },
        ConditionExpression: "attribute_not_exists(pk)",
      },
    },
    count: { table: LEDGER, key: { pk: INBOX }, attribute: `handled.${message.type}`, by: 1 },
  };
}

function dueItem(known: Known) {
  if (known?.kind !== "shipment" || known.dueAt === undefined) return undefined;
  const { orderId, dueAt } = known;
  return { pk: `due#${shardOf(orderId)}`, sk: `${sortable(dueAt)}#${orderId}`, order_id: orderId };
}

/** By its end: ids begin with the time, so those of one moment begin alike. */
function shardOf(orderId: string): number {
  return Number.parseInt(orderId.slice(-1), 16) % DUE_SHARDS;
}

function orderKey(orderId: string) {
  return { pk: `order#${orderId}`, sk: "shipment" };
}

function expiry(): number {
  return Math.floor(Date.now() / 1000) + KEEP_SECONDS;
}

function named(item: Record<string, unknown> | undefined, prefix: string): Record<string, number> {
  const counts = Object.entries(item ?? {}).filter(([name, count]) => name.startsWith(prefix) && count !== 0);
  return Object.fromEntries(counts.map(([name, count]) => [name.slice(prefix.length), count as number]));
}
