/**
 * Commits: units of writes to DynamoDB, several of them in one transaction.
 *
 * One guarantee: a unit's writes and counts happen together or not at all, and one whose condition
 * fails takes no other down with it.
 *
 * Counts of operators stand in one item each, which every unit adds to. Transactions that meet on an
 * item cancel each other, so a process has one under way at a time, and what comes in meanwhile goes
 * into the next one together, with each count written once.
 */
import { randomUUID } from "node:crypto";

import { type DynamoDBDocumentClient, TransactWriteCommand } from "@aws-sdk/lib-dynamodb";

import { codeOf, isOutage, RetryLater } from "./errors.ts";
import * as metrics from "./metrics.ts";

export type Write = NonNullable<TransactWriteCommand["input"]["TransactItems"]>[number];
export type Key = Readonly<Record<string, string>>;

/** Add `by` to an attribute of an item. */
export interface Count {
  table: string;
  key: Key;
  attribute: string;
  by: number;
}

/** What commits together; its conditions are those of its writes. */
export interface Unit {
  writes: readonly Write[];
  counts: readonly Count[];
}

/** The stored state was not what a unit asked for: `positions` of the writes that were refused. */
export class ConditionFailed extends Error {
  readonly positions: ReadonlySet<number>;

  constructor(positions: ReadonlySet<number>) {
    super(`conditions failed at ${[...positions].join(", ")}`);
    this.positions = positions;
  }
}

interface Waiting {
  unit: Unit;
  keys: readonly string[];
  resolve: () => void;
  reject: (error: unknown) => void;
}

// TransactWriteItems takes 100 items (DynamoDB service quotas), some of which are the counts.
const MAX_ITEMS = 100;
const COUNT_ITEMS = 4;
// Others that count at the same moment are through by then: this many tries mean that DynamoDB
// itself is in trouble.
const MAX_TRIES = 12;
const FIRST_PAUSE_MILLISECONDS = 20;
const LONGEST_PAUSE_MILLISECONDS = 1000;
// Codes of a cancelled transaction (DynamoDB API, TransactWriteItems) that another try gets over.
const PASSING: ReadonlySet<string> = new Set([
  "TransactionConflict",
  "ThrottlingError",
  "ProvisionedThroughputExceeded",
  "TransactionInProgressException",
]);

/** Writes the units of one process. */
export class Commits {
  readonly #dynamodb: DynamoDBDocumentClient;
  readonly #waiting: Waiting[] = [];
  #writing = false;

  constructor(dynamodb: DynamoDBDocumentClient) {
    this.#dynamodb = dynamodb;
  }

  /** Commit the unit; raises ConditionFailed, RetryLater, or AWS's errors. */
  async commit(unit: Unit): Promise<void> {
    const done = new Promise<void>((resolve, reject) => {
      this.#waiting.push({ unit, keys: unit.writes.map(keyOf), resolve, reject });
    });
    if (!this.#writing) void this.#writeAll();
    return done;
  }

  async #writeAll(): Promise<void> {
    this.#writing = true;
    // What is handed in at the same moment goes together from the first transaction on.
    await Promise.resolve();
    while (this.#waiting.length > 0) await this.#write(this.#nextLot());
    this.#writing = false;
  }

  /** What fits into one transaction, in which an item may be named once only. */
  #nextLot(): Waiting[] {
    const lot: Waiting[] = [];
    const named = new Set<string>();
    let items = COUNT_ITEMS;
    while (this.#waiting.length > 0) {
      const next = this.#waiting[0]!;
      items += next.unit.writes.length;
      if (lot.length > 0 && (items > MAX_ITEMS || next.keys.some((key) => named.has(key)))) break;
      for (const key of next.keys) named.add(key);
      lot.push(this.#waiting.shift()!);
    }
    return lot;
  }

  /** See every unit of the lot to its end; never raises. */
  async #write(lot: Waiting[]): Promise<void> {
    let left = lot;
    for (let tried = 0; left.length > 0 && tried < MAX_TRIES; tried++) {
      try {
        await this.#transact(left);
        for (const each of left) each.resolve();
        metrics.batchSize.observe(left.length);
        return;
      } catch (error) {
        const innocent = rejectFailed(left, error);
        if (innocent.length < left.length) {
          left = innocent;
        } else if (isPassing(error)) {
          await pause(tried);
        } else if (left.length > 1 && !isOutage(error)) {
          // Only the guilty one is to fail.
          for (const each of left) await this.#write([each]);
          return;
        } else {
          for (const each of left) each.reject(error);
          return;
        }
      }
    }
    for (const each of left) each.reject(new RetryLater("others write to the same items", 1 + Math.random()));
  }

