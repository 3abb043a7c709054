// Whether AsyncAPI and OpenAPI documents are valid, by the parsers that their communities keep.
//
// Usage: node lint.mjs FILE...; the name says which of the two a file is. Each fault is one line of
// JSON on standard output: {file, line, pointer?, rule, level, message}; where there is a pointer, it
// is surer than the line. One guarantee: exit code 0 means that every file was read and every fault
// is printed.
import { Parser } from "@asyncapi/parser";
import { createConfig, getLineColLocation, lint } from "@redocly/openapi-core";
import { readFile } from "node:fs/promises";
import { basename } from "node:path";

// Redocly's recommended rules, and what we stand on beyond them.
const OPENAPI_RULES = {
  "operation-operationId": "error",
  "operation-singular-tag": "error",
  "operation-tag-defined": "error",
  "parameter-description": "error",
  "tag-description": "error",
  "no-ambiguous-paths": "error",
  "no-unused-components": "error",
  "spec-strict-refs": "off", // A fragment of a shared schema is one way to say a thing once.
  "no-server-example.com": "off",
  // Whoever reads a liveness probe's answer needs no 4xx; our own rule says who does.
  "operation-4xx-response": "off",
  // Both stop at the first fault of an example and check no formats: the gate `examples` does it.
  "no-invalid-media-type-examples": "off",
  "no-invalid-schema-examples": "off",
  "no-invalid-parameter-examples": "off",
  // Who may call what is decided in front of these services.
  "security-defined": "off",
};
// What Spectral says to every document whatever its authors decided.
const ASYNCAPI_UNASKED = new Set([
  "asyncapi-latest-version",
  "asyncapi3-tags",
  "asyncapi-info-contact",
  "asyncapi-info-contact-properties",
]);
// The meta-schema's branches report a fault of their own for each fault within them.
const ECHO = /must match "(then|else)" schema$/;
const LEVELS = ["error", "warning", "warning", "warning"];

async function asyncapiFaults(file, parser) {
  const diagnostics = await parser.validate(await readFile(file, "utf8"), { source: file });
  return diagnostics
    .filter(({ code, message }) => !ASYNCAPI_UNASKED.has(code) && !ECHO.test(message))
    .map(({ code, message, path, range, severity, source }) => ({
      file: source ?? file,
      line: range.start.line + 1,
      pointer: path,
      rule: String(code),
      level: LEVELS[severity],
      message: path.length ? `${path.join("/")}: ${message}` : message,
    }));
}

async function openapiFaults(file, config) {
  const problems = await lint({ ref: file, config });
  return problems
    .filter(({ ignored }) => !ignored)
    .map(({ location, message, ruleId, severity, suggest }) => ({
      file: location[0].source.absoluteRef,
      line: getLineColLocation(location[0]).start.line,
      rule: ruleId,
      level: severity === "error" ? "error" : "warning",
      message: suggest.length ? `${message} (did you mean ${suggest.join(", ")}?)` : message,
    }));
}

const parser = new Parser();
const config = await createConfig({ extends: ["recommended"], rules: OPENAPI_RULES, telemetry: "off" });
for (const file of process.argv.slice(2)) {
  const faults = basename(file).startsWith("asyncapi")
    ? await asyncapiFaults(file, parser)
    : await openapiFaults(file, config);
  for (const fault of faults) process.stdout.write(JSON.stringify(fault) + "\n");
}
