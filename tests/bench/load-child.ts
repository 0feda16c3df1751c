// One way of reading a COCO file in a fresh process: FILE parse|load|iterate -> a line of JSON.
import { readFileSync } from "node:fs";
import process from "node:process";
import { loadDataset, streamDataset } from "@seg/coco-dataset";

/** What the process prints. */
export interface Loaded {
  readonly cpuMs: number;
  readonly wallMs: number;
  readonly peakMb: number;
  readonly annotations: number;
}

const [file = "", how = ""] = process.argv.slice(2);

async function count(): Promise<number> {
  if (how === "parse") return (JSON.parse(readFileSync(file, "utf8")) as { annotations: unknown[] }).annotations.length;
  if (how === "load") return (await loadDataset(file)).annotations.length;
  let annotations = 0;
  for await (const _ of streamDataset(file).annotations()) annotations++;
  return annotations;
}

const cpu = process.cpuUsage();
const wall = performance.now();
const annotations = await count();
const used = process.cpuUsage(cpu);
const loaded: Loaded = {
  cpuMs: (used.user + used.system) / 1000,
  wallMs: performance.now() - wall,
  peakMb: process.resourceUsage().maxRSS / 1024,
  annotations,
};
process.stdout.write(`${JSON.stringify(loaded)}\n`);
