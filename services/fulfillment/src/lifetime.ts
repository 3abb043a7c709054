/**
 * Runs a process's parts until it is asked to end, or until one of them ends by itself.
 *
 * One guarantee: on SIGTERM or SIGINT the process takes nothing new, finishes what it has in hand,
 * sends what it committed, and exits; a second signal ends it at once. A part that dies takes the
 * process with it, so that whoever supervises it can start a whole one.
 */
import { setTimeout as sleep } from "node:timers/promises";

import type { App } from "./app.ts";
import { loggerOf } from "./logs.ts";
import { seconds, Stopping, type Worker } from "./waiting.ts";

const log = loggerOf("lifetime");

// Kubernetes and ECS kill after 30 s, `docker stop` after 10 s: what is at work gets the first part,
// and the sending of its results what is then left.
const SHUTDOWN_SECONDS = 8;
const WORK_SECONDS = 6;
const SIGNALS = { SIGINT: 2, SIGTERM: 15 } as const;

/** Ends with the signal that asks for it; a second one ends the process at once. */
export function untilSignal(): Stopping {
  const asked = new Stopping();
  for (const [signal, number] of Object.entries(SIGNALS)) {
    process.on(signal, () => {
      // As shells say of a program that a signal ended.
      if (asked.requested) process.exit(128 + number);
      log.info(`asked to end by ${signal}; once more ends it at once`);
      asked.request();
    });
  }
  return asked;
}

/** Run all parts; the exit code, 0 if it was asked to end. */
export async function runUntil(asked: Stopping, app: App): Promise<number> {
  const working = [app.server, ...app.workers].map(start);
  const sending = app.senders.map(start);
  const first = await Promise.race([asked.wait(), ...[...working, ...sending].map((each) => each.ended)]);
  if (first !== undefined) {
    log.critical(`${first.worker.name} ended by itself; the process ends too`, first.error);
  }
  // First what takes work in, then what sends the results out.
  const began = seconds();
  await settle(working, WORK_SECONDS);
  await settle(sending, SHUTDOWN_SECONDS - (seconds() - began));
  return first === undefined ? 0 : 1;
}

interface End {
  worker: Worker;
  error?: unknown;
}

interface Running {
  worker: Worker;
  ended: Promise<End>;
}

function start(worker: Worker): Running {
  const ended = worker.run().then(
    () => ({ worker }),
    (error: unknown) => ({ worker, error }),
  );
  return { worker, ended };
}

async function settle(running: readonly Running[], limitSeconds: number): Promise<void> {
  for (const each of running) each.worker.stop();
  const late = new Set(running.map((each) => each.worker.name));
  const all = running.map((each) => each.ended.then((end) => late.delete(end.worker.name)));
  await Promise.race([Promise.all(all), sleep(limitSeconds * 1000, undefined, { ref: false })]);
  for (const name of late) log.warning(`${name} did not finish in time; its messages will come again`);
}
