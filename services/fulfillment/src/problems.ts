/**
 * Problem details (RFC 9457) for everything that the HTTP API refuses.
 *
 * One guarantee: every error response is `application/problem+json` with a stable `code`; none shows
 * a stack trace or a secret.
 */
import type { Answer } from "./http.ts";

/** What of a request breaks its contract, by JSON pointer. */
export interface FieldError {
  pointer: string;
  message: string;
}

/** An error with a status, a code and a text that says what to do. */
export class Problem extends Error {
  readonly status: number;
  readonly code: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly errors: readonly FieldError[] | undefined;

  constructor(
    status: number,
    code: string,
    detail: string,
    extra: { headers?: Record<string, string>; errors?: readonly FieldError[] } = {},
  ) {
    super(detail);
    this.status = status;
    this.code = code;
    this.headers = extra.headers ?? {};
    this.errors = extra.errors;
  }

  /** The problem as an HTTP answer. */
  answer(): Answer {
    const title = this.code.replaceAll("_", " ");
    const document = {
      type: `urn:bookstore:problem:${this.code}`,
      title: title[0]!.toUpperCase() + title.slice(1),
      status: this.status,
      detail: this.message,
      code: this.code,
      errors: this.errors,
    };
    return {
      status: this.status,
      headers: { ...this.headers, "Content-Type": "application/problem+json" },
      body: JSON.stringify(document),
    };
  }
}

export const notFound = () => new Problem(404, "not_found", "Not Found.");

export const methodNotAllowed = (allowed: string) =>
  new Problem(405, "method_not_allowed", "Method Not Allowed.", { headers: { Allow: allowed } });

export const invalid = (errors: readonly FieldError[]) =>
  new Problem(422, "invalid_request", "The request breaks its contract; `errors` says where.", { errors });

export const unavailable = () =>
  new Problem(503, "unavailable", "The service cannot reach what it needs; send the same request again soon.", {
    headers: { "Retry-After": "2", Connection: "close" },
  });

export const internalError = () =>
  new Problem(500, "internal_error", "Something failed here; it is logged. The same request may be sent again.", {
    headers: { Connection: "close" },
  });
