// The server of `bench hub-http`: a hub on SQLite with 200 versions, in a process of its own. Prints its address and a token.

import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { openHubServer } from "@seg/model-hub/server";

const VERSIONS = 200;
const root = mkdtempSync(join(tmpdir(), "seg-bench-hub-"));
const server = await openHubServer({
  root,
  port: 0,
  app: { limits: { requestsPerMinute: Number.POSITIVE_INFINITY } },
});
const { registry } = server.state;
for (let i = 0; i < VERSIONS; i++) {
  await registry.register({
    files: [{ path: "model.onnx", content: createHash("sha256").update(String(i)).digest() }],
    metrics: {
      accuracy: 0.5 + i / 1000,
      precision: 0.9,
      recall: 0.9,
      f1_score: 0.9,
      loss: 0.1,
      training_samples: 500,
      training_time: 60,
    },
    dataset: { id: "bags" },
  });
}
const [newest] = (await registry.list({ limit: 1 })).versions;
await registry.activate(newest!.version);
process.send?.({ url: server.url, token: server.firstToken });
process.on("message", async (message) => {
  if (message === "usage") process.send?.({ cpu: process.cpuUsage(), rss: process.memoryUsage().rss });
  if (message !== "stop") return;
  await server.close();
  rmSync(root, { recursive: true, force: true });
  process.exit(0);
});
