/**
 * The web server of a process: routes over node:http.
 *
 * One guarantee: every request gets an answer, and a graceful end lets those under way get theirs.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

import { CannotStart, codeOf, isOutage, reasonOf } from "./errors.ts";
import { correlated, loggerOf } from "./logs.ts";
import { internalError, methodNotAllowed, notFound, Problem, unavailable } from "./problems.ts";
import { SpanKind, traced } from "./telemetry.ts";
import { Stopping, type Worker } from "./waiting.ts";

const log = loggerOf("http");

// Longer than what is usual in load balancers (60 s), which else send into a connection that ends.
const KEEP_ALIVE_MILLISECONDS = 75_000;
const LAST_ANSWERS_MILLISECONDS = 4_000;
const MAX_REQUEST_ID_CHARACTERS = 64;
const ALLOWED = "GET, HEAD";

/** What a request is answered with. */
export interface Answer {
  status: number;
  headers: Readonly<Record<string, string>>;
  body: string;
}

/** What a GET (and so a HEAD) of a path is answered with; the path may have `{parameters}`. */
export interface Route {
  path: string;
  /** Whether its requests stand in traces; health and metrics would only fill them. */
  traced: boolean;
  answer: (parameters: Readonly<Record<string, string>>) => Promise<Answer>;
}

/** A document, without what has no value. */
export function json(document: unknown): Answer {
  return { status: 200, headers: { "Content-Type": "application/json" }, body: JSON.stringify(document) };
}

/** Serves routes until it is stopped. */
export class WebServer implements Worker {
  readonly name = "web server";
  readonly #routes: readonly { route: Route; pattern: RegExp }[];
  readonly #server: Server;
  readonly #stopping = new Stopping();

  constructor(routes: readonly Route[]) {
    this.#routes = routes.map((route) => ({ route, pattern: patternOf(route.path) }));
    this.#server = createServer({ keepAliveTimeout: KEEP_ALIVE_MILLISECONDS }, (request, response) => {
      void this.#respond(request, response);
    });
  }

  /** Take the port; raises CannotStart where it cannot be had. Answers with the port. */
  async listen(host: string, port: number): Promise<number> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once("error", (error) => {
        reject(new CannotStart(`HTTP_PORT: cannot listen on ${host}:${port}: ${codeOf(error)}`));
      });
      this.#server.listen(port, host, resolve);
    });
    return (this.#server.address() as AddressInfo).port;
  }

  /** Serve until `stop`, then let the requests under way end. */
  async run(): Promise<void> {
    await this.#stopping.wait();
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeIdleConnections();
    const cut = setTimeout(() => this.#server.closeAllConnections(), LAST_ANSWERS_MILLISECONDS);
    await closed;
    clearTimeout(cut);
  }

  stop(): void {
    this.#stopping.request();
  }

  async #respond(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const requestId = String(request.headers["x-request-id"] ?? "").slice(0, MAX_REQUEST_ID_CHARACTERS);
    const answering = () => this.#answer(request);
    const answer = await (requestId ? correlated(requestId, undefined, answering) : answering());
    const closing = this.#stopping.requested ? { Connection: "close" } : {};
    response.writeHead(answer.status, {
      "Content-Length": Buffer.byteLength(answer.body),
      ...answer.headers,
      ...closing,
    });
    response.end(answer.body);
  }

  async #answer(request: IncomingMessage): Promise<Answer> {
    try {
      return await this.#routed(request);
    } catch (error) {
      if (error instanceof Problem) return error.answer();
      const what = `${request.method} ${request.url}`;
      if (isOutage(error)) {
        log.warning(`${what}: a dependency is down: ${reasonOf(error)}`);
        return unavailable().answer();
      }
      log.error(`${what} failed`, error);
      return internalError().answer();
    }
  }

  async #routed(request: IncomingMessage): Promise<Answer> {
    const path = (request.url ?? "/").split("?", 1)[0]!;
    for (const { route, pattern } of this.#routes) {
      const found = pattern.exec(path);
      if (found === null) continue;
      if (request.method !== "GET" && request.method !== "HEAD") throw methodNotAllowed(ALLOWED);
      const parameters = found.groups ?? {};
      if (!route.traced) return route.answer(parameters);
      const parent = request.headers["traceparent"];
      const options = {
        kind: SpanKind.SERVER,
        parent: typeof parent === "string" ? parent : undefined,
        attributes: { "http.request.method": request.method, "http.route": route.path, "url.path": path },
      };
      return traced(`${request.method} ${route.path}`, options, () => route.answer(parameters));
    }
    throw notFound();
  }
}

/** `/shipments/{order_id}` matches any text without a slash there. */
function patternOf(path: string): RegExp {
  const source = path.replaceAll(".", "\\.").replace(/\{(\w+)\}/g, "(?<$1>[^/]+)");
  return new RegExp(`^${source}$`);
}
