/**
 * The envelope of every message: a CloudEvents 1.0 document in an EventBridge entry's Detail.
 *
 * One guarantee: a message's id is a function of what caused it, so handling a message again yields
 * the same ids, and whoever receives a copy can tell that it is one.
 */
import type { Messages } from "../../../libs/contracts/src/contracts/typescript/messages.ts";
import { check, contractOf, envelopeViolations, own, type MessageName } from "./contracts.ts";
import { MalformedMessage, MessageTooLarge } from "./errors.ts";
import { derivedId } from "./ids.ts";

// EventBridge refuses a PutEvents request of more than 256 KB; an entry counts its detail, source,
// detail-type and 14 bytes of time (Amazon EventBridge User Guide, "Calculating event entry size").
export const MAX_ENTRY_BYTES = 256 * 1024;
const ENTRY_OVERHEAD_BYTES = 14;
const TRACEPARENT = /^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/;

/** One message as received; `version` is its contract's major version. */
export interface Envelope {
  id: string;
  source: string;
  type: string;
  version: number;
  subject: string;
  time: Date;
  correlationId: string;
  causationId?: string | undefined;
  traceparent?: string | undefined;
  data: unknown;
}

/** What a message about to be sent hangs under. */
export interface Cause {
  /** The message that it follows from, which its id is derived from, too. */
  messageId: string;
  correlationId: string;
  traceparent?: string | undefined;
}

/** A message on its way out: the entry that the bus gets, and its id. */
export interface Outgoing {
  id: string;
  source: string;
  type: string;
  /** The CloudEvents JSON. */
  detail: string;
}

/**
 * Write a message that follows from `cause`; `payload` names the type of its data, and so the
 * version; `index` tells apart those of one type.
 *
 * Raises ContractViolation where its data break the contract, and MessageTooLarge beyond what the
 * bus takes.
 */
export function write<N extends MessageName>(
  payload: N,
  data: Messages[N],
  subject: string,
  cause: Cause,
  now: number,
  index = 0,
): Outgoing {
  const { name: type, version, dataschema } = contractOf(payload);
  check(type, version, data);
  const id = derivedId(cause.messageId, type, index);
  const detail = JSON.stringify({
    specversion: "1.0",
    id,
    source: own.source,
    type,
    subject,
    time: new Date(now).toISOString(),
    datacontenttype: "application/json",
    dataschema,
    correlationid: cause.correlationId,
    causationid: cause.messageId,
    // JSON leaves out what is undefined: absent, and never null.
    traceparent: cause.traceparent,
    data,
  });
  const size = Buffer.byteLength(detail) + own.source.length + type.length + ENTRY_OVERHEAD_BYTES;
  if (size > MAX_ENTRY_BYTES) throw new MessageTooLarge(type, size, MAX_ENTRY_BYTES);
  return { id, source: own.source, type, detail };
}

/**
 * Read what a queue holds: EventBridge wraps the CloudEvents document as `detail` of an event of
 * its own. Raises MalformedMessage that says what is missing.
 */
export function read(body: string): Envelope {
  const event = parsed(body);
  if (!isObject(event) || !("detail" in event)) {
    throw new MalformedMessage("no EventBridge event: it has no 'detail'");
  }
  const message = decode(event["detail"]);
  if (message.type !== event["detail-type"]) {
    throw new MalformedMessage(
      `detail-type ${JSON.stringify(event["detail-type"])} and type ${JSON.stringify(message.type)} differ`,
    );
  }
  return message;
}

/** The envelope in a parsed CloudEvents document; raises MalformedMessage. */
export function decode(document: unknown): Envelope {
  if (!isObject(document)) throw new MalformedMessage("the detail is no JSON object");
  // A broken trace context is no reason to lose a message: it begins a new trace (W3C Trace
  // Context, "traceparent header field values").
  const { traceparent, ...rest } = document;
  const reasons = envelopeViolations(rest);
  if (reasons.length > 0) throw new MalformedMessage(`the envelope is malformed: ${reasons.join("; ")}`);
  const text = rest as Record<string, string>;
  return {
    id: text["id"]!,
    source: text["source"]!,
    type: text["type"]!,
    version: versionOf(text["dataschema"]!),
    subject: text["subject"]!,
    time: instant(text["time"]!),
    correlationId: text["correlationid"]!,
    causationId: text["causationid"],
    traceparent: typeof traceparent === "string" && TRACEPARENT.test(traceparent) ? traceparent : undefined,
    data: rest["data"],
  };
}

/** RFC 3339 has leap seconds, which JavaScript's time has not: one is the second before it. */
function instant(text: string): Date {
  return new Date(text.replace(/(?<=^.{17})60/, "59"));
}

/** `urn:bookstore:order:OrderConfirmed:1` is version 1. */
function versionOf(dataschema: string): number {
  return Number(dataschema.slice(dataschema.lastIndexOf(":") + 1));
}

function parsed(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch (error) {
    throw new MalformedMessage(`not JSON: ${(error as Error).message}`);
  }
}

/** Whether it is a JSON object. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
