/**
 * The consumer: takes messages from the service's queue and sees each through to its end.
 *
 * One guarantee: a message is deleted only after its effect has committed, or after it stands in the
 * dead-letter queue with the reason attached; everything else is received again.
 *
 *     receive -> read -> contract -> handle -> delete
 *                 |         |          |-- RetryLater, error: visible again later, with jitter
 *                 +---------+----------+-- can never succeed: dead letter, then delete
 *
 * A database or bus that is down is nobody's fault: the consumer then stops receiving for a while,
 * so that an outage does not use up the receive counts of innocent messages.
 */
import { type Message, ReceiveMessageCommand, type SQSClient } from "@aws-sdk/client-sqs";

import { awaitQueueUrls } from "./aws.ts";
import { type Envelope, read } from "./envelope.ts";
import { DeadLetter, isOutage, reasonOf, RetryLater } from "./errors.ts";
import type { Handle } from "./handlers.ts";
import { correlated, loggerOf } from "./logs.ts";
import * as metrics from "./metrics.ts";
import { MAX_BATCH, type Received, Settlement } from "./settlement.ts";
import { SpanKind, traced } from "./telemetry.ts";
import { jitter, seconds, Slots, Stopping, type Worker } from "./waiting.ts";

const log = loggerOf("consumer");

const POLLERS = 2;
// The longest that SQS waits for a message (SQS quotas).
const WAIT_SECONDS = 20;
// The first retry comes after about a second, the last ones after a minute.
const BACKOFF_LIMIT_SECONDS = 60;
// Under load an answer is never far; an idle long poll is cut off.
const LAST_ANSWER_SECONDS = 0.5;

export interface ConsumerOptions {
  /** How long a message stays hidden unless extended, and so how soon a killed worker's come back. */
  visibilitySeconds: number;
  /** Messages at work at once. */
  maxInFlight: number;
}

/** Feeds the service's queue to `handle` with bounded concurrency. */
export class Consumer implements Worker {
  readonly name = "consumer";
  readonly #sqs: SQSClient;
  readonly #handle: Handle;
  readonly #options: ConsumerOptions;
  readonly #slots: Slots;
  readonly #stopping = new Stopping();
  readonly #tasks = new Set<Promise<void>>();
  #resumeAt = 0;

  constructor(sqs: SQSClient, handle: Handle, options: ConsumerOptions) {
    this.#sqs = sqs;
    this.#handle = handle;
    this.#options = options;
    this.#slots = new Slots(options.maxInFlight);
  }

