/**
 * The composition root: everything the fulfillment service consists of, wired.
 *
 * One guarantee: importing it reads no environment and connects to nothing.
 */
import { operatorRoutes, publicRoutes } from "./api.ts";
import { closeClients, openClients } from "./aws.ts";
import { Commits } from "./commits.ts";
import { tableFor } from "./contracts.ts";
import { Consumer } from "./consumer.ts";
import { dispatcher } from "./handlers.ts";
import { WebServer } from "./http.ts";
import { Outbox } from "./outbox.ts";
import { Relay } from "./relay.ts";
import type { Settings } from "./settings.ts";
import { Shipments } from "./store.ts";
import { Sweeper } from "./sweeper.ts";
import type { Worker } from "./waiting.ts";

/** As what a process may run. */
export const ROLES = ["web", "worker", "all"] as const;

export type Role = (typeof ROLES)[number];

/** The parts of one process. */
export interface App {
  server: WebServer;
  /** What takes work in. */
  workers: readonly Worker[];
  /** What sends its results out, and is stopped last. */
  senders: readonly Worker[];
  close: () => void;
}

/** Wire the parts of a process in its role. */
export function compose(settings: Settings, role: Role): App {
  const clients = openClients(settings.AWS_REGION, settings.AWS_ENDPOINT_URL);
  const schedule = { packingSeconds: settings.PACKING_SECONDS, transitSeconds: settings.TRANSIT_SECONDS };
  const outbox = new Outbox(clients.dynamodb, tableFor("shipments"));
  const relay = new Relay(clients.events, outbox);
  const shipments = new Shipments(clients.dynamodb, new Commits(clients.dynamodb), outbox, (rows) =>
    relay.wake(rows),
  );
  const workers = [
    new Consumer(clients.sqs, dispatcher(shipments, schedule), {
      visibilitySeconds: settings.VISIBILITY_SECONDS,
      maxInFlight: settings.MAX_MESSAGES_IN_FLIGHT,
    }),
    new Sweeper(shipments, schedule, settings.SWEEP_SECONDS),
  ];
  const operators = operatorRoutes(shipments, outbox, clients.sqs);
  return {
    server: new WebServer(role === "worker" ? operators : [...publicRoutes(shipments), ...operators]),
    workers: role === "web" ? [] : workers,
    // The web role writes nothing, so it has nothing to send.
    senders: role === "web" ? [] : [relay],
    close: () => closeClients(clients),
  };
}
