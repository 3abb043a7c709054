/**
 * The entry point: `node src/main.ts web|worker|all`.
 *
 *     web     HTTP API
 *     worker  consumer, sweeper and relay
 *     all     both in one process
 *
 * One guarantee: what a person has to mend is said in one line, with exit code 2.
 */
import { compose, type Role, ROLES } from "./app.ts";
import { SERVICE } from "./contracts.ts";
import { CannotStart } from "./errors.ts";
import { runUntil, untilSignal } from "./lifetime.ts";
import { configureLogging, loggerOf } from "./logs.ts";
import { countProcess } from "./metrics.ts";
import { readSettings, type Settings, WrongSettings } from "./settings.ts";
import { configureTracing } from "./telemetry.ts";

const log = loggerOf("main");

async function main(): Promise<number> {
  const [role, ...rest] = process.argv.slice(2);
  if (!isRole(role) || rest.length > 0) {
    return complain([`usage: node src/main.ts ${ROLES.join("|")}`]);
  }
  let settings: Settings;
  try {
    settings = readSettings(process.env);
  } catch (error) {
    if (error instanceof WrongSettings) return complain(error.lines);
    throw error;
  }
  const name = `${SERVICE}-${role}`;
  configureLogging(name, settings.LOG_LEVEL, settings.LOG_FORMAT === "json");
  const asked = untilSignal();
  try {
    const flush = await configureTracing(name, settings.OTEL_EXPORTER_OTLP_ENDPOINT, settings.TRACE_FILE);
    countProcess();
    const app = compose(settings, role);
    const port = await app.server.listen(settings.HTTP_HOST, settings.HTTP_PORT);
    log.info(`${name} listens on ${settings.HTTP_HOST}:${port}`);
    const code = await runUntil(asked, app);
    app.close();
    await flush();
    return code;
  } catch (error) {
    if (error instanceof CannotStart) return complain([error.message]);
    throw error;
  }
}

function isRole(text: string | undefined): text is Role {
  return ROLES.some((each) => each === text);
}

function complain(lines: readonly string[]): number {
  for (const line of lines) process.stderr.write(`${SERVICE}: ${line}\n`);
  return 2;
}

const code = await main().catch((error: unknown) => {
  log.critical("the process cannot go on", error);
  return 1;
});
// What did not finish in time (it was logged) must not keep the process.
process.exit(code);
