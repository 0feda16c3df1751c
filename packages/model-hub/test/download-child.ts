// A process that downloads a model and may die meanwhile: node download-child.mjs '{"endpoint": ..., ...}'. Says "ready" when everything is
// loaded, waits for a line on stdin if told to, and ends with one line of JSON.
import { once } from "node:events";
import process from "node:process";
import { createHub } from "../src/hub.js";
import { killAtStep } from "./kill-at-step.js";

export interface DownloadTask {
  readonly endpoint: string;
  readonly root: string;
  readonly ref: string;
  /** Begins when a line arrives. */
  readonly waits?: boolean;
  /** Call that changes files before which the process kills itself. */
  readonly killAt?: number | null;
}
export interface DownloadResult {
  /** As `Installed` has them. */
  readonly sha256: string;
  readonly wasCached: boolean;
  /** Calls that changed files. */
  readonly steps: number;
}

const { endpoint, root, ref, waits, killAt } = JSON.parse(process.argv[2]!) as DownloadTask;
process.stdout.write("ready\n");
if (waits === true) await once(process.stdin, "data");
const steps = await killAtStep(killAt ?? null);
const hub = createHub({
  env: {},
  environment: { hfCache: `${root}/hf`, segHome: `${root}/seg`, hfEndpoint: endpoint, hfToken: null },
  // The large files of the snapshot go past the page cache, the small ones through it.
  bypassFromBytes: 1 << 20,
});
const { sha256, wasCached } = await hub.download(ref, { md5: true });
process.stdout.write(`${JSON.stringify({ sha256, wasCached, steps: steps() } satisfies DownloadResult)}\n`);
process.stdin.destroy();
