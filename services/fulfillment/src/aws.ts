/**
 * The AWS clients of a process, opened with one configuration and counted.
 *
 * One guarantee: every call has a time limit and at most three tries; above this layer work is
 * repeated, not calls.
 */
import { DynamoDBClient } from "@aws-sdk/client-dynamodb";
import { EventBridgeClient } from "@aws-sdk/client-eventbridge";
import { GetQueueUrlCommand, SQSClient } from "@aws-sdk/client-sqs";
import { DynamoDBDocumentClient } from "@aws-sdk/lib-dynamodb";

import { own } from "./contracts.ts";
import { reasonOf } from "./errors.ts";
import { loggerOf } from "./logs.ts";
import * as metrics from "./metrics.ts";
import { jitter, type Stopping } from "./waiting.ts";

const log = loggerOf("aws");

const CONNECT_MILLISECONDS = 3_000;
// Longer than SQS's long poll of 20 s.
const ANSWER_MILLISECONDS = 30_000;

/** The clients; nothing is contacted yet. */
export interface Clients {
  sqs: SQSClient;
  events: EventBridgeClient;
  dynamodb: DynamoDBDocumentClient;
}

/** Open them. `endpoint`: an emulator's address; undefined on AWS, whose addresses the SDK knows. */
export function openClients(region: string, endpoint: string | undefined): Clients {
  const shared = {
    region,
    ...(endpoint === undefined ? {} : { endpoint }),
    maxAttempts: 3,
    requestHandler: {
      connectionTimeout: CONNECT_MILLISECONDS,
      requestTimeout: ANSWER_MILLISECONDS,
      throwOnRequestTimeout: true,
    },
  };
  // The address decides which one answers, not the host that a queue's URL happens to name.
  const sqs = new SQSClient({ ...shared, useQueueUrlAsEndpoint: false });
  const events = new EventBridgeClient(shared);
  const dynamodb = DynamoDBDocumentClient.from(new DynamoDBClient(shared), {
    // What has no value is absent, and never null.
    marshallOptions: { removeUndefinedValues: true },
  });
  for (const client of [sqs, events, dynamodb]) countCalls(client as unknown as SQSClient);
  return { sqs, events, dynamodb };
}

/** Clients' middleware differs in types alone, and one that only looks on fits all. */
function countCalls(client: SQSClient): void {
  client.middlewareStack.add(
    (next, context) => (given) => {
      metrics.awsCalls.inc({ operation: String(context.commandName).replace(/Command$/, "") });
      return next(given);
    },
    // Behind what repeats, so that each try is counted.
    { step: "finalizeRequest", priority: "low", name: "countCalls" },
  );
}

/** Let go of all connections. */
export function closeClients(clients: Clients): void {
  clients.sqs.destroy();
  clients.events.destroy();
  clients.dynamodb.destroy();
}

/** Where the service's messages arrive, and where those go that can never succeed. */
export interface QueueUrls {
  queue: string;
  deadLetters: string;
}

/** The queues' addresses; raises AWS's error where there are none (yet). */
export async function queueUrls(sqs: SQSClient): Promise<QueueUrls> {
  const [queue, deadLetters] = await Promise.all(
    [own.queue.name, own.dead_letters.name].map(async (name) => {
      const answer = await sqs.send(new GetQueueUrlCommand({ QueueName: name }));
      return answer.QueueUrl!;
    }),
  );
  return { queue: queue!, deadLetters: deadLetters! };
}

/** As `queueUrls`, but it waits until they exist; undefined if it is told to stop before. */
export async function awaitQueueUrls(sqs: SQSClient, stopping: Stopping): Promise<QueueUrls | undefined> {
  while (!stopping.requested) {
    try {
      return await queueUrls(sqs);
    } catch (error) {
      log.warning(`the queue is not there yet: ${reasonOf(error)}`);
      await stopping.sleep(jitter(0.2, 2));
    }
  }
  return undefined;
}
