/**
 * Moves shipments on when their time has come.
 *
 * One guarantee: every shipment that is due takes its step, once, whichever worker gets to it first
 * and however often; one that cannot is put off and keeps no other waiting.
 */
import { advance, type Schedule, type Shipment } from "./domain.ts";
import { isOutage, reasonOf, RetryLater } from "./errors.ts";
import { correlated, loggerOf } from "./logs.ts";
import * as metrics from "./metrics.ts";
import { DUE_SHARDS, type Shipments } from "./store.ts";
import { traced } from "./telemetry.ts";
import { jitter, Stopping, type Worker } from "./waiting.ts";

const log = loggerOf("sweeper");

// As many steps, of four items each, as one transaction takes: so they share it.
const PAGE = 24;
const PUT_OFF_MILLISECONDS = 60_000;
const STEPS: Partial<Record<Shipment["status"], string>> = {
  packing: "dispatch shipment",
  dispatched: "deliver shipment",
};

/** Looks for shipments that are due, every `intervalSeconds`; several workers may do so at once. */
export class Sweeper implements Worker {
  readonly name = "sweeper";
  readonly #shipments: Shipments;
  readonly #schedule: Schedule;
  readonly #intervalSeconds: number;
  readonly #stopping = new Stopping();

  constructor(shipments: Shipments, schedule: Schedule, intervalSeconds: number) {
    this.#shipments = shipments;
    this.#schedule = schedule;
    this.#intervalSeconds = intervalSeconds;
  }

  /** Sweep until `stop`. */
  async run(): Promise<void> {
    while (!this.#stopping.requested) {
      try {
        // From a shard of its own choice, so that workers do not all begin with the same.
        const first = Math.floor(Math.random() * DUE_SHARDS);
        for (let at = 0; at < DUE_SHARDS; at++) await this.#sweepShard((first + at) % DUE_SHARDS);
      } catch (error) {
        log.warning(`the sweep found no answer and will be repeated: ${reasonOf(error)}`);
      }
      await this.#stopping.sleep(this.#intervalSeconds * jitter(0.75, 1.25));
    }
  }

  stop(): void {
    this.#stopping.request();
  }

  async #sweepShard(shard: number): Promise<void> {
    while (!this.#stopping.requested) {
      const orderIds = await this.#shipments.due(shard, Date.now(), PAGE);
      await Promise.all(orderIds.map((orderId) => this.#lookAfter(orderId)));
      if (orderIds.length < PAGE) return;
    }
  }

  async #lookAfter(orderId: string): Promise<void> {
    const stored = await this.#shipments.find(orderId);
    const shipment = stored.known;
    // Somebody else was faster; where it stands now, the next sweep will find it in time.
    if (shipment?.kind !== "shipment" || !advance(shipment, Date.now(), this.#schedule)) return;
    const { origin, status } = shipment;
    const options = {
      parent: origin.traceparent,
      attributes: { "messaging.message.conversation_id": origin.correlationId },
    };
    const step = () => this.#shipments.step(stored, this.#schedule);
    await correlated(origin.correlationId, origin.messageId, async () => {
      try {
        if (await traced(STEPS[status] ?? "step", options, step)) metrics.steps.inc({ status });
      } catch (error) {
        if (isOutage(error)) throw error;
        if (error instanceof RetryLater) {
          log.info(`a step has to wait for the next sweep: ${error.message}`);
          return;
        }
        log.error(`the shipment of order ${orderId} cannot take its step and is put off`, error);
        await this.#shipments.putOff(stored, Date.now() + PUT_OFF_MILLISECONDS);
      }
    });
  }
}
