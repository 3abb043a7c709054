/**
 * What becomes of a received message at its queue: deleted, put back, hidden longer, dead-lettered.
 *
 * One guarantee: a message leaves the queue only after `done`, or after a copy of it stands in the
 * dead-letter queue or, with its receives begun anew, in the queue itself.
 */
import {
  ChangeMessageVisibilityBatchCommand,
  ChangeMessageVisibilityCommand,
  DeleteMessageBatchCommand,
  SendMessageCommand,
  type SQSClient,
} from "@aws-sdk/client-sqs";

import type { QueueUrls } from "./aws.ts";
import { type DeadLetter, reasonOf } from "./errors.ts";
import { loggerOf } from "./logs.ts";
import { seconds } from "./waiting.ts";

const log = loggerOf("settlement");

// SQS hands out, deletes and changes at most ten messages a call (SQS quotas).
export const MAX_BATCH = 10;
// Deleting is in no hurry beside the visibility of seconds, and full calls are fewer calls.
const DELETE_LINGER_MILLISECONDS = 100;
// Half of the receives after which the topology's queues give a message up.
const MAX_INNOCENT_RECEIVES = 4;
// SQS delays a message by a quarter of an hour at most (SQS quotas).
const MAX_DELAY_SECONDS = 900;
// SQS lets a message be invisible for 12 hours in all from its receipt (SQS quotas).
const MAX_INVISIBLE_SECONDS = 12 * 3600;
const MAX_REASON_CHARACTERS = 1000;
// What SQS refuses a message for (SQS API Reference, "SendMessage"); a reason may quote it.
const NOT_TAKEN = /[^\t\n\r\u0020-\ufffd\u{10000}-\u{10ffff}]/gu;

/** A message as received: its text, and the handle that settles it. Times are monotonic seconds. */
export interface Received {
  body: string;
  receipt: string;
  receives: number;
  receivedAt: number;
  extendedAt: number;
}

/** Settles messages of one queue. */
export class Settlement {
  readonly urls: QueueUrls;
  readonly #sqs: SQSClient;
  readonly #visibilitySeconds: number;
  readonly #atWork = new Set<Received>();
  readonly #extending: NodeJS.Timeout;
  readonly #deleting = new Set<Promise<void>>();
  #deletable: Received[] = [];
  #lingering: NodeJS.Timeout | undefined;

  constructor(sqs: SQSClient, urls: QueueUrls, visibilitySeconds: number) {
    this.#sqs = sqs;
    this.urls = urls;
    this.#visibilitySeconds = visibilitySeconds;
    this.#extending = setInterval(() => void this.#extend(), (visibilitySeconds / 3) * 1000);
  }

  /** Keep the message hidden from others from now on. */
  begin(message: Received): void {
    this.#atWork.add(message);
  }

  /** Nobody works on it any more. */
  end(message: Received): void {
    this.#atWork.delete(message);
  }

  /** Its effect has committed: delete it soon, with others. */
  done(message: Received): void {
    this.#deletable.push(message);
    if (this.#deletable.length >= MAX_BATCH) this.#flush();
    else this.#lingering ??= setTimeout(() => this.#flush(), DELETE_LINGER_MILLISECONDS);
  }

  /** To the dead-letter queue, with the reason, then out of this one. */
  async deadLetter(message: Received, reason: DeadLetter): Promise<void> {
    const text = (value: string) => ({ DataType: "String", StringValue: value.replace(NOT_TAKEN, "\ufffd") });
    await this.#sqs.send(
      new SendMessageCommand({
        QueueUrl: this.urls.deadLetters,
        MessageBody: message.body,
        MessageAttributes: {
          reason_code: text(reason.code),
          reason: text(reason.message.slice(0, MAX_REASON_CHARACTERS) || reason.code),
        },
      }),
    );
    this.done(message);
  }

  /**
   * Try again later what is not the message's fault.
   *
   * SQS counts every receipt towards the dead-letter queue, whatever the reason; before an innocent
   * message has used up its receives, a copy with the same id takes its place.
   */
  async putBack(message: Received, delaySeconds: number): Promise<void> {
    if (message.receives < MAX_INNOCENT_RECEIVES) {
      await this.retryIn(message, delaySeconds);
      return;
    }
    await this.#sqs.send(
      new SendMessageCommand({
        QueueUrl: this.urls.queue,
        MessageBody: message.body,
        DelaySeconds: Math.min(Math.ceil(delaySeconds), MAX_DELAY_SECONDS),
      }),
    );
    this.done(message);
  }

  /** Make it visible again after about so many seconds, which SQS counts in whole ones. */
  async retryIn(message: Received, delaySeconds: number): Promise<void> {
    await this.#sqs.send(
      new ChangeMessageVisibilityCommand({
        QueueUrl: this.urls.queue,
        ReceiptHandle: message.receipt,
        VisibilityTimeout: Math.min(Math.floor(delaySeconds + Math.random()), MAX_INVISIBLE_SECONDS),
      }),
    );
  }

  /** Return once everything that is done is deleted, or will come again. */
  async drain(): Promise<void> {
    this.#flush();
    await Promise.all(this.#deleting);
  }

  /** Extend nothing more. */
  close(): void {
    clearInterval(this.#extending);
    clearTimeout(this.#lingering);
  }

  #flush(): void {
    clearTimeout(this.#lingering);
    this.#lingering = undefined;
    const lot = this.#deletable;
    this.#deletable = [];
    if (lot.length === 0) return;
    const deletion = this.#delete(lot).finally(() => this.#deleting.delete(deletion));
    this.#deleting.add(deletion);
  }

  async #delete(lot: readonly Received[]): Promise<void> {
    try {
      const answer = await this.#sqs.send(
        new DeleteMessageBatchCommand({
          QueueUrl: this.urls.queue,
          Entries: lot.map((message, at) => ({ Id: String(at), ReceiptHandle: message.receipt })),
        }),
      );
      // A superseded receipt means that the message is out again: its copy will be recognised.
      for (const failure of answer.Failed ?? []) {
        log.info(`a message was not deleted and will come again: ${failure.Code}`);
      }
    } catch (error) {
      log.warning(`${lot.length} messages were not deleted and will come again: ${reasonOf(error)}`);
    }
  }

  /** Keep what is still at work hidden from others. */
  async #extend(): Promise<void> {
    const now = seconds();
    const due = [...this.#atWork].filter((each) => now - each.extendedAt >= this.#visibilitySeconds / 3);
    for (let start = 0; start < due.length; start += MAX_BATCH) {
      const lot = due.slice(start, start + MAX_BATCH);
      for (const message of lot) message.extendedAt = now;
      const entries = lot.map((message, at) => ({
        Id: String(at),
        ReceiptHandle: message.receipt,
        VisibilityTimeout: this.#visibilitySeconds,
      }));
      try {
        await this.#sqs.send(
          new ChangeMessageVisibilityBatchCommand({ QueueUrl: this.urls.queue, Entries: entries }),
        );
      } catch (error) {
        log.warning(`could not extend ${lot.length} messages: ${reasonOf(error)}`);
      }
    }
  }
}
