import { spawnSync } from "node:child_process";
import { join } from "node:path";
import process from "node:process";
import type { BenchResult } from "./result.js";

/**
 * Decode + resize + normalise, beside Pillow + torchvision and OpenCV + torch. In a process of its own: decoded pictures make V8 collect
 * often, and each collection would also walk everything that the other benchmarks have loaded.
 */
export async function preprocess({ withPeer }: { withPeer: boolean }): Promise<BenchResult[]> {
  const child = join(import.meta.dirname, "preprocess-child.ts");
  const flags = ["--conditions=@seg/source", "--import", "tsx", child, ...(withPeer ? ["--peer"] : [])];
  const { status, stdout } = spawnSync(process.execPath, flags, {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
  });
  if (status !== 0) throw new Error(`The preprocessing benchmark failed; run ${child} by hand.`);
  return JSON.parse(stdout.trim().split("\n").pop()!) as BenchResult[];
}
