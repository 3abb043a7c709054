/**
 * Logs, one JSON object a line, that carry correlation, message and trace ids.
 *
 * One guarantee: a line that is written while a message or a request is handled names its
 * conversation, so that one order's lines can be found across all services.
 */
import { AsyncLocalStorage } from "node:async_hooks";

import { isSpanContextValid, trace } from "@opentelemetry/api";

const LEVELS = ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] as const;

export type Level = (typeof LEVELS)[number];

interface Conversation {
  correlation_id: string;
  message_id?: string | undefined;
}

const conversation = new AsyncLocalStorage<Conversation>();
const output = { service: "fulfillment", threshold: 1, json: true };

/** Say how this process logs; call once, before anything is logged. */
export function configureLogging(service: string, level: Level, json: boolean): void {
  Object.assign(output, { service, threshold: LEVELS.indexOf(level), json });
  // Who read our lines is gone, which is no reason to stop the work.
  process.stdout.on("error", () => undefined);
}

/** Everything logged inside belongs to this conversation (and message). */
export function correlated<T>(correlationId: string, messageId: string | undefined, body: () => T): T {
  return conversation.run({ correlation_id: correlationId, message_id: messageId }, body);
}

/** A logger of one module, by its name. */
export function loggerOf(name: string) {
  const at = (level: Level) => (message: string, error?: unknown) => emit(level, name, message, error);
  return {
    info: at("INFO"),
    warning: at("WARNING"),
    error: at("ERROR"),
    critical: at("CRITICAL"),
  };
}

function emit(level: Level, logger: string, message: string, error: unknown): void {
  if (LEVELS.indexOf(level) < output.threshold) return;
  const line = output.json ? jsonLine(level, logger, message, error) : consoleLine(level, message, error);
  process.stdout.write(`${line}\n`);
}

function jsonLine(level: Level, logger: string, message: string, error: unknown): string {
  return JSON.stringify({
    time: new Date().toISOString(),
    level: level.toLowerCase(),
    service: output.service,
    logger,
    message,
    ...ids(),
    exception: exceptionText(error),
  });
}

/** For people: time, level, message, and the conversation's last eight characters. */
function consoleLine(level: Level, message: string, error: unknown): string {
  const now = new Date();
  const time = `${now.toTimeString().slice(0, 8)}.${String(now.getMilliseconds()).padStart(3, "0")}`;
  // Its end: ids begin with the time, so those of one minute begin alike.
  const where = conversation.getStore()?.correlation_id.slice(-8);
  const exception = exceptionText(error);
  return `${time} ${level[0]}${where ? ` [${where}]` : ""} ${message}${exception ? `\n${exception}` : ""}`;
}

function ids(): Record<string, string | undefined> {
  const span = trace.getActiveSpan()?.spanContext();
  return {
    ...conversation.getStore(),
    ...(span && isSpanContextValid(span) ? { trace_id: span.traceId, span_id: span.spanId } : {}),
  };
}

function exceptionText(error: unknown): string | undefined {
  if (error === undefined) return undefined;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
