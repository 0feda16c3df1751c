// Reads a weight file in a fresh process: FILE raw|dict -> a line of JSON.
import { readFileSync } from "node:fs";
import process from "node:process";
import { openWeights } from "@seg/nn";

/** What the process prints. */
export interface WeightsRead {
  readonly cpuMs: number;
  readonly wallMs: number;
  /** Largest resident size, less what the process had before reading. */
  readonly addedMb: number;
  readonly bytes: number;
}

const [file = "", how = ""] = process.argv.slice(2);
const before = process.memoryUsage.rss();
const cpu = process.cpuUsage();
const wall = performance.now();
let bytes = 0;
// Held until the end: peak memory counts all tensors at once.
const held = how === "raw" ? readFileSync(file) : openWeights(file).toStateDict();
if (held instanceof Map) for (const { data } of held.values()) bytes += data.byteLength;
else bytes = held.length;
const wallMs = performance.now() - wall;
const used = process.cpuUsage(cpu);
const read: WeightsRead = {
  cpuMs: (used.user + used.system) / 1000,
  wallMs,
  addedMb: process.resourceUsage().maxRSS / 1024 - before / 2 ** 20,
  bytes,
};
process.stdout.write(`${JSON.stringify(read)}\n`);
