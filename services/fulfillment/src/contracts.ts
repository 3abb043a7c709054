/**
 * What the contracts say, as data that was derived from them: schemas, topology, OpenAPI.
 *
 * One guarantee: nothing here is written twice. Names of queues and tables, versions and rules of
 * messages are read from `libs/contracts`, which lies beside this service in the repository as in
 * its image.
 */
import { readFileSync } from "node:fs";

import type { ErrorObject } from "ajv";
import { Ajv2020 } from "ajv/dist/2020.js";
import addFormats from "ajv-formats";

import { DATASCHEMAS, type Messages } from "../../../libs/contracts/src/contracts/typescript/messages.ts";
import { ContractViolation, UnknownMessage } from "./errors.ts";

export const SERVICE = "fulfillment";

export type MessageName = keyof Messages;

/** The part of the topology that a service needs to know of itself. */
export interface Topology {
  bus: string;
  tables: { name: string }[];
  services: Record<string, { source: string; queue: { name: string }; dead_letters: { name: string } }>;
}

interface Contract {
  name: string;
  version: number;
  dataschema: string;
}

const DATA = new URL("../../../libs/contracts/src/contracts/_data/", import.meta.url);
const ENVELOPE = "urn:bookstore:common:envelope:1";
// More reasons than this do not help the person who reads a dead letter.
const MAX_REASONS = 5;

export const topology = read<Topology>("topology.json");
const schemas = read<Record<string, object>>("schemas.json");
const contracts = read<Contract[]>("messages.json");
// Without strictTypes and the like, which are style: the contracts have gates of their own.
const ajv = new Ajv2020({ allErrors: true, strict: false });
// The module is CommonJS, whose default export is the function itself.
(addFormats as unknown as typeof addFormats.default)(ajv);

/** The service's own names in the topology. */
export const own = (() => {
  const mine = topology.services[SERVICE];
  if (mine === undefined) throw new Error(`the topology has no service ${SERVICE}: run make generate`);
  return mine;
})();

/** The name of the DynamoDB table for a purpose: 'ledger' or 'shipments'. */
export function tableFor(purpose: string): string {
  const table = topology.tables.find((each) => each.name.endsWith(`-${purpose}`));
  if (table === undefined) throw new Error(`the topology has no table for ${purpose}: run make generate`);
  return table.name;
}

/** The service's OpenAPI document, word for word. */
export function openapi(): unknown {
  return read<Record<string, unknown>>("openapi.json")[SERVICE];
}

/**
 * The contract that a type of the payload stands for: `BookListedV2` is version 2 of BookListed.
 *
 * Not the newest version: one that is only received so far is nothing that may be sent.
 */
export function contractOf(type: MessageName): Contract {
  const contract = contracts.find((each) => each.dataschema === DATASCHEMAS[type]);
  if (contract === undefined) throw new Error(`${type} is not in the contracts: run make generate`);
  return contract;
}

/** What an envelope breaks of its schema, as 'JSON pointer: why'; empty where it is fine. */
export function envelopeViolations(document: unknown): string[] {
  return violations(ENVELOPE, document);
}

/**
 * Check a payload against its message's raw schema, formats included.
 *
 * Raises UnknownMessage where the contracts have no such name and version, and ContractViolation.
 */
export function check(name: string, version: number, data: unknown): void {
  const contract = contracts.find((each) => each.name === name && each.version === version);
  if (contract === undefined) {
    const known = [...new Set(contracts.map((each) => each.name))].sort().join(", ");
    throw new UnknownMessage(`${name} version ${version} is not in the contracts; known are ${known}`);
  }
  const reasons = violations(contract.dataschema, data);
  if (reasons.length > 0) {
    throw new ContractViolation(`${name} version ${version} breaks its contract: ${reasons.join("; ")}`);
  }
}

function violations(id: string, data: unknown): string[] {
  const schema = schemas[id];
  if (schema === undefined) throw new Error(`the contracts have no schema ${id}: run make generate`);
  // Compiled on first use, and kept by its $id.
  const validate = ajv.getSchema(id) ?? ajv.compile(schema);
  if (validate(data)) return [];
  return (validate.errors ?? []).slice(0, MAX_REASONS).map(reason);
}

/** Without the value that was refused, which may be what must not be logged. */
function reason(error: ErrorObject): string {
  return `${error.instancePath}: ${error.message ?? error.keyword}`;
}

function read<T>(file: string): T {
  return JSON.parse(readFileSync(new URL(file, DATA), "utf8")) as T;
}
