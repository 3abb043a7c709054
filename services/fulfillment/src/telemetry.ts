/**
 * OpenTelemetry traces that follow an order through this service.
 *
 * One guarantee: with an exporter configured, every span hangs under the one that caused it, across
 * processes, because each message carries its traceparent. Without one nothing is recorded, and a
 * message passes the traceparent on that its cause came with.
 */
import { closeSync, mkdirSync, openSync, writeSync } from "node:fs";
import { dirname } from "node:path";

import {
  context,
  propagation,
  type Attributes,
  type HrTime,
  type SpanContext,
  SpanKind,
  SpanStatusCode,
  trace,
} from "@opentelemetry/api";
import type { ReadableSpan, SpanExporter } from "@opentelemetry/sdk-trace";

import { CannotStart, codeOf } from "./errors.ts";

export { SpanKind } from "@opentelemetry/api";

/** How a span comes about. */
export interface SpanOptions {
  kind?: SpanKind;
  /** The W3C traceparent that it hangs under; without one, it hangs under the caller's span. */
  parent?: string | undefined;
  attributes?: Attributes;
}

/** Record spans if an OTLP endpoint or a file is given; answers with what flushes them at the end. */
export async function configureTracing(
  service: string,
  otlpEndpoint: string | undefined,
  traceFile: string | undefined,
): Promise<() => Promise<void>> {
  if (otlpEndpoint === undefined && traceFile === undefined) return async () => undefined;
  // The SDK costs memory and time, so it is loaded only where spans are recorded.
  const [sdk, resources, hooks, core] = await Promise.all([
    import("@opentelemetry/sdk-trace"),
    import("@opentelemetry/resources"),
    import("@opentelemetry/context-async-hooks"),
    import("@opentelemetry/core"),
  ]);
  const spanProcessors = [];
  if (traceFile !== undefined) {
    spanProcessors.push(new sdk.SimpleSpanProcessor({ exporter: new FileExporter(traceFile) }));
  }
  if (otlpEndpoint !== undefined) {
    const { OTLPTraceExporter } = await import("@opentelemetry/exporter-trace-otlp-http");
    const exporter = new OTLPTraceExporter({ url: `${otlpEndpoint.replace(/\/+$/, "")}/v1/traces` });
    spanProcessors.push(new sdk.BatchSpanProcessor({ exporter }));
  }
  const named = resources.resourceFromAttributes({ "service.name": service });
  const provider = new sdk.TracerProvider({
    resource: resources.defaultResource().merge(named),
    spanProcessors,
  });
  context.setGlobalContextManager(new hooks.AsyncLocalStorageContextManager().enable());
  propagation.setGlobalPropagator(new core.W3CTraceContextPropagator());
  trace.setGlobalTracerProvider(provider);
  return () => provider.shutdown();
}

/** Run `body` in a span of this name, which ends with it and records how it failed. */
export async function traced<T>(name: string, options: SpanOptions, body: () => Promise<T>): Promise<T> {
  const { kind = SpanKind.INTERNAL, parent, attributes = {} } = options;
  const outer =
    parent === undefined
      ? context.active()
      : propagation.extract(trace.deleteSpan(context.active()), { traceparent: parent });
  const tracer = trace.getTracer("fulfillment");
  return tracer.startActiveSpan(name, { kind, attributes }, outer, async (span) => {
    try {
      return await body();
    } catch (error) {
      span.recordException(error as Error);
      span.setStatus({ code: SpanStatusCode.ERROR, message: String(error) });
      throw error;
    } finally {
      span.end();
    }
  });
}

/** The traceparent of the current span; undefined where nothing is recorded. */
export function currentTraceparent(): string | undefined {
  const carrier: Record<string, string> = {};
  propagation.inject(context.active(), carrier);
  return carrier["traceparent"];
}

/**
 * Appends each finished span as one JSON line, in one write, so that several processes may share
 * the file; its shape is that of OpenTelemetry's Python SDK, which the other services write.
 */
export class FileExporter implements SpanExporter {
  readonly #file: number;

  /** Raises CannotStart where the file cannot be written. */
  constructor(path: string) {
    try {
      mkdirSync(dirname(path), { recursive: true });
      this.#file = openSync(path, "a");
    } catch (error) {
      throw new CannotStart(`TRACE_FILE: cannot write ${path}: ${codeOf(error)}`);
    }
  }

  export(spans: ReadableSpan[], done: Parameters<SpanExporter["export"]>[1]): void {
    for (const span of spans) writeSync(this.#file, `${JSON.stringify(document(span))}\n`);
    done({ code: 0 });
  }

  async shutdown(): Promise<void> {
    closeSync(this.#file);
  }
}

function document(span: ReadableSpan) {
  return {
    name: span.name,
    context: ids(span.spanContext()),
    kind: `SpanKind.${SpanKind[span.kind]}`,
    parent_id: span.parentSpanContext ? `0x${span.parentSpanContext.spanId}` : null,
    start_time: time(span.startTime),
    end_time: time(span.endTime),
    status: { status_code: SpanStatusCode[span.status.code], description: span.status.message },
    attributes: span.attributes,
    events: span.events.map((event) => ({
      name: event.name,
      timestamp: time(event.time),
      attributes: event.attributes ?? {},
    })),
    links: [],
    resource: { attributes: span.resource.attributes, schema_url: "" },
  };
}

function ids(span: SpanContext) {
  return { trace_id: `0x${span.traceId}`, span_id: `0x${span.spanId}`, trace_state: "[]" };
}

function time([seconds, nanoseconds]: HrTime): string {
  const micros = String(Math.floor(nanoseconds / 1000)).padStart(6, "0");
  return new Date(seconds * 1000).toISOString().replace(/\.\d+Z$/, `.${micros}Z`);
}
