/**
 * What can go wrong, and what becomes of it then.
 *
 * One guarantee: every error says which answer it asks for: a dead letter now, or another try; and
 * of those to try again, whether the message or a dependency is to blame.
 */

/**
 * This message can never succeed: it goes to the dead-letter queue with this reason.
 *
 * `code` is stable and short, for alarms and for the redrive; the text says what to do.
 */
export class DeadLetter extends Error {
  readonly code: string = "refused";
}

/** Not an envelope at all. */
export class MalformedMessage extends DeadLetter {
  override readonly code = "malformed";
}

/** The payload breaks its contract; the text lists the JSON pointers. */
export class ContractViolation extends DeadLetter {
  override readonly code = "contract_violation";
}

/** No contract of that name and version, or none that this service receives. */
export class UnknownMessage extends DeadLetter {
  override readonly code = "unknown_message";
}

/** Refused where it is written, since the bus would refuse it later, out of sight. */
export class MessageTooLarge extends Error {
  constructor(type: string, sizeBytes: number, limitBytes: number) {
    super(
      `${type} takes ${sizeBytes} bytes on the bus, and the bus takes ${limitBytes}: ` +
        "send a reference to the large part instead",
    );
  }
}

/** Nothing is wrong, it is only too early: try again after `seconds`, and count no failure. */
export class RetryLater extends Error {
  readonly seconds: number;

  constructor(reason: string, seconds: number) {
    super(reason);
    this.seconds = seconds;
  }
}

/** Something that a person has to mend before the process can start; the text says what. */
export class CannotStart extends Error {}

/** Whether the error speaks of a dependency rather than of the message. */
export function isOutage(error: unknown): boolean {
  if ((statusOf(error) ?? 0) >= 500) return true;
  return OUTAGE_CODES.has(codeOf(error));
}

/** Whether AWS refuses what it was given, rather than being down, too busy or closed to us. */
export function isRefusal(error: unknown): boolean {
  const status = statusOf(error) ?? 0;
  return status >= 400 && status < 500 && !isOutage(error);
}

/** Node's code of an error (`ECONNREFUSED`), or its name, which is AWS's code of one. */
export function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return "";
  return (error as NodeJS.ErrnoException).code ?? error.name;
}

/** The error's text, or at least its code: Node's network errors may come without one. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.message ? `${codeOf(error)}: ${error.message}` : codeOf(error);
}

function statusOf(error: unknown): number | undefined {
  return (error as { $metadata?: { httpStatusCode?: number } } | undefined)?.$metadata?.httpStatusCode;
}

const OUTAGE_CODES: ReadonlySet<string> = new Set([
  // What AWS refuses with a status of 400 whatever was asked: too many requests, and credentials
  // that have run out or are not good (yet), as with a clock that is wrong (DynamoDB Developer
  // Guide, "Error messages and codes"; SQS API Reference, "Common Errors"); and a table that is not
  // there (yet), as after an emulator's restart.
  "ProvisionedThroughputExceededException",
  "RequestLimitExceeded",
  "RequestThrottled",
  "RequestExpired",
  "ResourceNotFoundException",
  "ThrottlingException",
  "AccessDeniedException",
  "ExpiredTokenException",
  "IncompleteSignature",
  "IncompleteSignatureException",
  "InvalidClientTokenId",
  "InvalidSignatureException",
  "MissingAuthenticationToken",
  "MissingAuthenticationTokenException",
  "SignatureDoesNotMatch",
  "UnrecognizedClientException",
  // The SDK's own: no credentials found, no answer in time.
  "CredentialsProviderError",
  "TimeoutError",
  // The network's, as Node names them.
  "ECONNREFUSED",
  "ECONNRESET",
  "ECONNABORTED",
  "EHOSTUNREACH",
  "EAI_AGAIN",
  "ENETUNREACH",
  "ENOTFOUND",
  "EPIPE",
  "ETIMEDOUT",
]);
