/**
 * What is counted, for Prometheus, under the names that the other services count by.
 *
 * One guarantee: label values come from the contracts only, so the number of series is bounded.
 */
import { collectDefaultMetrics, Counter, Gauge, Histogram, register } from "prom-client";

export const published = new Counter({
  name: "messages_published_total",
  help: "Messages that the bus took",
  labelNames: ["type"],
});
export const handled = new Counter({
  name: "messages_handled_total",
  help: "Messages by what became of them",
  labelNames: ["type", "outcome"],
});
export const handlingSeconds = new Histogram({
  name: "message_handling_seconds",
  help: "From receiving a message to its commit",
  labelNames: ["type"],
  buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
});
export const ageSeconds = new Histogram({
  name: "message_age_seconds",
  help: "From a message's time to its receipt",
  labelNames: ["type"],
  buckets: [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600],
});
export const inFlight = new Gauge({
  name: "messages_in_flight",
  help: "Messages received and not yet settled",
});
export const batchSize = new Histogram({
  name: "transaction_batch_messages",
  help: "Messages and steps a transaction",
  buckets: [1, 2, 5, 10, 20],
});
export const steps = new Counter({
  name: "shipment_steps_total",
  help: "Steps of shipments that time moved on",
  labelNames: ["status"],
});
export const awsCalls = new Counter({
  name: "aws_calls_total",
  help: "Requests to AWS",
  labelNames: ["operation"],
});

/** Count the process's memory, CPU time and event loop as well; call once. */
export function countProcess(): void {
  collectDefaultMetrics();
}

/** The text that Prometheus reads, and its media type. */
export async function exposition(): Promise<{ text: string; mediaType: string }> {
  return { text: await register.metrics(), mediaType: register.contentType };
}
