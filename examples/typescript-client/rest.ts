// Shows statistics by REST, and the problem of a call that is refused: node rest.ts
import createClient from "openapi-fetch";

import type { paths } from "./gen/rest.js";

const rest = createClient<paths>({
  baseUrl: process.env["RINGBACK_REST_URL"] ?? "http://127.0.0.1:8081",
  headers: { Authorization: `Bearer ${process.env["RINGBACK_TOKEN"]}` },
});
const signal = AbortSignal.timeout(10_000);

const stats = await rest.GET("/api/webhook-metrics/delivery-stats", {
  params: { query: { range: "24h" } },
  signal,
});
console.log(`success rate: ${stats.data?.summary?.successRate}`);

const wrong = await rest.GET("/api/webhook-metrics/deliveries/{jobId}", {
  params: { path: { jobId: "nonsense" } },
  signal,
});
if (wrong.error) {
  console.log(`${wrong.error.status} ${wrong.error.reason}: ${wrong.error.detail}`);
}