  /** Wait for the queue, receive until `stop`, then finish what is at work. */
  async run(): Promise<void> {
    const urls = await awaitQueueUrls(this.#sqs, this.#stopping);
    if (urls === undefined) return;
    const settlement = new Settlement(this.#sqs, urls, this.#options.visibilitySeconds);
    const cutOff = new AbortController();
    void this.#stopping.wait().then(() => {
      // What an answer brings that is cut off stays hidden until its visibility ends.
      setTimeout(() => cutOff.abort(), LAST_ANSWER_SECONDS * 1000).unref();
    });
    try {
      await Promise.all(Array.from({ length: POLLERS }, () => this.#poll(settlement, cutOff.signal)));
      await Promise.all(this.#tasks);
      await settlement.drain();
    } finally {
      settlement.close();
    }
  }

  stop(): void {
    this.#stopping.request();
  }

  async #poll(settlement: Settlement, cutOff: AbortSignal): Promise<void> {
    while (!this.#stopping.requested) {
      const pauseSeconds = this.#resumeAt - seconds();
      if (pauseSeconds > 0) {
        await this.#stopping.sleep(pauseSeconds);
        continue;
      }
      try {
        await this.#receive(settlement, cutOff);
      } catch (error) {
        if (cutOff.aborted) return;
        log.warning(`cannot receive, trying again soon: ${reasonOf(error)}`);
        await this.#stopping.sleep(jitter(0.2, 2));
      }
    }
  }

  async #receive(settlement: Settlement, cutOff: AbortSignal): Promise<void> {
    const slots = await this.#slots.take(MAX_BATCH);
    let taken = 0;
    try {
      if (this.#stopping.requested) return;
      const answer = await this.#sqs.send(
        new ReceiveMessageCommand({
          QueueUrl: settlement.urls.queue,
          MaxNumberOfMessages: slots,
          WaitTimeSeconds: WAIT_SECONDS,
          VisibilityTimeout: this.#options.visibilitySeconds,
          MessageSystemAttributeNames: ["ApproximateReceiveCount"],
        }),
        { abortSignal: cutOff },
      );
      for (const message of answer.Messages ?? []) {
        const task = this.#settle(settlement, received(message)).finally(() => {
          this.#tasks.delete(task);
          this.#slots.release();
        });
        taken += 1;
        this.#tasks.add(task);
      }
    } finally {
      this.#slots.release(slots - taken);
    }
  }

  /** Never raises: a message that could not be settled was not deleted, and will be received again. */
  async #settle(settlement: Settlement, message: Received): Promise<void> {
    metrics.inFlight.inc();
    settlement.begin(message);
    try {
      await this.#attempt(settlement, message);
    } catch (error) {
      log.warning("a message could not be settled", error);
    } finally {
      settlement.end(message);
      metrics.inFlight.dec();
    }
  }

  async #attempt(settlement: Settlement, message: Received): Promise<void> {
    let envelope: Envelope;
    try {
      envelope = read(message.body);
    } catch (error) {
      await this.#giveBack(settlement, message, "unknown", error);
      return;
    }
    await correlated(envelope.correlationId, envelope.id, async () => {
      try {
        await this.#carryOut(settlement, message, envelope);
      } catch (error) {
        await this.#giveBack(settlement, message, envelope.type, error);
      }
    });
  }

  async #carryOut(settlement: Settlement, message: Received, envelope: Envelope): Promise<void> {
    const { type } = envelope;
    const ageSeconds = Math.max((Date.now() - envelope.time.getTime()) / 1000, 0);
    const options = {
      kind: SpanKind.CONSUMER,
      parent: envelope.traceparent,
      attributes: {
        "messaging.system": "aws_sqs",
        "messaging.message.id": envelope.id,
        "messaging.message.conversation_id": envelope.correlationId,
      },
    };
    const fresh = await traced(`process ${type}`, options, () => this.#handle(envelope));
    settlement.done(message);
    // Here, where the contracts know the name: a type out of nowhere makes no series.
    metrics.ageSeconds.observe({ type }, ageSeconds);
    metrics.handlingSeconds.observe({ type }, seconds() - message.receivedAt);
    metrics.handled.inc({ type, outcome: fresh ? "handled" : "duplicate" });
  }

  /** What becomes of a message that could not be handled (now). */
  async #giveBack(settlement: Settlement, message: Received, type: string, error: unknown): Promise<void> {
    if (error instanceof DeadLetter) {
      log.error(`dead letter: ${error.code}: ${error.message}`);
      await settlement.deadLetter(message, error);
      metrics.handled.inc({ type: "any", outcome: "dead_lettered" });
    } else if (error instanceof RetryLater) {
      log.info(`${type} is too early: ${error.message}`);
      await settlement.putBack(message, error.seconds);
      metrics.handled.inc({ type, outcome: "retried" });
    } else {
      await this.#retryAfterFailure(settlement, message, type, error);
      metrics.handled.inc({ type, outcome: "failed" });
    }
  }

  async #retryAfterFailure(settlement: Settlement, message: Received, type: string, error: unknown): Promise<void> {
    const delay = Math.min(2 ** (message.receives - 1), BACKOFF_LIMIT_SECONDS) * jitter(0.5, 1.5);
    if (isOutage(error)) {
      this.#resumeAt = seconds() + delay;
      log.warning(`a dependency is down; receiving pauses ${delay.toFixed(1)} s: ${reasonOf(error)}`);
      await settlement.putBack(message, delay);
    } else {
      log.error(`${type} failed and is tried again in ${delay.toFixed(1)} s`, error);
      await settlement.retryIn(message, delay);
    }
  }
}

function received(message: Message): Received {
  const now = seconds();
  return {
    body: message.Body ?? "",
    receipt: message.ReceiptHandle!,
    receives: Number(message.Attributes?.ApproximateReceiveCount ?? 1),
    receivedAt: now,
    extendedAt: now,
  };
}
