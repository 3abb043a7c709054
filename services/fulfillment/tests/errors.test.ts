/** Who is to blame for an error: the message, or what it needs. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { isOutage, isRefusal } from "../src/errors.ts";

function answered(name: string, httpStatusCode: number): Error {
  return Object.assign(new Error("said by AWS"), { name, $metadata: { httpStatusCode } });
}

test("credentials and clocks that are not right are no message's fault", () => {
  const codes = [
    "AccessDeniedException",
    "ExpiredTokenException",
    "IncompleteSignatureException",
    "InvalidSignatureException",
    "MissingAuthenticationTokenException",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
  ];
  for (const code of codes) {
    assert.ok(isOutage(answered(code, 403)), code);
    assert.ok(!isRefusal(answered(code, 403)), code);
  }
});

test("what AWS finds wrong with a request is a refusal", () => {
  const error = answered("ValidationException", 400);
  assert.ok(isRefusal(error));
  assert.ok(!isOutage(error));
});
