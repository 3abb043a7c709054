/**
 * Asks this container's own /health/ready; run as `node src/healthcheck.ts`.
 *
 * One guarantee: exit code 0 if it answers 2xx, else 1 and the answer on standard output, where
 * `docker inspect` shows it. Imports nothing heavy, since it runs every few seconds.
 */
import { get } from "node:http";

const TIMEOUT_MILLISECONDS = 4_000;

const request = get({
  host: "127.0.0.1",
  port: Number(process.env["HTTP_PORT"]),
  path: "/health/ready",
  timeout: TIMEOUT_MILLISECONDS,
});
request.on("timeout", () => request.destroy(new Error(`no answer within ${TIMEOUT_MILLISECONDS} ms`)));
request.on("error", (error) => fail(error.message));
request.on("response", async (response) => {
  const status = response.statusCode ?? 0;
  if (status >= 200 && status < 300) process.exit(0);
  response.setEncoding("utf8");
  fail(`${status} ${(await response.toArray()).join("")}`);
});

function fail(why: string): void {
  process.stdout.write(`${why}\n`);
  process.exit(1);
}
