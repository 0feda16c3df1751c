import { readFile } from "node:fs/promises";
import type { BenchmarkArtefact } from "../benchmark/benchmark.js";
import { openTflite } from "./open-tflite.js";

/**
 * A TFLite file as it takes part in `benchmark`: on LiteRT (WebAssembly, one thread). Where `@litertjs/core` is not installed the benchmark lists it
 * as unavailable. The time holds for this runtime only; the native one on a phone is another.
 *
 * @param path - file of `exportTflite`
 */
export function tfliteContestant({
  name,
  path,
  precision,
}: Pick<BenchmarkArtefact, "name" | "path" | "precision">): BenchmarkArtefact {
  return {
    name,
    path,
    precision,
    runtime: "LiteRT WebAssembly, 1 thread",
    open: async () => openTflite(await readFile(path)).open(),
  };
}
