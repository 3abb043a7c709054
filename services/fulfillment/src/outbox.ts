/**
 * The outbox: messages that commit together with the state that they speak of.
 *
 * One guarantee: a message leaves if and only if the transaction that wrote its row has committed.
 *
 *     outbox   <when to publish>#<id>   a message that the bus has not taken yet
 *     parked   <id>                     one that it refused again and again
 *
 * One partition takes a thousand writes a second (DynamoDB, "Partitions and data distribution"),
 * which is some three hundred messages; more would need the row's partition to be spread.
 */
import {
  BatchWriteCommand,
  type DynamoDBDocumentClient,
  QueryCommand,
  TransactWriteCommand,
} from "@aws-sdk/lib-dynamodb";

import type { Write } from "./commits.ts";
import type { Outgoing } from "./envelope.ts";
import { codeOf } from "./errors.ts";

const OUTBOX = "outbox";
const PARKED = "parked";
// BatchWriteItem takes 25 items (DynamoDB service quotas).
const MAX_DELETES = 25;

/** A message in the outbox; `attempts` counts the bus's refusals. */
export interface Row extends Outgoing {
  sk: string;
  attempts: number;
}

/** Reads and clears the outbox's rows, which lie in the table of the state. */
export class Outbox {
  readonly #dynamodb: DynamoDBDocumentClient;
  readonly #table: string;

  constructor(dynamodb: DynamoDBDocumentClient, table: string) {
    this.#dynamodb = dynamodb;
    this.#table = table;
  }

  /** A row for a message, and the write that adds it to a unit. */
  row(message: Outgoing, now: number): { row: Row; write: Write } {
    const row = { ...message, sk: place(now, message.id), attempts: 0 };
    return { row, write: this.#put(OUTBOX, row) };
  }

  /** Rows that were to be published before `until` (epoch milliseconds), the oldest first. */
  async leftBehind(until: number, limit: number): Promise<Row[]> {
    const answer = await this.#dynamodb.send(
      new QueryCommand({
        TableName: this.#table,
        KeyConditionExpression: "pk = :outbox AND sk < :until",
        ExpressionAttributeValues: { ":outbox": OUTBOX, ":until": place(until, "") },
        ConsistentRead: true,
        Limit: limit,
      }),
    );
    return (answer.Items ?? []) as Row[];
  }

  /** Forget rows that the bus has taken; one that is left over is published again, which is harmless. */
  async taken(rows: readonly Row[]): Promise<void> {
    for (let start = 0; start < rows.length; start += MAX_DELETES) {
      const requests = rows.slice(start, start + MAX_DELETES).map((row) => ({
        DeleteRequest: { Key: { pk: OUTBOX, sk: row.sk } },
      }));
      await this.#dynamodb.send(new BatchWriteCommand({ RequestItems: { [this.#table]: requests } }));
    }
  }

  /** Try a refused row again at `at`. */
  async defer(row: Row, at: number): Promise<void> {
    await this.#move(row, this.#put(OUTBOX, { ...row, sk: place(at, row.id), attempts: row.attempts + 1 }));
  }

  /** Put a row aside that will never go out by itself, with the bus's reason. */
  async park(row: Row, reason: string): Promise<void> {
    await this.#move(row, this.#put(PARKED, { ...row, sk: row.id, reason, attempts: row.attempts + 1 }));
  }

  /** How many rows wait, and how many are parked. */
  async census(): Promise<{ pending: number; parked: number }> {
    const [pending, parked] = await Promise.all([this.#count(OUTBOX), this.#count(PARKED)]);
    return { pending, parked };
  }

  async #count(partition: string): Promise<number> {
    let count = 0;
    let from: Record<string, unknown> | undefined;
    do {
      const answer = await this.#dynamodb.send(
        new QueryCommand({
          TableName: this.#table,
          Select: "COUNT",
          KeyConditionExpression: "pk = :partition",
          ExpressionAttributeValues: { ":partition": partition },
          ExclusiveStartKey: from,
        }),
      );
      count += answer.Count ?? 0;
      from = answer.LastEvaluatedKey;
    } while (from !== undefined);
    return count;
  }

  /** Another relay may have moved it or sent it meanwhile; then there is nothing to do. */
  async #move(row: Row, put: Write): Promise<void> {
    const remove = {
      Delete: {
        TableName: this.#table,
        Key: { pk: OUTBOX, sk: row.sk },
        ConditionExpression: "attribute_exists(pk)",
      },
    };
    try {
      await this.#dynamodb.send(new TransactWriteCommand({ TransactItems: [remove, put] }));
    } catch (error) {
      if (codeOf(error) !== "TransactionCanceledException") throw error;
    }
  }

  #put(pk: string, item: Record<string, unknown> | Row): Write {
    return { Put: { TableName: this.#table, Item: { ...item, pk } } };
  }
}

/** A time that sorts as text: it has as many digits until the year 2286. */
export function sortable(at: number): string {
  return String(Math.floor(at)).padStart(13, "0");
}

function place(at: number, id: string): string {
  return `${sortable(at)}#${id}`;
}