  async #transact(lot: readonly Waiting[]): Promise<void> {
    await this.#dynamodb.send(
      new TransactWriteCommand({
        TransactItems: [...lot.flatMap((each) => each.unit.writes), ...counting(lot)],
        // The SDK repeats with it, so that an answer that was lost is no second write.
        ClientRequestToken: randomUUID(),
      }),
    );
  }
}

/** Reject the units whose conditions failed; answers with the others, which may try again at once. */
function rejectFailed(lot: readonly Waiting[], error: unknown): Waiting[] {
  const codes = cancellationCodes(error);
  const innocent: Waiting[] = [];
  let start = 0;
  for (const each of lot) {
    const mine = codes.slice(start, start + each.unit.writes.length);
    start += each.unit.writes.length;
    const failed = new Set(mine.flatMap((code, at) => (code === "ConditionalCheckFailed" ? [at] : [])));
    if (failed.size > 0) each.reject(new ConditionFailed(failed));
    else innocent.push(each);
  }
  return innocent;
}

function isPassing(error: unknown): boolean {
  return [codeOf(error), ...cancellationCodes(error)].some((code) => PASSING.has(code));
}

function cancellationCodes(error: unknown): string[] {
  const reasons = (error as { CancellationReasons?: { Code?: string }[] }).CancellationReasons ?? [];
  return reasons.map((reason) => reason.Code ?? "None");
}

/** One update an item, of all that the lot adds to it. */
function counting(lot: readonly Waiting[]): Write[] {
  const items = new Map<string, { count: Count; sums: Map<string, number> }>();
  for (const count of lot.flatMap((each) => each.unit.counts)) {
    const id = JSON.stringify([count.table, count.key]);
    const item = items.get(id) ?? { count, sums: new Map<string, number>() };
    items.set(id, item);
    item.sums.set(count.attribute, (item.sums.get(count.attribute) ?? 0) + count.by);
  }
  return [...items.values()].map(({ count, sums }) => {
    const entries = [...sums].sort();
    return {
      Update: {
        TableName: count.table,
        Key: count.key,
        UpdateExpression: `ADD ${entries.map((_, at) => `#c${at} :c${at}`).join(", ")}`,
        ExpressionAttributeNames: Object.fromEntries(entries.map(([name], at) => [`#c${at}`, name])),
        ExpressionAttributeValues: Object.fromEntries(entries.map(([, by], at) => [`:c${at}`, by])),
      },
    };
  });
}

function keyOf(write: Write): string {
  const { Put: put, Update: update, Delete: remove, ConditionCheck: check } = write;
  const { TableName: table } = (put ?? update ?? remove ?? check)!;
  const { pk, sk } = put?.Item ?? (update ?? remove ?? check)!.Key!;
  return JSON.stringify([table, pk, sk]);
}

async function pause(tried: number): Promise<void> {
  const longest = Math.min(FIRST_PAUSE_MILLISECONDS * 2 ** tried, LONGEST_PAUSE_MILLISECONDS);
  await new Promise((resolve) => setTimeout(resolve, Math.random() * longest));
}
