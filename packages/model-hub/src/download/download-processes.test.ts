import { mkdtempSync, statSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { temporaryDirectory } from "../../test/databases.js";
import type { DownloadResult, DownloadTask } from "../../test/download-child.js";
import { killDownloading, SNAPSHOT, SNAPSHOT_SHA256 } from "../../test/download-kills.js";
import { answerOf, bundleProgram, startChild } from "../../test/run-child.js";
import { listNames } from "../cache/cache-folder.js";
import { startFakeHub } from "../testing/fake-hub.js";

const directory = temporaryDirectory();
const place = () => mkdtempSync(join(directory.path, "root-"));
const sizeOf = (path: string) => statSync(path, { throwIfNoEntry: false })?.size ?? 0;
/** Many processes on a machine that runs many test files at once. */
const PATIENCE_MS = 300_000;

test(
  "processes killed while they download leave nothing half, the next goes on, and the hashes are right",
  async () => {
    const { violations } = await killDownloading({ root: place(), kills: 8 });
    expect(violations).toEqual([]);
  },
  PATIENCE_MS,
);

test(
  "what a killed process has written is not fetched again",
  async () => {
    const program = await bundleProgram("./download-child.ts");
    const hub = await startFakeHub({ repos: [{ id: "acme/sam", licence: "mit", files: SNAPSHOT }] });
    const task: DownloadTask = { endpoint: hub.url, root: place(), ref: "hf:acme/sam" };
    const blobs = join(task.root, "hf", "models--acme--sam", "blobs");
    const largest = () =>
      listNames(blobs).then((names) =>
        // A finished file has another name by now.
        Math.max(0, ...names.filter((n) => n.endsWith(".incomplete")).map((n) => sizeOf(join(blobs, n)))),
      );
    // Both large files stop short of their end.
    hub.fault({ match: "/lfs/", kind: "hang", at: 0.9, times: 2 });
    const first = startChild(program, task);
    // Two whole chunks of a mebibyte of the larger file.
    while ((await largest()) < 2 ** 21) await sleep(10);
    first.child.kill("SIGKILL");
    await first.output;
    expect((await answerOf<DownloadResult>(startChild(program, task)))?.sha256).toBe(SNAPSHOT_SHA256);
    const resumed = hub.requests.flatMap(({ server, range }) => (server === "cdn" && range !== null ? [range] : []));
    expect(resumed.map((range) => Number(/^bytes=(\d+)-$/.exec(range)![1]))).toContainEqual(
      expect.toSatisfy((from: number) => from >= 2 ** 21),
    );
    await hub.close();
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
