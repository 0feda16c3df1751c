// node memory-child.ts peak SIZE BATCH | slope STEPS: one measurement in a fresh process, a line of JSON on stdout.
import process from "node:process";
import { compile, configure, engineInfo, ops } from "@seg/tfjs-onnxruntime";
import * as tf from "@tensorflow/tfjs";
import { trainingCase } from "./training-case.js";

/** Steps after which a training step allocates nothing new: the first compiles, the second has all of the optimiser's state. */
const STEPS = 4;

const megabytes = (kilobytes: number): number => (kilobytes * 1024) / 1e6;
const peakMB = (): number => megabytes(process.resourceUsage().maxRSS);

async function peak(size: number, batch: number): Promise<object> {
  const loadedMB = peakMB();
  const training = trainingCase({ id: "yolov8n-seg", size, batch });
  const afterStep: number[] = [];
  for (let i = 0; i < STEPS; i++) {
    await training.step();
    afterStep.push(peakMB());
  }
  return { loadedMB, peakMB: peakMB(), afterStep, sessionMB: engineInfo().sessionBytes / 1e6 };
}

/** A small network: what leaks per step shows, whatever a step costs. Half of the steps are recorded, half replayed. */
function slope(steps: number): object {
  const filters = [
    tf.randomNormal([3, 3, 3, 8], 0, 0.2, "float32", 1),
    tf.randomNormal([3, 3, 8, 8], 0, 0.2, "float32", 2),
  ];
  const weights = filters.map((w) => tf.variable(w));
  const optimizer = tf.train.adam(1e-3);
  const step = (images: tf.Tensor): tf.Scalar =>
    optimizer.minimize(
      () => {
        let x = images as tf.Tensor4D;
        for (const w of weights) x = ops.silu(tf.conv2d(x, w as tf.Tensor4D, 1, "same"));
        return tf.mean(tf.square(x)) as tf.Scalar;
      },
      true,
      weights,
    )!;
  const compiled = compile(step, { name: "small step" });
  const samples: [number, number][] = [];
  for (let i = 0; i < steps; i++) {
    const images = tf.tensor4d(new Float32Array(2 * 32 * 32 * 3).fill((i % 7) / 7), [2, 32, 32, 3]);
    const loss = (i % 2 === 0 ? compiled : step)(images);
    loss.dataSync();
    tf.dispose([images, loss]);
    if (i % 20 === 19) {
      // Buffers of the runtime go with their JavaScript objects.
      globalThis.gc?.();
      samples.push([i + 1, process.memoryUsage.rss() / 1e6]);
    }
  }
  // The first quarter fills caches and pools.
  const settled = samples.slice(samples.length / 4);
  const meanX = settled.reduce((sum, [x]) => sum + x, 0) / settled.length;
  const meanY = settled.reduce((sum, [, y]) => sum + y, 0) / settled.length;
  const covariance = settled.reduce((sum, [x, y]) => sum + (x - meanX) * (y - meanY), 0);
  const variance = settled.reduce((sum, [x]) => sum + (x - meanX) ** 2, 0);
  const perThousand = (1000 * covariance) / variance;
  return {
    rssMB: meanY,
    perThousandMB: perThousand,
    perThousandPercent: (100 * perThousand) / meanY,
    tensors: tf.memory().numTensors,
  };
}

tf.env().set("PROD", true);
await tf.setBackend("onnxruntime");
configure({ threads: 1 });
const [kind, ...numbers] = process.argv.slice(2);
const [first, second] = numbers.map(Number) as [number, number];
const result = kind === "peak" ? await peak(first, second) : slope(first);
process.stdout.write(`${JSON.stringify(result)}\n`);
