import { defaultRules, teacherBytes, trainingBytes } from "@seg/model-hub";
import { SAM_CONFIGS } from "./lora-step/sam-decoder.js";
import type { BenchResult } from "./result.js";
import { runChild } from "./run-child.js";

/** What a plan says a training takes, against what it takes: sizes and batches that the rules were not fitted to. */
const CASES = [
  { size: 160, batch: 8 },
  { size: 640, batch: 2 },
] as const;

/** Estimated over measured peak memory: of a training step of every student, and of adapting the teachers whose networks take minutes, not hours, on a CPU. */
export async function* planMemory(): AsyncGenerator<BenchResult> {
  yield* students();
  const rules = defaultRules();
  for (const id of Object.keys(SAM_CONFIGS)) {
    const { peakBytes } = runChild<{ peakBytes: number }>("teacher-memory-child.ts", [id]);
    yield row(
      `${id}, one picture encoded and adapters of the decoder trained`,
      teacherBytes(rules.models[id]!, rules),
      peakBytes,
    );
  }
}

function* students(): Generator<BenchResult> {
  for (const [id, model] of Object.entries(defaultRules().models)) {
    if (model.training_bytes === undefined) continue;
    for (const { size, batch } of CASES) {
      const { peakBytes } = runChild<{ peakBytes: number }>("plan-memory-child.ts", [id, String(size), String(batch)]);
      yield row(`${id} ${size} px batch ${batch}`, trainingBytes(model, batch, size)!, peakBytes);
    }
  }
}

const row = (name: string, estimate: number, peakBytes: number): BenchResult => ({
  bench: "plan-memory",
  case: name,
  value: estimate / peakBytes,
  unit: "of the measured peak",
  note: `estimated ${(estimate / 1e6).toFixed(0)} MB, measured ${(peakBytes / 1e6).toFixed(0)} MB`,
});
