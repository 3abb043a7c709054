// TypeScript types from one JSON Schema on standard input; each of its `$defs` becomes a type.
//
// One guarantee: the same schema gives the same text.
import { compile } from "json-schema-to-typescript";
import { text } from "node:stream/consumers";

/** A `$ref` with a description beside it is that type, described: else each use became a type. */
function described(node) {
  if (Array.isArray(node)) return node.map(described);
  if (node === null || typeof node !== "object") return node;
  const { $ref, ...rest } = Object.fromEntries(Object.entries(node).map(([k, v]) => [k, described(v)]));
  if ($ref === undefined) return rest;
  return Object.keys(rest).length ? { ...rest, allOf: [{ $ref }] } : { $ref };
}

const { header, schema } = JSON.parse(await text(process.stdin));
const types = await compile(described(schema), "Contracts", {
  additionalProperties: false, // Readers ignore fields that they do not know; types need not name them.
  bannerComment: header,
  format: true,
  ignoreMinAndMaxItems: true, // Else fifty lines become fifty tuple types.
  style: { printWidth: 100 },
  unreachableDefinitions: true,
});
process.stdout.write(
  types
    .replace("export interface Contracts {}\n", "")
    .replaceAll(/ \*\n \* This interface was referenced by .*\n \* via the `definition` .*\n/g, "")
    .replaceAll(/\/\*\*\n +\* ([^\n]*)\n +\*\//g, "/** $1 */"),
);
