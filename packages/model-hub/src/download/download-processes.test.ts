import { mkdtempSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { temporaryDirectory } from "../../test/databases.js";
import type { DownloadResult, DownloadTask } from "../../test/download-child.js";
import { killDownloading, SNAPSHOT, SNAPSHOT_SHA256 } from "../../test/download-kills.js";
import { answerOf, bundleProgram, startChild } from "../../test/run-child.js";
import { startFakeHub } from "../testing/fake-hub.js";

const directory = temporaryDirectory();
const place = () => mkdtempSync(join(directory.path, "root-"));
/** Many processes on a machine that runs many test files at once. */
const PATIENCE_MS = 300_000;

test(
  "processes killed while they download leave nothing half, the next goes on, and the hashes are right",
  async () => {
    const summary = await killDownloading({ root: place(), kills: 8 });
    expect(summary.violations).toEqual([]);
    expect(summary.resumed).toBeGreaterThan(0);
  },
  PATIENCE_MS,
);

test(
  "three processes that want one model at once fetch every file once",
  async () => {
    const program = await bundleProgram("./download-child.ts");
    const hub = await startFakeHub({ repos: [{ id: "acme/sam", licence: "mit", files: SNAPSHOT }] });
    const task: DownloadTask = { endpoint: hub.url, root: place(), ref: "hf:acme/sam", waits: true };
    // Slow enough that the others find it under way.
    hub.fault({ match: "/lfs/", kind: "drip", pauseMs: 5, pieceBytes: 100_000, times: 9 });
    const children = [1, 2, 3].map(() => startChild(program, task));
    await Promise.all(children.map(({ child }) => new Promise((resolve) => child.stdout!.once("data", resolve))));
    for (const { child } of children) child.stdin!.write("go\n");
    const results = await Promise.all(children.map((child) => answerOf<DownloadResult>(child)));
    expect(results.map((result) => result?.sha256)).toEqual(Array(3).fill(SNAPSHOT_SHA256));
    const bodies = hub.requests.filter(({ server }) => server === "cdn").map(({ path }) => path);
    expect(bodies.length).toBe(new Set(bodies).size);
    await hub.close();
  },
  PATIENCE_MS,
);
