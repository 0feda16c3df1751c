// The server of `bench hub-http`: a hub on SQLite with 200 versions, in a process of its own. Prints its address and a token.

import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { openHubServer } from "@seg/model-hub/server";

const VERSIONS = 200;
const root = mkdtempSync(join(tmpdir(), "seg-bench-hub-"));
const blobs = new Map<string, Uint8Array>();
const server = await openHubServer({
  root,
  port: 0,
  // Versions are read, their files are not.
  store: {
    async put(key, stream) {
      const parts: Uint8Array[] = [];
      for await (const part of stream) parts.push(part);
      blobs.set(key, Buffer.concat(parts));
    },
    async get(key) {
      return (async function* () {
        yield blobs.get(key)!;
      })();
    },
    async head(key) {
      const blob = blobs.get(key);
      return blob === undefined ? null : { bytes: blob.length };
    },
    async delete(key) {
      blobs.delete(key);
    },
  },
  app: { limits: { requestsPerMinute: Number.POSITIVE_INFINITY } },
});
for (let i = 0; i < VERSIONS; i++) {
  await server.registry.register({
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
const [newest] = (await server.registry.list({ limit: 1 })).versions;
await server.registry.activate(newest!.version);
process.send?.({ url: server.url, token: server.firstToken });
process.on("message", async (message) => {
  if (message === "usage") process.send?.({ cpu: process.cpuUsage(), rss: process.memoryUsage().rss });
  if (message !== "stop") return;
  await server.close();
  rmSync(root, { recursive: true, force: true });
  process.exit(0);
});
