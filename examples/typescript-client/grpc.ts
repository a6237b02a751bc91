// Lists the dead letters, and retries the one that is named: node grpc.ts [JOB_ID]
import { randomUUID } from "node:crypto";
import { setTimeout } from "node:timers/promises";

import { Code, ConnectError, createClient, type Interceptor } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";

import { ErrorInfoSchema } from "./gen/google/rpc/error_details_pb.js";
import { AdminService } from "./gen/ringback/metrics/v1/admin_service_pb.js";
import { MetricsService } from "./gen/ringback/metrics/v1/metrics_service_pb.js";

const withToken: Interceptor = (next) => (request) => {
  request.header.set("Authorization", `Bearer ${process.env["RINGBACK_TOKEN"]}`);
  return next(request);
};
const transport = createGrpcTransport({
  baseUrl: process.env["RINGBACK_METRICS_URL"] ?? "http://127.0.0.1:50051",
  interceptors: [withToken],
  defaultTimeoutMs: 10_000,
});
const metrics = createClient(MetricsService, transport);
const admin = createClient(AdminService, transport);

/** Only for reads, and for changes with a request id. */
async function repeat<T>(call: () => Promise<T>): Promise<T> {
  for (let pauseMs = 100; ; pauseMs *= 2) {
    try {
      return await call();
    } catch (error) {
      if (ConnectError.from(error).code !== Code.Unavailable || pauseMs > 1000) throw error;
      await setTimeout(pauseMs * Math.random());
    }
  }
}

async function* deadLetters() {
  let pageToken = "";
  do {
    const page = await repeat(() => metrics.listDeadLetters({ pageSize: 100, pageToken }));
    yield* page.deadLetters;
    pageToken = page.nextPageToken;
  } while (pageToken);
}

// A stream has no end of its own, so it needs another deadline.
for await (const { health } of metrics.watchQueueHealth({}, { timeoutMs: 60_000 })) {
  console.log(`waiting: ${health?.metrics?.waiting}`);
  break;
}
for await (const letter of deadLetters()) {
  console.log(`dead: ${letter.jobId} ${letter.eventType} ${letter.errorClass}`);
}
const jobId = process.argv[2];
if (jobId) {
  const request = { jobId, reason: "The CRM is back.", requestId: randomUUID() };
  try {
    const retry = await repeat(() => admin.retryDelivery(request));
    console.log(`retried as ${retry.newJobId}`);
  } catch (error) {
    const refused = ConnectError.from(error);
    const [info] = refused.findDetails(ErrorInfoSchema);
    console.log(`not retried: ${info?.reason} ${refused.rawMessage}`);
  }
}

// Node would wait for the connection, which stays open for later calls.
process.exit();
