/**
 * The relay: publishes committed outbox rows to the bus.
 *
 * One guarantee: every committed row is published at least once, and deleted only after the bus has
 * taken it. Rows that this process has just committed go out from memory at once; a slow sweep picks
 * up what a crash, a lost answer or a refusal left behind. Several relays may run: a message that is
 * published twice has one id, by which the receiver's inbox stops it.
 */
import { type EventBridgeClient, PutEventsCommand, type PutEventsResultEntry } from "@aws-sdk/client-eventbridge";

import { topology } from "./contracts.ts";
import { isObject, MAX_ENTRY_BYTES } from "./envelope.ts";
import { codeOf, isRefusal, reasonOf } from "./errors.ts";
import { loggerOf } from "./logs.ts";
import * as metrics from "./metrics.ts";
import type { Outbox, Row } from "./outbox.ts";
import { SpanKind, traced } from "./telemetry.ts";
import { jitter, Stopping, type Worker } from "./waiting.ts";

const log = loggerOf("relay");

// PutEvents takes ten entries a request (EventBridge quotas).
const MAX_ENTRIES = 10;
// Above this many rows in memory the sweep takes over, so that a bus outage costs no memory.
const MAX_FRESH_ROWS = 1_000;
const SWEEP_ROWS = 100;
const TRANSIENT: ReadonlySet<string> = new Set(["InternalFailure", "InternalException", "ThrottlingException"]);
const MAX_TRANSIENT_ATTEMPTS = 20;
const MAX_ATTEMPTS = 3;
const LONGEST_DEFERRAL_SECONDS = 300;
// Our own word for a row that nothing can be made of; no later try would find it better.
const UNREADABLE = "UnreadableRow";

interface Refusal {
  row: Row;
  code: string;
}

/** Publishes the service's outbox; one a process. `graceSeconds`: age from which a row counts as left behind. */
export class Relay implements Worker {
  readonly name = "relay";
  readonly #events: EventBridgeClient;
  readonly #outbox: Outbox;
  readonly #sweepSeconds: number;
  readonly #graceSeconds: number;
  readonly #stopping = new Stopping();
  #fresh: Row[] = [];
  #wakeUp: () => void = () => undefined;

  constructor(events: EventBridgeClient, outbox: Outbox, sweepSeconds = 1, graceSeconds = 3) {
    this.#events = events;
    this.#outbox = outbox;
    this.#sweepSeconds = sweepSeconds;
    this.#graceSeconds = graceSeconds;
  }

