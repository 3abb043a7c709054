/**
 * The service's settings, read from the environment once, in `main`.
 *
 * One guarantee: a wrong variable ends the process with one line that names it.
 */
import { Ajv, type JSONSchemaType } from "ajv";

/** Times in seconds. Names are the variables'; what several services know is called the same. */
export interface Settings {
  /** An emulator's address; absent on AWS. */
  AWS_ENDPOINT_URL?: string | undefined;
  AWS_REGION: string;
  HTTP_HOST: string;
  /** 0 takes any free port. */
  HTTP_PORT: number;
  /** How soon a killed worker's messages come back. */
  VISIBILITY_SECONDS: number;
  MAX_MESSAGES_IN_FLIGHT: number;
  /** How long a parcel takes to leave the house, and from there to the customer. */
  PACKING_SECONDS: number;
  TRANSIT_SECONDS: number;
  /** How often a worker looks for shipments that are due. */
  SWEEP_SECONDS: number;
  LOG_LEVEL: "DEBUG" | "INFO" | "WARNING" | "ERROR" | "CRITICAL";
  LOG_FORMAT: "json" | "console";
  OTEL_EXPORTER_OTLP_ENDPOINT?: string | undefined;
  /** Append finished spans to this file, one JSON object a line. */
  TRACE_FILE?: string | undefined;
}

/** What is wrong with the environment, one line a variable. */
export class WrongSettings extends Error {
  readonly lines: readonly string[];

  constructor(lines: readonly string[]) {
    super(lines.join("\n"));
    this.lines = lines;
  }
}

/** Read and check the environment; raises WrongSettings. */
export function readSettings(environment: NodeJS.ProcessEnv): Readonly<Settings> {
  const names = Object.keys(SCHEMA.properties ?? {});
  const given = names.filter((name) => environment[name]).map((name) => [name, environment[name]]);
  const settings = Object.fromEntries(given) as Record<string, unknown>;
  if (typeof settings["LOG_LEVEL"] === "string") settings["LOG_LEVEL"] = settings["LOG_LEVEL"].toUpperCase();
  if (validate(settings)) return Object.freeze(settings);
  throw new WrongSettings(
    (validate.errors ?? []).map((error) => {
      const choices = error.keyword === "enum" ? `: ${error.params["allowedValues"]}` : "";
      return `${error.instancePath.slice(1)}: it ${error.message}${choices}`;
    }),
  );
}

const YEAR = 366 * 24 * 3600;
const HTTP_URL = { type: "string", format: "http-url", nullable: true };
const SCHEMA = {
  type: "object",
  required: [],
  properties: {
    AWS_ENDPOINT_URL: HTTP_URL,
    // It becomes a part of host names.
    AWS_REGION: { type: "string", pattern: "^[a-z0-9-]+$", default: "us-east-1" },
    HTTP_HOST: { type: "string", default: "127.0.0.1" },
    HTTP_PORT: { type: "integer", minimum: 0, maximum: 65535, default: 8000 },
    VISIBILITY_SECONDS: { type: "integer", minimum: 2, maximum: 43200, default: 30 },
    MAX_MESSAGES_IN_FLIGHT: { type: "integer", minimum: 10, maximum: 10_000, default: 200 },
    PACKING_SECONDS: { type: "number", minimum: 0, maximum: YEAR, default: 2 * 3600 },
    TRANSIT_SECONDS: { type: "number", minimum: 0, maximum: YEAR, default: 48 * 3600 },
    SWEEP_SECONDS: { type: "number", minimum: 0.05, maximum: 3600, default: 1 },
    LOG_LEVEL: { type: "string", enum: ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], default: "INFO" },
    LOG_FORMAT: { type: "string", enum: ["json", "console"], default: "json" },
    OTEL_EXPORTER_OTLP_ENDPOINT: HTTP_URL,
    TRACE_FILE: { type: "string", nullable: true },
  },
} as unknown as JSONSchemaType<Settings>;
// A port above 65535, say, looks right, and every call would fail on it.
const formats = { "http-url": (text: string) => /^https?:\/\/[^\s/]/.test(text) && URL.canParse(text) };
const validate = new Ajv({ coerceTypes: true, useDefaults: true, allErrors: true, strict: false, formats }).compile(
  SCHEMA,
);
