/**
 * Ids that are derived rather than drawn.
 *
 * One guarantee: the same cause leads to the same id in every language that the services are
 * written in (`derived_id` in libs/messaging), so a copy can be told from something new.
 */
import { createHash } from "node:crypto";

const NAMESPACE = Buffer.from("6f1c9d526a0b5b7e9a535d1d3c1b7f10", "hex");

/** A UUID (RFC 9562, version 5) of a cause and what follows from it. */
export function derivedId(cause: string, ...parts: readonly (string | number)[]): string {
  const name = [cause, ...parts].join("/");
  const bytes = createHash("sha1").update(NAMESPACE).update(name).digest().subarray(0, 16);
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x50, 6);
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
  return bytes.toString("hex").replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
