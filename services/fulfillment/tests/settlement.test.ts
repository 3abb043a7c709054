/** What the queue gets of a message that can never succeed. */
import assert from "node:assert/strict";
import { test } from "node:test";

import type { SendMessageCommand, SQSClient } from "@aws-sdk/client-sqs";

import { MalformedMessage } from "../src/errors.ts";
import { Settlement } from "../src/settlement.ts";

// All that SQS takes (SQS API Reference, "SendMessage"); a lone surrogate leaves as U+FFFD.
const TAKEN = /^[\t\n\r\u0020-\ufffd\u{10000}-\u{10ffff}]*$/u;

class FakeSQS {
  readonly sent: SendMessageCommand["input"][] = [];

  async send(command: SendMessageCommand): Promise<object> {
    this.sent.push(command.input);
    return {};
  }
}

test("a dead letter's reason holds only characters that SQS takes", async () => {
  const sqs = new FakeSQS();
  const settlement = new Settlement(sqs as unknown as SQSClient, { queue: "queue", deadLetters: "dead" }, 30);
  const message = { body: "{}", receipt: "r", receives: 1, receivedAt: 0, extendedAt: 0 };
  await settlement.deadLetter(message, new MalformedMessage("it is \u0000\u000b\ufffe\uffff, not \u{1f4d6}"));
  settlement.close();
  const reason = sqs.sent[0]!.MessageAttributes!["reason"]!.StringValue!;
  assert.match(reason, TAKEN);
  assert.ok(reason.startsWith("it is ") && reason.endsWith(", not \u{1f4d6}"));
});
