// Downloads what `bench hub-download` names, in a process of its own, so that its memory and CPU time are its alone.
import { createReadStream } from "node:fs";
import { rm } from "node:fs/promises";
import process from "node:process";
import { createHub } from "@seg/model-hub";

export interface DownloadOrder {
  readonly ref: string;
  readonly root: string;
}
export interface DownloadCost {
  readonly wallMs: number;
  readonly cpuMs: number;
  /** Highest resident memory so far. */
  readonly maxRssBytes: number;
  readonly verified: boolean;
  /** What the next reader waits for: the file has not gone through the page cache. */
  readonly readMs: number;
}

process.on("message", async ({ ref, root }: DownloadOrder) => {
  const hub = createHub({
    env: {},
    environment: { hfCache: `${root}/hf`, segHome: `${root}/seg`, hfToken: null },
  });
  const cpu = process.cpuUsage();
  const began = performance.now();
  const { verified, path } = await hub.download(ref, { acceptLicence: true });
  const wallMs = performance.now() - began;
  const { user, system } = process.cpuUsage(cpu);
  const readFrom = performance.now();
  for await (const _ of createReadStream(path, { highWaterMark: 1 << 20 }));
  const cost: DownloadCost = {
    wallMs,
    cpuMs: (user + system) / 1000,
    maxRssBytes: process.resourceUsage().maxRSS * 1024,
    verified,
    readMs: performance.now() - readFrom,
  };
  await rm(root, { recursive: true, force: true });
  process.send?.(cost);
});
process.send?.({ rssBytes: process.memoryUsage().rss });
