import process from "node:process";
import { ALL_PASSES, configure } from "@seg/tfjs-onnxruntime";
import * as tf from "@tensorflow/tfjs";
import { type BenchResult, median } from "./result.js";
import { trainingCase } from "./training-case.js";

const WARM_UP = 2;
const STEPS = 7;

/** CPU time of a training step (YOLOv8n-seg, 160 px, batch 16, one thread) with each pass of the engine switched off in turn. */
export async function passes(): Promise<BenchResult[]> {
  await tf.setBackend("onnxruntime");
  configure({ threads: 1 });
  const results: BenchResult[] = [];
  let all = 0;
  for (const off of [null, ...Object.keys(ALL_PASSES)]) {
    configure({ passes: off === null ? {} : { [off]: false } });
    const training = trainingCase({ id: "yolov8n-seg", size: 160, batch: 16 });
    const cpu: number[] = [];
    let firstMs = 0;
    for (let step = 0; step < WARM_UP + STEPS; step++) {
      const before = process.cpuUsage();
      const start = performance.now();
      await training.step();
      const { user, system } = process.cpuUsage(before);
      if (step === 0) firstMs = performance.now() - start;
      if (step >= WARM_UP) cpu.push((user + system) / 1000);
    }
    training.dispose();
    configure({ passes: off === null ? {} : { [off]: true } });
    const value = median(cpu);
    if (off === null) all = value;
    results.push({
      bench: "passes",
      case: off === null ? "all passes" : `without ${off}`,
      value,
      unit: "CPU-ms/step",
      note: `${(value / all).toFixed(2)}x of all passes, spread ${Math.min(...cpu).toFixed(0)}-${Math.max(...cpu).toFixed(0)}, first step ${(firstMs / 1000).toFixed(1)} s`,
    });
  }
  return results;
}
