/** Units that commit together, on a DynamoDB that answers as it is told to. */
import assert from "node:assert/strict";
import { test } from "node:test";

import type { DynamoDBDocumentClient, TransactWriteCommand } from "@aws-sdk/lib-dynamodb";

import { Commits, ConditionFailed, type Unit, type Write } from "../src/commits.ts";
import { RetryLater } from "../src/errors.ts";

type Answer = (items: readonly Write[]) => string[] | Error | undefined;

/** Cancels transactions with the codes that `answer` gives, one an item. */
class FakeDynamoDB {
  readonly transactions: Write[][] = [];
  readonly #answer: Answer;

  constructor(answer: Answer = () => undefined) {
    this.#answer = answer;
  }

  async send(command: TransactWriteCommand): Promise<object> {
    const items = command.input.TransactItems ?? [];
    this.transactions.push(items);
    const found = this.#answer(items);
    if (found instanceof Error) throw found;
    if (found === undefined) return {};
    throw Object.assign(new Error("cancelled"), {
      name: "TransactionCanceledException",
      CancellationReasons: found.map((code) => ({ Code: code })),
    });
  }

  commits(): Commits {
    return new Commits(this as unknown as DynamoDBDocumentClient);
  }
}

function unit(name: string, by = 1): Unit {
  return {
    writes: [{ Put: { TableName: "t", Item: { pk: name, sk: "s" } } }],
    counts: [{ table: "t", key: { pk: "counts" }, attribute: "done", by }],
  };
}

function isPut(item: Write, name: string): boolean {
  return item.Put?.Item?.["pk"] === name;
}

test("units that come at the same time share a transaction, and each count is written once", async () => {
  const dynamodb = new FakeDynamoDB();
  const commits = dynamodb.commits();
  await Promise.all(["a", "b", "c"].map((name) => commits.commit(unit(name))));
  assert.equal(dynamodb.transactions.length, 1);
  const [items] = dynamodb.transactions;
  assert.equal(items!.length, 4);
  assert.deepEqual(items![3]!.Update?.ExpressionAttributeValues, { ":c0": 3 });
});

test("two units of one item never share a transaction, which would be refused", async () => {
  const dynamodb = new FakeDynamoDB();
  const commits = dynamodb.commits();
  await Promise.all([commits.commit(unit("a")), commits.commit(unit("a"))]);
  assert.equal(dynamodb.transactions.length, 2);
});

test("no transaction holds more items than DynamoDB takes", async () => {
  const dynamodb = new FakeDynamoDB();
  const commits = dynamodb.commits();
  await Promise.all(Array.from({ length: 250 }, (_, n) => commits.commit(unit(String(n)))));
  assert.ok(dynamodb.transactions.every((items) => items.length <= 100));
  assert.equal(dynamodb.transactions.flat().filter((item) => item.Put).length, 250);
});

test("a unit whose condition fails takes no other down with it", async () => {
  const dynamodb = new FakeDynamoDB((items) => {
    const codes = items.map((item) => (isPut(item, "b") ? "ConditionalCheckFailed" : "None"));
    return codes.includes("ConditionalCheckFailed") ? codes : undefined;
  });
  const commits = dynamodb.commits();
  const ends = await Promise.allSettled(["a", "b", "c"].map((name) => commits.commit(unit(name))));
  assert.deepEqual(ends.map((end) => end.status), ["fulfilled", "rejected", "fulfilled"]);
  const refused = ends[1] as PromiseRejectedResult;
  assert.ok(refused.reason instanceof ConditionFailed);
  assert.deepEqual([...refused.reason.positions], [0]);
  // What it would have added to the count is not in it either.
  assert.deepEqual(dynamodb.transactions.at(-1)!.at(-1)!.Update?.ExpressionAttributeValues, { ":c0": 2 });
});

test("a unit that DynamoDB cannot take fails alone", async () => {
  const dynamodb = new FakeDynamoDB((items) =>
    items.some((item) => isPut(item, "b")) ? new Error("item too large") : undefined,
  );
  const commits = dynamodb.commits();
  const ends = await Promise.allSettled(["a", "b", "c"].map((name) => commits.commit(unit(name))));
  assert.deepEqual(ends.map((end) => end.status), ["fulfilled", "rejected", "fulfilled"]);
});

test("an outage is not asked about again for each unit", async () => {
  const down = Object.assign(new Error("refused"), { code: "ECONNREFUSED" });
  const dynamodb = new FakeDynamoDB(() => down);
  const commits = dynamodb.commits();
  const ends = await Promise.allSettled(["a", "b", "c"].map((name) => commits.commit(unit(name))));
  assert.deepEqual(ends.map((end) => end.status), ["rejected", "rejected", "rejected"]);
  assert.equal(dynamodb.transactions.length, 1);
});

test("a conflict with others is tried again", async () => {
  let conflicts = 2;
  const dynamodb = new FakeDynamoDB((items) => (conflicts-- > 0 ? items.map(() => "TransactionConflict") : undefined));
  await dynamodb.commits().commit(unit("a"));
  assert.equal(dynamodb.transactions.length, 3);
});

test("a conflict that does not end is nobody's fault: try again later", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const dynamodb = new FakeDynamoDB((items) => items.map(() => "TransactionConflict"));
  let ended = false;
  const outcome = dynamodb.commits().commit(unit("a")).finally(() => (ended = true));
  const refused = assert.rejects(outcome, RetryLater);
  while (!ended) {
    await new Promise((resolve) => setImmediate(resolve));
    t.mock.timers.tick(1000);
  }
  await refused;
});
