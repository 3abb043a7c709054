/**
 * Waiting that can be ended, and counting of what may be under way at once.
 *
 * One guarantee: nothing here waits longer than until it is told to stop.
 */
import { setTimeout as sleep } from "node:timers/promises";

/** A background activity: `run` returns soon after `stop`, with its work in hand finished. */
export interface Worker {
  readonly name: string;
  run(): Promise<void>;
  stop(): void;
}

/** Says once, to all who wait, that it is time to stop. */
export class Stopping {
  readonly #controller = new AbortController();

  get requested(): boolean {
    return this.#controller.signal.aborted;
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  request(): void {
    this.#controller.abort();
  }

  /** Resolves when it is time to stop. */
  async wait(): Promise<void> {
    if (this.requested) return;
    await new Promise<void>((resolve) => {
      this.signal.addEventListener("abort", () => resolve(), { once: true });
    });
  }

  /** Sleep, but no longer than until it is time to stop. */
  async sleep(seconds: number): Promise<void> {
    await sleep(seconds * 1000, undefined, { signal: this.signal }).catch(() => undefined);
  }
}

/** Room for so many at once. */
export class Slots {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(count: number) {
    this.#free = count;
  }

  /**
   * As many as are free, up to `most`, once one is: who held some while it waited for more would
   * wait forever for another that does the same.
   */
  async take(most: number): Promise<number> {
    while (this.#free === 0) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    const taken = Math.min(this.#free, most);
    this.#free -= taken;
    return taken;
  }

  release(count = 1): void {
    this.#free += count;
    for (const wake of this.#waiting.splice(0)) wake();
  }
}

/** A number between two, so that several processes do not do the same thing at the same moment. */
export function jitter(from: number, to: number): number {
  return from + Math.random() * (to - from);
}

/** For durations: monotonic. */
export function seconds(): number {
  return performance.now() / 1000;
}
