import { defaultRules, trainingBytes } from "@seg/model-hub";
import type { BenchResult } from "./result.js";
import { runChild } from "./run-child.js";

/** What a plan says a training takes, against what it takes: sizes and batches that the rules were not fitted to. */
const CASES = [
  { size: 160, batch: 8 },
  { size: 640, batch: 2 },
] as const;

/** Estimated over measured peak memory of a training step, per student. */
export async function* planMemory(): AsyncGenerator<BenchResult> {
  for (const [id, model] of Object.entries(defaultRules().models)) {
    if (model.training_bytes === undefined) continue;
    for (const { size, batch } of CASES) {
      const { peakBytes } = runChild<{ peakBytes: number }>("plan-memory-child.ts", [id, String(size), String(batch)]);
      const estimate = trainingBytes(model, batch, size)!;
      yield {
        bench: "plan-memory",
        case: `${id} ${size} px batch ${batch}`,
        value: estimate / peakBytes,
        unit: "of the measured peak",
        note: `estimated ${(estimate / 1e6).toFixed(0)} MB, measured ${(peakBytes / 1e6).toFixed(0)} MB`,
      };
    }
  }
}