  /** Take over rows that this process has just committed. */
  wake(rows: readonly Row[]): void {
    if (this.#fresh.length < MAX_FRESH_ROWS) this.#fresh.push(...rows);
    this.#wakeUp();
  }

  /** Publish until `stop`; what is in memory by then still goes out. */
  async run(): Promise<void> {
    await Promise.all([this.#publishFresh(), this.#sweepForever()]);
  }

  stop(): void {
    this.#stopping.request();
    this.#wakeUp();
  }

  async #publishFresh(): Promise<void> {
    for (;;) {
      if (this.#fresh.length === 0) {
        if (this.#stopping.requested) return;
        await new Promise<void>((resolve) => (this.#wakeUp = resolve));
        continue;
      }
      const rows = this.#fresh.splice(0, MAX_ENTRIES);
      try {
        const { taken } = await this.#put(rows);
        await this.#outbox.taken(taken);
      } catch (error) {
        // Nothing is lost: the rows are in the table, and the sweep goes on from there.
        log.warning(`the relay could not publish; the sweep will: ${reasonOf(error)}`);
        if (this.#stopping.requested) return;
        await this.#stopping.sleep(jitter(0.2, 1));
      }
    }
  }

  async #sweepForever(): Promise<void> {
    while (!this.#stopping.requested) {
      try {
        while ((await this.sweep()) === SWEEP_ROWS && !this.#stopping.requested);
      } catch (error) {
        log.warning(`the outbox sweep failed and will be repeated: ${reasonOf(error)}`);
      }
      await this.#stopping.sleep(this.#sweepSeconds * jitter(0.75, 1.25));
    }
  }

  /** Publish one lot of rows that were left behind; how many it took up. */
  async sweep(): Promise<number> {
    const until = Date.now() - this.#graceSeconds * 1000;
    const rows = await this.#outbox.leftBehind(until, SWEEP_ROWS);
    for (let start = 0; start < rows.length; start += MAX_ENTRIES) {
      const { taken, refused } = await this.#putEach(rows.slice(start, start + MAX_ENTRIES));
      await this.#outbox.taken(taken);
      for (const each of refused) await this.#defer(each);
    }
    return rows.length;
  }

  /** Count a refusal; park the row once it is clear that it will never go out. */
  async #defer({ row, code }: Refusal): Promise<void> {
    const limit = TRANSIENT.has(code) ? MAX_TRANSIENT_ATTEMPTS : MAX_ATTEMPTS;
    if (code === UNREADABLE || row.attempts + 1 >= limit) {
      log.error(`${row.type} ${row.id} is parked: it is refused with ${code}`);
      await this.#outbox.park(row, code);
      return;
    }
    const seconds = Math.min(2 ** row.attempts, LONGEST_DEFERRAL_SECONDS);
    await this.#outbox.defer(row, Date.now() + (seconds - this.#graceSeconds) * 1000);
  }

  /** As `#put`, but a row for which the bus refuses its whole request is found out alone. */
  async #putEach(rows: readonly Row[]): Promise<{ taken: Row[]; refused: Refusal[] }> {
    try {
      return await this.#put(rows);
    } catch (error) {
      if (!isRefusal(error)) throw error;
      if (rows.length === 1) return { taken: [], refused: [{ row: rows[0]!, code: codeOf(error) }] };
    }
    const taken: Row[] = [];
    const refused: Refusal[] = [];
    for (const row of rows) {
      const one = await this.#putEach([row]);
      taken.push(...one.taken);
      refused.push(...one.refused);
    }
    return { taken, refused };
  }

  async #put(rows: readonly Row[]): Promise<{ taken: Row[]; refused: Refusal[] }> {
    const taken: Row[] = [];
    const refused: Refusal[] = rows.filter((row) => !isReadable(row)).map((row) => ({ row, code: UNREADABLE }));
    for (const lot of lots(rows.filter(isReadable))) {
      const answer = await this.#request(lot, 0);
      // HTTP 200 says nothing about the entries: each has an answer of its own.
      lot.forEach((row, at) => {
        const entry = answer[at];
        if (entry?.EventId) {
          taken.push(row);
          metrics.published.inc({ type: row.type });
        } else {
          log.warning(`the bus refused ${row.type} ${row.id}: ${JSON.stringify(entry)}`);
          refused.push({ row, code: entry?.ErrorCode ?? "Unknown" });
        }
      });
    }
    return { taken, refused };
  }

  /** The bus's answers, an entry a row. The request stands in a span of each row's own trace. */
  async #request(lot: readonly Row[], at: number): Promise<PutEventsResultEntry[]> {
    const row = lot[at];
    if (row !== undefined) {
      const { traceparent, correlationid } = JSON.parse(row.detail) as Record<string, string>;
      const attributes = {
        "messaging.system": "aws_eventbridge",
        "messaging.message.id": row.id,
        "messaging.message.conversation_id": correlationid!,
      };
      const options = { kind: SpanKind.PRODUCER, parent: traceparent, attributes };
      return traced(`publish ${row.type}`, options, () => this.#request(lot, at + 1));
    }
    const entries = lot.map((each) => ({
      EventBusName: topology.bus,
      Source: each.source,
      DetailType: each.type,
      Detail: each.detail,
    }));
    const answer = await this.#events.send(new PutEventsCommand({ Entries: entries }));
    return answer.Entries ?? [];
  }
}

/** Whether an entry can be made of it; one that was changed by hand must not keep those behind it. */
function isReadable(row: Row): boolean {
  try {
    return isObject(JSON.parse(row.detail));
  } catch {
    return false;
  }
}

/** Split so that no request exceeds the size that PutEvents takes in total. */
function lots(rows: readonly Row[]): Row[][] {
  const found: Row[][] = [];
  let size = Infinity;
  for (const row of rows) {
    const bytes = Buffer.byteLength(row.detail) + 200;
    if (size + bytes > MAX_ENTRY_BYTES) {
      found.push([]);
      size = 0;
    }
    found[found.length - 1]!.push(row);
    size += bytes;
  }
  return found;
}
